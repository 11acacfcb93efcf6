"""The figures and pictures of docs/analyses.md: each analysis once, on the embedded model.

``python -m benchmarks.model.analyses [NAME ...]`` writes ``runs/analyses/NAME/`` and the reduced
picture ``docs/pictures/analyse_NAME.png``; ``--record FILE`` the table of the page, for
``benchmarks/evidence.py``.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from PIL import Image

from benchmarks.records.layouts import LAYOUTS
from benchmarks.records.recording import recorded_to, typed
from benchmarks.records.tables import made_now, write_record
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
MADE = ("settings", "weights")  # of an analysis, beside its figures


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


def analysed(name: str) -> Mapping[str, Any]:
    """Run an analysis, make its picture small, and give what it wrote.

    Raises:
        SystemExit: it failed.
    """
    start = perf_counter()
    words = [*COMMANDS[name], f"out={OUT / name}"]
    print(f"\nfeaturekit {' '.join(words)}", flush=True)
    if code := main(words):
        raise SystemExit(code)
    print(f"{perf_counter() - start:.0f} s", flush=True)
    if name in SHOWN:
        reduced(name)
    return dict(json.loads((OUT / name / f"{analysis_of(name)}.json").read_text("utf-8")))


def analysis_of(name: str) -> str:
    """The analysis that a name of ``COMMANDS`` stands for."""
    return COMMANDS[name][-1] if name == "pck" else COMMANDS[name][1]


def record(path: Path, names: Sequence[str], found: Sequence[Mapping[str, Any]], said: str) -> None:
    """Write the table of one analysis, or of timesteps chosen in several ways.

    Args:
        path: of the record.
        names: of the analyses, one or all that choose timesteps.
        found: what each wrote.
        said: the command.
    """
    figures = [{key: one[key] for key in one if key not in MADE} for one in found]
    settings = {**found[0]["settings"], "out": "FOLDER"}
    made = {**made_now(said, settings), "weights": found[0]["weights"]}
    if len(names) == 1:
        made |= {"layout": "analysis", "of": analysis_of(names[0]), "metrics": figures[0]}
    else:
        sources = [one["settings"]["source"] for one in found]
        made |= {"layout": "analysed-runs", "metrics": dict(zip(sources, figures, strict=True))}
    print(f"\n{LAYOUTS[made['layout']](made)}")
    write_record(made, path)


def run(words: Sequence[str] | None = None) -> None:
    """Run analyses by name, make their pictures small, and write their table if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(COMMANDS))
    recorded_to(parser)
    asked = parser.parse_args(words)
    names = asked.names or list(COMMANDS)
    if unknown := set(names) - set(COMMANDS):
        parser.error(f"a name must be one of {', '.join(COMMANDS)}, got {', '.join(unknown)}")
    if asked.record and len({analysis_of(name) for name in names}) > 1:
        parser.error("a record must be of one analysis, got several; give --record with one name")
    album()
    found = [analysed(name) for name in names]
    if asked.record:
        record(asked.record, names, found, typed("model.analyses", words))


if __name__ == "__main__":
    run()
