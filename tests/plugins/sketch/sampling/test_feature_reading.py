"""Reading: the right maps, before their skips, in the right order of the pair, and cheaply."""

from dataclasses import replace

import pytest
import torch
from pipelines import of_two_encoders

import featurekit as fk
from featurekit.backbones.unet.sd import from_config
from featurekit.core.errors import ShapeError, UnknownNameError
from featurekit.core.types import Tap
from featurekit.taps.capture import capture
from featurekit_sketch.network.feature_taps import FeatureTaps
from featurekit_sketch.sampling import feature_reading as reading
from featurekit_sketch.sampling.feature_reading import CHUNK, read
from featurekit_sketch.sampling.noising_paths import (
    NoisingPath,
    SampledRun,
    generated_paths,
    noised_path,
)

THIRTEEN = (1, 61, 161, 241, 321, 421, 501, 561, 641, 701, 781, 861, 941)


@pytest.fixture(scope="module")
def backbone():
    return fk.load_backbone("random")


@pytest.fixture(scope="module")
def feature_taps(backbone):
    return FeatureTaps.of(backbone.unet.config, backbone.vae.config)


@pytest.fixture(scope="module")
def states(backbone):
    with torch.no_grad():
        return backbone.embed("a red circle").states


@pytest.fixture(scope="module")
def empty(backbone):
    with torch.no_grad():
        return backbone.embed("").states


@pytest.fixture(scope="module")
def way(backbone):
    """A small picture, higher than wide, at three timesteps."""
    return noised_path(backbone, normal(1, 8, 16, 8), (1, 321, 941), seed=1)


@pytest.fixture(scope="module")
def features(backbone, feature_taps, way, states):
    return read(backbone, feature_taps, way, states)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def every(features):
    return [*features.unet.values(), *features.vae.values(), features.image]


def hooks(module):
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    return sum(len(getattr(one, kind)) for one in module.modules() for kind in kinds)


def rows_of(backbone, call):
    """Rows that each call of the UNet was given."""
    rows = []
    hook = backbone.unet.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    call()
    hook.remove()
    return rows


