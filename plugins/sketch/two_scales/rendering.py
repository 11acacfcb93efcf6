"""From the logit of ink to a drawing that a pen could have made: no specks, no grey rims."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from scipy.ndimage import binary_dilation, binary_propagation
from torch import Tensor
from torch.nn import functional

STEEP = 4.0  # of the last step, per px
LARGE = 2.0  # times the logit's sides from which on its own slope makes the rims
OFFSETS = tuple(0.1 * number for number in range(-15, 11))  # of the logit, to choose among
SURE, FAINT = 0.7, 0.3  # ink fainter than the first is kept where it touches such, down to the last
ERASED = -3.0  # logit of ink that touches none
AROUND = np.ones((1, 1, 3, 3), dtype=bool)  # the eight neighbours within one drawing
FINER = 2  # times the picture's sides that the last step is taken at, and averaged


def crisp(logit: Tensor, height: int, width: int, *, offset: float = 0.0) -> Tensor:
    """Draw at a picture's size.

    Faint ink stays where it is connected to sure ink (hysteresis). The logit is enlarged
    bicubically and passed through a steep step, so that a stroke's rim is one pixel wide whatever
    the size. Up to twice the logit's sides the step is taken at twice the picture's and averaged,
    so that no line is lost; farther up the logit over its slope is how far a rim is, in px, and
    one step a pixel is enough, which takes a fifth of the time.

    Args:
        logit: of ink, (b c h w), at the size that a style works at.
        height: rows of the picture, px.
        width: columns, likewise.
        offset: of the logit at which ink is half; more makes strokes wider.

    Returns:
        Ink (b c height width) in [0, 1], white paper is 1.
    """
    kept = torch.where(_connected(logit), logit, logit.clamp(max=ERASED))
    larger = min(height / logit.shape[-2], width / logit.shape[-1])
    if larger > LARGE:
        rows = _cubic(logit.shape[-2], height).to(logit)
        columns = _cubic(logit.shape[-1], width).to(logit)
        enlarged = rows @ (kept @ columns.T) + offset
        away = enlarged / _slope(enlarged).clamp_(min=1 / larger)
        return away.mul_(-STEEP).sigmoid_()
    enlarged = _enlarged(kept, FINER * height, FINER * width)
    ink = 1 - torch.sigmoid(STEEP * max(1.0, larger) * (enlarged + offset))
    return functional.interpolate(ink, (height, width), mode="area")


def toned(logit: Tensor, height: int, width: int) -> Tensor:
    """Ink of drawings with greys or colours, as it is: (b c h w) to (b c height width)."""
    ink = 1 - torch.sigmoid(_enlarged(logit, height, width))
    return functional.interpolate(ink, (height, width), mode="area")


def offset_of(logits: Sequence[Tensor], inks: Sequence[Tensor]) -> float:
    """The offset with which as much is inked as in the drawings that were learnt from.

    Args:
        logits: of ink, (1 c h w) each.
        inks: true ink of the same pictures and sizes.
    """
    wanted = float(torch.cat([ink.flatten() for ink in inks]).mean())

    def missed(offset: float) -> float:
        drawn = [crisp(one, *one.shape[-2:], offset=offset).flatten() for one in logits]
        return abs(float(torch.cat(drawn).mean()) - wanted)

    return min(OFFSETS, key=missed)


def _connected(logit: Tensor) -> Tensor:
    """Where ink is sure or connected to sure ink over faint ink, and a pixel around it."""
    chance = torch.sigmoid(logit.detach()).cpu().numpy()
    sure, faint = chance > SURE, chance > FAINT
    connected = binary_propagation(sure, structure=AROUND, mask=faint)
    kept = torch.from_numpy(binary_dilation(connected, structure=AROUND))
    return kept.to(logit.device)


@lru_cache(maxsize=8)
def _cubic(small: int, large: int) -> Tensor:
    """What enlarging a side bicubically is made of, (large small); its products are half the time.

    Args:
        small: the side, px.
        large: that it is enlarged to.
    """
    whole = torch.eye(small)[None, None]
    return functional.interpolate(whole, (large, small), mode="bicubic")[0, 0]


def _slope(logit: Tensor) -> Tensor:
    """How much a logit (b c h w) changes in a pixel, the same shape, by central differences."""
    across, down = torch.gradient(logit, dim=(-1, -2))
    return across.square_().addcmul_(down, down).sqrt_()


def _enlarged(logit: Tensor, height: int, width: int) -> Tensor:
    """A logit of at least these sides, bicubically; it is never made smaller."""
    size = (max(height, logit.shape[-2]), max(width, logit.shape[-1]))
    if logit.shape[-2:] == size:
        return logit
    return functional.interpolate(logit, size, mode="bicubic")
