"""Two judges of where a point went, neither of which is the optimiser's own tracker."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

from featurekit.core.types import FeatureMap
from featurekit.diffusion.backbone import Backbone
from featurekit.features.extract import extract
from featurekit.features.matching import match_feature, match_patch
from featurekit_drag.engine.points import Points

ENSEMBLE = 4  # noises averaged by the feature judge
JUDGES = ("patch", "feature")


@dataclass(frozen=True)
class JudgeFeatures:
    """What the feature judge reads: which tap, at which train timestep, for which prompt."""

    tap: str
    timestep: int
    prompt: str = ""


class Judge:
    """Finds the handles of a source image again in any edit of it.

    One judge correlates the picture's own patch, the other compares features of the frozen
    backbone without LoRA at another timestep than the drag's; each searches around the handle
    and the target alike, so neither is told which one is right.
    """

    def __init__(
        self, backbone: Backbone, source: Tensor, points: Points, asked: JudgeFeatures
    ) -> None:
        """Look at the source (1 3 h w) in [-1, 1] once."""
        self.backbone, self.source, self.points, self.asked = (
            backbone,
            source,
            points,
            asked,
        )
        self._seen: dict[bytes, FeatureMap] = {}
        self.features = self._features(source)

    def _features(self, image: Tensor) -> FeatureMap:
        """Features of a picture, which is looked at once however often it is asked about."""
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

    def find(self, edit: Tensor) -> dict[str, Tensor]:
        """Where each judge sees the handles in an edit: (n 2) px by judge's name."""
        features = self._features(edit)
        radius, room = 2 * self.backbone.stride, 2 * self.features.stride
        found: dict[str, list[Tensor]] = {name: [] for name in JUDGES}
        for handle, target in zip(self.points.handles, self.points.targets, strict=True):
            around = torch.stack([handle, target])
            reach = float((target - handle).norm()) / 2 + room
            patch = match_patch(
                self.source, edit, handle, radius_px=radius, search_px=reach, around=around
            )
            feature = match_feature(self.features, features, handle, search_px=reach, around=around)
            found["patch"].append(patch.xy)
            found["feature"].append(feature.xy)
        return {name: torch.stack([xy.double() for xy in xys]) for name, xys in found.items()}

    def errors(self, edit: Tensor) -> dict[str, Tensor]:
        """Distance of each found handle from its target, (n,) px by judge's name."""
        return self._apart(self.find(edit))

    def _apart(self, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: (xy - self.points.targets).norm(dim=1) for name, xy in found.items()}

    def report(self, edit: Tensor) -> list[dict[str, Any]]:
        """One record per drag: where the handle is now by both judges, and whether it arrived.

        ``reached_px`` and ``final_px_error`` are the means of both judges; a handle arrived when
        both see it within one latent cell of its target, with more than half of the way behind it:
        a short drag would else have arrived before it begins.
        """
        found = self.find(edit)
        errors = self._apart(found)
        near = (self.points.lengths / 2).clamp(max=self.backbone.stride)
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
                    "reached": bool((apart <= near[i]).all()),
                    "judges": {name: found[name][i].tolist() for name in JUDGES},
                }
            )
        return rows
