"""Every setting that the installed classes know is judged: read, stock, or refused."""

from inspect import signature

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from reduced import reduced_configs
from transformers import CLIPTextConfig

from featurekit.backbones.layout.config_fields import (
    SECOND_TEXT,
    TEXT,
    UNET,
    VAE,
    filled,
    words_width,
)
from featurekit.backbones.unet import sd, sdxl
from featurekit.core.errors import BackboneError
from featurekit.taps.capture import capture

NARROW = {  # two levels of SD's blocks
    "block_out_channels": [8, 16],
    "norm_num_groups": 4,
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    "attention_head_dim": 2,
    "layers_per_block": 1,
}
STOCK_UNET = {  # another value of each setting that is left to the stock class
    "center_input_sample": True,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "downsample_padding": 0,
    "mid_block_scale_factor": 2.0,
    "dropout": 0.5,
    "act_fn": "gelu",
    "norm_num_groups": 8,
    "norm_eps": 1e-3,
    "use_linear_projection": True,
    "upcast_attention": True,
    "resnet_time_scale_shift": "scale_shift",
    "resnet_skip_time_act": True,
    "resnet_out_scale_factor": 2.0,
    "time_embedding_type": "fourier",
    "time_embedding_dim": 48,
    "time_embedding_act_fn": "silu",
    "timestep_post_act": "silu",
    "conv_in_kernel": 5,
    "conv_out_kernel": 1,
    "attention_type": "gated",
    "mid_block_only_cross_attention": True,
    "cross_attention_norm": "layer_norm",
    "addition_embed_type_num_heads": 8,
}
FORMS = [  # what is read, in every form that diffusers takes
    {"sample_size": None},
    {"sample_size": [60, 80]},
    {"only_cross_attention": True},
    {"only_cross_attention": [True, False]},
    {"layers_per_block": [1, 2]},
    {"transformer_layers_per_block": [2, 1]},
    {
        "transformer_layers_per_block": [[2], [1]],
        "reverse_transformer_layers_per_block": [[1, 1], [1, 2]],
    },
    {"attention_head_dim": [2, 4]},
    {"cross_attention_dim": [32, 32]},
    {"cross_attention_dim": 48, "encoder_hid_dim": 32},
    {"cross_attention_dim": 48, "encoder_hid_dim": 32, "encoder_hid_dim_type": "text_proj"},
    {"block_out_channels": [8, 16, 16], "down_block_types": ["CrossAttnDownBlock2D"] * 3,
     "up_block_types": ["CrossAttnUpBlock2D"] * 3},
]  # fmt: skip


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def built(part="unet", **settings):
    configs = reduced_configs("sd15")
    configs["unet"] = configs["unet"] | NARROW
    configs[part] = configs[part] | settings
    return sd.build("mine", configs, device="cpu")


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        (UNET, UNet2DConditionModel),
        (VAE, AutoencoderKL),
        (TEXT, CLIPTextConfig),
        (SECOND_TEXT, CLIPTextConfig),
    ],
)
def test_every_setting_of_the_installed_classes_is_judged_once(settings, kind):
    known = {name: one.default for name, one in signature(kind.__init__).parameters.items()}
    del known["self"]
    groups = [set(settings.read), set(settings.stock), set(settings.fixed)]
    assert set.union(*groups) == set(known)
    assert sum(map(len, groups)) == len(known)
    assert {name: known[name] for name in settings.read} == dict(settings.read)
    assert {name: known[name] for name in settings.fixed} == {
        name: allowed[0] for name, allowed in settings.fixed.items()
    }


def test_every_stock_setting_is_tried():
    assert set(STOCK_UNET) == UNET.stock


