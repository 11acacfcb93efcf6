"""Which field a drag asks for: to move the layer, to reshape it, or to turn and scale it."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from featurekit_drag.plan.fields import Drags, anchored, elastic, rigid, similarity
from featurekit_drag.plan.grid import Grid

APART = 2.0  # units by which drags differ that are no common one
ALONG = 0.8  # cosine of any two drags, above which all pull the same way
WITHIN, ROOM = 0.9, 3.0  # alpha around a handle inside its layer; units to the rim
NEAR_HANDLE = 3.0  # units
RIM = 3  # units inside a side of the mask, where a layer that goes on there is seen
RIM_WORTH = 3.0  # of a layer that goes on across a side, beside the handle's distance from it
ALONG_WORTH = 0.5  # of a side that the drag leads to or away from
TOO_NEAR_HANDLE, TOO_NEAR_TARGET = 2.0, 3.0  # units from a side that can therefore not be held


@dataclass(frozen=True)
class Chosen:
    """A field and what it is called."""

    kind: str  # move | similarity | anchored | elastic
    back: Tensor  # (h w 2), see fields.py


def chosen(mode: str, grid: Grid, drags: Drags, layer: Tensor, inside: Tensor) -> Chosen:
    """Choose the field of some drags.

    Drags that differ and do not pull the same way turn and scale the layer. Else a handle that
    lies well inside its layer moves it, and one on its rim reshapes it: one side of the mask is
    held, that where the layer goes on and that is far from the handle. With pins, or drags that
    differ, a reshaping field is elastic.

    Args:
        mode: one of ``settings.MODES``; ``copy`` takes the field of ``move``.
        grid: of the rest.
        drags: in units.
        layer: alpha (1 1 h w).
        inside: (1 1 h w), 1 where the picture may change.
    """
    differ, along = _agreement(drags)
    if mode in ("move", "copy"):
        return _moved(grid, drags, differ=differ)
    sides = _sides(grid, drags, layer, inside)
    if mode == "auto" and not len(drags.pins):
        if differ and not along:
            return Chosen("similarity", similarity(grid, drags))
        if not sides or (not differ and _within(grid, drags, layer)):
            return _moved(grid, drags, differ=differ)
    if len(drags.pins) or differ or not sides:
        held = _held(grid, sides, inside) if not len(drags.pins) else torch.zeros_like(inside)
        return Chosen("elastic", elastic(grid, drags, layer, held))
    axis, at = sides[0]
    return Chosen("anchored", anchored(grid, drags, axis=axis, at=at))


def _moved(grid: Grid, drags: Drags, *, differ: bool) -> Chosen:
    if differ:
        return Chosen("similarity", similarity(grid, drags))
    return Chosen("move", rigid(grid, drags))


def _agreement(drags: Drags) -> tuple[bool, bool]:
    """Whether drags differ, and whether all of them pull the same way."""
    back = drags.back.float()
    if len(back) == 1:
        return False, True
    differ = bool(back.std(dim=0).max() > APART)
    along = torch.cosine_similarity(back[:, None], back[None], dim=2)
    return differ, bool(along.min() > ALONG)


def _within(grid: Grid, drags: Drags, layer: Tensor) -> bool:
    """Whether the handles lie inside the layer, at least a latent cell from its rim."""
    alpha = layer[0, 0]
    around = float(alpha[grid.near(drags.handles, NEAR_HANDLE)].mean())
    depth = ndimage.distance_transform_edt(np.pad((alpha > 0.5).numpy(), 1, mode="edge"))
    x, y = (drags.handles.float().numpy() // 1).astype(int).T + 1
    at = depth[y.clip(0, grid.height + 1), x.clip(0, grid.width + 1)]
    return around > WITHIN and bool(at.mean() >= ROOM)


def _sides(grid: Grid, drags: Drags, layer: Tensor, inside: Tensor) -> list[tuple[int, float]]:
    """Sides of the mask's box that can be held, likeliest first, as (axis, coordinate)."""
    alpha = layer[0, 0]
    rows, columns = (inside[0, 0] > 0.5).nonzero(as_tuple=True)
    top, bottom = int(rows.min()), int(rows.max()) + 1
    left, right = int(columns.min()), int(columns.max()) + 1
    box = alpha[top:bottom, left:right]
    rims = {
        (0, left): box[:, :RIM] * (left > 0),
        (0, right): box[:, -RIM:] * (right < grid.width),
        (1, top): box[:RIM] * (top > 0),
        (1, bottom): box[-RIM:] * (bottom < grid.height),
    }
    worth = []
    for (axis, at), rim in rims.items():
        handles, targets = drags.handles[:, axis], drags.targets[:, axis]
        if (targets - at).abs().min() < TOO_NEAR_TARGET:
            continue
        if (handles - at).abs().min() < TOO_NEAR_HANDLE:
            continue
        extent = (bottom - top) if axis else (right - left)
        far = float((handles - at).abs().mean()) / extent
        along = float(drags.back[:, axis].abs().sum() / drags.back.norm(dim=1).sum())
        worth.append((RIM_WORTH * float(rim.mean()) + far + ALONG_WORTH * along, (axis, float(at))))
    worth.sort(key=lambda one: -one[0])
    return [side for _, side in worth]


def _held(grid: Grid, sides: list[tuple[int, float]], inside: Tensor) -> Tensor:
    """The rim of the likeliest side, (1 1 h w)."""
    if not sides:
        return torch.zeros_like(inside)
    axis, at = sides[0]
    near = (grid.centres[..., axis] - at).abs() < RIM
    return (near & (inside[0, 0] > 0.5)).float()[None, None]
