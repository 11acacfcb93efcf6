"""Stable Diffusion XL: what diffusers' own pipeline computes, from folders and from configs."""

import shutil

import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler, StableDiffusionXLPipeline
from reduced import reduced_configs
from safetensors.torch import load_file, save_file

from featurekit.backbones import load
from featurekit.backbones.unet import sd, sdxl
from featurekit.core.errors import BackboneError, ShapeError
from featurekit.core.types import Conditioning
from featurekit.pipeline.config import compose


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A narrow model, written by diffusers itself; do not change it."""
    configs = reduced_configs("sdxl")
    model = sdxl.build("sdxl", configs, device="cpu", seed=1)
    pipe = StableDiffusionXLPipeline(
        vae=model.vae,
        text_encoder=model.text_encoder,
        text_encoder_2=model.text_encoder_2,
        tokenizer=model.tokenizer,
        tokenizer_2=model.tokenizer_2,
        unet=model.unet,
        scheduler=EulerDiscreteScheduler.from_config(configs["scheduler"]),
        add_watermarker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    path = tmp_path_factory.mktemp("models") / "sdxl"
    pipe.save_pretrained(path)
    return path


@pytest.fixture
def spoilt(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "model")


@pytest.fixture(scope="module")
def ours(folder):
    return load("sdxl", "cpu", source=folder)


@pytest.fixture(scope="module")
def theirs(folder):
    pipe = StableDiffusionXLPipeline.from_pretrained(folder, add_watermarker=False)
    pipe.scheduler = DDIMScheduler.from_config(
        pipe.scheduler.config
    )  # hands the latent on unscaled
    pipe.set_progress_bar_config(disable=True)
    return pipe


@torch.no_grad()
@pytest.mark.parametrize("prompt", ["a red face", ""])
def test_a_prompt_becomes_what_the_pipeline_makes_of_it(ours, theirs, prompt):
    given = {"prompt": prompt} if prompt else {"prompt": "a", "negative_prompt": None}
    found = theirs.encode_prompt(**given, device="cpu", do_classifier_free_guidance=True)
    states, pooled = (found[0], found[2]) if prompt else (found[1], found[3])
    embedded = ours.embed(prompt)
    torch.testing.assert_close(embedded.states, states, rtol=0, atol=1e-6)
    torch.testing.assert_close(embedded.extra["pooled"], pooled, rtol=0, atol=1e-6)
    assert embedded.states.shape == (1, 77, 32 + 48)


@torch.no_grad()
def test_encoding_and_decoding_are_the_pipelines_autoencoder(ours, theirs):
    image = normal(2, 3, 64, 128).clamp(-1, 1)
    posterior = theirs.vae.encode(image).latent_dist
    factor = theirs.vae.config.scaling_factor
    assert factor == pytest.approx(0.13025)  # not Stable Diffusion 1's
    mean, std = ours.moments(image)
    torch.testing.assert_close(mean, posterior.mean * factor, rtol=0, atol=1e-5)
    torch.testing.assert_close(std, posterior.std * factor, rtol=0, atol=1e-5)
    assert torch.equal(ours.encode(image), mean)
    decoded = theirs.vae.decode(mean / factor).sample
    torch.testing.assert_close(ours.decode(mean), decoded, rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_one_step_sees_the_network_given_what_the_pipeline_gives_it(ours, theirs, guidance):
    """The inputs that the pipeline hands to its UNet, recorded, are ours at the same latent."""
    seen = []
    hook = theirs.unet.register_forward_pre_hook(
        lambda module, given, named: seen.append((given, named)), with_kwargs=True
    )
    theirs(
        "a red face", num_inference_steps=1, height=64, width=96, guidance_scale=guidance,
        generator=torch.Generator().manual_seed(0), output_type="latent",
    )  # fmt: skip
    hook.remove()
    (latent, t), named = seen[0]
    mine = []
    hook = ours.unet.register_forward_pre_hook(
        lambda module, given, named: mine.append((given, named)), with_kwargs=True
    )
    z = latent[-1:]
    ours.predictor(ours.embed("a red face"), guidance)(z, int(t))
    hook.remove()
    (rows, told), given = mine[0]
    assert told == int(t)
    assert torch.equal(rows, latent)
    torch.testing.assert_close(
        given["encoder_hidden_states"], named["encoder_hidden_states"], rtol=0, atol=1e-6
    )
    for key in ("text_embeds", "time_ids"):
        expected = named["added_cond_kwargs"][key]
        torch.testing.assert_close(given["added_cond_kwargs"][key], expected, rtol=0, atol=1e-6)
    assert given["added_cond_kwargs"]["time_ids"][0].tolist() == [64, 96, 0, 0, 64, 96]


@torch.no_grad()
def test_sizes_that_are_said_reach_the_network_and_change_it(ours):
    plain, z = ours.embed("a face"), normal(2, 4, 8, 8)
    sized = sdxl.with_sizes(plain, original_px=(512, 640), target_px=(1024, 768), crop_px=(3, 5))
    seen = []
    hook = ours.unet.register_forward_pre_hook(
        lambda module, given, named: seen.append(named["added_cond_kwargs"]["time_ids"]),
        with_kwargs=True,
    )
    found = ours.predictor(sized, 2.0)(z, 10)
    hook.remove()
    assert seen[0].tolist() == [[512, 640, 3, 5, 1024, 768]] * 4
    assert not torch.equal(found, ours.predictor(plain, 2.0)(z, 10))
    assert sized.fingerprint != plain.fingerprint


@torch.no_grad()
def test_guidance_goes_beyond_zeros_where_the_model_was_trained_with_them(ours):
    z, conditioning = normal(1, 4, 8, 8), ours.embed("a face")
    assert ours.embed("").states.abs().max() == 0
    without = ours.predictor(ours.embed(""))(z, 10)
    expected = without + 3.0 * (ours.predictor(conditioning)(z, 10) - without)
    torch.testing.assert_close(
        ours.predictor(conditioning, 3.0)(z, 10), expected, atol=1e-5, rtol=0
    )


def test_a_model_that_says_so_encodes_the_empty_prompt(spoilt):
    index = spoilt / "model_index.json"
    index.write_text(index.read_text().replace('empty_prompt": true', 'empty_prompt": false'))
    assert load(str(spoilt), "cpu").embed("").states.abs().max() > 0
    index.unlink()
    assert load(str(spoilt), "cpu").embed("").states.abs().max() == 0


def test_a_folder_says_which_family_it_is_of(folder):
    model = load(str(folder), "cpu")
    assert isinstance(model, sdxl.StableDiffusionXL)
    assert set(model.weights) == {
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
        "text_encoder_2/model.safetensors",
    }
    assert model.multiple == 32
    for network in (model.unet, model.vae, model.text_encoder, model.text_encoder_2):
        assert not any(weight.requires_grad for weight in network.parameters())


def test_the_autoencoder_stays_in_float32_where_float16_would_overflow(folder):
    model = load("sdxl", "cpu", "float16", source=folder)
    assert (model.dtype, model.vae.dtype) == (torch.float16, torch.float32)
    assert model.text_encoder_2.dtype == torch.float16


def test_gradients_reach_the_latent_and_no_weight(ours):
    z = normal(1, 4, 8, 8).requires_grad_()
    ours.predictor(ours.embed("a"), 2.0)(z, 10).square().sum().backward()
    assert z.grad.abs().max() > 0
    assert all(weight.grad is None for weight in ours.unet.parameters())


def test_the_real_sizes_are_built_from_configs_without_memory():
    model = sdxl.from_config(device="meta")
    millions = [sum(w.numel() for w in part.parameters()) / 1e6
                for part in (model.unet, model.text_encoder_2)]  # fmt: skip
    assert millions == pytest.approx([2567.46, 694.66], abs=0.01)
    assert model.noise.prediction == "epsilon"


# refusals


def test_a_folder_without_its_second_encoder_is_refused(spoilt):
    (spoilt / "text_encoder_2/config.json").unlink()
    with pytest.raises(BackboneError, match=r"has no text_encoder_2/config\.json"):
        load(str(spoilt), "cpu")


def test_weights_or_words_that_are_missing_are_refused(spoilt):
    path = spoilt / "text_encoder_2/model.safetensors"
    tensors = load_file(path)
    tensors.pop("text_projection.weight")
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(BackboneError, match=r"missing 1 \['text_projection\.weight'\]"):
        load(str(spoilt), "cpu")
    shutil.rmtree(spoilt / "tokenizer_2")
    with pytest.raises(BackboneError, match=r"must hold tokenizer_2/tokenizer\.json"):
        load(str(spoilt), "cpu")


def test_another_family_is_refused_by_both(folder):
    with pytest.raises(BackboneError, match="need text states alone"):
        sd.load_folder(folder, name="sd15", device="cpu")
    with pytest.raises(
        BackboneError, match=r"a Stable Diffusion XL must need .* addition_embed_type=None"
    ):
        sdxl.build("mine", reduced_configs("sd15"), device="cpu")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"cross_attention_dim": 48}, "cross_attention_dim of mine must be 80, .* got 48"),
        ({"projection_class_embeddings_input_dim": 80}, "must be 88, .* got 80; .*refining"),
        ({"in_channels": 9}, "in_channels of mine must be 4"),
        ({"class_embed_type": "timestep"}, "has class_embed_type='timestep'"),
    ],
)
def test_parts_that_do_not_fit_are_refused(setting, message):
    configs = reduced_configs("sdxl")
    with pytest.raises(BackboneError, match=message):
        sdxl.build("mine", configs | {"unet": configs["unet"] | setting}, device="cpu")


def test_conditioning_of_another_family_is_refused(ours):
    with pytest.raises(
        ShapeError, match=r"must hold the pooled text as extra\['pooled'\], got \[\]"
    ):
        ours.predictor(Conditioning(normal(1, 77, 80), "a"))


@pytest.mark.parametrize("wrong", [{"original_px": (0, 5)}, {"crop_px": (-1, 0)}])
def test_sizes_that_are_none_are_refused(ours, wrong):
    given = {"original_px": (8, 8), "target_px": (8, 8)} | wrong
    with pytest.raises(ShapeError, match="sizes must be at least 1 px and crops at least 0 px"):
        sdxl.with_sizes(ours.embed("a"), **given)


def test_a_hub_id_of_an_xl_runs_as_its_folder_does(folder, offline):
    cached, commit = offline / "models--some--where", "0" * 40
    shutil.copytree(folder, cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    by_id, by_path = (compose([f"backbone={one}"]) for one in ("some/where", folder))
    assert by_id.backbone.source == "some/where"
    assert {**by_id.backbone, "source": ""} == {**by_path.backbone, "source": ""}
    loaded = [
        load(one.backbone.name, "cpu", source=one.backbone.source) for one in (by_id, by_path)
    ]
    assert loaded[0].weights == loaded[1].weights
    assert loaded[0].embed("a face").extra.keys() == loaded[1].embed("a face").extra.keys()
