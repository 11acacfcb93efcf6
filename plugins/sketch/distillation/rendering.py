"""From logit to ink inside an exported graph: a steep step at twice the size, averaged."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from featurekit_sketch.two_scales.rendering import STEEP

CUBIC = -0.75  # a of Keys' kernel, as torch and ONNX enlarge bicubically
REACH = 2  # px to each side that a half pixel is made of


class Rendering(nn.Module):
    """Logit (b 1 h w) to ink (b 1 h w) in [0, 1], white paper is 1.

    What ``two_scales.rendering.crisp`` does without its search for strokes that are connected: the
    logit is enlarged bicubically to twice the size, goes through a steep step and is averaged over
    2x2, so that thin lines become crisp and stay smooth. The four halves of a pixel are four 5x5
    convolutions, which is the same arithmetic as enlarging, and half the time of the whole student
    less in onnxruntime, whose bicubic resize is slow.
    """

    kernels: Tensor

    def __init__(self) -> None:
        """Compute the kernels; nothing of them is learnt."""
        super().__init__()
        self.register_buffer("kernels", _halves(), persistent=False)

    def forward(self, logit: Tensor) -> Tensor:
        """Draw the ink of a logit."""
        border = functional.pad(logit, (REACH,) * 4, mode="replicate")
        halves = functional.conv2d(border, self.kernels)
        return 1 - torch.sigmoid(STEEP * halves).mean(1, keepdim=True)


def _halves() -> Tensor:
    """What each of the four quarters of a pixel is made of, (4 1 5 5)."""
    distances = [0.25 + offset for offset in (1.5, 0.5, 0.0, 1.0)]  # of pixels -2, -1, 0, 1
    left = torch.tensor([*map(_keys, distances), 0.0])
    pair = torch.stack((left, left.flip(0)))
    return torch.einsum("ai,bj->abij", pair, pair).reshape(4, 1, 5, 5)


def _keys(x: float) -> float:
    """Keys' cubic at a distance of 0 to 2 px (Keys 1981, eq. 4, with a free)."""
    if x <= 1:
        return (CUBIC + 2) * x**3 - (CUBIC + 3) * x**2 + 1
    return CUBIC * (x**3 - 5 * x**2 + 8 * x - 4)
