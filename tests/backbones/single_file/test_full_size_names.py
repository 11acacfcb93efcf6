"""The real networks, without their numbers: every name of a published file has a place."""

import json

import pytest
from diffusers.loaders.single_file_utils import (
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
)
from ldm_layout import single_file_weights, vae_weights, with_leftovers

from featurekit.backbones import describe_backbone, folder, settings_for
from featurekit.backbones.single_file import kinds
from featurekit.backbones.unet import sd, sdxl

FAMILIES = ("sd15", "sd21", "sdxl")
PUBLISHED = {  # names that stand in the published files, one of each kind, with their shapes
    "sd15": {
        "model.diffusion_model.output_blocks.11.0.skip_connection.weight": (320, 640, 1, 1),
        "model.diffusion_model.input_blocks.9.0.op.weight": (1280, 1280, 3, 3),
        "model.diffusion_model.output_blocks.8.2.conv.weight": (640, 640, 3, 3),
        "first_stage_model.decoder.up.3.upsample.conv.weight": (512, 512, 3, 3),
        "first_stage_model.decoder.mid.attn_1.q.weight": (512, 512, 1, 1),
        "cond_stage_model.transformer.text_model.encoder.layers.11.mlp.fc2.weight": (768, 3072),
    },
    "sd21": {
        "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight": (
            *(320, 1024),
        ),
        "cond_stage_model.model.transformer.resblocks.22.attn.in_proj_weight": (3072, 1024),
        "cond_stage_model.model.transformer.resblocks.23.mlp.c_fc.weight": (4096, 1024),
        "cond_stage_model.model.positional_embedding": (77, 1024),
    },
    "sdxl": {
        "model.diffusion_model.label_emb.0.0.weight": (1280, 2816),
        "model.diffusion_model.middle_block.1.transformer_blocks.9.attn1.to_q.weight": (
            *(1280, 1280),
        ),
        "conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias": (1280,),
        "conditioner.embedders.1.model.text_projection": (1280, 1280),
        "conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight": (
            *(49408, 768),
        ),
    },
}


@pytest.fixture(autouse=True)
def full_size(monkeypatch):
    """The families as they are, not the narrow ones of the other tests."""
    monkeypatch.setattr(kinds, "bundled_configs", folder.bundled_configs)


@pytest.fixture(scope="module")
def real():
    """The real networks on the meta device, and their weights' names and shapes in one file."""
    made = {}

    def of(family):
        if family not in made:
            build = sdxl.from_config if family == "sdxl" else sd.from_config
            model = build(family, device="meta", dtype="float16")
            made[family] = model, with_leftovers(single_file_weights(model, family), family)
        return made[family]

    return of


@pytest.mark.parametrize("family", FAMILIES)
def test_published_names_are_those_that_tests_make(family, real):
    _, weights = real(family)
    for name, shape in PUBLISHED[family].items():
        assert tuple(weights[name].shape) == shape, name


@pytest.mark.parametrize("family", FAMILIES)
def test_diffusers_gives_every_name_its_place(family, real):
    model, weights = real(family)
    unet = {name: one for name, one in weights.items() if name.startswith("model.diffusion")}
    found = convert_ldm_unet_checkpoint(unet, dict(model.unet.config))
    wanted = model.unet.state_dict()
    assert {name: one.shape for name, one in found.items()} == {
        name: one.shape for name, one in wanted.items()
    }
    assert len(found) == len(unet)
    own = vae_weights(model.vae)
    found = convert_ldm_vae_checkpoint(own, dict(model.vae.config))
    assert {name: one.shape for name, one in found.items()} == {
        name: one.shape for name, one in model.vae.state_dict().items()
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_a_real_file_is_known_by_its_header(family, real, tmp_path):
    """Its gigabytes are a hole on the disk, so that reading a weight would give nothing."""
    _, weights = real(family)
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, one in weights.items():
        begin, end = end, end + 2 * one.numel()
        header[name] = {"dtype": "F16", "shape": list(one.shape), "data_offsets": [begin, end]}
    path = tmp_path / "model.safetensors"
    words = json.dumps(header).encode()
    words += b" " * (-len(words) % 8)
    with path.open("wb") as file:
        file.write(len(words).to_bytes(8, "little") + words)
        file.truncate(8 + len(words) + end)
    assert kinds.identify(path).family == family
    assert kinds.identify(path).unread == ()
    assert settings_for(str(path)) == ("sdxl" if family == "sdxl" else "sd15")
    assert describe_backbone(str(path)) == describe_backbone(family)
