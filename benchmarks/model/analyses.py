"""The figures and pictures of docs/analyses.md: each analysis once, on the embedded model.

``python -m benchmarks.model.analyses [NAME ...]`` writes ``runs/analyses/NAME/`` and the reduced
picture ``docs/pictures/analyse_NAME.png``; the tables that it prints are those of the page.
"""

import sys
from pathlib import Path
from time import perf_counter

from PIL import Image

from featurekit.cli.router import main
from featurekit.scenes import scene

ROOT = Path(__file__).parents[2]
OUT, PICTURES = ROOT / "runs" / "analyses", ROOT / "docs" / "pictures"
WIDTHS, COLOURS, MOST_BYTES = (1100, 960, 840, 720), 128, 150_000
OWN_SIDE_PX = 128

COMMANDS = {
    "timesteps": ["analyse", "timesteps"],
    "timesteps_inverted": ["analyse", "timesteps", "source=inverted"],
    "timesteps_sampled": ["analyse", "timesteps", "source=sampled"],
    "positions": ["analyse", "positions"],
    "norms": ["analyse", "norms"],
    "labels": ["analyse", "labels"],
    "own_labels": [
        "analyse",
        "labels",
        f"image={OUT}/album/0.png",
        f"mask={OUT}/mask.png",
        f"images={OUT}/album",
    ],
    "pck": ["pck"],
}
SHOWN = {  # picture of the page by analysis
    "timesteps": "timesteps.png",
    "positions": "positions.png",
    "norms": "norms.png",
    "labels": "labels.png",
    "own_labels": "labels.png",
    "pck": "pck.png",
}


def album() -> None:
    """Five held-out faces of several shapes, the first with a palette of face and clothes."""
    (OUT / "album").mkdir(parents=True, exist_ok=True)
    for number in range(5):
        one, height = scene(1_000_000 + number, "face"), OWN_SIDE_PX - 4 * number
        picture = one.image(OWN_SIDE_PX).crop((0, 0, OWN_SIDE_PX, height))
        picture.save(OUT / "album" / f"{number}.png")
    inside = scene(1_000_000, "face").foreground(OWN_SIDE_PX).convert("L")
    mask = inside.point(lambda level: int(level > 127))
    chin = OWN_SIDE_PX * 25 // 32
    clothes = mask.crop((0, chin, OWN_SIDE_PX, OWN_SIDE_PX)).point(lambda level: 2 * level)
    mask.paste(clothes, (0, chin))
    mask.putpalette([0, 0, 0, 200, 40, 40, 40, 80, 220])
    mask.save(OUT / "mask.png")


def reduced(name: str) -> None:
    """Make the picture of the page, small."""
    path = PICTURES / f"analyse_{name}.png"
    with Image.open(OUT / name / SHOWN[name]) as picture:
        whole = picture.convert("RGB")
    for width in WIDTHS:
        scale = min(1.0, width / whole.width)
        size = (round(whole.width * scale), round(whole.height * scale))
        small = whole.resize(size, Image.Resampling.LANCZOS)
        few = small.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        few.save(path, optimize=True)
        if path.stat().st_size <= MOST_BYTES:
            break
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def run(names: list[str]) -> None:
    """Run analyses by name, and make their pictures small."""
    album()
    for name in names:
        start = perf_counter()
        words = [*COMMANDS[name], f"out={OUT / name}"]
        print(f"\nfeaturekit {' '.join(words)}", flush=True)
        code = main(words)
        print(f"exit code {code}, {perf_counter() - start:.0f} s", flush=True)
        if name in SHOWN:
            reduced(name)


if __name__ == "__main__":
    run(sys.argv[1:] or list(COMMANDS))
