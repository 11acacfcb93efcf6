"""Backbones with a transformer beside their stock pipelines: guidance, pictures in and out."""

import pytest
import torch
from small_parts import as_tokens, drawn
from small_transformers import SMALL

import featurekit as fk
from featurekit.core.errors import BackboneError, ShapeError
from featurekit.core.types import Conditioning
from featurekit.diffusion.flow_schedule import schedule_of
from featurekit.taps.capture import capture
from featurekit.taps.tokens_to_maps import as_map

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module", params=list(SMALL))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def small(name):
    return SMALL[name]()


@pytest.fixture(scope="module")
def backbone(small):
    return small.wrapped()


@pytest.fixture(scope="module")
def latent(backbone):
    """One latent of three by five tokens."""
    rows, columns = (side * backbone.multiple // backbone.stride for side in (3, 5))
    return drawn(1, backbone.latent_channels, rows, columns)


def stock(small, backbone, z, steps, **named):
    """What the stock pipeline gives for a latent."""
    height, width = (side * backbone.stride for side in z.shape[2:])
    return small.pipeline(
        **(small.named | small.options | {"output_type": "latent"} | named),
        latents=(as_tokens(z) if small.packed else z).clone(),
        height=height,
        width=width,
        num_inference_steps=steps,
    ).images


def test_guidance_is_that_of_the_stock_pipeline(small, backbone, latent):
    theirs = stock(small, backbone, latent, 4, **small.guided)
    theirs = small.ours(theirs, latent.shape)
    schedule = schedule_of(backbone.noise, 4, cells=tuple(latent.shape[2:]))
    predict = backbone.predictor(small.words, 3.0, unconditional=small.away)
    plain = backbone.predictor(small.words)
    with torch.no_grad():
        ours = fk.sample(predict, latent, schedule)
        assert not torch.allclose(predict(latent, 261), plain(latent, 261), atol=1e-4)
    assert (ours - theirs).norm() <= 1e-5 * theirs.norm()


def test_what_guidance_leads_away_from_is_part_of_what_it_predicts_with(small, backbone):
    other = Conditioning(small.words.states + 1, "", small.words.extra)
    told = [
        backbone.predictor(small.words, 3.0, unconditional=away).fingerprint
        for away in (small.words, other, small.words)
    ]
    assert told[0] == told[2]
    assert (told[0] == told[1]) == (backbone.copies(3.0) == 1)
    if backbone.copies(3.0) == 2:
        with pytest.raises(BackboneError, match="has no text_encoder"):
            backbone.predictor(small.words, 3.0)


@torch.no_grad()
def test_a_latent_is_decoded_as_the_stock_pipeline_does(small, backbone, latent):
    theirs = stock(small, backbone, latent, 2, output_type="pt")  # a terminal sigma needs two
    end = stock(small, backbone, latent, 2)
    ours = backbone.decode(small.ours(end, latent.shape))
    assert theirs.min() > 0 or theirs.std() > 1e-3
    assert ((ours / 2 + 0.5).clamp(0, 1) - theirs).norm() <= 1e-6 * theirs.norm()


@torch.no_grad()
def test_a_picture_is_encoded_and_noised_as_the_stock_pipeline_does(small, backbone, latent):
    picture = drawn(1, 3, *(side * backbone.stride for side in latent.shape[2:])).clamp(-1, 1)
    mean, std = backbone.moments(picture)
    if small.encoded:
        theirs = small.encoded(small.pipeline, picture)
        torch.testing.assert_close(mean, theirs, rtol=0, atol=1e-6)
        return
    if small.started is None:  # no stock pipeline starts from a picture: what decoding undoes
        found = backbone.vae.encode(picture)
        scale, shift = backbone.vae.config.scaling_factor, backbone.vae.config.get("shift_factor")
        theirs = found.latent_dist.mean if hasattr(found, "latent_dist") else found.latent
        torch.testing.assert_close(mean, (theirs - (shift or 0)) * scale, rtol=0, atol=1e-6)
        return
    small.pipeline.scheduler = type(small.pipeline.scheduler).from_config(
        small.pipeline.scheduler.config
    )
    schedule = schedule_of(backbone.noise, 4, cells=tuple(latent.shape[2:]))
    small.pipeline.scheduler.timesteps = torch.tensor(schedule.timesteps, dtype=torch.float32)
    small.pipeline.scheduler.sigmas = schedule.sigmas.flip(0).float()
    t = small.pipeline.scheduler.timesteps[1]
    theirs = small.started(small.pipeline, picture, t, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    drawn_mean = mean + std * torch.randn(mean.shape, generator=generator)
    noise = torch.randn(mean.shape, generator=generator)
    ours = backbone.noise.noised(drawn_mean, noise, float(t))
    theirs = small.ours(theirs, mean.shape)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_gradients_through_checkpoints_are_those_without(small, latent):
    backbone = small.wrapped()
    tap = list(backbone.taps)[len(backbone.taps) // 2]
    found = []
    for enable in (lambda: None, backbone.denoiser.enable_gradient_checkpointing):
        enable()
        z = latent.clone().requires_grad_()
        with capture(backbone.denoiser, backbone.addresses(tap)) as features:
            answer = backbone.predictor(small.words)(z, 261)
            (answer.square().sum() + features[tap].square().sum()).backward()
        found.append((answer.detach(), z.grad))
    backbone.denoiser.disable_gradient_checkpointing()
    torch.testing.assert_close(found[1], found[0], rtol=1e-5, atol=1e-6)


def test_half_the_bits_are_enough(name, small, latent):
    fresh = SMALL[name]()
    fresh.pipeline.to(dtype=torch.bfloat16)
    backbone = fresh.wrapped()
    picture = drawn(1, 3, *(side * backbone.stride for side in latent.shape[2:])).clamp(-1, 1)
    with torch.no_grad():
        # a time that bfloat16 has: networks round theirs before they take its sine
        answer = backbone.predictor(fresh.words)(latent.bfloat16(), 256)
        full = small.wrapped().predictor(small.words)(latent, 256)
        z = backbone.encode(picture)
        back = backbone.decode(z)
    assert answer.dtype == torch.bfloat16
    assert (answer - full).norm() <= 0.05 * full.norm()
    assert z.dtype == back.dtype == torch.float32
    assert z.isfinite().all()
    assert back.isfinite().all()


def test_words_of_other_rows_and_places_of_words_are_refused(small, backbone, latent):
    three = Conditioning(
        small.words.states.repeat(3, 1, 1),
        "",
        {name: torch.cat([one] * 3) for name, one in small.words.extra.items()},
    )
    with pytest.raises(ShapeError, match="conditioning must have 1 row or one per row"):
        backbone.predictor(three)(latent.repeat(2, 1, 1, 1), 261)
    with pytest.raises(BackboneError, match="has no text_encoder"):
        backbone.token_indices("a face", "face")


@torch.no_grad()
def test_maps_of_the_autoencoder_have_their_published_form(backbone, latent):
    size = tuple(side * backbone.stride for side in latent.shape[2:])
    taps = {name: tap for name, tap in backbone.activations.items() if tap.network == "vae"}
    if backbone.vae.config.get("z_dim"):  # an autoencoder of films, which has no maps
        assert not taps
        return
    assert {tap.role for tap in taps.values()} == {"vae_encoder", "vae_decoder"}
    read = {name: tap.address for name, tap in taps.items()}
    with capture(backbone.vae, read) as found:
        backbone.decode(backbone.encode(drawn(1, 3, *size).clamp(-1, 1)))
    for name, tap in taps.items():
        assert as_map(found[name], tap, size_px=size).shape[1] == tap.channels
