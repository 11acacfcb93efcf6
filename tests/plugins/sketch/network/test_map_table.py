"""Which maps of a transformer are read: some blocks over its depth, and the decoder's."""

import pytest
import torch
from small_parts import drawn
from small_transformers import SMALL

import featurekit as fk
from featurekit.core.types import Tap
from featurekit.taps.capture import capture
from featurekit.taps.tokens_to_maps import as_map
from featurekit_sketch.network.feature_taps import FeatureTaps
from featurekit_sketch.network.map_table import map_table, spread
from featurekit_sketch.two_scales.network import TwoScaleNetwork
from featurekit_sketch.two_scales.reading import TwoScaleMaps, learnt_maps, map_specs

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module", params=list(SMALL))
def small(request):
    return request.param, SMALL[request.param]()


@pytest.mark.parametrize(
    ("count", "numbers"),
    [(57, [11, 22, 34, 45]), (28, [5, 11, 16, 22]), (4, [0, 1, 2, 3]), (2, [0, 1]), (1, [0])],
)
def test_blocks_lie_at_equal_distances(count, numbers):
    taps = [Tap(f"block{i}", "", "adaln", 8, 16) for i in range(count)]
    assert [tap.name for tap in spread(taps, 4)] == [f"block{i}" for i in numbers]


def test_what_flux_reads_is_normed_and_modulated():
    table = map_table(SMALL["flux_dev"]().wrapped())
    assert [tap.name for tap in table.denoiser] == [
        "double0.norm",
        "double1.norm",
        "single0.norm",
        "single1.norm",
    ]
    assert [tap.name for tap in table.vae][:3] == [
        "vae.decoder.mid.resnet0",
        "vae.decoder.mid.resnet1",
        "vae.decoder.up0.resnet0",
    ]
    assert table.stride == 8


def test_a_unet_offers_the_maps_of_the_paper():
    backbone = fk.load_backbone("random")
    table = map_table(backbone)
    assert table == FeatureTaps.of(backbone.unet.config, backbone.vae.config)
    assert table.denoiser == table.unet


@torch.no_grad()
def test_every_map_is_what_the_table_says_and_a_network_takes_it(small):
    """As they come of a picture: three by five tokens, whatever their stride."""
    name, pipe = small
    backbone, table = pipe.wrapped(), map_table(pipe.wrapped())
    size_px = (6 * backbone.multiple, 10 * backbone.multiple)
    latent = drawn(1, backbone.latent_channels, *(side // backbone.stride for side in size_px))
    addresses = {tap.name: tap.address for tap in table.denoiser}
    with capture(backbone.denoiser, addresses, stop_after=True) as found:
        backbone.predictor(pipe.words)(latent, 261)
    maps = {
        f"fine.{tap.name}": as_map(found[tap.name], tap, size_px=size_px) for tap in table.denoiser
    }
    maps |= {
        name.replace("fine.", "half."): torch.nn.functional.avg_pool2d(one, 2)
        for name, one in maps.items()
    }
    if table.vae:
        with capture(backbone.vae, {tap.name: tap.address for tap in table.vae}) as found:
            backbone.decode(latent)
        maps |= dict(found)
    assert bool(table.vae) == (name != "qwen_image")
    specs = map_specs(table, 1, ("unet", "vae"))
    assert {spec.name for spec in specs} == set(maps) == learnt_maps(table, ("unet", "vae"))
    for spec in specs:
        assert maps[spec.name].shape == (
            1,
            spec.channels,
            *(side // spec.stride for side in size_px),
        )
    network = TwoScaleNetwork(specs, doublings=table.stride.bit_length() - 1)
    assert network(TwoScaleMaps(maps, torch.zeros(1, 3, *size_px))).shape == (1, 1, *size_px)
