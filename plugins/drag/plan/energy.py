"""What speaks for and against each way of a layer to follow its handles.

A way tears the layer where it goes on across the mask's rim and moves there, carries it out of the
mask, strains it, shows a seam, or leaves unchanged what was marked to change. A small network
that was fitted on moves whose truth is known says which way is likeliest; it sees such figures of
a way and nothing else of the picture (benchmarks/drag/ways.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from math import ceil, floor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from safetensors import safe_open
from scipy import ndimage
from torch import Tensor

from featurekit.scenes.harmonic import fill
from featurekit_drag.plan.fields import Drags
from featurekit_drag.plan.grid import Grid, grown
from featurekit_drag.plan.laying import sharpened, surrounded
from featurekit_drag.plan.ways import FIELDS, WHOLE, Box, Way

VISIBLE = 0.09  # difference of colours that is seen as a change
NEAR_RIM = 3  # units inside a side of the mask, where a layer that goes on there is seen
WIDEST_GAP = 8.0  # units between what changes and the mask's side, beyond which more is no worse
MOST_STRAIN = 2.0
WIDEST_JOINT = 2.0  # of what goes on across a side, beside the handle's distance from it
DEEP = 6.0  # units from the rim, beyond which a handle lies no deeper
ROOTED, SHALLOW, COVERED = (
    0.1,
    0.34,
    0.9,
)  # of the rim; depth and alpha of a handle that grips an end
AROUND, AT = 3.0, 1.5  # units around a handle and a target
WEIGHTS = Path(__file__).with_name("ways.safetensors")


@dataclass(frozen=True)
class Setting:
    """A layer in its mask on a coarse grid, ready for many ways to be compared."""

    grid: Grid
    alpha: Tensor  # (h w)
    inside: Tensor  # (h w)
    colours: Tensor  # (3 h w)
    box: Box

    @cached_property
    def plate(self) -> Tensor:
        """The colours without the layer, filled smoothly, (1 3 h w)."""
        hole = surrounded(self.alpha[None, None]) * self.inside
        if bool((hole > 0).all()) or not bool(hole.any()):
            return self.colours[None]
        return fill(self.colours[None], hole)

    @cached_property
    def rim(self) -> Tensor:
        """The mask's outermost units, not those at the frame, (h w)."""
        mask = self.inside[None, None]
        return (mask - (1 - grown(1 - mask, 1)))[0, 0]

    @cached_property
    def area(self) -> float:
        """Of the layer in the mask, units squared."""
        return float((self.alpha * self.inside).sum()) + 1e-6

    def rim_alpha(self, axis: int, at: float) -> float:
        """How much of the layer goes on across a side of the mask; none at the frame."""
        if at <= 0 or at >= (self.grid.width, self.grid.height)[axis]:
            return 0.0
        near = (self.grid.centres[..., axis] - at).abs() < NEAR_RIM
        there = near & (self.inside > 0.5)
        return float(self.alpha[there].mean()) if bool(there.any()) else 0.0

    @cached_property
    def depths(self) -> np.ndarray:
        """Units from the layer's rim, with one unit more around the frame, (h+2 w+2)."""
        solid = np.pad((self.alpha > 0.5).numpy(), 1, mode="edge")
        depths: np.ndarray = ndimage.distance_transform_edt(solid)
        return depths

    def held_at(self, handles: Tensor) -> dict[str, float]:
        """Where handles (n 2) hold the layer: how much of it is around them, how deep they lie."""
        x, y = (handles.numpy() // 1).astype(int).T + 1
        depth = self.depths[y.clip(0, self.grid.height + 1), x.clip(0, self.grid.width + 1)]
        return {
            "under": self._mean_near(handles, AROUND),
            "depth": float(np.clip(depth.mean() / DEEP, 0, 1)),
        }

    def is_rooted(self, handles: Tensor) -> bool:
        """Whether the layer goes on across the mask's rim and is held at its other end."""
        at = self.held_at(handles)
        goes_on = float((self.rim * self.alpha).sum() / (self.rim.sum() + 1e-6))
        return goes_on > ROOTED and at["depth"] <= SHALLOW and at["under"] < COVERED

    def out(self, targets: Tensor) -> float:
        """How far targets (n 2) lie outside the layer, 0 to 1."""
        return 1 - self._mean_near(targets, AT)

    def _mean_near(self, points: Tensor, radius: float) -> float:
        near = self.grid.near(points, radius)
        return float(self.alpha[near].mean()) if bool(near.any()) else 0.0

    def effects(self, fields: Tensor, length: float) -> dict[str, Tensor]:
        """What backward maps (n h w 2) do to the layer and the picture, each figure (n,)."""
        grid, rim, inside, alpha = self.grid, self.rim, self.inside, self.alpha
        shift = fields - grid.centres
        size = shift.norm(dim=-1) / length
        where = fields / fields.new_tensor([grid.width, grid.height]) * 2 - 1
        layers = torch.cat([alpha[None], self.colours])[None].expand(len(fields), -1, -1, -1)
        read = F.grid_sample(layers, where, padding_mode="border", align_corners=False)
        moved, content = read[:, :1], read[:, 1:]
        shown = sharpened(moved) * inside
        changed = (torch.lerp(self.plate, content, shown) - self.colours) * inside
        seen = changed.abs().amax(dim=1)
        torn = rim * alpha * size.clamp(max=1)
        along = (shift[:, :, 1:] - shift[:, :, :-1]).square().sum(-1) * (alpha * inside)[:, 1:]
        down = (shift[:, 1:] - shift[:, :-1]).square().sum(-1) * (alpha * inside)[1:]
        moved = moved[:, 0]
        left = (moved * (1 - inside)).sum((1, 2)) / (moved.sum((1, 2)) + 1e-6)
        before = float((alpha * (1 - inside)).sum() / (alpha.sum() + 1e-6))
        gaps = self._gaps(seen > VISIBLE)
        rim_units = float(rim.sum()) + 1e-6
        return {
            "tear": torn.sum((1, 2)) / rim_units,
            "torn": torn.sum((1, 2)) / (float((rim * alpha).sum()) + 1e-3),
            "leaves": left - before,
            "cut": (rim * moved * (1 - alpha)).sum((1, 2)) / rim_units,
            "share": (size.clamp(max=2) * alpha * inside).sum((1, 2)) / self.area,
            "strain": ((along.sum((1, 2)) + down.sum((1, 2))) / self.area).clamp(max=MOST_STRAIN),
            "seam": 4 * (changed.abs().mean(dim=1) * rim).sum((1, 2)) / rim_units,
            "change": (seen > VISIBLE).float().sum((1, 2)) / float(inside.sum()),
            "gap": gaps.sum(dim=1) / WIDEST_GAP / 2,
            "widest_gap": gaps.amax(dim=1) / WIDEST_GAP,
        }

    def _gaps(self, changed: Tensor) -> Tensor:
        """From the sides of the mask's box to what changes (n h w) bool, (n 4) in units."""
        left, top = (floor(edge) for edge in self.box[:2])
        right, bottom = (ceil(edge) for edge in self.box[2:])
        columns, rows = changed.any(dim=1)[:, left:right], changed.any(dim=2)[:, top:bottom]
        gaps = [
            one.float().cummax(dim=1).values.eq(0).sum(dim=1)
            for line in (columns, rows)
            for one in (line, line.flip(1))
        ]
        return torch.stack(gaps, dim=1).float().clamp(max=WIDEST_GAP)


@dataclass(frozen=True)
class Case:
    """What a choice is made of."""

    ways: Sequence[Way]  # one or more
    setting: Setting
    drags: Drags  # in units of the setting
    contrast: float  # of the picture's features before and behind the handles

    def likeliest(self) -> Way:
        """The way that such a layer most likely takes."""
        if len(self.ways) == 1:
            return self.ways[0]
        network, figures = _network(), self.figures
        seen = torch.stack([figures[name] for name in network.figures], dim=1)
        return self.ways[int(network(seen).argmax())]

    @property
    def figures(self) -> dict[str, Tensor]:
        """Figures of each way, (n,) by name."""
        setting, drags = self.setting, self.drags
        length = float(drags.back.norm(dim=1).mean())
        fields = torch.stack([way.field(setting.grid, drags) for way in self.ways])
        figures = setting.effects(fields, length)
        each = [_of_side(setting, drags, way) for way in self.ways]
        figures |= {name: torch.tensor([one[name] for one in each]) for name in each[0]}
        for kind in FIELDS:
            figures[kind] = torch.tensor([float(way.kind == kind) for way in self.ways])
        facts = setting.held_at(drags.handles) | {
            "contrast": self.contrast,
            "out": setting.out(drags.targets),
            "several": float(len(drags.handles) > 1),
        }
        every = {name: torch.full((len(self.ways),), fact) for name, fact in facts.items()}
        return figures | every


def _of_side(setting: Setting, drags: Drags, way: Way) -> dict[str, float]:
    """Figures of the side that a way holds; zeros where it holds none."""
    if way.kind in WHOLE:
        return dict.fromkeys(("along", "far", "goes_on", "across", "beyond", "joint", "below"), 0.0)
    left, top, right, bottom = setting.box
    extent, width = ((right - left, bottom - top), (bottom - top, right - left))
    handles = drags.handles[:, way.axis]
    near, middle = float((handles - way.at).abs().mean()), float(handles.mean())
    beyond = (setting.grid.centres[..., way.axis] - middle) * (middle - way.at) > 0
    goes_on = setting.rim_alpha(way.axis, way.at)
    return {
        "along": float(drags.back[:, way.axis].abs().sum() / drags.back.norm(dim=1).sum()),
        "far": near / extent[way.axis],
        "goes_on": goes_on,
        "across": setting.rim_alpha(way.axis, way.to),
        "beyond": float((setting.alpha * setting.inside * beyond).sum()) / setting.area,
        "joint": min(WIDEST_JOINT, goes_on * width[way.axis] / max(near, 1.0)),
        "below": float(way.axis == 1 and way.at > way.to),
    }


@dataclass(frozen=True)
class _Network:
    """One hidden layer over figures."""

    figures: tuple[str, ...]
    hidden: Tensor  # (units figures)
    hidden_bias: Tensor  # (units,)
    likely: Tensor  # (units,)

    def __call__(self, seen: Tensor) -> Tensor:
        """How likely each of some ways is, (n figures) to (n,); only differences count."""
        return torch.tanh(seen @ self.hidden.T + self.hidden_bias) @ self.likely


@cache
def _network() -> _Network:
    with safe_open(WEIGHTS, framework="pt") as stored:
        names = tuple(stored.metadata()["figures"].split())
        return _Network(
            names, *(stored.get_tensor(one) for one in ("hidden", "hidden_bias", "likely"))
        )
