"""Where the cells of a latent go when some of them are dragged."""

import torch
from torch import Tensor

from featurekit_drag.engine.parts import Drags


def nearest_handle(cells: Tensor, drags: Drags) -> Tensor:
    """Let each cell make the whole move of the handle that is nearest to it.

    Handles dragged in opposite ways then do not cancel between them, where a mean would be 0.

    Args:
        cells: coordinates of the cells that may move, (k 2).
        drags: in the same coordinates.

    Returns:
        Moves (k 2).

    Source: the winner-takes-all map of LazyDrag (ICLR 2026, arXiv:2509.12203).
    """
    distances = (cells[:, None] - drags.handles[None]).norm(dim=-1)
    moves: Tensor = (drags.targets - drags.handles)[distances.argmin(dim=1)]
    return moves


def stretch(cells: Tensor, drags: Drags) -> Tensor:
    """Let a move fade from its handle to the circle around all cells; several by nearness.

    On the way from handle A through a cell C to the point P of the circumscribed circle, C makes
    ``|PC| / |PA|`` of the move: all of it at A, none on the circle. Moves of several handles are
    blended by 1 / |C - A|.

    Args:
        cells: coordinates of the cells that may move, (k 2).
        drags: in the same coordinates.

    Returns:
        Moves (k 2).

    Source: Zhao et al. 2024, arXiv:2405.15769 (FastDrag), section 3.2, latent warpage function.
    """
    low, high = cells.min(dim=0).values, cells.max(dim=0).values
    centre, radius = (low + high) / 2, ((high - low).norm() / 2 + 0.5).clamp_min(1.0)
    ways = cells[:, None] - drags.handles[None]  # (k n 2), from A to C
    lengths = ways.norm(dim=-1)
    units = ways / lengths.clamp_min(1e-9)[..., None]
    from_centre = (drags.handles - centre)[None]
    along = (units * from_centre).sum(dim=-1)
    inside = along.square() - from_centre.square().sum(dim=-1) + radius.square()
    to_circle = -along + inside.clamp_min(0).sqrt()  # |AP|
    left = (to_circle - lengths).clamp_min(0) / to_circle.clamp_min(1e-9)
    left = torch.where(lengths < 1e-9, torch.ones_like(left), left)
    weights = 1 / lengths.clamp_min(1e-6)
    weights = weights / weights.sum(dim=1, keepdim=True)
    moves: Tensor = ((weights * left)[..., None] * (drags.targets - drags.handles)[None]).sum(dim=1)
    return moves


FIELDS = {"nearest_handle": nearest_handle, "stretch": stretch}
