"""The block of a layer: the published one, with its resize where it is cheap."""

import pytest
import torch
from torch.nn import functional

from featurekit.core.errors import ConfigError
from featurekit_sketch.network.bottleneck import Bottleneck, groups_of


def published(block, x, size, groups):
    """Resize, then 1x1, 3x3, 1x1 with normalisation, and the shortcut, letter by letter."""

    def normed(y, norm):
        return functional.group_norm(y, groups, norm.weight, norm.bias)

    x = functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
    y = functional.relu(normed(functional.conv2d(x, block.narrow.weight), block.narrow_norm))
    y = functional.conv2d(y, block.around.weight, padding=1)
    y = functional.relu(normed(y, block.around_norm))
    y = normed(functional.conv2d(y, block.widen.weight), block.widen_norm)
    if x.shape[1] != y.shape[1]:
        x = normed(functional.conv2d(x, block.shortcut.weight), block.shortcut_norm)
    return functional.relu(x + y)


def moved(block):
    """Draw what is 1 and 0 at first, so that it shows."""
    generator = torch.Generator().manual_seed(2)
    for parameter in block.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    return block.double()


@pytest.mark.parametrize("channels", [40, 64])
@pytest.mark.parametrize("size", [(3, 5), (8, 8), (12, 7), (2, 2)])
def test_it_is_the_published_block_on_the_resized_map(channels, size):
    block = moved(Bottleneck(channels, 64))
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, channels, 3, 5, generator=generator, dtype=torch.float64)
    expected = published(block, x.clone(), size, groups=16)
    torch.testing.assert_close(block(x, size), expected, rtol=1e-10, atol=1e-10)


def test_what_comes_in_is_not_changed():
    block = moved(Bottleneck(64, 64))
    x = torch.randn(1, 64, 4, 4, generator=torch.Generator().manual_seed(1)).double()
    before = x.clone()
    with torch.no_grad():
        block(x, (4, 4))
    assert torch.equal(x, before)


@pytest.mark.parametrize(("channels", "count"), [(1280, 2_289_600), (640, 1_521_600)])
def test_its_parameters_are_the_published_number(channels, count):
    with torch.device("meta"):
        block = Bottleneck(channels, 960)
    assert sum(one.numel() for one in block.parameters()) == count
    assert not [
        name for name, _ in block.named_parameters() if "bias" in name and "norm" not in name
    ]


def test_a_block_that_keeps_the_width_has_no_shortcut_convolution():
    names = {name for name, _ in Bottleneck(64, 64).named_parameters()}
    assert not {name for name in names if "shortcut" in name}


def test_convolutions_begin_with_the_spread_that_keeps_the_backward_pass_level():
    block = Bottleneck(640, 960)
    for convolution in (block.narrow, block.around, block.widen, block.shortcut):
        fan_out = convolution.out_channels * convolution.kernel_size[0] ** 2
        assert float(convolution.weight.detach().std()) == pytest.approx(
            (2 / fan_out) ** 0.5, rel=0.02
        )


@pytest.mark.parametrize(
    ("width", "groups"), [(960, 16), (384, 32), (128, 32), (80, 4), (96, 8), (64, 16), (16, 4)]
)
def test_groups_are_the_most_that_divide_the_narrow_width(width, groups):
    assert groups_of(width) == groups
    assert Bottleneck(16, width).narrow_norm.num_groups == groups


@pytest.mark.parametrize("width", [24, 40, 8])
def test_a_width_without_groups_is_refused(width):
    with pytest.raises(ConfigError, match=f"must be a multiple of 16, got {width}"):
        Bottleneck(32, width)
