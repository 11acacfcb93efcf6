"""reading: a word means the taps that ``resolve`` finds, and maps are named by those."""

import pytest
import torch

from featurekit.backbones import load
from featurekit.core.errors import BackboneError, CaptureError, UnknownNameError
from featurekit.features.extract import extract
from featurekit.features.extractor import Extractor, Sample
from featurekit.features.reading import reading
from featurekit.features.recipes import Recipe

QUERY = "up_blocks.1.attentions.1.transformer_blocks.0.attn2.to_q"


@pytest.fixture(scope="module")
def backbone():
    return load("random", device="cpu")


@pytest.fixture(scope="module")
def image(backbone):
    side = backbone.multiple
    return torch.rand(1, 3, side, 2 * side, generator=torch.Generator().manual_seed(0)) * 2 - 1


def maps_of(backbone, image, *taps):
    with torch.no_grad():
        return extract(backbone, image, taps=taps, timesteps=[261])


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("up1", "up1"),
        ("dift1", "up1"),
        ("up_blocks.1", "up1"),
        (QUERY, "up1.attention1.block0.attn2.q"),
        ("up-level1-repeat1-vit-block0-cross-q", "up1.attention1.block0.attn2.q"),
        ("up_blocks.1.resnets.0:in", "up1.resnet0.in"),
        ("up1.skip0", "up1.skip0"),
    ],
)
def test_every_way_to_say_a_tap_gives_its_map_under_its_name(backbone, image, word, name):
    (found,) = maps_of(backbone, image, word)
    tap = backbone.activations[name]
    assert (found.tap, found.stride) == (name, tap.stride)
    assert found.tensor.shape == (1, tap.channels, *(s // tap.stride for s in image.shape[2:]))
    (same,) = maps_of(backbone, image, name)
    assert torch.equal(found.tensor, same.tensor)


def test_a_glob_and_a_role_mean_all_their_taps_in_the_order_of_the_listing(backbone):
    asked = reading(backbone, Recipe(("up?", "self_q", "up1"), (261,)))
    names = [tap.name for tap in asked.taps.values()]
    queries = [name for name, tap in backbone.activations.items() if tap.role == "self_q"]
    assert names == ["up0", "up1", "up2", "up3", *queries]
    assert len(queries) > 1


def test_a_glob_leaves_out_what_is_no_map_and_says_so(backbone):
    with pytest.warns(
        UserWarning, match=r"globs fit 8 activations .* left out \(up1\.att.*\.map, "
    ):
        asked = reading(backbone, Recipe(("up1.**",), (261,)))
    names = {name for name in backbone.activations if name.split(".")[0] == "up1"}
    left_out = names - {tap.name for tap in asked.taps.values()}
    assert len(left_out) == 8
    assert {backbone.activations[name].form for name in left_out} == {"words", "heads"}


def test_a_map_is_found_by_the_word_that_it_was_asked_for_by(backbone, image):
    maps = maps_of(backbone, image, "dift1", "up_blocks.1", QUERY)
    assert [one.tap for one in maps] == ["up1", "up1.attention1.block0.attn2.q"]
    assert maps["dift1", 261] is maps["up_blocks.1", 261] is maps["up1", 261]
    assert maps[QUERY, 261] is maps[1]
    recipe = Recipe(("dift1",), (261,))
    ((_, row),) = Extractor(backbone, recipe, batch=1)([Sample("x", image)])
    assert row["dift1", 261] is row[:1]["up1", 261] is row[0]


def test_a_module_that_is_not_listed_is_read_by_its_path(backbone, image):
    path = "up_blocks.1.resnets.0.norm1"
    assert path not in {tap.address for tap in backbone.activations.values()}
    inner, before = maps_of(backbone, image, path, f"{path}:in")
    assert (inner.tap, before.tap) == (path, f"{path}:in")
    assert inner.stride == before.stride == backbone.activations["up1.resnet0"].stride
    (whole,) = maps_of(backbone, image, "up1.resnet0.in")
    assert torch.equal(before.tensor, whole.tensor)


# refusals


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("up1.attention0.block0.attn2.k", r"up1\.attention0\.block0\.attn2\.k is one of words"),
        ("cross_v", r"is one of words; read it with capture\(.* by its address"),
        ("up1.attention0.block0.attn1.map", "is one of heads"),
        ("vae.decoder.up0", r"read from the denoiser, but vae\.decoder\.up0 lies in the vae"),
    ],
)
def test_what_has_no_map_of_the_denoiser_is_refused_before_any_work(backbone, image, word, message):
    calls = []
    handle = backbone.vae.encoder.register_forward_hook(lambda *_: calls.append(1))
    with handle, pytest.raises(CaptureError, match=message) as caught:
        maps_of(backbone, image, "up1", word)
    assert calls == []
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("word", ["up9", "up1.resnte0", "up9.*", "up_blocks.1:skip9", ""])
def test_a_word_that_means_nothing_is_refused_with_what_is_near(backbone, word):
    with pytest.raises(UnknownNameError, match=r"no tap named '.*'[;,:(].*"):
        reading(backbone, Recipe(("up1", word), (261,)))


def test_an_unlisted_module_that_gives_no_map_is_refused(backbone, image):
    with pytest.raises(CaptureError, match="'time_embedding' must give square cells or tokens"):
        maps_of(backbone, image, "time_embedding")


def test_a_pipeline_in_place_of_a_backbone_is_told_how_to_become_one():
    class Pipeline:
        def save_pretrained(self, folder):
            pytest.fail("nothing is written")

    with pytest.raises(BackboneError, match=r"got a Pipeline; .*fk\.wrap\(pipeline\) makes one"):
        extract(Pipeline(), torch.zeros(1, 3, 16, 16), taps=["mid"], timesteps=[1])
