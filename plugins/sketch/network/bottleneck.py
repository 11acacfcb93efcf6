"""The block that every map of the UNet goes through, at whatever size it comes."""

from torch import Tensor, nn
from torch.nn import functional

from featurekit.core.errors import ConfigError

GROUPS = (32, 16, 8, 4)  # of group normalisation; the most that divide the narrow width
SHARE = 4  # the block's width is so many times the narrow one


class Bottleneck(nn.Module):
    """Narrow, look around, widen, and add what came in.

    A map is brought to the asked size behind the first convolution of each path instead of before
    it: a 1x1 convolution without bias and a resize commute, and on the small maps it is cheaper.
    """

    def __init__(self, channels: int, width: int) -> None:
        """Draw first weights.

        Args:
            channels: of the maps that come in.
            width: channels of the result, a multiple of 16.

        Raises:
            ConfigError: the width cannot be normalised in groups.
        """
        super().__init__()
        narrow, groups = width // SHARE, groups_of(width)
        self.narrow = _convolution(channels, narrow, 1)
        self.narrow_norm = nn.GroupNorm(groups, narrow)
        self.around = _convolution(narrow, narrow, 3)
        self.around_norm = nn.GroupNorm(groups, narrow)
        self.widen = _convolution(narrow, width, 1)
        self.widen_norm = nn.GroupNorm(groups, width)
        self.shortcut = _convolution(channels, width, 1) if channels != width else nn.Identity()
        self.shortcut_norm = nn.GroupNorm(groups, width) if channels != width else nn.Identity()

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Transform maps (n c h w) at another size, read bilinearly.

        Args:
            x: maps (n c h w).
            size: rows and columns of the result.

        Returns:
            Maps (n width *size), nowhere negative.
        """
        inner = functional.relu_(self.narrow_norm(_resized(self.narrow(x), size)))
        inner = functional.relu_(self.around_norm(self.around(inner)))
        inner = self.widen_norm(self.widen(inner))
        inner += self.shortcut_norm(_resized(self.shortcut(x), size))
        return functional.relu_(inner)


def groups_of(width: int) -> int:
    """Groups that the widths of a block are normalised in.

    Raises:
        ConfigError: a quarter of the width is no multiple of 4.
    """
    for groups in GROUPS:
        if width % (SHARE * groups) == 0:
            return groups
    raise ConfigError(f"the width of a block must be a multiple of 16, got {width}")


def _convolution(channels: int, width: int, kernel: int) -> nn.Conv2d:
    made = nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(made.weight, mode="fan_out", nonlinearity="relu")
    return made


def _resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(x.shape[-2:]) == size:
        return x
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
