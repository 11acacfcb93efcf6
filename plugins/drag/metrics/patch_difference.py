"""Dragging accuracy index (DAI): is what lay at the handle now at the target, pixel by pixel?"""

import torch
from torch import Tensor

from featurekit.core.errors import ConfigError
from featurekit_drag.engine.points import Points

RADII_PX = (1, 5, 10, 20)  # gamma in the paper


def patch_difference(source: Tensor, edit: Tensor, points: Points, *, radius_px: int) -> float:
    """Compare the patch at each handle of the source with that at its target in the edit.

    Squared differences of pictures in [0, 1], summed over the channels, are averaged over the
    pixels of a patch and over the drags. Of a patch that leaves the picture those pixels count
    that lie inside on both sides.

    Args:
        source: (1 3 h w) in [-1, 1].
        edit: the same shape.
        points: the patches' pixels are those that handles and targets lie in.
        radius_px: a patch has 2 * radius_px + 1 pixels a side, >= 0.

    Returns:
        Mean over the drags, >= 0; 0 where each patch has come along unchanged. The published
        script divides by the number of drags once more.

    Raises:
        ConfigError: the radius is negative.

    Source: Zhang et al. 2025 (GoodDrag), arXiv:2404.07206, eq. 8, and evaluation/compute_DAI.py.
    """
    if radius_px < 0:
        raise ConfigError(f"radius_px must be 0 or more, got {radius_px}")
    size = torch.tensor([source.shape[-1], source.shape[-2]])
    steps = torch.arange(-radius_px, radius_px + 1)
    offsets = torch.cartesian_prod(steps, steps)
    total = 0.0
    for handle, target in zip(points.handles, points.targets, strict=True):
        before, after = (_pixel(place, size) + offsets for place in (handle, target))
        inside = ((before >= 0) & (before < size) & (after >= 0) & (after < size)).all(dim=1)
        gap = (_at(source, before[inside]) - _at(edit, after[inside])) / 2
        total += float(gap.square().sum(dim=0).mean())
    return total / len(points.handles)


def _pixel(place: Tensor, size: Tensor) -> Tensor:
    """Column and row of the pixel that a place lies in; the far borders belong to the last."""
    return torch.minimum(place.floor().long(), size - 1)


def _at(image: Tensor, pixels: Tensor) -> Tensor:
    """Colours of pixels (n 2), (3 n) float64."""
    return image[0].detach().cpu().double()[:, pixels[:, 1], pixels[:, 0]]
