"""Features as colours: the three directions in which they vary most, red, green and blue."""

from math import ceil

import torch
from PIL import Image
from torch import Tensor

from featurekit.core.errors import ImageError
from featurekit.core.fields import pca
from featurekit.core.shapes import expect

SMALLEST_TILE_PX = 256  # longer side of the smallest picture that is pleasant to look at


def feature_picture(features: Tensor) -> Image.Image:
    """Show a feature map by its three principal components as red, green and blue.

    Args:
        features: (1 c h w), c >= 3.

    Returns:
        Picture with square cells, the longer side at least 256 px. Each component spans its own
        middle 98 %, so colours compare within one picture and not between two.

    Raises:
        ShapeError: the features are not (1 c h w), or of fewer than three channels.
        ImageError: they hold NaN or infinities.
    """
    expect(features, "b c h w", of="features", b=1)
    found = features.detach().float()
    if not bool(found.isfinite().all()):
        raise ImageError("features to be shown must be finite, got NaN or infinity")
    components = pca(found, components=3)
    flat = components.flatten(2)
    low = flat.quantile(0.01, dim=2)[..., None, None]
    high = flat.quantile(0.99, dim=2)[..., None, None]
    shares = (components - low) / (high - low).clamp(min=1e-12)
    levels = (shares.clamp(0, 1) * 255).round().to("cpu", torch.uint8)
    picture = Image.fromarray(levels[0].permute(1, 2, 0).contiguous().numpy())
    factor = ceil(SMALLEST_TILE_PX / max(picture.size))
    return picture.resize(
        (picture.width * factor, picture.height * factor), Image.Resampling.NEAREST
    )
