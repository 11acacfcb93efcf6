"""The mask: what may move, at latent resolution and as a soft seam over the picture."""

import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from scipy.ndimage import distance_transform_cdt
from torch import Tensor

from featurekit.core.errors import MaskError
from featurekit.core.shapes import expect
from featurekit.images.coordinates import pad
from featurekit_drag.engine.points import Points


def latent_mask(mask: Tensor, *, stride: int, multiple: int) -> Tensor:
    """Carry a mask of the picture to the latent grid by nearest neighbour.

    Args:
        mask: (1 1 h w) of the input image, 1 where it may change.
        stride: px of the image per latent cell.
        multiple: px an image is padded to; the padding may not change.

    Returns:
        (1 1 H/stride W/stride) of zeros and ones, for the padded image.

    Raises:
        MaskError: no cell is left; the mask is smaller than one.
    """
    height, width = mask.shape[-2:]
    padded = pad(mask, multiple)
    padded[..., height:, :] = 0
    padded[..., width:] = 0
    size = (padded.shape[-2] // stride, padded.shape[-1] // stride)
    cells = F.interpolate(padded, size=size, mode="nearest")
    if not cells.any():
        raise MaskError(
            f"a mask must cover a cell of {stride} px, this one is {int(mask.sum())} px in all; "
            f"paint a larger one"
        )
    return cells


def feathered(mask: Tensor, width_px: int) -> Tensor:
    """Let a mask fall from 1 to 0 over a seam outside it.

    Args:
        mask: (1 1 h w) of zeros and ones.
        width_px: the value is 0 from ``width_px + 1`` px outside the mask on.

    Returns:
        (1 1 h w) in [0, 1], 1 inside the mask.
    """
    if not bool(mask.any()):
        return mask
    apart = distance_transform_cdt((mask[0, 0] == 0).cpu().numpy(), metric="chessboard")
    seam = width_px + 1
    return (seam - torch.from_numpy(apart).to(mask)).clamp_min(0)[None, None] / seam


def compose(edit: Tensor, image: Tensor, soft_mask: Tensor) -> Tensor:
    """Lay the edit over the image; where the mask is 0 the pixels are the image's own.

    Args:
        edit: (1 3 h w) in [-1, 1].
        image: likewise.
        soft_mask: (1 1 h w) in [0, 1].
    """
    return torch.where(soft_mask > 0, soft_mask * edit + (1 - soft_mask) * image, image)


def may_change_at(mask: Tensor, x: float, y: float) -> bool:
    """Whether a mask (1 1 h w) frees the pixel of a point of its picture."""
    height, width = mask.shape[-2:]
    return bool(mask[0, 0, min(int(y), height - 1), min(int(x), width - 1)] != 0)


def check_mask(mask: Tensor, points: Points) -> None:
    """Refuse a mask that holds a handle in place.

    Raises:
        ShapeError: not (1 1 h w).
        MaskError: its numbers are no floats, or a handle lies outside the editable part.
    """
    expect(mask, "1 1 h w", of="mask")
    if not mask.is_floating_point():
        raise MaskError(f"a mask must be a float tensor of 0 and 1, got {mask.dtype}; use .float()")
    for x, y in points.handles.tolist():
        if not may_change_at(mask, x, y):
            raise MaskError(
                f"every handle must lie inside the mask (white may change), the one at "
                f"({x:g}, {y:g}) does not; paint the mask over it"
            )
