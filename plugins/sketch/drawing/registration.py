"""Where a drawing lies on its picture: agreement of ink with edges over small shifts."""

from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor
from torch.fft import irfft2, rfft2

from featurekit_sketch.drawing.xdog import blurred

FARTHEST = 0.05  # of a side: the largest shift that is mended
BEYOND = 0.03  # of a side: how much farther is looked, so that a maximum can be told from a slope
# no pair of the procedural world at rest reaches both, its lines that follow no edge included
LEAST_AGREEMENT = 0.4
LEAST_GAIN = 0.15
SOFT = 0.025  # of the shorter side: standard deviation that lines and edges are softened by
TINY = 1e-12


@dataclass(frozen=True)
class _Reach:
    rows: int
    columns: int


def agreement(ink: Tensor, picture: Tensor) -> float:
    """Correlation of the ink with the picture's edges as it lies.

    Args:
        ink: (1 1 h w) in [0, 1], white paper is 1.
        picture: (1 3 h w), float64.

    Returns:
        In [-1, 1]; 0 where either is without any line.
    """
    return float(_correlations(ink, picture, _Reach(0, 0))[0, 0])


def rough_agreement(ink: Tensor, picture: Tensor) -> float:
    """Correlation of ink and edges when both are softened, so that a line may lie beside its edge.

    It tells a scale from another where ``agreement`` cannot; where lines lie exactly it does not.

    Args:
        ink: (1 1 h w) in [0, 1], white paper is 1.
        picture: (1 3 h w), float64.

    Returns:
        In [-1, 1]; 0 where either is without any line.
    """
    sigma = SOFT * min(ink.shape[-2:])
    pair = torch.stack([1 - ink[0].to(torch.float64), _edges(picture)[None]])
    lines, edges = (one - one.mean() for one in blurred(pair, sigma))
    return float((lines * edges).sum() / (lines.norm() * edges.norm()).clamp_min(TINY))


def offset(ink: Tensor, picture: Tensor) -> tuple[int, int]:
    """Find the shift that lays the ink on the picture's edges.

    Args:
        ink: (1 1 h w) in [0, 1], white paper is 1.
        picture: (1 3 h w), float64.

    Returns:
        (right, down) in px, at most 5 % of a side; (0, 0) unless that agrees clearly better than
        no shift, and better than any shift a little farther.
    """
    height, width = ink.shape[-2:]
    reach = _Reach(*(int(FARTHEST * side) + ceil(BEYOND * side) for side in (height, width)))
    scores = _correlations(ink, picture, reach)
    row, column = divmod(int(scores.argmax()), scores.shape[1])
    right, down = column - reach.columns, row - reach.rows
    best, rest = float(scores[row, column]), float(scores[reach.rows, reach.columns])
    clear = best >= LEAST_AGREEMENT and best - rest >= LEAST_GAIN
    near = abs(right) <= int(FARTHEST * width) and abs(down) <= int(FARTHEST * height)
    return (right, down) if clear and near else (0, 0)


def moved(ink: Tensor, by: tuple[int, int]) -> Tensor:
    """Shift ink (1 1 h w) by (right, down) px; paper, 1, comes in."""
    right, down = by
    height, width = ink.shape[-2:]
    page = torch.ones_like(ink)
    page[..., max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)] = ink[
        ..., max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)
    ]
    return page


def _correlations(ink: Tensor, picture: Tensor, reach: _Reach) -> Tensor:
    """Pearson's coefficient of edges and shifted ink, for every shift within reach.

    What leaves the page counts as gone and what comes in as paper, as in ``moved``.
    """
    edges = _edges(picture)
    edges = edges - edges.mean()
    dark = 1 - ink[0, 0].to(torch.float64)
    size = (dark.shape[0] + reach.rows, dark.shape[1] + reach.columns)  # nothing wraps round
    page = rfft2(torch.ones_like(dark), s=size)
    along = rfft2(dark, s=size).conj()
    common = irfft2(rfft2(edges, s=size) * along, s=size)
    total = irfft2(page * along, s=size)
    squares = irfft2(page * rfft2(dark.square(), s=size).conj(), s=size)
    spread = (squares - total.square() / dark.numel()).clamp_min(TINY).sqrt()
    scores: Tensor = common / (spread * edges.norm()).clamp_min(TINY)
    rows = torch.arange(-reach.rows, reach.rows + 1) % size[0]
    columns = torch.arange(-reach.columns, reach.columns + 1) % size[1]
    return scores[rows][:, columns]


def _edges(picture: Tensor) -> Tensor:
    """Gradient magnitude (h w), levelled so that faint edges count beside strong ones."""
    across, down = torch.zeros_like(picture), torch.zeros_like(picture)
    across[..., 1:-1] = (picture[..., 2:] - picture[..., :-2]) / 2
    down[..., 1:-1, :] = (picture[..., 2:, :] - picture[..., :-2, :]) / 2
    size = (across.square() + down.square()).sum(1).sqrt()[0]
    return size / (size + size.mean()).clamp_min(TINY)
