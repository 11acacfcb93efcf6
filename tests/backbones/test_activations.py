"""Every listed activation is where the listing says, in the real sizes of each family."""

from collections import Counter

import pytest
import torch
from diffusers.models.attention import BasicTransformerBlock, FeedForward
from diffusers.models.attention_processor import Attention
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.upsampling import Upsample2D

from featurekit.backbones import load
from featurekit.backbones.describe import describe_backbone
from featurekit.backbones.folder import bundled_configs, embedded_folder, read_configs
from featurekit.backbones.unet import sd, sdxl
from featurekit.backbones.unet.blocks import activations
from featurekit.backbones.unet.unet_taps import inner_taps
from featurekit.backbones.vae_taps import vae_taps
from featurekit.core.errors import BackboneError
from featurekit.core.types import Conditioning, Tap
from featurekit.taps.capture import capture

MODELS = {
    "embedded": lambda: sd.build("embedded", read_configs(embedded_folder()), device="meta"),
    "sd15": lambda: sd.from_config("sd15", device="meta"),
    "sd21": lambda: sd.from_config("sd21", device="meta"),
    "sdxl": lambda: sdxl.from_config(device="meta"),
}
SIZE = (64, 128)  # whole cells of every tap
WORDS = 77


@pytest.mark.parametrize("name", MODELS)
def test_every_listed_tap_is_in_the_network_with_its_channels_and_stride(name):
    model, listed = MODELS[name](), describe_backbone(name)
    assert len({tap.name for tap in listed}) == len(listed)
    forward = {"denoiser": model.denoiser, "vae": model.vae}
    paths = {network: dict(forward[network].named_modules()) for network in forward}
    assert [tap.name for tap in listed if tap.path not in paths[tap.network]] == []
    states = torch.zeros(1, WORDS, model.unet.config.cross_attention_dim, device="meta")
    pooled = torch.zeros(1, 1280, device="meta")  # read by sdxl alone
    latent = torch.zeros(1, model.latent_channels, *(s // model.stride for s in SIZE))
    read = {
        network: {t.name: t.address for t in listed if t.network == network and t.form != "heads"}
        for network in forward
    }
    with capture(model.unet, read["denoiser"]) as in_unet:
        model.predictor(Conditioning(states, "", {"pooled": pooled}))(latent.to("meta"), 261)
    with capture(model.vae, read["vae"]) as in_vae:
        model.encode(torch.zeros(1, 3, *SIZE))
        model.decode(latent.to("meta"))
    for tap in listed:
        if tap.form == "heads":
            assert paths["denoiser"][tap.path].heads == tap.channels
            continue
        shape = tuple((in_vae if tap.network == "vae" else in_unet)[tap.name].shape)
        cells = [size // tap.stride for size in SIZE] if tap.stride else [WORDS]
        if tap.form == "map":
            assert shape == (1, tap.channels, *cells)
        else:
            assert shape == (1, cells[0] if tap.form == "words" else cells[0] * cells[1],
                             tap.channels)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "resnets", "attentions", "blocks", "samplers", "skips"),
    [("sd15", 22, 16, 16, 6, 12), ("sd21", 22, 16, 16, 6, 12), ("sdxl", 17, 11, 70, 4, 9)],
)
def test_there_are_as_many_as_the_config_makes(name, resnets, attentions, blocks, samplers, skips):
    found = Counter(tap.role for tap in describe_backbone(name) if tap.network == "denoiser")
    assert found["resnet"] == found["resnet_in"] == found["conv2"] == resnets
    assert found["attention"] == attentions
    assert found["transformer_block"] == found["ff_inner"] == blocks
    projections = [f"{kind}_{part}" for kind in ("self", "cross") for part in "qkv"]
    assert sum(found[role] for role in projections) == 6 * blocks
    assert found["self_attention"] + found["cross_attention"] == 2 * blocks
    assert found["self_map"] + found["cross_map"] == 2 * blocks
    assert found["downsampler"] + found["upsampler"] == samplers
    assert found["skip"] == skips
    assert found["conv_in"] == 1
    levels = len(bundled_configs(name)["unet"]["block_out_channels"])
    assert (found["down"], found["mid"], found["up"]) == (levels, 1, levels)


@pytest.mark.parametrize("name", ["embedded", "sd15", "sd21", "sdxl"])
def test_every_module_of_each_kind_is_listed_with_all_that_can_be_read_of_it(name):
    model, sides = MODELS[name](), Counter()
    listed = {(tap.network, tap.address) for tap in describe_backbone(name)}
    kinds = {
        ResnetBlock2D: ("", ":in", ".conv2"),
        Transformer2DModel: ("",),
        BasicTransformerBlock: ("",),
        Attention: ("", ".to_q", ".to_k", ".to_v", ":map"),
        FeedForward: (".net.0",),
        Downsample2D: ("",),
        Upsample2D: ("",),
    }
    for path, part in model.unet.named_modules():
        for end in next((ends for kind, ends in kinds.items() if isinstance(part, kind)), ()):
            assert ("denoiser", f"{path}{end}") in listed
            sides[type(part)] += 1
    assert set(sides) == set(kinds)
    for block in range(len(model.unet.up_blocks)):
        for number in range(len(model.unet.up_blocks[block].resnets)):
            assert ("denoiser", f"up_blocks.{block}:skip{number}") in listed
    for path, part in model.vae.named_modules():
        if isinstance(part, (ResnetBlock2D, Attention)):
            assert ("vae", path) in listed


def test_the_known_ones_are_where_they_are_known_to_be():
    found = {tap.name: tap for tap in describe_backbone("sdxl")}
    block = "up_blocks.0.attentions.1.transformer_blocks.9"
    assert found["up0.attention1.block9.attn2.q"] == Tap(
        "up0.attention1.block9.attn2.q", f"{block}.attn2.to_q", "cross_q", 1280, 32, form="tokens"
    )
    assert found["up1.skip2"].channels == 320
    assert found["up1.skip2"].address == "up_blocks.1:skip2"
    assert found["up0.resnet0.in"].channels == 1280 + 1280
    assert found["up0.resnet0.in"].address == "up_blocks.0.resnets.0:in"
    assert found["up0.attention0.block0.attn1.map"].channels == 20
    assert found["vae.encoder.down1.resnet0"].path == "encoder.down_blocks.1.resnets.0"


def test_the_loaded_model_lists_what_its_name_lists():
    model = load("random", "cpu")
    assert tuple(model.activations.values()) == describe_backbone("random")


def test_transformers_may_differ_within_a_block():
    configs = bundled_configs("sdxl")
    depth = {
        "transformer_layers_per_block": [1, [1, 3], 2],
        "reverse_transformer_layers_per_block": [2, [4, 5, 6], 1],
    }
    listed = activations(configs["unet"] | depth, configs["vae"])
    found = Counter(
        tap.name.rpartition(".")[0] for tap in listed if tap.role == "transformer_block"
    )
    assert (found["down1.attention0"], found["down1.attention1"]) == (1, 3)
    assert (found["mid.attention0"], found["up0.attention2"]) == (2, 2)
    assert (found["up1.attention0"], found["up1.attention2"]) == (4, 6)


def test_an_autoencoder_may_have_no_attention():
    vae = bundled_configs("sd15")["vae"]
    plain = vae_taps(vae | {"mid_block_add_attention": False})
    assert len(vae_taps(vae)) - len(plain) == 2


# refusals


def test_double_transformers_are_refused():
    configs = bundled_configs("sd15")
    with pytest.raises(
        BackboneError, match=r"one cross-attention a block, .* dual_cross_attention"
    ):
        inner_taps(configs["unet"] | {"dual_cross_attention": True}, describe_backbone("sd15"))


def test_depths_of_other_blocks_are_refused():
    configs = bundled_configs("sd15")
    with pytest.raises(BackboneError, match=r"transformer_layers_per_block must .* name 4 blocks"):
        activations(configs["unet"] | {"transformer_layers_per_block": [1, 2]}, configs["vae"])
    with pytest.raises(BackboneError, match=r"must name every attention of a block, got \[1, 3\]"):
        activations(
            bundled_configs("sdxl")["unet"] | {"transformer_layers_per_block": [1, [1, 3], 2]},
            configs["vae"],
        )
