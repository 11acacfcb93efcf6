"""How far a sampled condition has come from the drawing's own towards any: conditions that drift.

Source: Yun et al. 2024, arXiv:2401.04362, condition diffusion sampling for training.
"""

from math import sqrt

from torch import Tensor

from featurekit.core.errors import ConfigError, ShapeError


def source_weight(i: int, span: int) -> float:
    """Share that the source's condition has in the one of an iteration.

    Args:
        i: iteration, from 0.
        span: iterations that the drift lasts.

    Returns:
        ``alpha / (alpha + beta)`` with ``alpha = sqrt(1 - i / span)`` and
        ``beta = sqrt(i / span)``: 1 at the first iteration, 0 from ``span`` on.

    Raises:
        ConfigError: the iteration is negative, or the drift lasts less than one.
    """
    if span < 1:
        raise ConfigError(f"a drift must last at least 1 iteration, got {span}")
    if i < 0:
        raise ConfigError(f"an iteration must be 0 or more, got {i}")
    if i >= span:
        return 0.0
    alpha, beta = sqrt(1 - i / span), sqrt(i / span)
    return alpha / (alpha + beta)


def mixed(source: Tensor, drawn: Tensor, weight: float) -> Tensor:
    """Mix two conditions; the shares sum to 1.

    Args:
        source: hidden states (b n d) of the drawing's prompt.
        drawn: those that a prior gave, of the same shape, dtype and device.
        weight: share of the source in [0, 1].

    Returns:
        Hidden states (b n d); at 1 the source and at 0 the drawn ones, bit for bit.

    Raises:
        ShapeError: the two differ in shape, dtype or device.
        ConfigError: the weight is out of range.
    """
    kinds = [(tuple(one.shape), one.dtype, str(one.device)) for one in (source, drawn)]
    if kinds[0] != kinds[1]:
        raise ShapeError(
            f"conditions must have one shape, dtype and device to be mixed, got {kinds[0]} and "
            f"{kinds[1]}"
        )
    if not 0 <= weight <= 1:
        raise ConfigError(f"the source's weight must lie in 0 to 1, got {weight}")
    if weight in (0, 1):  # a product with 0 would lose the sign of zeros, and keep a NaN
        return source if weight == 1 else drawn
    return weight * source + (1 - weight) * drawn
