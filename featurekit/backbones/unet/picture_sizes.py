"""What Stable Diffusion XL is told of a picture: its size, and what part of what it shows."""

from dataclasses import replace

import torch
from torch import Tensor

from featurekit.core.errors import ShapeError
from featurekit.core.types import Conditioning

SIZES = "time_ids"  # what they are called in ``Conditioning.extra``
SIZE_COUNT = 6  # original height, width; top, left of the crop; target height, width


def with_sizes(
    conditioning: Conditioning,
    *,
    original_px: tuple[int, int],
    target_px: tuple[int, int],
    crop_px: tuple[int, int] = (0, 0),
) -> Conditioning:
    """Say how large the picture is and what part of what it shows.

    Args:
        conditioning: what ``embed`` returned.
        original_px: height and width before any resizing.
        target_px: height and width that the result stands for.
        crop_px: top and left of the crop.

    Returns:
        The conditioning with these sizes; without them a predictor takes the latent's.

    Raises:
        ShapeError: a size is below 1, or a crop below 0.

    Source: Podell et al. 2023, arXiv:2307.01952, section 2.2.
    """
    if min(*original_px, *target_px) < 1 or min(crop_px) < 0:
        raise ShapeError(
            f"sizes must be at least 1 px and crops at least 0 px, got original {original_px}, "
            f"target {target_px}, crop {crop_px}"
        )
    sizes = told_sizes(original_px, crop_px, target_px)
    return replace(conditioning, extra={**conditioning.extra, SIZES: sizes})


def told_sizes(original: tuple[int, int], crop: tuple[int, int], target: tuple[int, int]) -> Tensor:
    """Sizes in the order in which the UNet was trained to get them, (1 6)."""
    return torch.tensor([[*original, *crop, *target]], dtype=torch.float32)
