"""From the latent's resolution to a sketch: the published widths and the published arithmetic."""

import pytest
import torch
from invented import feature_taps, features
from torch import nn
from torch.nn import functional

from featurekit_sketch.network.decoder import Decoder


def incoming(decoder):
    """Channels that reach each fusing and the last stage."""
    fused = [next(c for c in one if isinstance(c, nn.Conv2d)) for one in decoder.fusers]
    return [one.in_channels for one in (*fused, decoder.out[0])]


@pytest.mark.parametrize(
    ("carried", "adorned", "channels"),
    [
        (768, True, [848, 304, 152, 91]),
        (768, False, [768, 256, 128, 64]),
        (0, True, [80, 304, 152, 91]),
    ],
)
def test_the_channels_of_sd_1_are_the_published_ones(carried, adorned, channels):
    with torch.device("meta"):
        decoder = Decoder(feature_taps("sd15"), carried=carried, adorned=adorned)
    assert incoming(decoder) == channels
    assert [one[1].out_channels for one in decoder.fusers] == [256, 128, 64]
    assert (decoder.out[0].out_channels, decoder.out[-1].out_channels) == (64, 1)


def test_the_embedded_model_s_channels():
    decoder = Decoder(feature_taps("embedded"), carried=160, adorned=True)
    assert incoming(decoder) == [160 + 4 * 16, 64 + 2 * 8, 32 + 2 * 8 + 3]


def published(decoder, carried, stages, picture):
    """Letter by letter."""

    def looking(x, convolution, norm, groups):
        x = functional.conv2d(x, convolution.weight, padding=1)
        return functional.gelu(functional.group_norm(x, groups, norm.weight, norm.bias))

    x = carried
    for i, maps in enumerate(stages):
        for reducer, y in zip(decoder.reducers[i], maps, strict=True):
            narrow = functional.conv2d(y, reducer[0].weight, reducer[0].bias)
            x = torch.cat([x, looking(narrow, reducer[1], reducer[2], 4)], dim=1)
        if i < len(stages) - 1:
            x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
            x = looking(x, decoder.fusers[i][1], decoder.fusers[i][2], 16)
    x = looking(torch.cat([x, picture], dim=1), decoder.out[0], decoder.out[1], 4)
    return functional.conv2d(x, decoder.out[3].weight, decoder.out[3].bias)


def test_it_draws_what_the_published_arithmetic_draws():
    maps = feature_taps("embedded")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        decoder = Decoder(maps, carried=32, adorned=True).double()
        for parameter in decoder.parameters():
            parameter.data += 0.1 * torch.randn(parameter.shape)
    given = features(maps, 32, 64, rows=2, dtype=torch.float64)
    carried = torch.randn(2, 32, 8, 16, generator=torch.Generator().manual_seed(5)).double()
    stages = [[given.vae[tap.name] for tap in stage] for stage in maps.decoder]
    drawn = decoder(carried, stages, given.image)
    expected = published(decoder, carried, stages, given.image)
    assert drawn.shape == (2, 1, 32, 64)
    torch.testing.assert_close(drawn, expected, rtol=1e-10, atol=1e-10)


def test_a_picture_brighter_than_white_is_not_clamped():
    maps = feature_taps("embedded")
    decoder = Decoder(maps, carried=0, adorned=True)
    given = features(maps, 32, 32)
    stages = [[given.vae[tap.name] for tap in stage] for stage in maps.decoder]
    with torch.no_grad():
        drawn = [decoder(None, stages, given.image.clamp(2, 3) + x) for x in (0, given.image)]
    assert (drawn[0] - drawn[1]).abs().max() > 1e-6
