"""Which field a drag asks for: to move the layer, to reshape it, or to turn and scale it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from featurekit_drag.plan.fields import Bending, Drags, anchored, rigid, similarity
from featurekit_drag.plan.grid import Grid, read_at
from featurekit_drag.plan.layer import Appearance

APART = 2.0  # units by which drags differ that are no common one
ALONG = 0.8  # cosine of any two drags, above which all pull the same way
WITHIN, ROOM = 0.9, 3.0  # alpha around a handle inside its layer; units to the rim
NEAR_HANDLE = 3.0  # units
BETWEEN = 0.53  # cosine distance of features on both sides of a handle that lies between things
RIM = 3  # units inside a side of the mask, where a layer that goes on there is seen
RIM_WORTH = 3.0  # of a layer that goes on across a side, beside the handle's distance from it
ALONG_WORTH = 0.5  # of a side that the drag leads to or away from
TOO_NEAR_HANDLE, TOO_NEAR_TARGET = 2.0, 3.0  # units from a side that can therefore not be held


@dataclass(frozen=True)
class Chosen:
    """A field and what it is called."""

    kind: str  # move | similarity | anchored | elastic
    back: Tensor  # (h w 2), see fields.py


class Choice:
    """Chooses fields for one layer with its handles and pins, whatever their targets.

    What does not depend on targets is computed once, so that a field is there while a target is
    being moved.
    """

    def __init__(
        self, scene: Appearance, grips: tuple[Tensor, Tensor], layer: Tensor, inside: Tensor
    ) -> None:
        """Look at the layer.

        Args:
            scene: what the picture looks like, on the grid of the rest.
            grips: handles (n 2) and pins (m 2) in units.
            layer: alpha (1 1 h w).
            inside: (1 1 h w), 1 where the picture may change.
        """
        self.scene, self.layer, self.inside = scene, layer, inside
        self.grid = scene.grid
        self.handles, self.pins = grips
        self._bendings: dict[tuple[int, float] | None, Bending] = {}

    @cached_property
    def _is_within(self) -> bool:
        return _within(self.grid, self.handles, self.layer)

    @cached_property
    def _box(self) -> tuple[int, int, int, int]:
        """The mask's left, top, right and bottom in units."""
        rows, columns = (self.inside[0, 0] > 0.5).nonzero(as_tuple=True)
        ends = int(columns.max()) + 1, int(rows.max()) + 1
        return int(columns.min()), int(rows.min()), *ends

    @cached_property
    def _rims(self) -> dict[tuple[int, int], float]:
        """How much of the layer goes on across each side of the mask, by (axis, coordinate)."""
        left, top, right, bottom = self._box
        box = self.layer[0, 0, top:bottom, left:right]
        rims = {
            (0, left): box[:, :RIM] * (left > 0),
            (0, right): box[:, -RIM:] * (right < self.grid.width),
            (1, top): box[:RIM] * (top > 0),
            (1, bottom): box[-RIM:] * (bottom < self.grid.height),
        }
        return {side: float(rim.mean()) for side, rim in rims.items()}

    def field(self, mode: str, targets: Tensor) -> Chosen:
        """Choose the field that brings the handles to targets.

        Drags that differ and do not pull the same way turn and scale the layer. Else a handle that
        lies well inside its layer moves it, and one on its rim reshapes it: one side of the mask is
        held, that where the layer goes on and that is far from the handle. With pins, or drags
        that differ, a reshaping field is elastic.

        Args:
            mode: one of ``settings.MODES``; ``copy`` takes the field of ``move``.
            targets: (n 2) in units.
        """
        grid, drags = self.grid, Drags(self.handles, targets, self.pins)
        differ, along = _agreement(drags)
        if mode in ("move", "copy"):
            return _moved(grid, drags, differ=differ)
        sides = _sides(drags, self._box, self._rims)
        if mode == "auto" and not len(self.pins):
            if differ and not along:
                return Chosen("similarity", similarity(grid, drags))
            if not sides or (not differ and self._moves(drags)):
                return _moved(grid, drags, differ=differ)
        if len(self.pins) or differ or not sides:
            side = sides[0] if sides and not len(self.pins) else None
            return Chosen("elastic", self._bending(side).field(targets))
        axis, at = sides[0]
        return Chosen("anchored", anchored(grid, drags, axis=axis, at=at))

    def _moves(self, drags: Drags) -> bool:
        """Whether the handles lie inside one thing, not on a rim or between two."""
        return self._is_within and _contrast(drags, self.scene) <= BETWEEN

    def _bending(self, side: tuple[int, float] | None) -> Bending:
        """The bending that holds the rim of a side, or none."""
        if side not in self._bendings:
            held = _held(self.grid, side, self.inside)
            grips = (self.handles, self.pins)
            self._bendings[side] = Bending(self.grid, grips, self.layer, held)
        return self._bendings[side]


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


def _within(grid: Grid, handles: Tensor, layer: Tensor) -> bool:
    """Whether the handles lie inside the layer, away from its rim."""
    alpha = layer[0, 0]
    around = float(alpha[grid.near(handles, NEAR_HANDLE)].mean())
    depth = ndimage.distance_transform_edt(np.pad((alpha > 0.5).numpy(), 1, mode="edge"))
    x, y = (handles.float().numpy() // 1).astype(int).T + 1
    at = depth[y.clip(0, grid.height + 1), x.clip(0, grid.width + 1)]
    return around > WITHIN and bool(at.mean() >= ROOM)


def _contrast(drags: Drags, scene: Appearance) -> float:
    """Cosine distance of the features before and behind the handles, mean over drags.

    Large where a handle lies between two things (a chin over clothes), which do not move together.
    """
    handles, back = drags.handles.float(), drags.back.float()
    step = NEAR_HANDLE * back / back.norm(dim=1, keepdim=True).clamp_min(1e-6)
    ahead, behind = (
        read_at(scene.features[None], (handles + sign * step)[None])[0, :, 0] for sign in (-1, 1)
    )
    return float((1 - torch.cosine_similarity(ahead, behind, dim=0)).mean())


def _sides(
    drags: Drags, box: tuple[int, int, int, int], rims: Mapping[tuple[int, int], float]
) -> list[tuple[int, float]]:
    """Sides of the mask's box that can be held, likeliest first, as (axis, coordinate)."""
    left, top, right, bottom = box
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
        worth.append((RIM_WORTH * rim + far + ALONG_WORTH * along, (axis, float(at))))
    worth.sort(key=lambda one: -one[0])
    return [side for _, side in worth]


def _held(grid: Grid, side: tuple[int, float] | None, inside: Tensor) -> Tensor:
    """The rim of a side, (1 1 h w)."""
    if side is None:
        return torch.zeros_like(inside)
    axis, at = side
    near = (grid.centres[..., axis] - at).abs() < RIM
    return (near & (inside[0, 0] > 0.5)).float()[None, None]
