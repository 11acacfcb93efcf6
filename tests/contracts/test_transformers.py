"""What every backbone with a transformer must keep; beside them stand the stock pipelines."""

import pytest
import torch
from small_parts import TEXT, as_tokens, drawn
from small_transformers import SMALL

import featurekit as fk
from featurekit.core.errors import BackboneError, NoiseLevelError, ShapeError
from featurekit.diffusion.backbone import Backbone
from featurekit.diffusion.flow_schedule import schedule_of
from featurekit.taps.capture import capture
from featurekit.taps.tokens_to_maps import as_map

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module", params=list(SMALL))
def small(request):
    return SMALL[request.param]()


@pytest.fixture(scope="module")
def backbone(small):
    return small.wrapped()


@pytest.fixture(scope="module")
def latent(backbone):
    """Two latents of three by five tokens."""
    rows, columns = (side * backbone.multiple // backbone.stride for side in (3, 5))
    return drawn(2, backbone.latent_channels, rows, columns)


@pytest.fixture(scope="module")
def predict(small, backbone):
    return backbone.predictor(small.words)


def size_px(backbone):
    return (3 * backbone.multiple, 5 * backbone.multiple)


def test_it_has_every_member_of_the_protocol(backbone):
    members = [name for name in vars(Backbone) if not name.startswith("_")]
    assert [name for name in members if not hasattr(backbone, name)] == []


def test_every_activation_is_captured_once_with_its_published_form(backbone, latent, predict):
    listed = [tap for tap in backbone.activations.values() if tap.network == "denoiser"]
    assert list(backbone.taps.items()) == list(backbone.activations.items())[: len(backbone.taps)]
    read = {tap.name: tap.address for tap in listed if tap.form != "heads"}
    with torch.no_grad():
        plain = predict(latent, 261)
        with capture(backbone.denoiser, read) as found:
            assert torch.equal(predict(latent, 261), plain)
    for tap in listed:
        if tap.form == "words":
            assert found[tap.name].shape[::2] == (2, tap.channels)
            assert found[tap.name].shape[1] >= TEXT
        elif tap.form != "heads":
            shape = as_map(found[tap.name], tap, size_px=size_px(backbone)).shape
            assert shape == (2, tap.channels, 3, 5), tap
    parts = backbone.denoiser.modules()
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in parts)


@torch.no_grad()
def test_every_attention_map_that_is_listed_is_computed_and_its_rows_sum_to_one(
    backbone, latent, predict
):
    maps = {tap.name: tap.address for tap in backbone.activations.values() if tap.form == "heads"}
    assert maps
    with fk.attention_maps(backbone.denoiser, maps) as found:
        predict(latent, 261)
    for name in maps:
        assert found[name].shape[0] == 2
        assert found[name].shape[1] >= TEXT  # of a refiner of words; else the picture's as well
        torch.testing.assert_close(found[name].sum(-1), torch.ones_like(found[name][..., 0]))


def test_the_cells_of_a_block_are_those_of_the_picture(backbone, latent, predict):
    """One token of the latent is changed: what enters the first block changes in its cell."""
    read = {
        name: tap
        for name, tap in backbone.activations.items()
        if tap.side == "in" and tap.form == "tokens"
    }
    other = latent.clone()
    p = backbone.multiple // backbone.stride
    other[:, :, 1 * p : 2 * p, 3 * p : 4 * p] += 1
    maps = []
    for z in (latent, other):
        with torch.no_grad(), capture(backbone.denoiser, backbone.addresses(*read)) as found:
            predict(z, 261)
        maps.append([as_map(found[at], read[at], size_px=size_px(backbone)) for at in read])
    changes = [(one - two).abs().amax(dim=(0, 1)) for one, two in zip(*maps, strict=True)]
    assert (changes[0] > 1e-6).nonzero().tolist() == [[1, 3]]
    for name, change in zip(read, changes, strict=True):  # later blocks mix cells a little
        assert change.argmax() == 1 * 5 + 3, name


