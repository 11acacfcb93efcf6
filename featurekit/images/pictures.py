"""Pictures for people: tensors in, Pillow images out. Nothing here touches a file."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from math import ceil, sqrt
from typing import TypeAlias

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from featurekit.images.false_colour import SMALLEST_TILE_PX, feature_picture
from featurekit.images.io import image_to_pil
from featurekit.images.marks import (
    HANDLE,
    INK,
    PAPER,
    TARGET,
    Colour,
    Moves,
    Points,
    arrows,
    handles,
    marked,
    rings,
    targets,
    trails,
)

__all__ = [
    "Picture",
    "animation_frames",
    "before_after",
    "contact_sheet",
    "curve",
    "feature_picture",
]

Picture: TypeAlias = Tensor | Image.Image
"""(1 3 h w) in [-1, 1], or a Pillow image."""

SOFT_INK = (102, 102, 102)

LARGEST_TILE_PX = 1024  # longer side of a picture on a sheet; the smallest is SMALLEST_TILE_PX
LONG = 1.6  # sides of a square that a picture among others of other sizes may be long
MARGIN_PX, GAP_PX, LINE_PX, TEXT_PX = 20, 16, 26, 16


def before_after(
    source: Picture,
    result: Picture,
    moves: Moves,
    ends: Points | None = None,
    truth: Picture | None = None,
    mask: Tensor | None = None,
) -> Image.Image:
    """Show an edit: what was asked for, what came, and what should have come if that is known.

    Args:
        source: the picture before.
        result: the picture after, same size.
        moves: what was asked for.
        ends: where each handle really went.
        truth: the true result.
        mask: (1 1 h w), 1 where the image may change; the rest of ``source`` is paled.

    Returns:
        One row of panels with captions and, below, what the marks mean.
    """
    source = _pil(source)
    scale = _scale(source.size)
    first = _tile(source) if mask is None else _paled(_tile(source), mask)
    panels = {
        "before" if mask is None else "before, the pale part is held": marked(
            first, scale, arrows(moves)
        ),
        "after": marked(_tile(result), scale, arrows(moves), rings(ends or ())),
    }
    if truth is not None:
        panels["the true result"] = marked(_tile(truth), scale, arrows(moves))
    sheet = contact_sheet({"": list(panels.values())}, list(panels))
    return _with_legend(sheet, ended=ends is not None)


def animation_frames(
    images: Sequence[Picture], moves: Moves, ways: Sequence[Points]
) -> list[Image.Image]:
    """Draw the frames of an animation of an edit.

    Args:
        images: the picture at successive moments, at least one.
        moves: what was asked for.
        ways: for each image, where each handle was then.

    Returns:
        One frame per image: the target, the handle and the way it has come.
    """
    frames = []
    for index, image in enumerate(images):
        picture = _pil(image)
        scale = _scale(picture.size)
        come = [list(way) for way in zip(*ways[: index + 1], strict=True)]
        frames.append(marked(_tile(picture), scale, targets(moves), trails(come)))
    return frames


def curve(
    series: Mapping[str, Sequence[float]], *, title: str, x_label: str, y_label: str
) -> Image.Image:
    """Plot one line per series over its index.

    Args:
        series: numbers by name; the names make the key where there are several.
        title: what is shown.
        x_label: what one step to the right is.
        y_label: what is measured, with its unit.
    """
    figure = Figure(figsize=(6.4, 3.6), dpi=120, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot(title=title, xlabel=x_label, ylabel=y_label)
    styles = cycle(((TARGET, "-"), (HANDLE, "--"), (INK, ":")))
    for (name, values), (colour, dash) in zip(series.items(), styles, strict=False):
        axes.plot(values, dash, color=_rgb_share(colour), label=name)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    if len(series) > 1:
        axes.legend(frameon=False)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def contact_sheet(
    rows: Mapping[str, Sequence[Picture | None]], titles: Sequence[str]
) -> Image.Image:
    """Lay pictures out in a table with a title over each column and beside each row.

    Pictures of one table are seen at sizes that go together: each is brought to the area that the
    middle one of them has, in its own proportions. Rows are as high as they need.

    Args:
        rows: pictures by the row's title; None leaves a cell empty, an empty title no room.
        titles: of the columns; may be shorter than the rows.
    """
    tiles = _alike({name: [p if p is None else _pil(p) for p in row] for name, row in rows.items()})
    shown = [tile for row in tiles.values() for tile in row if tile is not None]
    columns = max((len(row) for row in tiles.values()), default=0)
    width = max((*(tile.width for tile in shown), *map(_text_width, titles)), default=0)
    heights = [
        max((tile.height for tile in row if tile is not None), default=LINE_PX if name else 0)
        for name, row in tiles.items()
    ]
    left = MARGIN_PX + max((_text_width(name) + GAP_PX for name in tiles if name), default=0)
    top = MARGIN_PX + (LINE_PX if any(titles) else 0)
    sheet = Image.new(
        "RGB",
        (
            left + columns * (width + GAP_PX) - GAP_PX + MARGIN_PX,
            top + sum(height + GAP_PX for height in heights) - GAP_PX + MARGIN_PX,
        ),
        PAPER,
    )
    pen = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        middle = left + column * (width + GAP_PX) + width // 2
        pen.text((middle, top - 8), title, fill=INK, font=_font(), anchor="ms")
    y = top
    for (name, row), height in zip(tiles.items(), heights, strict=True):
        pen.text((left - GAP_PX, y + height // 2), name, fill=INK, font=_font(), anchor="rm")
        for column, tile in enumerate(row):
            if tile is not None:
                x = left + column * (width + GAP_PX) + (width - tile.width) // 2
                sheet.paste(tile, (x, y + (height - tile.height) // 2))
        y += height + GAP_PX
    return sheet


def _pil(picture: Picture) -> Image.Image:
    return picture if isinstance(picture, Image.Image) else image_to_pil(picture)


def _scale(size: tuple[int, int]) -> float:
    longer = max(size)
    if longer > LARGEST_TILE_PX:
        return LARGEST_TILE_PX / longer
    return ceil(SMALLEST_TILE_PX / longer)


def _tile(picture: Picture) -> Image.Image:
    image = _pil(picture).convert("RGB")
    return _resized(image, _scale(image.size))


def _resized(image: Image.Image, scale: float) -> Image.Image:
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS) if size != image.size else image


def _alike(
    rows: Mapping[str, Sequence[Image.Image | None]],
) -> dict[str, list[Image.Image | None]]:
    """Tiles of one table: of one size as ``_tile``, of several sizes with the area of one of them.

    That is the size of which as many are smaller as are larger, so that few are changed much; a
    very long picture is smaller, since its column would be wide.
    """
    tiles = {name: [one and _tile(one) for one in row] for name, row in rows.items()}
    areas = sorted(tile.width * tile.height for row in tiles.values() for tile in row if tile)
    if not areas or areas[0] == areas[-1]:
        return tiles
    area = areas[len(areas) // 2]
    return {name: [one and _of_area(one, area) for one in row] for name, row in rows.items()}


def _of_area(picture: Image.Image, area: int) -> Image.Image:
    """A picture with about as many pixels as ``area``, its proportions kept."""
    width, height = picture.size
    longest = min(LARGEST_TILE_PX, LONG * sqrt(area))
    scale = min(sqrt(area / (width * height)), longest / max(width, height))
    return _resized(picture.convert("RGB"), scale)


def _paled(tile: Image.Image, mask: Tensor) -> Image.Image:
    levels = (mask[0, 0].detach().cpu() * 255).round().byte().numpy()
    editable = Image.fromarray(levels).resize(tile.size, Image.Resampling.NEAREST)
    return Image.composite(
        tile, Image.blend(tile, Image.new("RGB", tile.size, PAPER), 0.55), editable
    )


def _rgb_share(colour: Colour) -> tuple[float, float, float]:
    red, green, blue = colour
    return (red / 255, green / 255, blue / 255)


def _font(size: int = TEXT_PX) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _text_width(text: str) -> int:
    return ceil(_font().getlength(text))


def _with_legend(row: Image.Image, *, ended: bool) -> Image.Image:
    """Say below a row of panels what its marks mean; widens a row that is too narrow for it."""
    middle = LINE_PX / 2
    marks = {"handle": handles([(middle, middle)]), "target": targets([(0, 0, middle, middle)])}
    if ended:
        marks["where the handle went"] = rings([(middle, middle)])
    needed = MARGIN_PX + sum(LINE_PX + 4 + _text_width(word) + GAP_PX for word in marks)
    sheet = Image.new("RGB", (max(row.width, needed), row.height + LINE_PX), PAPER)
    sheet.paste(row, ((sheet.width - row.width) // 2, 0))
    pen = ImageDraw.Draw(sheet)
    x, y = MARGIN_PX, row.height - GAP_PX // 2
    for word, mark in marks.items():
        symbol = marked(Image.new("RGB", (LINE_PX, LINE_PX), PAPER), 1.0, mark)
        sheet.paste(symbol, (x, y))
        pen.text(
            (x + LINE_PX + 4, y + LINE_PX // 2), word, fill=SOFT_INK, font=_font(), anchor="lm"
        )
        x += LINE_PX + 4 + _text_width(word) + GAP_PX
    return sheet
