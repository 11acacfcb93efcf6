"""What to keep of an activation as its tap fires: means of cells, directions, projections.

Each makes a ``reduce`` for ``capture``. None makes a copy as large as the activation.
"""

import torch
from torch import Tensor
from torch.nn import functional

from featurekit.core import fields
from featurekit.core.errors import ConfigError, ShapeError
from featurekit.core.precision import double, double_device, rounded
from featurekit.core.shapes import expect
from featurekit.taps.capture import Reduce

CELLS_AT_ONCE = 1024  # cells that PCA takes to float64 at a time


def pooled(factor: int) -> Reduce:
    """Keep the mean of each square of cells.

    Args:
        factor: cells a side, >= 1; a map must be a whole number of such squares.

    Returns:
        ``reduce``: (b c h w) to (b c h/factor w/factor).

    Raises:
        ConfigError: ``factor`` is below 1.
    """
    if factor < 1:
        raise ConfigError(f"factor must be at least 1, got {factor}")

    def reduce(name: str, activation: Tensor) -> Tensor:
        sizes = expect(activation, "b c h w", of=f"activation {name}")
        if sizes["h"] % factor or sizes["w"] % factor:
            raise ShapeError(
                f"the grid of {name} must be divisible by {factor}, got {sizes['h']} x {sizes['w']}"
            )
        return fields.pool(activation, factor)

    return reduce


def projected(channels: int, *, seed: int = 0) -> Reduce:
    """Keep random directions of the features, those of ``fields.random_axes``.

    Args:
        channels: directions n, >= 1.
        seed: of the directions; with the number of channels it decides them.

    Returns:
        ``reduce``: (b c h w) to (b n h w).

    Raises:
        ConfigError: ``channels`` is below 1.
    """
    if channels < 1:
        raise ConfigError(f"channels must be at least 1, got {channels}")

    def reduce(name: str, activation: Tensor) -> Tensor:
        sizes = expect(activation, "b c h w", of=f"activation {name}")
        axes = fields.random_axes(sizes["c"], channels, seed=seed).to(activation)
        kept: Tensor = functional.conv2d(activation, axes.T[:, :, None, None])
        return kept

    return reduce


def principal(components: int) -> Reduce:
    """Keep the directions in which the features of an activation vary most, as ``fields.pca``.

    Args:
        components: directions, 1 to the number of channels.

    Returns:
        ``reduce``: (b c h w) to (b components h w), centred, strongest first.

    Raises:
        ConfigError: ``components`` is below 1.
    """
    if components < 1:
        raise ConfigError(f"components must be at least 1, got {components}")

    def reduce(name: str, activation: Tensor) -> Tensor:
        sizes = expect(activation, "b c h w", of=f"activation {name}")
        if components > sizes["c"]:
            raise ShapeError(f"{name} must have {components} channels or more, got {sizes['c']}")
        axes, mean = _axes(activation, components)
        kept = torch.empty(
            sizes["b"], components, sizes["h"], sizes["w"],
            dtype=activation.dtype, device=activation.device,
        )  # fmt: skip
        cells = kept.flatten(2)
        for picture, some in _pieces(activation):
            part = double(activation[picture].flatten(1)[:, some])
            cells[picture][:, some] = rounded(axes.T @ (part - mean), activation)
        return kept

    return reduce


def _pieces(activation: Tensor) -> list[tuple[int, slice]]:
    """Picture and cells of each piece of an activation (b c h w)."""
    count = activation.shape[2] * activation.shape[3]
    return [
        (picture, slice(start, start + CELLS_AT_ONCE))
        for picture in range(len(activation))
        for start in range(0, count, CELLS_AT_ONCE)
    ]


def _axes(activation: Tensor, components: int) -> tuple[Tensor, Tensor]:
    """Principal directions (c components) and mean (c 1), float64."""
    channels = activation.shape[1]
    mean = _mean(activation)
    spread = torch.zeros(channels, channels, dtype=torch.float64, device=mean.device)
    for picture, some in _pieces(activation):
        part = double(activation[picture].flatten(1)[:, some]) - mean
        spread += part @ part.T
    return fields.principal_axes(spread, components), mean


def _mean(activation: Tensor) -> Tensor:
    """Mean of all cells (c 1), float64; the sum of an activation need not be laid out in it."""
    home = activation.to(double_device(activation.device))
    return home.mean((0, 2, 3), dtype=torch.float64)[:, None]
