"""Point tracking: where a handle went, by nearest neighbour in a window of the features."""

import torch
from torch import Tensor
from torch.nn import functional

from featurekit.core.fields import window
from featurekit_drag.engine.settings import UNITS_PER_CELL


def track(field: Tensor, handles: Tensor, templates: Tensor, *, radius: int) -> Tensor:
    """Move each handle to the unit in its window whose feature is nearest to its template.

    The window moves by whole units, so a handle keeps its fraction of a unit; it is clipped at
    the borders of the map. Of equally near units the first in row-major order wins.

    Args:
        field: features of the moved latent (1 c h w).
        handles: where the handles were, unit coordinates (n 2).
        templates: features of the unmoved latent at the initial handles (n c).
        radius: half side of the window in units.

    Returns:
        New handles (n 2).

    Source: Shi et al. 2024, arXiv:2306.14435, eq. 5 (L1 over channels).
    """
    followed = []
    for handle, template in zip(handles, templates, strict=True):
        candidates, distances = candidates_of(field, handle, template, radius=radius)
        # argmin promises no order among equals; the first index of the minimum does
        followed.append(candidates[(distances == distances.min()).nonzero()[0, 0]])
    return torch.stack(followed)


def candidates_of(
    field: Tensor, handle: Tensor, template: Tensor, *, radius: int
) -> tuple[Tensor, Tensor]:
    """List the units of the window around a handle, and how unlike its template each is.

    Args:
        field: features (1 c h w).
        handle: unit coordinates (2,).
        template: feature of the handle (c,).
        radius: half side of the window in units.

    Returns:
        Unit coordinates (n 2), row-major, n = (2 radius + 1)^2, clamped to the map; their L1 to
        the template, summed over channels (n,).
    """
    height, width = field.shape[-2:]
    border = handle.new_tensor([width, height]) * UNITS_PER_CELL - 1
    side = 2 * radius + 1
    candidates = window(handle, radius).clamp(min=torch.zeros_like(border), max=border)
    seen = _crossings(field, candidates[:side, 0], candidates[::side, 1])
    return candidates, (seen - template[:, None, None]).abs().sum(dim=0).flatten()


def _crossings(field: Tensor, xs: Tensor, ys: Tensor) -> Tensor:
    """Read the field of units at every crossing of some columns and rows, (c rows columns).

    Only the cells around them are enlarged, once: a unit depends on its cell and the next one on
    each side.
    """
    low, share, first, last = zip(*map(_between, (xs, ys), reversed(field.shape[-2:])), strict=True)
    crop = field[..., first[1] : last[1], first[0] : last[0]]
    units = functional.interpolate(crop, scale_factor=UNITS_PER_CELL, mode="bilinear")[0]
    x, y = (low[axis] - UNITS_PER_CELL * first[axis] for axis in (0, 1))
    right, down = share[0].to(field), share[1].to(field)[:, None]
    rows = (1 - right) * units[:, :, x] + right * units[:, :, x + 1]
    blended: Tensor = (1 - down) * rows[:, y] + down * rows[:, y + 1]
    return blended


def _between(places: Tensor, cells: int) -> tuple[Tensor, Tensor, int, int]:
    """Units before places on one axis, the share of the next ones, and the cells that they need."""
    low = places.floor().clamp(max=cells * UNITS_PER_CELL - 2)
    index = low.long()
    first = max(int(index[0]) // UNITS_PER_CELL - 1, 0)
    last = min((int(index[-1]) + 1) // UNITS_PER_CELL + 2, cells)
    return index, places - low, first, last
