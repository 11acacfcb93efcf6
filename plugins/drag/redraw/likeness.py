"""How well a filled hole goes with the ring around it; no truth is needed."""

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor

from featurekit.diffusion.backbone import Backbone
from featurekit.measures.denoising_error import missed_noise
from featurekit_drag.plan.grid import reached
from featurekit_drag.redraw.hole import touched_cells

QUANTILES = 9  # of each colour channel that are compared
LEVEL = 2 / 255  # a difference of neighbours that is hardly seen, in [-1, 1]
LEAST_RING = 3  # px
RING = 3.0  # units of the plan


@dataclass(frozen=True)
class Likeness:
    """What sets a filled hole apart from its ring; 0 is alike."""

    sharpness: float  # natural logarithm of the gradient energies' ratio, hole to ring
    colours: float  # mean difference of the channels' quantiles, in [0, 2]

    @classmethod
    def of(cls, picture: Tensor, hole: Tensor, ring: Tensor) -> "Likeness":
        """Compare hole and ring, (1 1 h w) bool each, of a picture (1 3 h w)."""
        energies = [energy + LEVEL**2 for energy in _energies(picture, hole, ring)]
        shares = torch.linspace(0, 1, QUANTILES + 2)[1:-1]
        hues = [_quantiles(picture, part, shares) for part in (hole, ring)]
        apart = (hues[0] - hues[1]).abs().mean()
        return cls(log(energies[0] / energies[1]), float(apart))


def ring_around(hole: Tensor, unknown: Tensor, unit_px: float) -> Tensor:
    """The known pixels around a hole, (1 1 h w) bool.

    Args:
        hole: (1 1 h w), nonzero inside.
        unknown: (1 1 h w), nonzero where the picture before does not show the ground, or the edit
            something else.
        unit_px: of the plan.
    """
    width = max(LEAST_RING, round(RING * unit_px))
    return (reached(hole, width) > 0) & (hole <= 0) & (unknown <= 0)


def missed_around(backbone: Backbone, picture: Tensor, part: Tensor) -> float:
    """Mean squared error of the noise that a model finds in the latent cells of a part.

    Args:
        backbone: its empty prompt is used.
        picture: (1 3 h w) at the size that the model works at.
        part: (1 1 h w), nonzero where it counts; of nothing the error is that of the picture.

    Returns:
        0 for all of the noise; 1 is what finding none costs. See ``denoising_error``.
    """
    with torch.no_grad():
        error = missed_noise(backbone, backbone.encode(picture)).mean(dim=(0, 1))
    cells = touched_cells((part > 0).float(), backbone)[0, 0].to(error) > 0
    return float(error[cells].mean() if bool(cells.any()) else error.mean())


def _energies(picture: Tensor, *parts: Tensor) -> list[float]:
    """Mean squared difference of neighbours that both lie in a part, for each part."""
    sums, counts = [0.0] * len(parts), [0.0] * len(parts)
    for axis in (0, 1):
        pairs = picture.shape[2 + axis] - 1
        steps = torch.zeros_like(picture[0, 0]).narrow(axis, 0, pairs)
        for channel in picture[0]:  # one at a time: a picture may be large
            steps += channel.diff(dim=axis).square_()
        for number, part in enumerate(parts):
            seen = part[0, 0]
            both = seen.narrow(axis, 1, pairs) & seen.narrow(axis, 0, pairs)
            sums[number] += float((steps * both).sum()) / len(picture[0])
            counts[number] += float(both.sum())
    return [total / max(count, 1.0) for total, count in zip(sums, counts, strict=True)]


def _quantiles(picture: Tensor, part: Tensor, shares: Tensor) -> Tensor:
    """Quantiles of the three channels in a part, (3 n); at most some thousand pixels are read."""
    values = picture[0][:, part[0, 0]].float()
    return values[:, :: max(1, values.shape[1] // 4096)].quantile(shares, dim=1)
