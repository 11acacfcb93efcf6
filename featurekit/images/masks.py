"""Masks: which part of a picture may change, from whatever paint programs make of it."""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from featurekit.core.errors import MaskError
from featurekit.images.photo import Source, open_layer
from featurekit.images.photographs import is_in_colours, is_photograph

MID_GREY = 128  # of 255; what is as light may change
BOTH = 0.02  # share of what is painted on a transparent layer that counts as a second tone


def load_mask(source: Source, height: int, width: int) -> Tensor:
    """Read a mask: what is as light as mid grey, or lighter, may change.

    How light a colour is, its lightest channel says, so that paint of any colour on black counts.
    On a transparent layer what is painted may change, be it white, black or coloured; if white and
    black are painted, the white. A mask of the numbers 0 and 1 is one of black and white.

    Args:
        source: as in ``load_image``.
        height: rows of the image the mask belongs to, pixels.
        width: columns, likewise.

    Returns:
        Mask (1 1 h w) of 0 and 1, float32 on the CPU.

    Raises:
        ImageError: the file cannot be read; see ``load_image``.
        MaskError: the mask has another size than its image, looks like a photograph or like a
            picture in colours, or has nothing that may change.
    """
    layer = open_layer(source, of="mask")
    if layer.size != (width, height):
        raise MaskError(
            f"a mask must have the size of its image, {width}x{height} px, "
            f"got {layer.width}x{layer.height} px; redraw or resize it"
        )
    over = Image.alpha_composite(Image.new("RGBA", layer.size, "black"), layer).convert("RGB")
    photograph = is_photograph(over)
    if photograph or is_in_colours(over):
        what = "photograph" if photograph else "picture in colours"
        raise MaskError(
            f"a mask must be white on black where the image may change, but this looks like a "
            f"{what}; paint on a black or transparent layer and save that layer alone"
        )
    levels, alpha = np.asarray(over).max(axis=2), np.asarray(layer)[..., 3]
    transparent = bool((alpha < MID_GREY).any())
    if transparent:
        editable = _painted(np.asarray(layer)[..., :3].max(axis=2), alpha)
    elif levels.max() == 1 > levels.min():
        editable = levels == 1
    else:
        editable = levels >= MID_GREY
    if not editable.any():
        found = "nothing painted on a transparent layer" if transparent else "black everywhere"
        lightest = f" (its lightest level is {levels.max()} of 255)" if levels.any() else ""
        raise MaskError(
            f"a mask must be white where the image may change, got {found}{lightest}, "
            f"so nothing may move; paint the editable part white or leave the mask out"
        )
    return torch.from_numpy(editable)[None, None].float()


def _painted(levels: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """What may change of a layer with transparency, (h w)."""
    painted, light = alpha >= MID_GREY, levels >= MID_GREY
    share = float(light[painted].mean()) if painted.any() else 0.0
    return painted & light if BOTH < share < 1 - BOTH else painted
