"""Transformers that need more than a latent and words, and latents that they have no place for."""

from types import SimpleNamespace

import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler
from small_cross_attention import lumina2, pixart, sana
from small_language_models import chroma, flux2, qwen_image, z_image
from small_parts import as_latent, as_tokens, drawn, masked
from small_transformers import SMALL, sd3

import featurekit as fk
from featurekit.core.errors import BackboneError, ScheduleError, ShapeError
from featurekit.core.types import Conditioning
from featurekit.diffusion.flow_schedule import schedule_of
from featurekit.taps.capture import capture


def with_config(pipeline, **settings):
    """The pipeline, its transformer saying something else of itself."""
    pipeline.transformer.register_to_config(**settings)
    return pipeline


@pytest.mark.parametrize("name", ["sd35", "pixart_sigma", "sana", "lumina2"])
@pytest.mark.parametrize("setting", ["in_channels", "out_channels"])
def test_other_channels_than_the_autoencoder_s_are_refused(name, setting):
    pipeline = with_config(SMALL[name]().pipeline, **{setting: 33})
    with pytest.raises(BackboneError, match=rf"x must have {setting}=\d+, .* got 33; inpainting"):
        fk.wrap(pipeline, "x")


@pytest.mark.parametrize(
    ("make", "setting", "value", "why"),
    [
        (pixart, "attention_type", "gated", "attends to places of objects"),
        (sana, "guidance_embeds", True, "a Sana Sprint's time is an angle"),
        (qwen_image, "zero_cond_t", True, "a picture to be edited"),
        (qwen_image, "use_layer3d_rope", True, "layers of a picture"),
        (z_image, "siglip_feat_dim", 8, "pictures beside the words"),
    ],
)
def test_networks_that_are_told_more_are_refused(make, setting, value, why):
    pipeline = with_config(make().pipeline, **{setting: value})
    with pytest.raises(BackboneError, match=rf"must have {setting}=.*, got {value!r}: .*{why}"):
        fk.wrap(pipeline, "x")


@pytest.mark.parametrize(("make", "channels"), [(flux2, 128), (qwen_image, 64), (chroma, 64)])
def test_other_channels_than_those_of_squares_are_refused(make, channels):
    pipeline = with_config(make().pipeline, in_channels=33)
    with pytest.raises(BackboneError, match=rf"x must have in_channels={channels}, .* got 33;"):
        fk.wrap(pipeline, "x")


def test_squares_and_patches_of_other_sizes_are_refused():
    pipeline = flux2().pipeline
    pipeline.vae.register_to_config(patch_size=(1, 1))
    with pytest.raises(BackboneError, match=r"must pack squares of 2 x 2 cells, .* got \(1, 1\)"):
        fk.wrap(pipeline, "x")
    pipeline = with_config(z_image().pipeline, all_patch_size=(4,))
    with pytest.raises(BackboneError, match=r"must have patches of 2 x 2 .* got .*\[\(4, 1\)\]"):
        fk.wrap(pipeline, "x")


def test_guidance_of_a_distilled_network_is_refused():
    small = flux2(is_distilled=True)
    small.wrapped().predictor(small.words)
    with pytest.raises(BackboneError, match=r"guidance must be 1 for small, .* got 4"):
        small.wrapped().predictor(small.words, 4.0, unconditional=small.away)


def test_a_mask_that_checkpoints_would_lose_is_refused():
    """Diffusers' Chroma leaves it out of the single blocks that it computes again."""
    small = chroma(words=3)
    backbone, z = small.wrapped(), drawn(1, 16, 6, 10)
    predict = backbone.predictor(small.words)
    backbone.denoiser.enable_gradient_checkpointing()
    with torch.no_grad():
        assert predict(z, 261).isfinite().all()
    with pytest.raises(BackboneError, match=r"without checkpoints, .* disable_gradient_checkpoint"):
        predict(z, 261)


@pytest.mark.parametrize("words", [1, 3])
def test_masked_words_of_chroma_weigh_as_in_its_pipeline(words):
    small = chroma(words=words)
    backbone, z = small.wrapped(), drawn(1, 16, 6, 10)
    theirs = small.pipeline(
        **small.named | small.guided,
        latents=as_tokens(z),
        height=48,
        width=80,
        num_inference_steps=4,
        output_type="latent",
    ).images
    theirs = as_latent(theirs, z.shape)
    predict = backbone.predictor(small.words, 3.0, unconditional=small.away)
    with torch.no_grad():
        ours = fk.sample(predict, z, schedule_of(backbone.noise, 4, cells=(6, 10)))
    assert (ours - theirs).norm() <= 1e-5 * theirs.norm()


