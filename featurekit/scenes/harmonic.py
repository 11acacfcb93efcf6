"""Harmonic filling: a hole takes the smoothest colours that meet its surroundings."""

import torch
from torch import Tensor
from torch.nn import functional

from featurekit.core.errors import MaskError
from featurekit.core.shapes import expect

RESIDUAL = 1e-7  # of the right-hand side's length, where the solver stops; far below a grey level


def fill(image: Tensor, hole: Tensor) -> Tensor:
    """Solve Laplace's equation in a hole, with the colours around it as boundary values.

    Every filled pixel is the mean of its neighbours; at the frame, of those that there are.

    Args:
        image: (b c h w), any range; what it holds inside the hole is not read.
        hole: (1 1 h w), nonzero inside.

    Returns:
        The image with the hole filled, dtype of the image; solved in float64.

    Raises:
        ShapeError: the hole does not fit the image.
        MaskError: the hole is the whole image, so that there is nothing to fill it from.
    """
    sizes = expect(image, "b c h w", of="image")
    expect(hole, "1 1 h w", of="hole", h=sizes["h"], w=sizes["w"])
    inside = hole != 0
    if bool(inside.all()):
        raise MaskError("a hole must leave some of the image, got all of it; make it smaller")
    if not bool(inside.any()):
        return image
    rows, columns = _window(inside)
    part, inner = image[..., rows, columns].double(), inside[..., rows, columns]
    filled = torch.where(inner, _solved(part, inner), part)
    result = image.clone()
    result[..., rows, columns] = filled.to(image.dtype)
    return result


def _window(inside: Tensor) -> tuple[slice, slice]:
    """The hole's box with one pixel around it, cut by the frame: the equations see no more."""
    _, _, y, x = inside.nonzero(as_tuple=True)
    height, width = inside.shape[2:]
    rows = slice(max(0, int(y.min()) - 1), min(height, int(y.max()) + 2))
    return rows, slice(max(0, int(x.min()) - 1), min(width, int(x.max()) + 2))


def _solved(image: Tensor, inside: Tensor) -> Tensor:
    """Conjugate gradients on the pixels of the hole, each channel with its own step."""
    degree = _neighbours(torch.ones_like(image[:1, :1]))
    x = torch.zeros_like(image)
    residual = _neighbours(torch.where(inside, x, image)) * inside
    direction, energy = residual, _dot(residual, residual)
    enough = energy * RESIDUAL**2
    for _ in range(int(inside.sum())):
        if bool((energy <= enough).all()):
            break
        applied = (degree * direction - _neighbours(direction)) * inside
        # A channel that is solved already has no direction left: 0 / 0 must be 0.
        step = energy / _dot(direction, applied).clamp_min(torch.finfo(x.dtype).tiny)
        x = x + step * direction
        residual = residual - step * applied
        before, energy = energy, _dot(residual, residual)
        direction = residual + energy / before.clamp_min(torch.finfo(x.dtype).tiny) * direction
    return x


def _neighbours(field: Tensor) -> Tensor:
    """Sum over the four neighbours; outside the frame there are none."""
    padded = functional.pad(field, (1, 1, 1, 1))
    across = padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
    return across + padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1]


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((2, 3), keepdim=True)
