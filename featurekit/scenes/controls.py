"""Edits that nobody wants: what an honest figure of an edit is shown beside.

A ratio of errors says little alone: wiping the region smooth already takes a fifth of the error
away. Every control takes an image, the region that may change and the drags, so that it works
for a user's picture too, where there is no truth.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from featurekit.core.errors import MaskError, PointsError
from featurekit.core.fields import sample
from featurekit.core.metrics import mse
from featurekit.core.shapes import expect
from featurekit.scenes.geometry import Point
from featurekit.scenes.harmonic import fill

Drags: TypeAlias = Sequence[tuple[Point, Point]]
"""Handles and targets ``(x, y)`` in px of the image, as ``Move.drags_px`` gives them."""

Control: TypeAlias = Callable[[Tensor, Tensor, Drags], Tensor]

COVERED = 1e-4  # bilinear weights add up to 1 only so far in float32
BLUR = 1 / 16  # sigma over the shorter side: one latent cell of 4 px at 64 px


def noop(image: Tensor, region: Tensor, drags: Drags) -> Tensor:
    """Leave the picture as it is.

    Args:
        image: (1 3 h w) in [-1, 1].
        region: (1 1 h w), nonzero where the picture may change.
        drags: at least one.

    Returns:
        The image itself.

    Raises:
        ShapeError: the image or the region has other axes.
        MaskError: the region is empty.
        PointsError: there is no drag, or a coordinate is not finite.
    """
    _check(image, region, drags)
    return image


def erase(image: Tensor, region: Tensor, drags: Drags) -> Tensor:
    """Wipe the region: fill it harmonically from what surrounds it; arguments as for ``noop``.

    Args:
        image: (1 3 h w) in [-1, 1].
        region: (1 1 h w), nonzero where the picture may change; not everywhere.
        drags: not used; the object disappears wherever it goes.

    Returns:
        Picture without the object, (1 3 h w), the same outside the region.

    Raises:
        ShapeError: the image or the region has other axes.
        MaskError: the region is empty or everything.
        PointsError: there is no drag, or a coordinate is not finite.
    """
    _check(image, region, drags)
    return fill(image, region)


def blur(image: Tensor, region: Tensor, drags: Drags) -> Tensor:
    """Blur the region with a Gaussian whose sigma is a sixteenth of the shorter side.

    Args:
        image: (1 3 h w) in [-1, 1], at least 8 px a side.
        region: (1 1 h w), nonzero where the picture may change.
        drags: not used.

    Returns:
        Picture with a blurred region, (1 3 h w), the same outside.

    Raises:
        ShapeError: the image or the region has other axes.
        MaskError: the region is empty.
        PointsError: there is no drag, or a coordinate is not finite.
    """
    _check(image, region, drags)
    sigma = min(image.shape[2:]) * BLUR
    radius = math.ceil(3 * sigma)
    offsets = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, -1)
    padded = functional.pad(image, (radius,) * 4, mode="reflect")
    across = functional.conv2d(padded, kernel[:, :, None, :], groups=3)
    blurred = functional.conv2d(across, kernel[:, :, :, None], groups=3)
    return torch.where(region != 0, blurred, image)


def shifted_copy(image: Tensor, region: Tensor, drags: Drags) -> Tensor:
    """Copy what lies around each handle to its target, and fill the hole that it leaves.

    What goes along with a handle is whatever is nearer to it than to another handle, lies in the
    region, and lies in the region still when it is moved. For a pure translation this beats every
    published editor, which is why such moves prove little.

    Args:
        image: (1 3 h w) in [-1, 1].
        region: (1 1 h w), nonzero where the picture may change.
        drags: at least one.

    Returns:
        Picture with the copies, read bilinearly where a drag ends between pixels, (1 3 h w).

    Raises:
        ShapeError: the image or the region has other axes.
        MaskError: the region is empty, or nothing in it can follow a drag and stay inside.
        PointsError: there is no drag, or a coordinate is not finite.
    """
    _check(image, region, drags)
    inside = (region != 0).to(image.dtype)
    owners = _nearest_handle(image, drags)
    colours, weight = torch.zeros_like(image), torch.zeros_like(inside)
    left = torch.zeros_like(inside, dtype=torch.bool)
    for index, (handle, target) in enumerate(drags):
        step = (target[0] - handle[0], target[1] - handle[1])
        follows = inside * (_shifted(inside, (-step[0], -step[1])) > 0.5) * (owners == index)
        if not bool(follows.any()):
            raise MaskError(
                f"the region must hold what moves from {handle} to {target} before and after, "
                "got nothing that stays inside; draw it larger"
            )
        colours, weight = (
            colours + _shifted(image * follows, step),
            weight + _shifted(follows, step),
        )
        left |= follows != 0
    share = weight.clamp(max=1)
    mean = colours / weight.clamp_min(torch.finfo(weight.dtype).tiny)
    # A pixel that is covered in part shows the filled hole through, not the object that has left.
    whole = share > 1 - COVERED
    ground = fill(torch.where(whole, mean, image), left & ~whole)
    return torch.where(region != 0, ground * (1 - share) + mean * share, image)


def mse_ratio(edit: Tensor, truth: Tensor, source: Tensor, region: Tensor) -> float:
    """Compare an edit's error with the error of doing nothing.

    Args:
        edit: (1 3 h w) in [-1, 1].
        truth: the true picture after the move, same shape.
        source: the picture before, same shape.
        region: (1 1 h w), nonzero where errors count: the changed pixels, ``Move.changed``.

    Returns:
        MSE(edit, truth) / MSE(source, truth): 0 is perfect, 1 no better than nothing.

    Raises:
        ShapeError: the pictures or the region differ in shape.
        MaskError: the region is empty, or source and truth are equal in it.
    """
    counts = region != 0
    nothing = float(mse(source, truth, mask=counts))
    if nothing == 0:
        raise MaskError(
            "source and truth must differ in the region, got two equal pictures; "
            "use the changed pixels of a move"
        )
    return float(mse(edit, truth, mask=counts)) / nothing


CONTROLS: Mapping[str, Control] = MappingProxyType(
    {"noop": noop, "erase": erase, "blur": blur, "shifted_copy": shifted_copy}
)


def _check(image: Tensor, region: Tensor, drags: Drags) -> None:
    sizes = expect(image, "1 3 h w", of="image")
    expect(region, "1 1 h w", of="region", h=sizes["h"], w=sizes["w"])
    if not bool((region != 0).any()):
        raise MaskError("the region must hold a pixel, got none; draw where the picture may change")
    if not drags:
        raise PointsError("there must be at least one drag, got none")
    if not all(math.isfinite(c) for drag in drags for point in drag for c in point):
        raise PointsError(f"the coordinates of drags must be finite, got {drags}")


def _pixels(image: Tensor) -> Tensor:
    """Index coordinates of all pixels, row by row, (h*w 2) in x, y order."""
    height, width = image.shape[2:]
    rows = torch.arange(height, dtype=image.dtype, device=image.device)
    columns = torch.arange(width, dtype=image.dtype, device=image.device)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack((x.flatten(), y.flatten()), dim=1)


def _nearest_handle(image: Tensor, drags: Drags) -> Tensor:
    """For every pixel the number of the drag whose handle is nearest, (1 1 h w)."""
    handles = torch.tensor([drag[0] for drag in drags], dtype=image.dtype, device=image.device)
    # A pixel's centre is half a pixel from its corner, where the coordinates of points count from.
    nearest = torch.cdist(_pixels(image) + 0.5, handles).argmin(1)
    return nearest.view(1, 1, *image.shape[2:])


def _shifted(field: Tensor, step: Point) -> Tensor:
    """Move a field by a step in px; 0 comes in from outside."""
    framed = functional.pad(field, (1, 1, 1, 1))
    offset = torch.tensor(step, dtype=field.dtype, device=field.device)
    values = sample(framed, _pixels(field) + 1 - offset)
    return values.transpose(1, 2).reshape(field.shape)
