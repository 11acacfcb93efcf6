"""Which field a drag asks for: to move the layer, to reshape it, or to turn and scale it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from featurekit_drag.plan.energy import Case, Setting
from featurekit_drag.plan.fields import COARSE, Bending, Drags, rigid, similarity
from featurekit_drag.plan.grid import Grid, read_at
from featurekit_drag.plan.layer import Appearance
from featurekit_drag.plan.ways import TOO_NEAR_HANDLE, TOO_NEAR_TARGET, WHOLE, Way, ways

APART = 2.0  # units by which drags differ that are no common one
ALONG = 0.8  # cosine of any two drags, above which all pull the same way
WITHIN, ROOM = 0.9, 3.0  # alpha around a handle inside its layer; units to the rim
NEAR_HANDLE = 3.0  # units
BETWEEN = 0.9  # cosine distance of features on both sides of a handle that lies between things
RIM = 3  # units inside a side of the mask, where a layer that goes on there is seen
RIM_WORTH = 3.0  # of a layer that goes on across a side, beside the handle's distance from it
ALONG_WORTH = 0.5  # of a side that the drag leads to or away from


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

        Of the ways in which the layer can follow its handles the likeliest is taken (see
        ``energy.py``): as a whole, turned and scaled where drags differ, or held on one side of
        the mask or on two. One that goes on across the mask's rim and is held at its other end
        does not move as a whole, nor does one whose handle lies between two things. With pins,
        or where drags of one direction differ inside the layer, the field is elastic.

        Args:
            mode: one of ``settings.MODES``; ``copy`` takes the field of ``move``.
            targets: (n 2) in units.
        """
        grid, drags = self.grid, Drags(self.handles, targets, self.pins)
        differ, along = _agreement(drags)
        if mode in ("move", "copy"):
            return _moved(grid, drags, differ=differ)
        bends = differ and (mode == "reshape" or (along and self._is_within))
        if len(self.pins) or bends:
            sides = [] if len(self.pins) else _sides(drags, self._box, self._rims)
            return self._elastic(sides, targets)
        case = self.case(targets)
        if mode == "reshape":
            case = replace(case, ways=self._on_likeliest_side(drags, case.ways))
        if not case.ways:
            return self._elastic([], targets)
        way = case.likeliest().scaled(self._step)
        kind = way.kind if way.kind in WHOLE else "anchored"
        return Chosen(kind, way.field(grid, drags))

    def case(self, targets: Tensor) -> Case:
        """The ways that can be taken, and what the choice among them is made of.

        Args:
            targets: (n 2) in units.
        """
        drags = Drags(self.handles, targets, self.pins)
        small = Drags(*(one.float() / self._step for one in (self.handles, targets, self.pins)))
        setting, contrast = self._setting, _contrast(drags, self.scene)
        differ, _ = _agreement(drags)
        listed = ways(small, setting.box, differ=differ)
        held = [way for way in listed if way.kind not in WHOLE]
        stays = contrast > BETWEEN or setting.is_rooted(small.handles)
        if held and stays and not differ:
            listed = held
        return Case(listed, setting, small, contrast)

    def _on_likeliest_side(self, drags: Drags, listed: Sequence[Way]) -> list[Way]:
        """Those ways that hold one side, that where the layer goes on and far from the handles."""
        for axis, at in _sides(drags, self._box, self._rims):
            side = (axis, at / self._step)
            here = [way for way in listed if way.holds_one and (way.axis, way.at) == side]
            if here:
                return here
        return []

    @cached_property
    def _step(self) -> float:
        """Units per unit of the grid on which ways are compared."""
        return max(1.0, max(self.grid.height, self.grid.width) / COARSE)

    @cached_property
    def _setting(self) -> Setting:
        """The layer where ways are compared."""
        grid, step = self.grid, self._step
        coarse = Grid(max(1, round(grid.height / step)), max(1, round(grid.width / step)), step)
        alpha, inside = coarse.shrunk(self.layer)[0, 0], coarse.shrunk(self.inside)[0, 0] > 0
        left, top, right, bottom = (edge / step for edge in self._box)
        box = (left, top, right, bottom)
        colours = coarse.shrunk(self.scene.colours[None])[0]
        return Setting(coarse, alpha, inside.float(), colours, box)

    def _elastic(self, sides: list[tuple[int, float]], targets: Tensor) -> Chosen:
        return Chosen("elastic", self._bending(sides[0] if sides else None).field(targets))

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
