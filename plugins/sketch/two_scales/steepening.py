"""Rims of pictures that were enlarged, made as steep as those of pictures of that size.

A model samples pictures of its own size, which are soft when they are enlarged: what is learnt
from soft rims is not known of sharp ones.
"""

import torch
from torch import Tensor
from torch.nn import functional

ROUNDS = 4
SHARE = 0.35  # of the way to the darkest or brightest neighbour, in a round
BLUR = 0.7  # px, standard deviation of what the sign of a bend is measured on
REACH = 2  # px, of the blur
FLAT = 1e-4  # a bend along the slope as small as this moves little


def steepened(image: Tensor) -> Tensor:
    """Let each side of a rim spread up to it: a shock filter.

    On the side of a rim where the picture bends downwards a colour goes towards its highest
    neighbour, on the other side towards its lowest one. Where nothing slopes nothing moves, and no
    colour leaves the range of its neighbours.

    Args:
        image: (b 3 h w) in [-1, 1].

    Returns:
        The same shape and range.

    Source: Osher & Rudin 1990, SIAM J. Numer. Anal. 27; the sign of a smoothed picture: Alvarez &
    Mazorra 1994, SIAM J. Numer. Anal. 31.
    """
    for _ in range(ROUNDS):
        bend = _bend(_blurred(image))
        turn = bend / (bend.abs() + FLAT)
        higher = functional.max_pool2d(image, 3, 1, 1) - image
        lower = image + functional.max_pool2d(-image, 3, 1, 1)
        image = image + SHARE * torch.where(turn < 0, -turn * higher, -turn * lower)
    return image


def _bend(image: Tensor) -> Tensor:
    """Second derivative along the slope, times the slope squared, of each channel."""
    p = functional.pad(image, (1, 1, 1, 1), mode="replicate")
    middle, left, right = p[..., 1:-1, 1:-1], p[..., 1:-1, :-2], p[..., 1:-1, 2:]
    above, below = p[..., :-2, 1:-1], p[..., 2:, 1:-1]
    x, y = (right - left) / 2, (below - above) / 2
    xx, yy = right + left - 2 * middle, below + above - 2 * middle
    xy = (p[..., 2:, 2:] - p[..., 2:, :-2] - p[..., :-2, 2:] + p[..., :-2, :-2]) / 4
    return x**2 * xx + 2 * x * y * xy + y**2 * yy


def _blurred(image: Tensor) -> Tensor:
    """A picture blurred by a Gaussian of ``BLUR``, its borders repeated."""
    places = torch.arange(-REACH, REACH + 1, dtype=image.dtype, device=image.device)
    weights = torch.exp(-(places**2) / (2 * BLUR**2))
    weights, channels = weights / weights.sum(), image.shape[1]
    p = functional.pad(image, (REACH, REACH, REACH, REACH), mode="replicate")
    across = weights.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
    down = weights.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
    return functional.conv2d(functional.conv2d(p, across, groups=channels), down, groups=channels)
