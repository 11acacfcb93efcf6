"""What every backbone must keep: procedures and plugins rely on nothing else."""

import pytest
import torch
from families import EVERY

from featurekit.core.errors import ShapeError
from featurekit.diffusion.backbone import Backbone
from featurekit.taps.attention_maps import attention_maps
from featurekit.taps.capture import capture
from featurekit.taps.tokens_to_maps import as_map

LEVELS = {"sdxl": 3}  # all others have four


@pytest.fixture(scope="module", params=list(EVERY))
def backbone(request):
    return EVERY[request.param]()


@pytest.fixture(scope="module")
def image(backbone):
    """Two pictures that are no multiple of anything, wider than high."""
    generator = torch.Generator().manual_seed(0)
    size = (backbone.multiple - 3, 2 * backbone.multiple - 5)
    return torch.rand(2, 3, *size, generator=generator) * 2 - 1


@pytest.fixture(scope="module")
def latent(backbone, image):
    with torch.no_grad():
        return backbone.encode(image)


def test_it_has_every_member_of_the_protocol(backbone):
    members = [name for name in vars(Backbone) if not name.startswith("_")]
    assert len(members) >= 18
    assert [name for name in members if not hasattr(backbone, name)] == []


def test_published_taps_are_what_a_forward_gives(backbone, latent):
    with capture(backbone.unet, {tap.name: tap.path for tap in backbone.taps.values()}) as found:
        backbone.predictor(backbone.embed("a face"))(latent, 261)
    height, width = (size * backbone.stride for size in latent.shape[2:])
    for name, tap in backbone.taps.items():
        assert tap.name == name
        assert found[name].shape == (2, tap.channels, height // tap.stride, width // tap.stride)


def test_the_blocks_have_their_common_names(backbone):
    levels = LEVELS.get(backbone.name, 4)
    names = ["mid", *(f"{way}{i}" for way in ("down", "up") for i in range(levels))]
    assert [name for name in names if name not in backbone.taps] == []
    assert [tap.name for tap in backbone.taps.values() if tap.role == "up"] == names[levels + 1 :]


def test_every_activation_is_captured_once_with_its_published_form(backbone, latent):
    listed = [tap for tap in backbone.activations.values() if tap.network == "denoiser"]
    assert list(backbone.taps.items()) == list(backbone.activations.items())[: len(backbone.taps)]
    read = {tap.name: tap.address for tap in listed if tap.form != "heads"}
    maps = {tap.name: tap.address for tap in listed if tap.form == "heads"}
    predict = backbone.predictor(backbone.embed("a face"))
    with torch.no_grad():
        plain = predict(latent, 261)
        with capture(backbone.unet, read) as found, attention_maps(backbone.unet, maps) as seen:
            assert torch.equal(predict(latent, 261), plain)
    size = tuple(side * backbone.stride for side in latent.shape[2:])
    words = backbone.embed("a face").states.shape[1]
    for tap in listed:
        cells = [side // tap.stride for side in size] if tap.stride else []
        if tap.form == "heads":  # reduced to the mean over heads; found by name: fired once
            keys = words if tap.role == "cross_map" else cells[0] * cells[1]
            assert seen[tap.name].shape == (2, cells[0] * cells[1], keys)
        elif tap.form == "words":
            assert found[tap.name].shape == (2, words, tap.channels)
        else:
            assert as_map(found[tap.name], tap, size_px=size).shape == (2, tap.channels, *cells)


def test_every_map_of_the_autoencoder_is_captured_with_its_published_form(backbone, image):
    listed = [tap for tap in backbone.activations.values() if tap.network == "vae"]
    with torch.no_grad(), capture(backbone.vae, {t.name: t.address for t in listed}) as found:
        size = backbone.decode(backbone.encode(image)).shape[2:]
    assert {tap.role for tap in listed} == {"vae_encoder", "vae_decoder"}
    for tap in listed:
        cells = (side // tap.stride for side in size)
        assert found[tap.name].shape == (2, tap.channels, *cells)


def test_hooks_are_gone_after_success_and_after_an_exception(backbone, latent):
    taps = {tap.name: tap.address for tap in backbone.taps.values()}
    predict = backbone.predictor(backbone.embed("a face"))
    with torch.no_grad(), capture(backbone.unet, taps):
        predict(latent, 261)
    with pytest.raises(ZeroDivisionError, match="zero"), capture(backbone.unet, taps):
        1 / 0  # noqa: B018 - raised on purpose
    parts = list(backbone.unet.modules())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in parts)


def test_the_timestep_given_is_the_one_the_network_saw(backbone, latent):
    seen = []
    hook = backbone.unet.register_forward_pre_hook(lambda module, given: seen.append(given[1]))
    with torch.no_grad():
        for guidance in (1.0, 2.5):
            backbone.predictor(backbone.embed("a face"), guidance)(latent, 261)
    hook.remove()
    assert [(type(t), t) for t in seen] == [(int, 261)] * 2


def test_a_predictor_names_its_backbone_conditioning_and_guidance(backbone):
    face = backbone.embed("a face")
    one = backbone.predictor(face).fingerprint
    assert one.startswith(f"{backbone.name}, ")
    assert face.fingerprint in one
    assert one == backbone.predictor(backbone.embed("a face"), 1.0).fingerprint
    others = {backbone.predictor(backbone.embed("a cat")).fingerprint}
    others.add(backbone.predictor(face, 7.5).fingerprint)
    assert len({one, *others}) == 3


def test_it_prints_one_line_and_never_the_networks(backbone):
    line = repr(backbone)
    assert line.startswith(f"{type(backbone).__name__}('{backbone.name}', float32 on cpu, latents ")
    for shown in (line, repr(backbone.noise), repr(backbone.embed("a face\n"))):
        assert len(shown) < 200
        assert "\n" not in shown


def test_a_latent_of_whole_numbers_is_refused(backbone, latent):
    with pytest.raises(ShapeError, match=r"must be of a floating dtype, got torch\.int64"):
        backbone.predictor(backbone.embed("a face"))(latent.long(), 261)


def test_strides_fall_on_the_way_up_to_that_of_the_latent(backbone):
    strides = [backbone.taps[f"up{i}"].stride for i in range(LEVELS.get(backbone.name, 4))]
    assert strides == sorted(strides, reverse=True)
    assert strides[-1] == backbone.stride


def test_encode_and_decode_agree_in_shape(backbone, image, latent):
    padded = [-(-size // backbone.multiple) * backbone.multiple for size in image.shape[2:]]
    assert latent.shape == (2, backbone.latent_channels, *(p // backbone.stride for p in padded))
    assert backbone.decode(latent).shape == (2, 3, *padded)


def test_encoding_is_the_mean_and_repeats_itself(backbone, image, latent):
    mean, std = backbone.moments(image)
    assert torch.equal(mean, latent)
    assert bool((std > 0).all())


def test_padding_is_the_users_own_reflection(backbone, image, latent):
    height, width = image.shape[2:]
    rows = [*range(height), *range(height - 2, height - 5, -1)]
    columns = [*range(width), *range(width - 2, width - 7, -1)]
    assert torch.equal(backbone.encode(image[:, :, rows][:, :, :, columns]), latent)


def test_the_noise_table_falls_and_levels_lie_between_no_and_all_signal(backbone):
    levels = backbone.noise.alpha_bars
    assert bool((levels.diff() < 0).all())
    assert 0 < float(levels[-1]) < 0.05
    assert 0.99 < float(levels[0]) <= 1


@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_the_prediction_has_the_shape_and_dtype_of_the_latent(backbone, latent, guidance):
    eps = backbone.predictor(backbone.embed("a face"), guidance)(latent, 261)
    assert eps.shape == latent.shape
    assert eps.dtype == latent.dtype
    assert bool(eps.isfinite().all())


def test_one_timestep_for_all_or_one_for_each_is_the_same(backbone, latent):
    predict = backbone.predictor(backbone.embed("a face"), 2.5)
    together = predict(latent, 261)
    torch.testing.assert_close(
        predict(latent, torch.tensor([261, 261])), together, rtol=0, atol=1e-5
    )
    alone = torch.cat([predict(row[None], 261) for row in latent])
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-4)


def test_capturing_leaves_the_prediction_as_it_is(backbone, latent):
    predict = backbone.predictor(backbone.embed("a face"))
    expected = predict(latent, 261)
    with capture(backbone.unet, {name: tap.path for name, tap in backbone.taps.items()}):
        assert torch.equal(predict(latent, 261), expected)


def test_an_early_exit_reads_what_the_full_forward_reads(backbone, latent):
    predict = backbone.predictor(backbone.embed("a face"))
    for name in ("mid", "up1", f"up{LEVELS.get(backbone.name, 4) - 1}"):
        with capture(backbone.unet, {name: backbone.taps[name].path}) as full:
            predict(latent, 261)
        with capture(backbone.unet, {name: backbone.taps[name].path}, stop_after=True) as early:
            predict(latent, 261)
        assert torch.equal(full[name], early[name])


def test_gradients_reach_the_latent_and_no_weight(backbone, latent):
    z = latent.clone().requires_grad_()
    backbone.predictor(backbone.embed("a face"))(z, 261).square().sum().backward()
    assert z.grad is not None
    assert z.grad.abs().max() > 0
    networks = (backbone.unet, backbone.vae, backbone.text_encoder)
    weights = [weight for network in networks for weight in network.parameters()]
    assert not any(weight.requires_grad or weight.grad is not None for weight in weights)
    assert not any(part.training for network in networks for part in network.modules())


def test_equal_prompts_have_equal_fingerprints_and_others_do_not(backbone):
    first, again, other = (backbone.embed(prompt) for prompt in ("a face", "a face", "a house"))
    assert first.fingerprint == again.fingerprint
    assert first.fingerprint != other.fingerprint
    assert first.states.shape[0] == 1
    assert first.states.ndim == 3


def test_a_prompt_changes_the_prediction(backbone, latent):
    face, house = (
        backbone.predictor(backbone.embed(p))(latent, 261) for p in ("a face", "a house")
    )
    assert not torch.equal(face, house)


def test_no_global_random_state_is_touched(backbone, image):
    before = torch.get_rng_state()
    latent = backbone.encode(image)
    backbone.decode(backbone.predictor(backbone.embed("a"), 2.0)(latent, 10))
    assert torch.equal(torch.get_rng_state(), before)