@pytest.mark.parametrize(
    "settings",
    [*({name: value} for name, value in STOCK_UNET.items()), *FORMS],
    ids=lambda settings: " ".join(f"{name}={value}" for name, value in settings.items()),
)
@torch.no_grad()
def test_a_setting_leaves_prediction_and_listed_activations_true(settings):
    model, z = built(**settings), normal(1, 4, 8, 12)
    words = model.embed("a face")
    taps = {name: tap for name, tap in model.activations.items() if tap.network == "denoiser"}
    read = {name: tap.address for name, tap in taps.items() if tap.form != "heads"}
    with capture(model.unet, read) as found:
        seen = model.predictor(words)(z, 261)
    assert torch.equal(seen, model.unet(z, 261, encoder_hidden_states=words.states).sample)
    assert seen.std() > 0.01
    for name, tap in taps.items():
        if tap.form == "heads":
            assert model.unet.get_submodule(tap.path).heads == tap.channels
            continue
        cells = (64 // tap.stride, 96 // tap.stride) if tap.stride else (77, 1)
        shape = (1, tap.channels, *cells)
        if tap.form != "map":
            shape = (1, cells[0] * cells[1], tap.channels)
        assert found[name].shape == shape, name


def test_a_first_attention_that_reads_words_is_listed_as_one():
    model = built(only_cross_attention=[True, False])
    roles = {name: tap.role for name, tap in model.activations.items()}
    assert roles["down0.attention0.block0.attn1.k"] == "cross_k"
    assert roles["mid.attention0.block0.attn1.k"] == "self_k"
    assert model.activations["down0.attention0.block0.attn1.q"].form == "tokens"


@pytest.mark.parametrize(
    ("said", "cells"), [(8, (8, 8)), ([60, 80], (60, 80)), ((61, 79), (62, 80))]
)
def test_the_size_that_a_network_was_made_for_may_be_a_pair(said, cells):
    assert built(sample_size=said).sample_size == cells


@pytest.mark.parametrize("said", [None, 0, [8], ["8", 8]])
def test_a_size_that_is_not_said_is_refused_when_it_is_asked_for(said):
    model = built()
    model.unet.register_to_config(sample_size=said)
    with pytest.raises(BackboneError, match=r"must say for which size of latents .* got sample_"):
        model.sample_size  # noqa: B018 - asked for


@pytest.mark.parametrize(
    "settings",
    [
        {"act_fn": "gelu"},
        {"norm_num_groups": 2},
        {"sample_size": [64, 32]},
        {"use_quant_conv": False},
        {"use_post_quant_conv": False},
        {"mid_block_add_attention": False},
        {"scaling_factor": 2.0},
        {"shift_factor": 0.0},
    ],
    ids=str,
)
@torch.no_grad()
def test_a_setting_of_the_autoencoder_leaves_encoding_and_listed_activations_true(settings):
    model, image = built("vae", **settings), normal(1, 3, 16, 32)
    mean = model.vae.encode(image).latent_dist.mean
    read = {name: tap.address for name, tap in model.activations.items() if tap.network == "vae"}
    with capture(model.vae, read) as found:
        latent = model.encode(image)
        model.decode(latent)
    factor = settings.get("scaling_factor", 0.18215)
    torch.testing.assert_close(latent, mean * factor)
    assert {name: found[name].shape[1] for name in read} == {
        name: model.activations[name].channels for name in read
    }


@pytest.mark.parametrize(
    "settings",
    [
        {"output_hidden_states": True},
        {"return_dict": False},
        {"dtype": "float16"},
        {"chunk_size_feed_forward": 1},
        {"is_encoder_decoder": True},
        {"problem_type": "regression"},
        {"hidden_act": "gelu"},
        {"attention_dropout": 0.5},
        {"num_hidden_layers": 1},
        {"eos_token_id": 2},
        {"pad_token_id": 0},
        {"max_position_embeddings": 20},
    ],
    ids=str,
)
@pytest.mark.parametrize("family", ["sd15", "sdxl"])
@torch.no_grad()
def test_a_setting_of_the_text_encoders_leaves_the_states_of_the_stock_class(settings, family):
    configs = reduced_configs(family)
    configs["unet"] = configs["unet"] | NARROW | {"transformer_layers_per_block": 1}
    for part in ("text_encoder", "text_encoder_2"):
        if part in configs:
            configs[part] = configs[part] | settings
    if family == "sdxl" and "return_dict" in settings:
        with pytest.raises(BackboneError, match="text_encoder_2 of mine must have return_dict=T"):
            sdxl.build("mine", configs, device="cpu")
        return
    build = {"sd15": sd.build, "sdxl": sdxl.build}[family]
    model = build("mine", configs, device="cpu")
    ids = model.token_ids("a red face", model.text_encoder, model.tokenizer)
    found = model.embed("a red face")
    stock = model.text_encoder(ids, output_hidden_states=True, return_dict=True)
    first = stock.last_hidden_state if family == "sd15" else stock.hidden_states[-2]
    assert torch.equal(found.states[..., :32], first)
    assert found.states.shape[1] == min(settings.get("max_position_embeddings", 77), 77)


# refusals


@pytest.mark.parametrize(
    ("part", "setting", "message"),
    [
        ("unet", {"num_class_embeds": 10}, "has num_class_embeds=10; another family"),
        ("unet", {"num_class_embeds": 0}, "has num_class_embeds=0; another family"),
        ("unet", {"class_embeddings_concat": True}, "has class_embeddings_concat=True"),
        ("unet", {"encoder_hid_dim_type": "image_proj"}, "encoder_hid_dim_type='image_proj'"),
        ("unet", {"dual_cross_attention": True}, "has dual_cross_attention=True"),
        ("unet", {"addition_embed_type": "text_time"}, "it is an XL: backbone=sdxl"),
        ("unet", {"cross_attention_dim": [32, 16]}, r"must be 32.* got \[32, 16\]"),
        ("unet", {"_class_name": "UNetMotionModel"}, "its config says UNetMotionModel"),
        ("vae", {"in_channels": 4}, "vae of mine must have in_channels=3"),
        ("vae", {"shift_factor": 0.1}, "must have shift_factor=None, .* got 0.1"),
        ("vae", {"latents_mean": [0.0] * 4, "latents_std": [1.0] * 4}, "stock pipelines of Stable"),
        ("vae", {"latents_mean": [0.0] * 4}, "4 numbers each, or neither, got latents_std=None"),
        ("vae", {"latents_mean": [0.0], "latents_std": [1.0]}, r"got latents_mean=\[0.0\]"),
        ("vae", {"_class_name": "AutoencoderTiny"}, "must be a AutoencoderKL, its config says"),
        ("text_encoder", {"architectures": ["CLIPTextModelWithProjection"]}, "WithProjection"),
    ],
    ids=str,
)
def test_what_cannot_be_honoured_is_refused_in_one_sentence(part, setting, message):
    with pytest.raises(BackboneError, match=message) as refusal:
        built(part, **setting)
    assert "\n" not in str(refusal.value)


def test_a_setting_that_nobody_knows_warns():
    with pytest.warns(
        UserWarning, match="unet of mine has settings that are not known here .*: new"
    ):
        built(new=3)


def test_what_a_config_leaves_out_is_the_default_of_the_class():
    bare = dict(reduced_configs("sd15")["vae"])
    del bare["latent_channels"]
    assert filled(bare, "vae")["latent_channels"] == 4
    assert filled({"a": 1}, "scheduler") == {"a": 1}
    assert words_width(filled({"cross_attention_dim": [7, 7]}, "unet")) == 7
