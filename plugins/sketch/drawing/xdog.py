"""Drawings by extended differences of Gaussians: a style whose truth is known for any picture."""

from math import ceil

import torch
from torch import Tensor

from featurekit.core.errors import ConfigError
from featurekit.core.shapes import expect

GREY = (0.299, 0.587, 0.114)  # of red, green and blue; ITU-R BT.601
REACH = 4  # standard deviations after which a Gaussian is cut off


def xdog(
    image: Tensor,
    *,
    sigma: float = 0.5,
    k: float = 200.0,
    gamma: float = 0.98,
    eps: float = 0.1,
    phi: float = 10.0,
) -> Tensor:
    """Draw a picture: white where it is brighter than its surroundings by ``eps``, darker below.

    With u = G_sigma - gamma G_(k sigma) of the grey picture in [0, 1], ink is 1 where u >= eps and
    1 + tanh(phi (u - eps)) elsewhere. The default values make the wide Gaussian nearly the mean of
    a small picture, and a plain sheet, white or black, a grey one. Borders are mirrored about their
    outermost pixel.

    Args:
        image: (b 3 h w) in [-1, 1].
        sigma: standard deviation of the narrow Gaussian, px.
        k: how many times as wide the wide one is.
        gamma: what the wide one counts.
        eps: least difference that is white.
        phi: steepness of the way to black.

    Returns:
        Ink, (b 1 h w) in [0, 1], white paper is 1, dtype of the picture.

    Raises:
        ShapeError: the image has other axes.
        ConfigError: ``sigma`` or ``k`` is not above 0.

    Source: Winnemoeller, Kyprianidis and Olsen 2012, doi:10.1016/j.cag.2012.03.004, with the wide
        Gaussian weighed by ``gamma`` as in the code released with arXiv:2401.04362, whose values
        these are.
    """
    expect(image, "b 3 h w", of="image")
    if not (sigma > 0 and k > 0):
        raise ConfigError(f"sigma and k must be above 0, got {sigma} and {k}")
    weights = image.new_tensor(GREY).view(-1, 1, 1)
    grey = ((image + 1) / 2 * weights).sum(1, keepdim=True)
    difference = blurred(grey, sigma) - gamma * blurred(grey, k * sigma)
    dark = 1 + torch.tanh(phi * (difference - eps))
    return torch.where(difference >= eps, torch.ones_like(dark), dark)


def blurred(grey: Tensor, sigma: float) -> Tensor:
    """Blur by a Gaussian of any width, also one wider than the picture.

    Args:
        grey: (b 1 h w); borders are mirrored.
        sigma: standard deviation, px.
    """
    down, across = (_mixing(side, sigma).to(grey) for side in grey.shape[-2:])
    blurred: Tensor = down @ grey @ across.T
    return blurred


def _mixing(length: int, sigma: float) -> Tensor:
    """What each pixel of a row counts for each pixel of the blurred row, (length length)."""
    reach = max(1, ceil(REACH * sigma))
    offsets = torch.arange(-reach, reach + 1)
    weights = (-(offsets.double() ** 2) / (2 * sigma**2)).exp()
    period = max(1, 2 * (length - 1))
    places = (torch.arange(length)[:, None] + offsets) % period
    places = torch.minimum(places, period - places) if length > 1 else torch.zeros_like(places)
    mixing = torch.zeros(length, length, dtype=torch.float64)
    return mixing.scatter_add(1, places, (weights / weights.sum()).expand(length, -1))
