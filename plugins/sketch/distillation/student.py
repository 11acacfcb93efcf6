"""The student: a picture of any size to the logit of its ink, by one small network."""

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTHS = (24, 48, 96)  # channels at stride 2, 4 and 8
DILATIONS = (1, 2, 4, 8)  # of the blocks at stride 8: what a thing is shows from far
AT_FULL_SIZE = (12, 16)  # channels that come up to the picture, and after it was seen again
STRIDE = 8  # sides must be a multiple, to which they are filled up
PAPER = -2.0  # logit that the network begins with: most of a page is blank


class Block(nn.Module):
    """Two 3x3 convolutions beside an identity, each with its statistics, (b c h w) to the same."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        """Start as the identity, so that depth costs no learning.

        Args:
            channels: in and out.
            dilation: of the first convolution.
        """
        super().__init__()
        first = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False)
        second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        last = nn.BatchNorm2d(channels)
        nn.init.zeros_(last.weight)
        self.change = nn.Sequential(first, nn.BatchNorm2d(channels), nn.ReLU(), second, last)

    def forward(self, x: Tensor) -> Tensor:
        """Change what comes in a little."""
        return functional.relu(x + self.change(x))


class Student(nn.Module):
    """Picture to logit of ink, 0.82 million parameters.

    A quarter of its work is at stride 2 and less than a tenth at full size, where memory is what
    takes time. Batch statistics become part of the convolutions when it is exported, which
    normalisation over a picture could not; and what a pixel becomes then depends on its
    surroundings alone, not on how large the picture is.
    """

    def __init__(self) -> None:
        """Draw blank paper at first."""
        super().__init__()
        top, middle, bottom = WIDTHS
        raised, last = AT_FULL_SIZE
        # of 6x6 at every other pixel: what 3x3 is on cells of 2x2 pixels
        self.down2 = _seen(3, top, 6, stride=2)
        self.down4 = nn.Sequential(_seen(top, middle, 3, stride=2), Block(middle))
        self.down8 = nn.Sequential(
            _seen(middle, bottom, 3, stride=2), *(Block(bottom, one) for one in DILATIONS)
        )
        self.across8, self.up4 = _seen(bottom, middle, 1), Block(middle)
        self.across4, self.up2 = _seen(middle, top, 1), Block(top)
        self.across2 = _seen(top, raised, 1)
        self.again = _seen(raised + 3, last, 3)  # convolutions last: cells would show as a halftone
        self.ink = nn.Conv2d(last, 1, 3, padding=1)
        nn.init.constant_(self.ink.get_parameter("bias"), PAPER)

    def forward(self, picture: Tensor) -> Tensor:
        """Draw.

        Args:
            picture: (b 3 h w) in [-1, 1], any h and w.

        Returns:
            Logit of ink (b 1 h w): positive where a line is likelier than paper.
        """
        height, width = picture.shape[-2:]
        whole = filled_up(picture, STRIDE)
        at2 = self.down2(whole)
        at4 = self.down4(at2)
        x = _enlarged(self.across8(self.down8(at4)), at4)
        x = _enlarged(self.across4(self.up4(x + at4)), at2)
        x = _enlarged(self.across2(self.up2(x + at2)), whole)
        logit: Tensor = self.ink(self.again(torch.cat([x, whole], 1)))
        return logit[..., :height, :width]


def filled_up(picture: Tensor, multiple: int) -> Tensor:
    """Reflect a picture at its right and lower border, by 1 px or more, to the next multiple.

    By addressing pixels, and also where nothing is missing, so that an exported graph is one for
    all sizes; a picture that is smaller than what is added repeats its first row or column.

    Args:
        picture: (b c h w).
        multiple: of px.
    """
    for axis in (2, 3):
        side = picture.shape[axis]
        places = torch.arange(side + multiple - side % multiple, device=picture.device)
        mirrored = (side - 1 - (side - 1 - places).abs()).clamp(min=0)
        picture = picture.index_select(axis, mirrored)
    return picture


def count_of(network: nn.Module) -> int:
    """How many numbers a network has learnt."""
    return sum(one.numel() for one in network.parameters())


def _seen(given: int, made: int, side: int, *, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(given, made, side, stride, (side - stride + 1) // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(made), nn.ReLU())


def _enlarged(x: Tensor, like: Tensor) -> Tensor:
    """Twice the size, which is that of another map."""
    return functional.interpolate(x, like.shape[-2:], mode="bilinear")
