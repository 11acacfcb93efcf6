"""Judges of a picture whose truth nobody knows: they look for what the source shows at the handle.

What bends, turns or grows no longer looks like its source, so on such an edit these judges say
less the better it is: of true pictures of deformations they find half the way left. Where the
truth is known, ``by_truth.py`` judges.
"""

import torch
from torch import Tensor

from featurekit.diffusion.backbone import Backbone
from featurekit.features.matching import match_feature, match_patch
from featurekit_drag.engine.points import Points
from featurekit_drag.metrics.judges import JUDGES, Judge, JudgeFeatures, Sight, reach_px


class SourceFinder:
    """Finds the handles of a source image again in any edit of it.

    The patch judge correlates the picture's own patch, the feature judge compares the feature at
    the handle; each searches around the handle and the target alike, so neither is told which one
    is right.
    """

    def __init__(self, source: Tensor, points: Points, sight: Sight) -> None:
        """Look at the source (1 3 h w) in [-1, 1] once."""
        self.source, self.points, self.sight = source, points, sight
        self.features = sight(source)

    def __call__(self, edit: Tensor) -> dict[str, Tensor]:
        """Where each judge sees the handles in an edit: (n 2) px by judge's name."""
        features = self.sight(edit)
        radius = 2 * self.sight.backbone.stride
        found: dict[str, list[Tensor]] = {name: [] for name in JUDGES}
        for handle, target in zip(self.points.handles, self.points.targets, strict=True):
            around = torch.stack([handle, target])
            reach = reach_px(handle, target, features.stride)
            patch = match_patch(
                self.source, edit, handle, radius_px=radius, search_px=reach, around=around
            )
            feature = match_feature(self.features, features, handle, search_px=reach, around=around)
            found["patch"].append(patch.xy)
            found["feature"].append(feature.xy)
        return {name: torch.stack([xy.double() for xy in xys]) for name, xys in found.items()}


def judge_by_source(
    backbone: Backbone, source: Tensor, points: Points, asked: JudgeFeatures
) -> Judge:
    """Judge edits of a source (1 3 h w) in [-1, 1] by itself."""
    return Judge(backbone, points, SourceFinder(source, points, Sight(backbone, asked)))