def test_a_block_that_is_left_early_gives_the_same(backbone, latent, predict):
    name = list(backbone.taps)[len(backbone.taps) // 2]
    with torch.no_grad():
        with capture(backbone.denoiser, backbone.addresses(name)) as full:
            predict(latent, 261)
        with capture(backbone.denoiser, backbone.addresses(name), stop_after=True) as early:
            predict(latent, 261)
    assert torch.equal(full[name], early[name])


def test_the_timestep_given_is_the_one_the_network_saw(small, backbone, latent, predict):
    seen = []
    hook = backbone.denoiser.register_forward_pre_hook(
        lambda module, given, named: seen.append(named.get("timestep", named.get("t"))),
        with_kwargs=True,
    )
    with torch.no_grad():
        predict(latent, 261)
        predict(latent, torch.tensor([261, 700]))
    hook.remove()
    expected = [[small.told(261)] * 2, [small.told(261), small.told(700)]]
    torch.testing.assert_close(torch.stack(seen), torch.tensor(expected).to(seen[0]))


def test_one_timestep_for_all_or_one_for_each_is_the_same(backbone, latent, predict):
    with torch.no_grad():
        together = predict(latent, torch.tensor([261, 700]))
        for row, t in zip(range(2), (261, 700), strict=True):
            alone = predict(latent[row : row + 1], t)
            torch.testing.assert_close(alone, together[row : row + 1], rtol=0, atol=1e-5)


def test_gradients_reach_the_latent_and_no_weight(small, latent):
    backbone = small.wrapped()
    backbone.denoiser.requires_grad_(True)
    z = latent.clone().requires_grad_()
    backbone.predictor(small.words)(z, 261).square().sum().backward()
    assert z.grad.abs().max() > 0
    assert all(w.requires_grad and w.grad is None for w in backbone.denoiser.parameters())
    backbone.denoiser.requires_grad_(False)


def test_features_of_a_picture_are_read(small, backbone):
    picture = drawn(1, 3, *(side - 3 for side in size_px(backbone))).clamp(-1, 1)
    maps = fk.extract(
        backbone, picture, taps=list(backbone.taps), timesteps=[261], conditioning=small.words
    )
    for name, tap in backbone.taps.items():
        assert maps[name, 261].tensor.shape == (1, tap.channels, 3, 5)
        assert maps[name, 261].stride == backbone.multiple


@pytest.mark.parametrize("steps", [4, 20])
def test_sampling_is_that_of_the_stock_pipeline(small, backbone, latent, steps):
    z, size = latent[:1], size_px(backbone)
    given = as_tokens(z) if small.packed else z
    stock = small.pipeline(
        **small.named,
        **small.options,
        latents=given.clone(),
        height=size[0],
        width=size[1],
        num_inference_steps=steps,
        output_type="latent",
    ).images
    stock = small.ours(stock, latent.shape)
    schedule = schedule_of(backbone.noise, steps, cells=tuple(latent.shape[2:]))
    with torch.no_grad():
        ours = fk.sample(backbone.predictor(small.words), z, schedule)
    assert (ours - stock).norm() <= 1e-5 * stock.norm()


@torch.no_grad()
def test_an_inversion_comes_back_and_without_its_residuals_it_does_not(backbone, latent, predict):
    schedule = schedule_of(backbone.noise, 3, cells=tuple(latent.shape[2:]))
    path = fk.invert(predict, latent, schedule)
    back = fk.sample(predict, path.at(3), schedule, trajectory=path)
    assert torch.equal(back, latent)
    assert (fk.sample(predict, path.at(3), schedule) - latent).norm() > 1e-4 * latent.norm()


def test_encoding_and_decoding_undo_each_other_s_scaling(backbone, latent):
    """The autoencoder is random; its own latents come through both scalings unchanged."""
    with torch.no_grad():
        picture = backbone.decode(latent)
        mean, std = backbone.moments(picture)
    assert picture.shape == (2, 3, *size_px(backbone))
    assert mean.shape == std.shape == latent.shape
    assert torch.equal(backbone.encode(picture), mean)


def test_its_folder_loads_as_the_same_backbone(small, backbone, latent, predict, tmp_path):
    small.pipeline.save_pretrained(tmp_path / "model")
    assert fk.describe_backbone(str(tmp_path / "model")) == tuple(backbone.activations.values())
    loaded = fk.load_backbone(tmp_path / "model", device="cpu")
    assert loaded.taps == backbone.taps
    assert len(loaded.weights) == 2  # files
    with torch.no_grad():
        again = loaded.predictor(small.words)
        torch.testing.assert_close(again(latent, 261), predict(latent, 261), rtol=0, atol=1e-6)
        torch.testing.assert_close(loaded.decode(latent), backbone.decode(latent))
    assert (
        again.fingerprint == f"{loaded.name}, conditioning {small.words.fingerprint}, guidance 1.0"
    )
    assert not any(weight.requires_grad for weight in loaded.denoiser.parameters())
    for given, message in (
        ({"lora_file": "style.safetensors"}, "lora_file must be an existing .safetensors file"),
        ({"vae": "other"}, "vae must be the folder of an Autoencoder.* got 'other'"),
        ({"prediction": "epsilon"}, "prediction must be left out for a model with a transformer"),
    ):
        with pytest.raises(BackboneError, match=message):
            fk.load_backbone(tmp_path / "model", device="cpu", **given)


def test_what_cannot_be_asked_is_refused(small, backbone, latent, predict):
    with pytest.raises(NoiseLevelError, match="t must "):
        predict(latent, 1001)
    with pytest.raises(BackboneError, match="has no text_encoder"):
        backbone.embed("a face")
    if backbone.multiple > backbone.stride:
        with pytest.raises(ShapeError, match="must be whole tokens"):
            predict(latent[:, :, :-1], 261)
    for name in small.words.extra:
        bare = fk.backbones.latent_model.Conditioning(small.words.states, "")
        with pytest.raises(ShapeError, match=rf"must hold extra\['{name}'\]"):
            backbone.predictor(bare)
