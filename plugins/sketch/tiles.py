"""Pictures larger than the model's: drawn in overlapping tiles that fade into each other."""

from collections.abc import Callable

import torch
from torch import Tensor

from featurekit.errors import ConfigError
from featurekit.shapes import expect
from featurekit.types import Progress, silent


def windows(length: int, *, tile: int, overlap: int) -> list[tuple[int, int]]:
    """Cover a length with windows of one size; the last ends flush with it.

    Args:
        length: px, at least 1.
        tile: size of a window, px; a shorter length is one window.
        overlap: least px that neighbours share, below ``tile``.

    Returns:
        First px and the one behind the last, of each window.

    Raises:
        ConfigError: neighbours would share a whole window.
    """
    if not 0 <= overlap < tile:
        raise ConfigError(f"overlap must lie in [0, {tile}) px, below the tile, got {overlap}")
    if length <= tile:
        return [(0, length)]
    count = -(-(length - overlap) // (tile - overlap))
    starts = [round(i * (length - tile) / (count - 1)) for i in range(count)]
    return [(start, start + tile) for start in starts]


def tiled(
    draw: Callable[[Tensor], Tensor],
    image: Tensor,
    *,
    tile: int,
    overlap: int,
    progress: Progress = silent,
) -> Tensor:
    """Draw a picture tile by tile; where tiles overlap, one fades into the other.

    Args:
        draw: a tile (1 3 h w) to its ink (1 1 h w).
        image: (1 3 h w), any size; one that fits into a tile is drawn in one go.
        tile: side of a tile, px.
        overlap: least px that neighbours share, below ``tile``.
        progress: told after each tile.

    Returns:
        Ink (1 1 h w) of the picture's size.

    Raises:
        ShapeError: the image has other axes.
        ConfigError: ``overlap`` does not fit the tile.
    """
    sizes = expect(image, "1 3 h w", of="image")
    rows = windows(sizes["h"], tile=tile, overlap=overlap)
    columns = windows(sizes["w"], tile=tile, overlap=overlap)
    total = torch.zeros(1, 1, sizes["h"], sizes["w"])
    weight = torch.zeros_like(total)
    boxes = [(row, column) for row in rows for column in columns]
    for done, ((top, bottom), (left, right)) in enumerate(boxes):
        ink = draw(image[..., top:bottom, left:right]).to(total)
        fade = _hill(bottom - top)[:, None] * _hill(right - left)
        total[..., top:bottom, left:right] += fade * ink
        weight[..., top:bottom, left:right] += fade
        progress(done + 1, len(boxes))
    return total / weight


def _hill(length: int) -> Tensor:
    """Weights that rise to the middle and are above 0 everywhere, (length,)."""
    places = (torch.arange(length) + 0.5) / length
    return torch.sin(torch.pi * places).square().clamp(min=1e-4)
