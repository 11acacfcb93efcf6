"""Image fidelity (IF): how much of the picture is still what it was, by LPIPS."""

import torch
from torch import Tensor
from torch.nn import functional

from featurekit.measures.perceptual.distances import Perceptual

SIDE_PX = 224  # both pictures are stretched to it, without antialiasing, as the published code does


@torch.no_grad()
def perceptual_distance(a: Tensor, b: Tensor, perceptual: Perceptual) -> float:
    """LPIPS of two pictures (1 3 h w) in [-1, 1] at the size that published figures have."""
    first, second = (_stretched(one) for one in (a, b))
    return float(perceptual.distance(first, second))


def image_fidelity(source: Tensor, edit: Tensor, perceptual: Perceptual) -> float:
    """1 - LPIPS of an edit to its source: 1 is the same picture, which doing nothing gives.

    Source: Shi et al. 2024, arXiv:2306.14435, section 4.2 (after Kawar et al. 2023).
    """
    return 1 - perceptual_distance(source, edit, perceptual)


def fidelity_outside(
    source: Tensor, edit: Tensor, mask: Tensor | None, perceptual: Perceptual
) -> float | None:
    """IF of what should have stayed: the edit with the source's own pixels inside the mask.

    Args:
        source: (1 3 h w) in [-1, 1].
        edit: the same shape.
        mask: (1 1 h w), nonzero where the picture may change.
        perceptual: LPIPS.

    Returns:
        1 where nothing outside has changed; None without a mask, or with one that covers all.
    """
    if mask is None or bool((mask != 0).all()):
        return None
    return image_fidelity(source, torch.where(mask != 0, source, edit), perceptual)


def _stretched(image: Tensor) -> Tensor:
    size = (SIDE_PX, SIDE_PX)
    return functional.interpolate(image.float(), size, mode="bilinear", align_corners=False)
