"""A photograph beside its sketches in the shipped styles, as docs/results.md shows it.

python -m benchmarks.sketch.photograph PORTRAIT    # that of the page: matplotlib's grace_hopper.jpg

The portrait of the page is in the public domain (James S. Davis, United States Navy). Each style
draws it as ``task=extract`` does, in a temporary folder.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

import featurekit as fk
from featurekit.core.atomic import replacing
from featurekit.images.pictures import contact_sheet
from featurekit_sketch.bundled_styles import NAMES

TO = Path(__file__).parents[2] / "docs" / "pictures" / "sketch_photograph.jpg"
TILE = (256, 300)  # px of one picture on the sheet, at most
QUALITY = 88  # of the JPEG


def main(words: Sequence[str] | None = None) -> None:
    """Draw and lay side by side.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photograph", type=Path)
    photograph = parser.parse_args(words).photograph
    tiles = [_tile(photograph)]
    with TemporaryDirectory() as folder:
        for style in NAMES:
            out = Path(folder) / style
            asked = ["plugin=sketch", "task=extract", f"image={photograph}", f"out={out}"]
            fk.run(fk.compose([*asked, f"plugin.style={style}"]))
            tiles.append(_tile(out / f"{photograph.stem}.png"))
    with replacing(TO) as temporary:
        contact_sheet({"": tiles}, ["photograph", *NAMES]).save(temporary, "JPEG", quality=QUALITY)
    print(f"{TO.name}: {TO.stat().st_size / 1000:.0f} kB")


def _tile(path: Path) -> Image.Image:
    with Image.open(path) as found:
        image = found.convert("RGB")
    image.thumbnail(TILE, Image.Resampling.LANCZOS)
    return image


if __name__ == "__main__":
    main()
