"""Contact sheets of ``task=evaluate``: every scene, none chosen."""

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from PIL import Image

from featurekit.images.io import image_to_pil, load_image
from featurekit.images.marks import arrows, marked
from featurekit.images.pictures import contact_sheet
from featurekit.scenes import Move

SCENES_A_ROW, TILE_PX = 3, 256
TITLES = ("before", "edit", "the true result")


def sheet(scenes: Mapping[str, Sequence[tuple[Move, Path]]], size: int) -> Image.Image:
    """Before with the drag, edit and truth of each scene; several scenes a row.

    Args:
        scenes: moves with the files of their edits, by sort.
        size: side in px that they were dragged at.
    """
    rows = {}
    for sort, shown in scenes.items():
        for start in range(0, len(shown), SCENES_A_ROW):
            row = shown[start : start + SCENES_A_ROW]
            tiles = chain.from_iterable(_tiles(move, edited, size) for move, edited in row)
            rows[f"{sort} {start} to {start + len(row) - 1}"] = [*tiles]
    return contact_sheet(rows, [*TITLES] * SCENES_A_ROW)


def _tiles(move: Move, edited: Path, size: int) -> list[Image.Image]:
    side = (TILE_PX, TILE_PX)
    before = move.before.image(size).resize(side, Image.Resampling.LANCZOS)
    arrowed = marked(before, TILE_PX / size, arrows([[*a, *b] for a, b in move.drags_px(size)]))
    return [arrowed, image_to_pil(load_image(edited)), move.after.image(size)]