def test_guidance_of_qwen_image_is_two_calls_where_one_side_is_masked():
    backbone, z = qwen_image().wrapped(), drawn(1, 16, 6, 10)
    states = drawn(1, 5, 12)
    plain = Conditioning(states, "")
    mask = torch.tensor([[True] * 3 + [False] * 2])
    masked_words = Conditioning(states, "", {"mask": mask})
    predict = backbone.predictor(masked_words, 3.0, unconditional=plain)
    with torch.no_grad(), capture(backbone.denoiser, {"in": "transformer_blocks.0:in"}) as found:
        predict(z, 261)
    assert [len(one) for one in found.all("in")] == [1, 1]
    one = backbone.predictor(masked_words)(z, 261)
    torch.testing.assert_close(one, backbone.predictor(short(masked_words))(z, 261))


def short(words):
    """The same without what its mask hides."""
    return Conditioning(words.states[:, words.extra["mask"][0]], "")


def test_an_image_adapter_is_refused():
    pipeline = sd3().pipeline
    pipeline.transformer.image_proj = torch.nn.Linear(1, 1)
    with pytest.raises(BackboneError, match=r"of x has an image adapter; .*unload_ip_adapter\("):
        fk.wrap(pipeline, "x")


def test_a_pixart_that_answers_something_else_is_refused():
    pipeline = pixart().pipeline
    pipeline.scheduler = DDIMScheduler(prediction_type="v_prediction")
    with pytest.raises(BackboneError, match=r"of x has prediction_type='v_prediction'; load it"):
        fk.wrap(pipeline, "x")


@pytest.mark.parametrize(("make", "side"), [(sd3, 16), (lumina2, 32), (z_image, 32)])
def test_a_latent_without_places_is_refused(make, side):
    small = make()
    predict = small.wrapped().predictor(small.words)
    with torch.no_grad():
        assert predict(torch.zeros(1, 16, 2 * side, 2), 261).isfinite().all()
    with pytest.raises(ShapeError, match=rf"{side} x {side} tokens at most, got {side + 1} x 1"):
        predict(torch.zeros(1, 16, 2 * side + 2, 2), 261)


def test_prompts_of_two_lengths_in_one_call_of_lumina_are_refused():
    backbone = lumina2().wrapped()
    rows = (masked(0), masked(2, words=3))
    both = Conditioning(
        torch.cat([one.states for one in rows]),
        "",
        {"mask": torch.cat([one.extra["mask"] for one in rows])},
    )
    predict = backbone.predictor(both)
    with pytest.raises(ShapeError, match=r"prompts of as many tokens, .* got \[5, 3\]; call it"):
        predict(drawn(2, 16, 6, 10), 261)


@pytest.mark.parametrize(("words", "calls"), [(5, 1), (3, 2)])
def test_guidance_of_lumina_is_one_call_where_prompts_are_as_long(words, calls):
    backbone = lumina2().wrapped()
    predict = backbone.predictor(masked(0), 3.0, unconditional=masked(2, words=words))
    z = drawn(1, 16, 6, 10)
    with torch.no_grad(), capture(backbone.denoiser, {"in": "layers.0:in"}) as found:
        predict(z, 261)
    assert [len(one) for one in found.all("in")] == [3 - calls] * calls


def test_runs_of_lumina_whose_shift_moves_are_refused_and_features_are_not():
    small = lumina2()
    small.pipeline.scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    backbone = small.wrapped()
    with torch.no_grad():
        assert backbone.predictor(small.words)(drawn(1, 16, 6, 10), 261).isfinite().all()
    with pytest.raises(ScheduleError, match="use_dynamic_shifting must be false, got true"):
        schedule_of(backbone.noise, 4, cells=(6, 10))


def test_what_the_picture_s_size_is_told_as():
    """PixArt-alpha of 1024 px is told rows and columns in px, and rows by columns."""
    small = SMALL["pixart_alpha"]()
    seen = []
    small.pipeline.transformer.register_forward_pre_hook(
        lambda module, given, named: seen.append(SimpleNamespace(**named["added_cond_kwargs"])),
        with_kwargs=True,
    )
    with torch.no_grad():
        small.wrapped().predictor(small.words)(drawn(2, 4, 6, 10), 261)
    assert seen[0].resolution.tolist() == [[48, 80]] * 2
    torch.testing.assert_close(seen[0].aspect_ratio, torch.full((2, 1), 0.6))
