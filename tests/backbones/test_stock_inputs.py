"""What the stock pipelines give a UNet and an autoencoder by their configs, given here as well."""

import json
import shutil

import pytest
import torch
from diffusers import (
    LCMScheduler,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from reduced import reduced_configs

from featurekit.backbones import load
from featurekit.backbones.unet import sd, sdxl

MEAN, STD = [-1.6, 1.2, 0.4, -2.1], [8.4, 5.9, 3.7, 5.3]


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def parts(model):
    names = ("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "unet")
    return {name: getattr(model, name) for name in names}


@pytest.fixture(scope="module")
def told():
    """An XL with statistics of latents, distilled to know its guidance."""
    configs = reduced_configs("sdxl")
    configs["vae"] = configs["vae"] | {"latents_mean": MEAN, "latents_std": STD}
    configs["unet"] = configs["unet"] | {"time_cond_proj_dim": 32}
    return sdxl.build("xl", configs, device="cpu", seed=1)


def stock(kind, model):
    made = kind(**parts(model), scheduler=LCMScheduler(), add_watermarker=False)
    made.set_progress_bar_config(disable=True)
    return made


@torch.no_grad()
def test_statistics_of_latents_are_applied_as_the_stock_pipeline_applies_them(told):
    pipe, image = stock(StableDiffusionXLImg2ImgPipeline, told), normal(1, 3, 64, 96).clamp(-1, 1)
    found, (mean, std) = told.encode(image), told.moments(image)
    asked = (image, torch.tensor([0]), 1, 1, torch.float32, torch.device("cpu"))
    draw = torch.Generator().manual_seed(5)
    drawn = pipe.prepare_latents(*asked, generator=draw, add_noise=False)
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(mean + std * noise, drawn, rtol=0, atol=1e-5)
    assert torch.equal(found, mean)


@torch.no_grad()
def test_a_latent_is_decoded_as_the_stock_pipeline_decodes_it(told):
    pipe, z = stock(StableDiffusionXLPipeline, told), normal(1, 4, 8, 12)
    given = {"prompt": "a", "latents": z, "height": 64, "width": 96, "num_inference_steps": 1}
    latent = pipe(**given, guidance_scale=1.0, output_type="latent").images
    expected = pipe(**given, guidance_scale=1.0, output_type="pt").images
    seen = (told.decode(latent) / 2 + 0.5).clamp(0, 1)
    torch.testing.assert_close(seen, expected, rtol=0, atol=1e-5)
    assert expected.std() > 0.01


@torch.no_grad()
def test_encoding_and_decoding_undo_each_other_s_scaling(told):
    z = normal(1, 4, 8, 8)
    raw = told.vae.decode(z, return_dict=False)[0]
    mean, std = (torch.tensor(each).view(1, 4, 1, 1) for each in (MEAN, STD))
    scaled = (z - mean) * told.vae.config.scaling_factor / std
    torch.testing.assert_close(told.decode(scaled), raw, rtol=0, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("guidance", [1.0, 7.5])
def test_a_distilled_network_is_told_its_guidance_and_asked_once(told, guidance):
    """What the stock pipeline hands to the UNet is what is handed to it here."""
    seen = []
    hook = told.unet.register_forward_pre_hook(
        lambda module, given, named: seen.append((given, named)), with_kwargs=True
    )
    pipe, z = stock(StableDiffusionXLPipeline, told), normal(1, 4, 8, 12)
    pipe(
        "a face", latents=z, num_inference_steps=1, height=64, width=96,
        guidance_scale=guidance, output_type="latent",
    )  # fmt: skip
    told.predictor(told.embed("a face"), guidance)(z, int(seen[0][0][1]))
    hook.remove()
    (theirs, named), (ours, told_by_us) = seen
    assert ours[0].shape == theirs[0].shape == z.shape
    torch.testing.assert_close(
        told_by_us["timestep_cond"], named["timestep_cond"], rtol=0, atol=1e-6
    )
    torch.testing.assert_close(
        told_by_us["encoder_hidden_states"], named["encoder_hidden_states"], rtol=0, atol=1e-5
    )


@torch.no_grad()
def test_guidance_of_a_distilled_sd_changes_its_answer_and_needs_no_second_row():
    configs = reduced_configs("sd15")
    configs["unet"] = configs["unet"] | {"time_cond_proj_dim": 32}
    model, z = sd.build("lcm", configs, device="cpu"), normal(2, 4, 8, 8)
    words = model.embed("a face")
    plain, guided = (model.predictor(words, scale)(z, 261) for scale in (1.0, 8.0))
    assert (plain - guided).abs().max() > 1e-4
    bare = model.unet(z, 261, encoder_hidden_states=words.states.expand(2, -1, -1)).sample
    assert (plain - bare).abs().max() > 1e-4  # a scale of 1 is told, too


@pytest.mark.parametrize("size", [None, [8, 12]])
def test_a_folder_whose_unet_says_its_size_otherwise_is_read(folder, size):
    config = json.loads((folder / "unet/config.json").read_text()) | {"sample_size": size}
    shutil.rmtree(folder / "unet")
    UNet2DConditionModel.from_config(config).save_pretrained(folder / "unet")
    model = load(str(folder), "cpu")
    assert model.encode(normal(1, 3, 64, 96)).shape == (1, 4, 8, 16)
    if size is not None:
        assert model.sample_size == (8, 16)
