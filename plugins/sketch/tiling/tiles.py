"""Pictures of any size: drawn in overlapping tiles that are blended without a seam."""

from collections.abc import Callable, Iterable, Iterator
from math import ceil, pi
from typing import NamedTuple

import torch
from torch import Tensor

from featurekit.core.errors import ConfigError, ShapeError
from featurekit.core.shapes import expect
from featurekit.core.types import Progress, silent


class Box(NamedTuple):
    """Part of a picture in px; the second of a pair is the first that is outside."""

    rows: tuple[int, int]
    columns: tuple[int, int]


def windows(length: int, *, tile: int, overlap: int) -> list[tuple[int, int]]:
    """Cover a length with windows of one size, evenly, the last flush with the end.

    Args:
        length: px to cover.
        tile: px of a window; a shorter length is one window of its own.
        overlap: px that two neighbours share at least.

    Returns:
        (first, first outside) of each window, rising.

    Raises:
        ConfigError: a size is below 1, or the overlap is negative or no less than the tile.
    """
    if length < 1 or tile < 1:
        raise ConfigError(f"length and tile must be at least 1 px, got {length} and {tile}")
    if not 0 <= overlap < tile:
        raise ConfigError(
            f"overlap must be at least 0 and less than the tile of {tile} px, got {overlap} px; "
            f"give a smaller overlap or a larger tile"
        )
    if length <= tile:
        return [(0, length)]
    rest = length - tile
    count = ceil(rest / (tile - overlap)) + 1
    starts = [index * rest // (count - 1) for index in range(count)]
    return [(start, start + tile) for start in starts]


def blend(height: int, width: int, pieces: Iterable[tuple[Box, Tensor]], *, overlap: int) -> Tensor:
    """Join overlapping pieces; towards an inner border the weight of a piece falls to nothing.

    Only sums are kept, never two pieces. Where float32 pieces agree, the result is theirs exactly.

    Args:
        height: rows of the whole, px.
        width: columns, likewise.
        pieces: where each piece lies and what it shows, (1 1 h w), of one dtype; no gradient.
        overlap: px over which a weight rises.

    Returns:
        Whole, (1 1 height width), dtype of the pieces, on the CPU.

    Raises:
        ShapeError: a piece has not the size of its box or lies outside, or a pixel has no piece.
    """
    total = torch.zeros(height, width, dtype=torch.float64)
    weights = torch.zeros_like(total)
    dtype = torch.float32
    for box, piece in pieces:
        _check(box, piece, height, width)
        weight = _rise(box.rows, height, overlap)[:, None] * _rise(box.columns, width, overlap)
        part = slice(*box.rows), slice(*box.columns)
        total[part] += weight * piece[0, 0].detach().cpu().double()
        weights[part] += weight
        dtype = piece.dtype
    bare = int((weights == 0).sum())
    if bare:
        raise ShapeError(
            f"pieces must cover all of {width}x{height} px, got none over {bare} pixels"
        )
    return (total / weights).to(dtype)[None, None]


def tiled(
    draw: Callable[[Tensor], Tensor],
    image: Tensor,
    *,
    tile: int,
    overlap: int,
    progress: Progress = silent,
) -> Tensor:
    """Draw a picture tile by tile, at its own size.

    Args:
        draw: (1 3 h w) to (1 1 h w), called once for each tile; a side that is shorter than a
            tile is never cut, so a picture smaller than one is drawn in one go.
        image: (1 3 h w), any size.
        tile: side of a tile, px.
        overlap: px that two neighbours share at least.
        progress: told after each tile.

    Returns:
        Drawn whole, (1 1 h w) on the CPU, without gradient.

    Raises:
        ConfigError: see ``windows``.
        ShapeError: the image is not (1 3 h w), or ``draw`` gave another size.
    """
    sizes = expect(image, "1 3 h w", of="image")
    rows = windows(sizes["h"], tile=tile, overlap=overlap)
    columns = windows(sizes["w"], tile=tile, overlap=overlap)
    boxes = [Box(row, column) for row in rows for column in columns]

    def pieces() -> Iterator[tuple[Box, Tensor]]:
        for done, box in enumerate(boxes, start=1):
            yield box, draw(image[..., slice(*box.rows), slice(*box.columns)])
            progress(done, len(boxes))

    return blend(sizes["h"], sizes["w"], pieces(), overlap=overlap)


def _rise(span: tuple[int, int], length: int, overlap: int) -> Tensor:
    """Weight along one axis: a raised cosine at inner borders, 1 at those of the picture.

    Two neighbours that share exactly ``overlap`` px sum to 1; blending divides by the sum.
    """
    first, end = span
    weight = torch.ones(end - first, dtype=torch.float64)
    count = min(overlap, end - first)
    places = (torch.arange(count, dtype=torch.float64) + 0.5) / max(1, overlap)
    slope = (pi / 2 * places).sin().square()
    if first > 0:
        weight[:count] *= slope
    if end < length:
        weight[len(weight) - count :] *= slope.flip(0)
    return weight


def _check(box: Box, piece: Tensor, height: int, width: int) -> None:
    (top, bottom), (left, right) = box
    if not (0 <= top < bottom <= height and 0 <= left < right <= width):
        raise ShapeError(f"a piece must lie inside {width}x{height} px, got {tuple(box)}")
    expect(piece, "1 1 h w", of="a drawn tile", h=bottom - top, w=right - left)
