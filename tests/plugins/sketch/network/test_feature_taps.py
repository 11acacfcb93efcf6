"""Which maps a model offers: as published for SD 1.x, and as hooks on the networks see them."""

import pytest
import torch
from invented import configs, feature_taps

from featurekit import load_backbone
from featurekit.backbones.unet import sd
from featurekit.core.errors import BackboneError
from featurekit.taps.capture import capture
from featurekit_sketch.network.feature_taps import FeatureTaps

PUBLISHED_UNET = [(1280, 8)] * 3 + [(1280, 16)] * 3 + [(640, 32)] * 3 + [(320, 64)] * 3
PUBLISHED_VAE = [(512, 64)] * 5 + [(512, 128)] * 3 + [(256, 256)] * 3 + [(128, 512)] * 3


def seen(model, maps, size):
    """Shapes that hooks see when a picture of ``size`` is denoised and decoded."""
    latent = torch.zeros(
        1, model.latent_channels, *(side // model.stride for side in size), device=model.device
    )
    shapes = {}
    for network, taps in ((model.unet, maps.unet), (model.vae, maps.vae)):
        with capture(network, {tap.name: tap.path for tap in taps}) as found, torch.no_grad():
            if network is model.unet:
                model.predictor(model.embed("a face"))(latent, 261)
            else:
                model.decode(latent)
        shapes |= {name: tuple(one.shape[1:]) for name, one in found.items()}
    return shapes


def implied(maps, size):
    """Shapes that the anatomy implies."""
    return {
        tap.name: (tap.channels, *(side // tap.stride for side in size))
        for tap in maps.unet + maps.vae
    }


def test_the_maps_of_sd_1_are_the_published_ones():
    maps = feature_taps("sd15")
    assert [(tap.channels, 512 // tap.stride) for tap in maps.unet] == PUBLISHED_UNET
    assert [(tap.channels, 512 // tap.stride) for tap in maps.vae] == PUBLISHED_VAE
    assert (len(maps.low), len(maps.top)) == (9, 3)
    assert [len(stage) for stage in maps.decoder] == [5, 3, 3, 3]
    unet_paths = [f"up_blocks.{i}.resnets.{j}.conv2" for i in range(4) for j in range(3)]
    vae_paths = [f"decoder.mid_block.resnets.{j}" for j in range(2)]
    vae_paths += [f"decoder.up_blocks.{i}.resnets.{j}" for i in range(4) for j in range(3)]
    assert [tap.path for tap in maps.unet + maps.vae] == unet_paths + vae_paths


def test_hooks_on_sd_1_see_the_maps_of_its_anatomy():
    maps = feature_taps("sd15")
    shapes = seen(sd.from_config("sd15", device="meta"), maps, (512, 512))
    assert shapes == implied(maps, (512, 512))
    sizes = {name: torch.Size(shape).numel() for name, shape in shapes.items()}
    assert sum(sizes[tap.name] for tap in maps.unet) == 7_127_040
    assert sum(sizes[tap.name] for tap in maps.vae) == 186_646_528


def test_the_embedded_model_offers_8_and_8_and_hooks_see_them():
    maps = feature_taps("embedded")
    assert (len(maps.unet), len(maps.vae)) == (8, 8)
    assert seen(load_backbone("random", device="cpu"), maps, (64, 96)) == implied(maps, (64, 96))


def test_the_widths_of_sd_1_are_the_published_ones():
    maps = feature_taps("sd15")
    assert (maps.low_width, maps.top_width) == (960, 384)
    assert maps.fused_widths == (256, 128, 64)
    assert maps.reduced_widths == (16, 16, 8, 8)
    assert (maps.middle_stride, maps.stride) == (16, 8)


def test_the_embedded_model_has_narrower_ones_and_a_doubling_less():
    maps = feature_taps("embedded")
    assert (maps.low_width, maps.top_width) == (128, 80)
    assert maps.fused_widths == (64, 32)
    assert maps.reduced_widths == (16, 8, 8)
    assert (maps.middle_stride, maps.stride) == (8, 4)


@pytest.mark.parametrize("width", range(8, 400, 24))
def test_every_width_but_the_first_level_s_can_be_normalised_in_16_groups(width):
    found = configs("sd15")
    channels = [width, 640, 1280, 1280]
    maps = FeatureTaps.of(found["unet"] | {"block_out_channels": channels}, found["vae"])
    assert maps.low_width == 3 * width
    assert maps.top_width >= 1.2 * width > maps.top_width - 16
    assert all(one % 16 == 0 for one in (maps.top_width, *maps.fused_widths))
    assert all(a >= b > 0 for a, b in zip(maps.fused_widths, maps.fused_widths[1:], strict=False))


def test_blocks_may_differ_in_their_layers():
    found = configs("narrow")
    changed = found | {"unet": found["unet"] | {"layers_per_block": [1, 2, 2, 3]}}
    maps = FeatureTaps.of(changed["unet"], changed["vae"])
    model = sd.build("sd15", changed, device="meta", dtype="float32")
    assert [len([t for t in maps.unet if t.name[1] == str(i)]) for i in range(4)] == [4, 3, 3, 2]
    assert seen(model, maps, (128, 64)) == implied(maps, (128, 64))


@pytest.mark.parametrize(("part", "word"), [("unet", "UNet"), ("vae", "autoencoder")])
def test_a_model_of_one_resolution_is_refused(part, word):
    found = configs("sd15")
    kinds = {
        "down_block_types": ["CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D"],
    }
    found |= {part: found[part] | {"block_out_channels": [320]} | kinds}
    with pytest.raises(BackboneError, match=f"at least 2 resolutions in its {word}, got 1"):
        FeatureTaps.of(found["unet"], found["vae"])


def test_a_unet_of_other_blocks_is_refused():
    found = configs("sd15")
    kinds = {"up_block_types": ["AttnUpBlock2D"] * 4}
    with pytest.raises(BackboneError, match=r"must be built of .*, got 'AttnUpBlock2D'"):
        FeatureTaps.of(found["unet"] | kinds, found["vae"])
