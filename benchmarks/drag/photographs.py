"""Ten hand-set drags of six photographs on the embedded model: a sheet, and what each run said.

Usage: ``python -m benchmarks.drag.photographs FOLDER OUT [NUMBER ...] [plugin.KEY=VALUE ...]``.
FOLDER holds the photographs, ``skimage/data`` of an installed scikit-image: astronaut.png (NASA,
public domain), rocket.jpg (SpaceX, public domain), coffee.png (Rachel Michetti, CC0), chelsea.png
(Stefan van der Walt, CC0), camera.png (Lav Varshney, CC0), coins.png (Brooklyn Museum, no known
restrictions). In OUT each drag has a run of its own, and ``drag_photographs.jpg`` shows all.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

import featurekit as fk

TILE = (300, 250)  # px of one picture on the sheet, at most
QUALITY = 82  # of the JPEG
Shape = tuple[str, int, int, int, int]  # ellipse | rectangle, left, top, right, bottom in px


@dataclass(frozen=True)
class Drag:
    """One drag, as a person would set it."""

    photograph: str
    what: str
    points: tuple[tuple[float, ...], ...] = ()
    mask: Shape | None = None
    region: tuple[Shape, float, float] | None = None  # what is brushed, and its move in px
    more: tuple[str, ...] = ()


DRAGS = (
    Drag("rocket.jpg", "the rocket", ((322, 220, 378, 220),), ("rectangle", 285, 105, 425, 412)),
    Drag(
        "rocket.jpg",
        "a second rocket (copy)",
        ((322, 220, 250, 220),),
        ("rectangle", 214, 105, 352, 412),
        more=("plugin.mode=copy",),
    ),
    Drag("astronaut.png", "the badge, no mask", ((170, 385, 215, 402),)),
    Drag(
        "astronaut.png",
        "the hair, pins on the eyes",
        ((298, 95, 326, 95),),
        ("ellipse", 115, 2, 365, 200),
        more=("plugin.pins=[[204,100],[246,98],[222,140]]",),
    ),
    Drag(
        "coffee.png",
        "cup and saucer (brushed)",
        region=(("ellipse", 74, 16, 482, 392), 46, 4),
    ),
    Drag("coffee.png", "the spoon", ((365, 288, 332, 306),), ("ellipse", 290, 185, 432, 352)),
    Drag("chelsea.png", "the nose", ((266, 242, 246, 256),), ("ellipse", 188, 180, 340, 296)),
    Drag(
        "chelsea.png",
        "the ear (reshape)",
        ((350, 30, 376, 14),),
        ("rectangle", 300, 0, 420, 110),
        more=("plugin.mode=reshape",),
    ),
    Drag("coins.png", "a coin, no mask", ((270, 118, 292, 150),)),
    Drag("camera.png", "the tower", ((421, 160, 368, 160),), ("rectangle", 346, 105, 448, 196)),
)


def shape_file(shape: Shape, size: tuple[int, int], path: Path) -> Path:
    """Draw a mask by hand."""
    mask = Image.new("L", size)
    kind, *box = shape
    getattr(ImageDraw.Draw(mask), kind)(box, fill=255)
    mask.save(path)
    return path


def run(drag: Drag, folder: Path, out: Path, words: list[str]) -> None:
    """Drag a photograph; what was made lies in ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    source = folder / drag.photograph
    with Image.open(source) as opened:
        size = opened.size
    asked = [f"image={source}", f"out={out / 'run'}", *drag.more, *words]
    if drag.points:
        asked.append("plugin.points=" + json.dumps([list(row) for row in drag.points]))
    if drag.mask is not None:
        asked.append(f"plugin.mask={shape_file(drag.mask, size, out / 'mask.png')}")
    if drag.region is not None:
        shape, dx, dy = drag.region
        brushed = shape_file(shape, size, out / "region.png")
        asked.append(f"plugin.regions=[[{brushed},{dx},{dy}]]")
    fk.run(fk.compose(["plugin=drag", "cache=none", "plugin.animation_frames=0", *asked]))


def tiles(drag: Drag, folder: Path, out: Path) -> tuple[Image.Image, Image.Image]:
    """Show before, with the drag and the mask's outline, and after, both at the sheet's size."""
    with Image.open(folder / drag.photograph) as opened:
        before = opened.convert("RGB")
    with Image.open(out / "run" / "edit.png") as opened:
        after = opened.convert("RGB")
    scale = min(TILE[0] / before.width, TILE[1] / before.height)
    size = (round(before.width * scale), round(before.height * scale))
    first, second = (one.resize(size, Image.Resampling.LANCZOS) for one in (before, after))
    draw = ImageDraw.Draw(first)
    rows = [*drag.points]
    shapes = [drag.mask] if drag.mask is not None else []
    if drag.region is not None:
        shape, dx, dy = drag.region
        x, y = (shape[1] + shape[3]) / 2, (shape[2] + shape[4]) / 2
        rows.append((x, y, x + dx, y + dy))
        shapes.append(shape)
    for kind, *box in shapes:
        getattr(draw, kind)([value * scale for value in box], outline=(255, 255, 255))
    for row in rows:
        x0, y0, x1, y1 = (value * scale for value in row)
        draw.line([x0, y0, x1, y1], fill=(255, 40, 40), width=3)
        draw.ellipse([x1 - 4, y1 - 4, x1 + 4, y1 + 4], fill=(40, 90, 255))
    return first, second


def sheet(pairs: list[tuple[Image.Image, Image.Image]]) -> Image.Image:
    """Lay pairs of pictures out, two pairs a row."""
    gap, (wide, high) = 6, TILE
    rows = -(-len(pairs) // 2)
    page = Image.new("RGB", (4 * (wide + gap) + gap, rows * (high + gap) + gap), "white")
    for number, pair in enumerate(pairs):
        for place, picture in enumerate(pair):
            column = 2 * (number % 2) + place
            page.paste(picture, (gap + column * (wide + gap), gap + number // 2 * (high + gap)))
    return page


def main(words: list[str]) -> None:
    """Run the drags, or those of some numbers, and draw the sheet of all that are there."""
    folder, out = Path(words[0]), Path(words[1])
    numbers = [int(word) for word in words[2:] if word.isdigit()] or range(1, len(DRAGS) + 1)
    settings = [word for word in words[2:] if not word.isdigit()]
    pairs = []
    for number, drag in enumerate(DRAGS, start=1):
        place = out / f"{number:02d}"
        if number in numbers:
            run(drag, folder, place, settings)
        if not (place / "run" / "run.json").exists():
            continue
        record = json.loads((place / "run" / "run.json").read_text())
        print(f"{number}. {drag.photograph}, {drag.what}: {record['metrics']['plan']}")
        pairs.append(tiles(drag, folder, place))
    sheet(pairs).save(out / "drag_photographs.jpg", quality=QUALITY)


if __name__ == "__main__":
    main(sys.argv[1:])
