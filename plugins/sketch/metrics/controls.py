"""Drawers that learn nothing: blank paper, all black, an edge map at its best, XDoG.

Their rows say what a figure is worth: blank paper has a high SSIM wherever there is little ink.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from featurekit.core.errors import ConfigError
from featurekit.measures.model.lines import DARK, STRENGTHS, gradient
from featurekit_sketch.drawing.xdog import blurred, xdog
from featurekit_sketch.metrics.figures import TOLERANCE_PX

Draw: TypeAlias = Callable[[Tensor], Tensor]
"""A picture (1 3 h w) in [-1, 1] to its ink (1 1 h w) in [0, 1], white paper is 1."""

SIGMAS_PX = (0.0, 1.0, 2.0)  # of the blur before the gradient, from which the best is taken
XDOG = "XDoG"


def blank(image: Tensor) -> Tensor:
    """White paper for any picture."""
    return torch.ones_like(image[:, :1])


def black(image: Tensor) -> Tensor:
    """A sheet that is ink all over for any picture."""
    return torch.zeros_like(image[:, :1])


@dataclass(frozen=True)
class Edges:
    """An edge map: black where the gradient of the blurred picture is above a threshold."""

    strength: float  # change from one pixel to the next, as a share of a channel's range
    sigma_px: float = 0.0  # of the blur; 0 is none

    def __call__(self, image: Tensor) -> Tensor:
        """Ink of a picture, black and white alone."""
        return (_slopes(image, self.sigma_px) <= self.strength).float()


class EdgeTuning:
    """Finds the threshold and the blur with the highest mean F1 with 1 px of tolerance.

    This control may see the truth of what it is tuned on.
    """

    def __init__(self) -> None:
        """Begin without any picture."""
        self._total: Counter[Edges] = Counter()

    def add(self, image: Tensor, truths: Sequence[Tensor]) -> None:
        """Take in a picture; every picture counts alike, and so does every drawing of it.

        Args:
            image: (1 3 h w) in [-1, 1].
            truths: its drawings, ink (1 1 h w) each, at least one.
        """
        for sigma_px in SIGMAS_PX:
            slopes = _slopes(image, sigma_px)
            f1 = torch.stack([f1_by_strength(slopes, truth) for truth in truths]).mean(0)
            for strength, value in zip(STRENGTHS, f1.tolist(), strict=True):
                self._total[Edges(strength, sigma_px)] += value

    @property
    def best(self) -> Edges:
        """The best edge map so far.

        Raises:
            ConfigError: no picture was taken in.
        """
        if not self._total:
            raise ConfigError("edges must be tuned on a picture and its drawing at least, got none")
        return max(self._total, key=lambda one: self._total[one])


def controls(edges: Edges) -> Mapping[str, Draw]:
    """Every control by the name of its row."""
    return {"blank paper": blank, "all black": black, "tuned edges": edges, XDOG: xdog}


def _slopes(image: Tensor, sigma_px: float) -> Tensor:
    """Gradient of a picture (1 3 h w), (1 1 h w)."""
    if sigma_px == 0:
        return gradient(image)
    channels = blurred(image.flatten(0, 1)[:, None], sigma_px)
    return gradient(channels.view(image.shape))


def f1_by_strength(slopes: Tensor, truth: Tensor) -> Tensor:
    """Measure the edge map of each threshold without drawing any.

    The widened lines of a threshold are where the widened gradient is above it.

    Args:
        slopes: gradient of a picture, (1 1 h w).
        truth: ink, the same shape.

    Returns:
        What ``line_f1`` gives at each of ``STRENGTHS``.
    """
    lines = (2 * truth - 1 < DARK).float()
    near, reach = _widened(lines), _widened(slopes)
    wanted = lines.sum()
    found = []
    for strength in STRENGTHS:
        drawn = slopes > strength
        count = drawn.sum()
        if count == 0 and wanted == 0:
            found.append(torch.ones(()))
            continue
        precision = (near * drawn).sum() / count.clamp(min=1)
        recall = (lines * (reach > strength)).sum() / wanted.clamp(min=1)
        found.append(2 * precision * recall / (precision + recall).clamp(min=1e-12))
    return torch.stack(found)


def _widened(field: Tensor) -> Tensor:
    return functional.max_pool2d(field, 2 * TOLERANCE_PX + 1, stride=1, padding=TOLERANCE_PX)
