"""What is in features that is not in the picture: position, tokens and channels out of all measure.

Source of the questions: Loos and Linhardt 2025, arXiv:2504.07008. Fields are (b c h w).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from featurekit.core.errors import ConfigError, ShapeError
from featurekit.core.precision import double
from featurekit.core.shapes import expect

RIDGE = 1.0  # times channels over cells: what keeps few cells from being learnt by heart
HIGH = 5.0  # robust deviations above the median at which a token's norm counts as high
MASSIVE = 10.0  # times the median channel's size at which a channel counts as massive
TO_SIGMA = 1.4826  # median absolute deviation to standard deviation, of a normal distribution


@dataclass(frozen=True, eq=False)
class Probe:
    """A linear map from features to where they lie."""

    mean: Tensor  # (c,) float64
    scale: Tensor  # (c,)
    weights: Tensor  # (c 2)
    offset: Tensor  # (2,)

    def __call__(self, field: Tensor) -> Tensor:
        """Say of each cell where it lies.

        Args:
            field: (b c h w) with the channels that the probe was fitted on.

        Returns:
            x and y as shares of the picture, (b 2 h w) float64.

        Raises:
            ShapeError: the field is not (b c h w), or has other channels.
        """
        sizes = expect(field, "b c h w", of="field", c=len(self.mean))
        cells = (_cells(field) - self.mean) / self.scale
        found = cells @ self.weights + self.offset
        return found.reshape(sizes["b"], sizes["h"], sizes["w"], 2).movedim(-1, 1)


@dataclass(frozen=True, eq=False)
class HighNorms:
    """Tokens whose features are far longer than most."""

    norms: Tensor  # (b h w) lengths of features
    threshold: float
    high: Tensor  # (b h w) bool: above the threshold

    @property
    def share(self) -> float:
        """Share of tokens above the threshold."""
        return float(self.high.double().mean())


def places(field: Tensor) -> Tensor:
    """Say where the cells of a field lie.

    Args:
        field: (b c h w).

    Returns:
        x and y of the cells' centres as shares of the picture, (2 h w) float64 on the CPU.
    """
    sizes = expect(field, "b c h w", of="field")
    y = (torch.arange(sizes["h"], dtype=torch.float64) + 0.5) / sizes["h"]
    x = (torch.arange(sizes["w"], dtype=torch.float64) + 0.5) / sizes["w"]
    down, across = torch.meshgrid(y, x, indexing="ij")
    return torch.stack((across, down))


def position_probe(fields: Sequence[Tensor], *, ridge: float = RIDGE) -> Probe:
    """Fit a linear map from features to their place, by ridge regression.

    Args:
        fields: (b c h w) each, with the same channels; at least one.
        ridge: penalty on standardised channels, in channels over cells, > 0.

    Returns:
        The probe.

    Raises:
        ConfigError: there is no field, or ``ridge`` is not positive.
        ShapeError: the fields differ in channels.
    """
    if not fields or not ridge > 0:
        raise ConfigError(
            f"a probe needs a field and a ridge above 0, got {len(fields)} fields and {ridge}"
        )
    channels = expect(fields[0], "b c h w", of="field")["c"]
    total, count = torch.zeros(channels + 3, channels + 3, dtype=torch.float64), 0
    for field in fields:
        expect(field, "b c h w", of="field", c=channels)
        where = places(field).flatten(1).T.repeat(len(field), 1)
        rows = torch.cat((_cells(field), where, torch.ones(len(where), 1).double()), dim=1)
        total += rows.T @ rows
        count += len(rows)
    mean = total[-1, :-1] / count
    spread = total[:-1, :-1] / count - mean[:, None] * mean
    scale = spread.diagonal()[:channels].clamp(min=0).sqrt()
    alive = scale > 1e-9 * (1 + mean[:channels].abs())
    scale = torch.where(alive, scale, torch.inf)
    penalty = ridge * max(1, int(alive.sum())) / count * torch.eye(channels).double()
    within = spread[:channels, :channels] / scale / scale[:, None]
    across = spread[:channels, channels:] / scale[:, None]
    weights = torch.linalg.solve(within + penalty, across)
    return Probe(mean[:channels], scale, weights, mean[channels:])


def position_r2(probe: Probe, fields: Sequence[Tensor]) -> tuple[float, float]:
    """Measure which share of the variance of a cell's place a probe explains.

    Args:
        probe: fitted on other pictures.
        fields: (b c h w) each, at least one with more than one row and column.

    Returns:
        R^2 of x and of y: 1 where every cell knows its place, 0 for a guess of the middle,
        negative for worse.
    """
    missed, whole = torch.zeros(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    for field in fields:
        truth = places(field)[None]
        missed += (probe(field) - truth).square().sum((0, 2, 3))
        whole += len(field) * (truth - 0.5).square().sum((0, 2, 3))
    x, y = (1 - missed / whole).tolist()
    return x, y


def high_norms(field: Tensor, *, deviations: float = HIGH) -> HighNorms:
    """Find tokens whose features are longer than most by a robust measure.

    The threshold lies ``deviations`` times the scaled median absolute deviation above the median
    of all tokens, so that the tokens in question do not shift it.

    Args:
        field: (b c h w), at least one token.
        deviations: how many, > 0.

    Returns:
        Norms, threshold and which tokens exceed it.

    Raises:
        ShapeError: the field is not (b c h w), or is empty.
        ConfigError: ``deviations`` is not positive.
    """
    expect(field, "b c h w", of="field")
    if not field.numel():
        raise ShapeError(f"field must have at least one token, got {tuple(field.shape)}")
    if not deviations > 0:
        raise ConfigError(f"deviations must be positive, got {deviations}")
    norms = torch.linalg.vector_norm(double(field), dim=1).cpu()
    middle = norms.quantile(0.5)
    spread = TO_SIGMA * (norms - middle).abs().quantile(0.5)
    threshold = float(middle + deviations * spread)
    return HighNorms(norms, threshold, norms > threshold)


def corner_excess(norms: Tensor) -> float:
    """Compare the corners with the inside: mean norm of the four, over that of inner cells.

    Args:
        norms: (b h w), at least 3 rows and columns.

    Returns:
        Ratio; 1 where corners are like the rest.

    Raises:
        ShapeError: there is no inner cell.
    """
    sizes = expect(norms, "b h w", of="norms")
    if min(sizes["h"], sizes["w"]) < 3:
        raise ShapeError(f"norms must have 3 rows and columns or more, got {tuple(norms.shape)}")
    corners = norms[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    return float(corners.mean() / norms[:, 1:-1, 1:-1].mean())


def massive_channels(field: Tensor, *, times: float = MASSIVE) -> dict[int, float]:
    """Find channels that are larger than the others in every sense.

    Args:
        field: (b c h w).
        times: root mean square, over that of the median channel, that counts as massive, > 0.

    Returns:
        That ratio by channel, the largest first; empty if there is none.

    Raises:
        ShapeError: the field is not (b c h w).
    """
    expect(field, "b c h w", of="field")
    sizes = double(field).square().mean((0, 2, 3)).sqrt().cpu()
    ratios = sizes / sizes.quantile(0.5).clamp(min=1e-300)
    order = ratios.argsort(descending=True).tolist()
    return {channel: float(ratios[channel]) for channel in order if ratios[channel] >= times}


def _cells(field: Tensor) -> Tensor:
    """Features of all cells as rows, (b*h*w c) float64 on the CPU."""
    return field.detach().cpu().double().movedim(1, -1).flatten(0, 2)