def test_every_map_of_the_anatomy_is_there_in_its_size(features, feature_taps):
    height, width = 64, 32
    assert list(features.unet) == [tap.name for tap in feature_taps.unet]
    assert list(features.vae) == [tap.name for tap in feature_taps.vae]
    for tap in feature_taps.unet:
        size = (height // tap.stride, width // tap.stride)
        assert features.unet[tap.name].shape == (1, 3, 2, tap.channels, *size)
    for tap in feature_taps.vae:
        size = (height // tap.stride, width // tap.stride)
        assert features.vae[tap.name].shape == (1, tap.channels, *size)
    assert features.image.shape == (1, 3, height, width)


def test_at_the_full_shape_the_maps_are_those_of_the_paper():
    stack = from_config("sd15", device="meta", dtype="float32")
    feature_taps = FeatureTaps.of(stack.unet.config, stack.vae.config)
    z, words = torch.empty(1, 4, 64, 64, device="meta"), torch.empty(1, 77, 768, device="meta")
    paths = {tap.name: tap.path for tap in feature_taps.unet}
    with capture(stack.unet, paths, stop_after=True) as unet:
        stack.unet(z, torch.tensor(1, device="meta"), words)
    with capture(stack.vae, {tap.name: tap.path for tap in feature_taps.vae}) as vae:
        stack.decode(z)
    blocks = [(1280, 8), (1280, 16), (640, 32), (320, 64)]
    assert [tuple(one.shape[1:]) for one in unet.values()] == [
        (width, side, side) for width, side in blocks for _ in range(3)
    ]
    stages = [(512, 64)] * 5 + [(512, 128)] * 3 + [(256, 256)] * 3 + [(128, 512)] * 3
    assert [tuple(one.shape[1:]) for one in vae.values()] == [(w, s, s) for w, s in stages]
    for maps, taps, total in (
        (unet, feature_taps.unet, 7_127_040),
        (vae, feature_taps.vae, 186_646_528),
    ):
        assert sum(tap.channels * (512 // tap.stride) ** 2 for tap in taps) == total
        assert sum(one.numel() for one in maps.values()) == total


@torch.no_grad()
def test_a_resnet_gives_its_skip_plus_the_map_that_is_read(backbone, feature_taps, way, states):
    features = read(backbone, feature_taps, way, states)
    taken = {}
    handles = []
    for tap in feature_taps.unet:
        resnet = backbone.unet.get_submodule(tap.path.removesuffix(".conv2"))

        def keep(module, args, output, name=tap.name):
            skip = module.conv_shortcut
            taken[name] = (args[0] if skip is None else skip(args[0])), output

        handles.append(resnet.register_forward_hook(keep))
    predict = backbone.predictor(backbone.embed("a red circle"))
    predict(way.latents, torch.tensor(way.timesteps))
    for handle in handles:
        handle.remove()
    for name, (skip, output) in taken.items():
        found = features.unet[name][0, :, 1]
        assert found.abs().max() > 1e-3
        assert (output - skip - found).abs().max() < 1e-5 * output.abs().max()
    assert len(taken) == len(feature_taps.unet)


@torch.no_grad()
def test_the_pair_is_the_empty_prompt_then_the_condition_as_separate_runs_find_them(
    backbone, feature_taps, way, features
):
    paths = {tap.name: tap.path for tap in feature_taps.unet}
    for place, prompt in enumerate(("", "a red circle")):
        predict = backbone.predictor(backbone.embed(prompt))
        for step, t in enumerate(way.timesteps):
            with capture(backbone.unet, paths) as alone:
                predict(way.latents[step, None], t)
            for name, wanted in alone.items():
                found = features.unet[name][:, step, place]
                assert (found - wanted).abs().max() < 1e-4 * wanted.abs().max()
    for maps in features.unet.values():
        assert (maps[:, :, 0] - maps[:, :, 1]).abs().max() > 1e-3


@torch.no_grad()
def test_the_decoders_maps_and_the_image_are_of_one_decoding_of_the_clean_latent(
    backbone, feature_taps, way, features
):
    decoder = backbone.vae.decoder
    with capture(decoder, {"last": feature_taps.vae[-1].path.removeprefix("decoder.")}) as found:
        image = backbone.decode(way.clean)
    assert torch.equal(features.image, image)
    assert torch.equal(features.vae[feature_taps.vae[-1].name], found["last"])
    again = decoder.conv_out(decoder.conv_act(decoder.conv_norm_out(found["last"])))
    assert (again - features.image).abs().max() < 1e-5


def test_a_prompt_costs_26_rows_and_the_empty_one_13(backbone, feature_taps, states, empty):
    whole = noised_path(backbone, normal(1, 8, 8, 8), THIRTEEN, seed=0)
    for words, wanted in ((states, 26), (empty, 13)):
        rows = rows_of(backbone, lambda words=words: read(backbone, feature_taps, whole, words))
        assert sum(rows) == wanted
        assert max(rows) <= CHUNK


def test_the_unet_is_left_after_its_last_map(backbone, feature_taps, way, states):
    ended = []
    hook = backbone.unet.conv_out.register_forward_hook(lambda *_: ended.append(1))
    read(backbone, feature_taps, way, states)
    hook.remove()
    assert ended == []


def test_the_empty_prompt_fills_both_places_with_one_map(
    backbone, feature_taps, way, empty, features
):
    found = read(backbone, feature_taps, way, empty.clone())
    for name, maps in found.unet.items():
        assert maps.shape == features.unet[name].shape
        assert maps.stride()[2] == 0
        wanted = features.unet[name][:, :, 0]
        assert (maps[:, :, 1] - wanted).abs().max() < 1e-4 * wanted.abs().max()


def test_chunks_of_any_size_give_the_same_maps(backbone, feature_taps, way, states, monkeypatch):
    whole = read(backbone, feature_taps, way, states)
    monkeypatch.setattr(reading, "CHUNK", 4)
    rows = []
    hook = backbone.unet.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    parts = read(backbone, feature_taps, way, states)
    hook.remove()
    assert rows == [4, 2]
    for name, maps in whole.unet.items():
        assert (parts.unet[name] - maps).abs().max() < 1e-5 * maps.abs().max()


def test_features_from_a_kept_way_are_those_of_the_generation_itself(
    backbone, feature_taps, states
):
    paths = {tap.name: tap.path for tap in feature_taps.unet}
    with capture(backbone.unet, paths) as live:
        (way,) = generated_paths(backbone, states, SampledRun(14, 4.0), seeds=(3,))
    kept = read(backbone, feature_taps, way, states)
    cheap = NoisingPath(way.latents.half(), way.timesteps, way.clean.half())
    rounded = read(backbone, feature_taps, cheap, states)
    visited = [1 + 71 * i for i in reversed(range(14))]
    for name in paths:
        for step, t in enumerate(way.timesteps):
            wanted = live.all(name)[visited.index(t)]
            assert (kept.unet[name][0, step] - wanted).norm() < 1e-5 * wanted.norm()
            assert (rounded.unet[name][0, step] - wanted).norm() < 1e-3 * wanted.norm()


def test_features_hold_no_graph_whatever_they_are_made_of(backbone, feature_taps, way, states):
    asked = states.clone().requires_grad_()
    latents = way.latents.clone().requires_grad_()
    found = read(backbone, feature_taps, NoisingPath(latents, way.timesteps, way.clean), asked)
    assert not any(one.requires_grad for one in every(found))


def test_everything_has_the_dtype_of_the_backbone(feature_taps, way, states, features):
    assert {one.dtype for one in every(features)} == {torch.float32}
    half = fk.load_backbone("random", dtype="bfloat16")
    assert {one.dtype for one in every(read(half, feature_taps, way, states))} == {torch.bfloat16}


def test_states_that_are_not_those_of_one_picture_are_refused(backbone, feature_taps, way, states):
    with pytest.raises(ShapeError, match=r"states must be \(1 n="):
        read(backbone, feature_taps, way, states.repeat(2, 1, 1))
    with pytest.raises(ShapeError, match=r"states must be \(1 n="):
        read(backbone, feature_taps, way, states[:, :-1])


def test_no_hook_is_left_also_after_an_error(backbone, feature_taps, way, states, monkeypatch):
    networks = (backbone.unet, backbone.vae)
    before = [hooks(network) for network in networks]
    read(backbone, feature_taps, way, states)
    assert [hooks(network) for network in networks] == before

    def fail(*_):
        raise ArithmeticError("broken on the way")

    for broken in (backbone.unet.up_blocks[2], backbone.vae.decoder.conv_out):
        handle = broken.register_forward_pre_hook(fail)
        with pytest.raises(ArithmeticError, match="broken on the way"):
            read(backbone, feature_taps, way, states)
        handle.remove()
        assert [hooks(network) for network in networks] == before
    foreign = Tap("u9.9", "up_blocks.9.resnets.9.conv2", "resnet", 8, 4)
    other = replace(feature_taps, top=(*feature_taps.top, foreign))
    with pytest.raises(UnknownNameError, match=r"up_blocks\.9"):
        read(backbone, other, way, states)
    assert [hooks(network) for network in networks] == before


@torch.no_grad()
def test_a_network_with_pooled_texts_is_told_the_one_of_each_condition():
    """Stable Diffusion XL: the empty text's row has the empty text's, the other its own."""
    told = of_two_encoders()[1]
    maps = FeatureTaps.of(told.denoiser.config, told.vae.config)
    way = noised_path(told, normal(1, 4, 8, 8), (1, 321), seed=1)
    words = told.embed("a red circle")
    found = read(told, maps, way, words)
    tap = maps.unet[-1]
    for column, one in enumerate((told.embed(""), words)):
        with capture(told.denoiser, {tap.name: tap.path}) as captured:
            told.predictor(one)(way.latents, torch.tensor(way.timesteps))
        torch.testing.assert_close(found.unet[tap.name][0, :, column], captured[tap.name])
    other = replace(words, extra={"pooled": words.extra["pooled"] + 1})
    again = read(told, maps, way, other).unet[tap.name]
    assert torch.equal(again[:, :, 0], found.unet[tap.name][:, :, 0])
    assert not torch.equal(again[:, :, 1], found.unet[tap.name][:, :, 1])
    with_empty = replace(told.embed(""), extra=other.extra)
    assert read(told, maps, way, with_empty).unet[tap.name].stride(2) != 0
