"""The ways in which a layer can follow its handles: whole, held on one side, or held on two.

A way is chosen before its field is made, so that many can be compared on a coarse grid.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from featurekit_drag.plan.fields import Drags, anchored, rigid, similarity
from featurekit_drag.plan.grid import Grid

TOO_NEAR_HANDLE, TOO_NEAR_TARGET = 2.0, 3.0  # units from a side that can therefore not be held
BENT = 2  # power of the distance with which a beam that is held at one end gives way across it
TOGETHER = 2.0  # units between handles across a side, below which their mean drag is taken

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Way:
    """How a layer follows its handles; lengths in units."""

    kind: str  # one of ``FIELDS``
    axis: int = 0  # of the side that is held: 0 left or right, 1 top or bottom
    at: float = 0.0  # coordinate of that side
    to: float = 0.0  # and of the one across

    @property
    def holds_one(self) -> bool:
        """Whether one side is held, and what lies beyond the handle goes along."""
        return self.kind in ("anchored", "bent")

    def scaled(self, step: float) -> "Way":
        """The same way on a grid whose units are so many times smaller."""
        return Way(self.kind, self.axis, self.at * step, self.to * step)

    def field(self, grid: Grid, drags: Drags) -> Tensor:
        """Where every unit of an edit comes from, (h w 2)."""
        return FIELDS[self.kind](self, grid, drags)


WHOLE = ("move", "similarity")  # kinds that hold no side


def ways(drags: Drags, box: Box, *, differ: bool) -> list[Way]:
    """All ways that bring the handles to their targets.

    Args:
        drags: in units.
        box: the mask's left, top, right and bottom.
        differ: whether the drags are no common one.
    """
    found = [Way("similarity")] if differ else [Way("move")]
    left, top, right, bottom = box
    for axis, at, to in ((0, left, right), (0, right, left), (1, top, bottom), (1, bottom, top)):
        if not _free(drags, axis, at):
            continue
        side = (axis, float(at), float(to))
        found.append(Way("anchored", *side))
        if not _straight(drags, axis):
            found.append(Way("bent", *side))
        if _free(drags, axis, to):
            found.append(Way("eased", *side))
            if at < to:
                found.append(Way("between", *side))
    return found


def _free(drags: Drags, axis: int, at: float) -> bool:
    handles, targets = drags.handles[:, axis], drags.targets[:, axis]
    return bool(
        (targets - at).abs().min() >= TOO_NEAR_TARGET
        and (handles - at).abs().min() >= TOO_NEAR_HANDLE
    )


def _straight(drags: Drags, axis: int) -> bool:
    """Whether nothing is dragged along the side, so that nothing bends."""
    return not bool(drags.back[:, 1 - axis].any())


def _drag_at(grid: Grid, drags: Drags, axis: int) -> Tensor:
    """The drag back at every unit: between several, in proportion along the side that is held."""
    back = drags.back.float()
    across = drags.targets[:, 1 - axis].float()
    order = across.argsort()
    if len(back) == 1 or float(across[order].diff().min()) < TOGETHER:
        return back.mean(dim=0).expand(grid.height, grid.width, 2)
    where = grid.centres[..., 1 - axis].numpy()
    known = across[order].numpy()
    each = [np.interp(where, known, one.numpy()) for one in back[order].T]
    return torch.from_numpy(np.stack(each, axis=-1)).float()


def _share(way: Way, grid: Grid, drags: Drags, side: float) -> Tensor:
    """How far the way from a side to the targets each unit is, (h w) in [0, 1]."""
    target = drags.targets[:, way.axis].float().mean()
    return ((grid.centres[..., way.axis] - side) / (target - side)).clamp(0, 1)


def _anchored(way: Way, grid: Grid, drags: Drags) -> Tensor:
    if len(drags.handles) == 1:
        return anchored(grid, drags, axis=way.axis, at=way.at)
    share = _share(way, grid, drags, way.at)
    return grid.centres + share[..., None] * _drag_at(grid, drags, way.axis)


def _bent(way: Way, grid: Grid, drags: Drags) -> Tensor:
    """A beam that is held at one end: it stretches evenly along itself and bends across."""
    share = _share(way, grid, drags, way.at)
    both = torch.stack([share**BENT, share**BENT], dim=-1)
    both[..., way.axis] = share
    return grid.centres + both * _drag_at(grid, drags, way.axis)


def _between(way: Way, grid: Grid, drags: Drags, power: float = 1.0) -> Tensor:
    """Held on two sides: what lies before the targets stretches, what lies behind gives way."""
    before = _share(way, grid, drags, way.at) ** power
    behind = _share(way, grid, drags, way.to)
    target = drags.targets[:, way.axis].float().mean()
    beyond = (grid.centres[..., way.axis] - target) * (target - way.at) > 0
    share = torch.where(beyond, behind, before)
    return grid.centres + share[..., None] * _drag_at(grid, drags, way.axis)


def _eased(way: Way, grid: Grid, drags: Drags) -> Tensor:
    """Held on two sides, most firmly at the first: what lies far from the handle keeps its form."""
    return _between(way, grid, drags, power=BENT)


FIELDS: Mapping[str, Callable[[Way, Grid, Drags], Tensor]] = {
    "move": lambda way, grid, drags: rigid(grid, drags),
    "similarity": lambda way, grid, drags: similarity(grid, drags),
    "anchored": _anchored,
    "bent": _bent,
    "between": _between,
    "eased": _eased,
}
