"""Judges of an edit whose true picture is known: they look for what the truth shows at the target.

What bends or turns looks different afterwards, in the truth too; so what is looked for is what
the truth shows there. Around a handle that moved most of the ground often stays, though: by
the truth's patch alone a third of all untouched pictures of deformations would pass. So
the place does not count where the edit looks like the source did *there*.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from featurekit.core.precision import double
from featurekit.diffusion.backbone import Backbone
from featurekit.features.likeness import best, candidates, correlations, cosines, distance
from featurekit_drag.engine.points import Points
from featurekit_drag.metrics.judges import JUDGES, Judge, JudgeFeatures, Sight, reach_px


@dataclass(frozen=True)
class _Search:
    """Where one point is looked for."""

    target: Tensor  # (2,) px, its true place
    around: Tensor  # (2 2) px, handle and target
    reach_px: float
    points: Tensor  # (rows columns 2) px, whole-pixel shifts of the target


class TruthFinder:
    """Finds what the truth shows at the true places of points in any edit.

    The patch judge correlates a patch that reaches one latent cell to every side, the feature
    judge compares the feature there. Each searches around the handle and the target alike. If
    within one latent cell of the target nothing is more like the truth's target than like what
    the source showed at the same place, the point is not there, and its next best place counts.
    """

    def __init__(self, source: Tensor, truth: Tensor, points: Points, sight: Sight) -> None:
        """Look at source and truth (1 3 h w) in [-1, 1], of one size, once."""
        self.source, self.truth, self.points, self.sight = source, truth, points, sight

    def __call__(self, edit: Tensor) -> dict[str, Tensor]:
        """Where each judge sees the points in an edit: (n 2) px by judge's name."""
        found: dict[str, list[Tensor]] = {name: [] for name in JUDGES}
        for handle, target in zip(self.points.handles, self.points.targets, strict=True):
            search = self._search(handle, target)
            for name, alike in (("patch", self._patches), ("feature", self._features)):
                truth, source = (alike(known, edit, search) for known in (self.truth, self.source))
                found[name].append(self._place(search, truth, source))
        return {name: torch.stack(xys) for name, xys in found.items()}

    def _search(self, handle: Tensor, target: Tensor) -> _Search:
        handle, target = handle.detach().cpu().double(), target.detach().cpu().double()
        around = torch.stack([handle, target])
        reach = reach_px(handle, target, self.sight(self.truth).stride)
        height, width = self.truth.shape[-2:]
        return _Search(target, around, reach, candidates(target, around, reach, (width, height)))

    def _patches(self, known: Tensor, edit: Tensor, search: _Search) -> Tensor:
        """How like the patch of a known picture at the target each candidate's is."""
        radius = self.sight.backbone.stride
        scores = correlations(known, search.target, edit, search.points, radius)
        return scores.cpu().nan_to_num(-1.0)

    def _features(self, known: Tensor, edit: Tensor, search: _Search) -> Tensor:
        """How like the feature of a known picture at the target each candidate's is."""
        return double(cosines(self.sight(known), search.target, self.sight(edit), search.points))

    def _place(self, search: _Search, truth: Tensor, source: Tensor) -> Tensor:
        """The candidate that is most like the truth, unless the target still shows the source."""
        near = distance(search.points, search.target[None]) <= self.sight.backbone.stride
        if not truth[near].max() > source[near].max():
            truth = truth.masked_fill(near, -torch.inf)
            elsewhere = distance(search.points, search.around) <= search.reach_px
            if not (elsewhere & ~near).any():  # a picture of a few cells has no other place
                return search.around[0]
        row, column = best(truth, search.points, search.around, search.reach_px)
        return search.points[row, column]


def judge_by_truth(
    backbone: Backbone, source: Tensor, truth: Tensor, points: Points, asked: JudgeFeatures
) -> Judge:
    """Judge edits of a source by the true picture, both (1 3 h w) in [-1, 1]."""
    return Judge(backbone, points, TruthFinder(source, truth, points, Sight(backbone, asked)))
