"""Two judges of where a point went, neither of which is the optimiser's own tracker.

One compares pixels, the other features of the frozen backbone without LoRA at another timestep
than the drag's. Where the true picture is known they look for what it shows at the point's true
place (``by_truth.py``), else for what the source shows at the handle (``by_source.py``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Protocol

import torch
from torch import Tensor

from featurekit.core.types import FeatureMap
from featurekit.diffusion.backbone import Backbone
from featurekit.features.extract import extract
from featurekit_drag.engine.points import Points

ENSEMBLE = 4  # noises averaged by the feature judge
JUDGES = ("patch", "feature")


@dataclass(frozen=True)
class JudgeFeatures:
    """What the feature judge reads: which tap, at which train timestep, for which prompt."""

    tap: str
    timestep: int
    prompt: str = ""


class Sight:
    """Features of pictures by a frozen backbone; each picture is looked at once."""

    def __init__(self, backbone: Backbone, asked: JudgeFeatures) -> None:
        """Say with which network to look, and at what."""
        self.backbone, self.asked = backbone, asked
        self._seen: dict[bytes, FeatureMap] = {}

    def __call__(self, image: Tensor) -> FeatureMap:
        """Features of a picture (1 3 h w) in [-1, 1], float32 on the CPU."""
        digest = sha256(image.detach().float().cpu().contiguous().numpy().tobytes()).digest()
        if digest not in self._seen:
            self._seen[digest] = self._look(image)
        return self._seen[digest]

    @torch.no_grad()
    def _look(self, image: Tensor) -> FeatureMap:
        maps = extract(
            self.backbone,
            image,
            taps=[self.asked.tap],
            timesteps=[self.asked.timestep],
            prompt=self.asked.prompt,
            ensemble=ENSEMBLE,
        )
        seen = maps[self.asked.tap, self.asked.timestep]
        # in bfloat16 whole regions would tie for the best cosine
        return replace(seen, tensor=seen.tensor.to("cpu", torch.float32))


class Finder(Protocol):
    """Finds the points of a drag in any edit, each judge for itself."""

    def __call__(self, edit: Tensor) -> dict[str, Tensor]:
        """Where each judge sees the points in an edit (1 3 h w): (n 2) px by judge's name."""


class Judge:
    """Says of an edit where its points are by both judges, how far off, and whether they came."""

    def __init__(self, backbone: Backbone, points: Points, finder: Finder) -> None:
        """Join a drag with who finds its points; the backbone tells the size of a latent cell."""
        self.backbone, self.points, self.find = backbone, points, finder

    @property
    def near_px(self) -> Tensor:
        """Within which distance of its target a point has arrived, (n,) px.

        One latent cell, and more than half of the way: a short drag would else have arrived
        before it begins.
        """
        return (self.points.lengths / 2).clamp(max=self.backbone.stride)

    def errors(self, edit: Tensor) -> dict[str, Tensor]:
        """Distance of each point from its target, (n,) px by judge's name."""
        return self._apart(self.find(edit))

    def _apart(self, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: (xy - self.points.targets).norm(dim=1) for name, xy in found.items()}

    def report(self, edit: Tensor) -> list[dict[str, Any]]:
        """One record per drag: where the handle is now by both judges, and whether it arrived.

        ``reached_px`` and ``final_px_error`` are the means of both judges; a handle arrived when
        both see it within ``near_px`` of its target.
        """
        found = self.find(edit)
        errors = self._apart(found)
        rows = []
        for i in range(len(self.points.handles)):
            seen = torch.stack([found[name][i] for name in JUDGES])
            apart = torch.stack([errors[name][i] for name in JUDGES])
            rows.append(
                {
                    "handle": self.points.handles[i].tolist(),
                    "target": self.points.targets[i].tolist(),
                    "reached_px": seen.mean(dim=0).tolist(),
                    "final_px_error": float(apart.mean()),
                    "reached": bool((apart <= self.near_px[i]).all()),
                    "judges": {name: found[name][i].tolist() for name in JUDGES},
                }
            )
        return rows


def reach_px(handle: Tensor, target: Tensor, cell_px: int) -> float:
    """How far around handle and target a judge searches, px.

    Both discs reach two cells of its features beyond the middle of the way.
    """
    return float((target - handle).norm()) / 2 + 2 * cell_px
