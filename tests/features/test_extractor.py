"""batches: every picture is read as if alone, in calls of one size, encoding nothing twice."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from featurekit.backbones import load
from featurekit.core.errors import (
    ConfigError,
    ImageError,
    NoiseLevelError,
    ShapeError,
    UnknownNameError,
)
from featurekit.features.extract import extract
from featurekit.features.extractor import Extractor, Sample, share
from featurekit.features.noise_draws import seed_of
from featurekit.features.recipes import Ensemble, Recipe
from featurekit.images.io import load_image

RECIPE = Recipe(("mid", "up1"), (261, 1), Ensemble("antithetic", 2))


@pytest.fixture(scope="module")
def backbone():
    return load("random", device="cpu")


@pytest.fixture(scope="module")
def samples(backbone):
    """Seven pictures of three sizes, two of which pad to one, with three prompts."""
    side = backbone.multiple
    sizes = [(side, side), (side, side - 5), (side, 2 * side)]
    generator = torch.Generator().manual_seed(0)
    return [
        Sample(
            f"{index}.png",
            torch.rand(1, 3, *sizes[index % 3], generator=generator) * 2 - 1,
            ("", "a house", "a cat")[index // 3],
        )
        for index in range(7)
    ]


class Calls:
    """Rows of each call of a module."""

    def __init__(self, module):
        self.rows = []
        self.handle = module.register_forward_pre_hook(
            lambda _, given: self.rows.append(len(given[0]))
        )

    def __enter__(self):
        return self.rows

    def __exit__(self, *error):
        self.handle.remove()


def differences(first, second):
    """Largest difference of any feature of any sample, in shares of its largest."""
    assert first.keys() == second.keys()
    return max(
        float((one.tensor - other.tensor).abs().max() / one.tensor.abs().max())
        for name in first
        for one, other in zip(first[name], second[name], strict=True)
    )


@pytest.fixture(scope="module")
def alone(backbone, samples):
    """Each sample by ``extract``, with the seed that its id gives."""
    with torch.no_grad():
        return {
            one.id: extract(
                backbone, one.image, taps=RECIPE.taps, timesteps=RECIPE.timesteps,
                prompt=one.prompt, ensemble=RECIPE.ensemble, seed=seed_of(3, one.id),
            )
            for one in samples
        }  # fmt: skip


# laws


@pytest.mark.parametrize(("batch", "rows"), [(1, 1), (2, 4), (3, 12), (4, 64)])
def test_any_batch_size_gives_the_features_of_each_picture_alone(
    backbone, samples, alone, batch, rows
):
    found = dict(Extractor(backbone, RECIPE, seed=3, batch=batch, rows=rows)(samples))
    assert differences(alone, found) < 1e-5
    assert all(one.tensor.shape[0] == 1 for maps in found.values() for one in maps)


def test_no_order_changes_a_feature(backbone, samples, alone):
    found = dict(Extractor(backbone, RECIPE, seed=3, batch=3)(samples[::-1]))
    assert differences(alone, found) < 1e-5


def test_two_samples_have_noises_of_their_own(backbone, samples):
    twins = [replace(samples[0], id=name) for name in ("a", "b")]
    found = dict(Extractor(backbone, RECIPE)(twins))
    assert differences({"x": found["a"]}, {"x": found["b"]}) > 0.01


def test_workers_make_the_batches_of_one(backbone, samples):
    side = backbone.multiple
    same = [
        Sample(f"{index}", one.image[..., :side].contiguous()[..., : side - 5], one.prompt)
        for index, one in enumerate(samples)
    ]
    extractor = Extractor(backbone, RECIPE, batch=2, buckets=4)
    single = dict(extractor(same))
    for workers in (2, 3):
        found = {}
        for worker in range(workers):
            mine = share(same, worker=worker, workers=workers, buckets=4)
            found |= dict(Extractor(backbone, RECIPE, batch=2, buckets=4)(mine))
        assert differences(single, found) == 0


def test_every_call_has_the_same_number_of_rows(backbone, samples):
    with Calls(backbone.unet.conv_in) as rows:
        list(Extractor(backbone, RECIPE, batch=2, rows=4)(samples))
    # pictures by size: 5 in 3 batches, 2 in one; each 4 pairs of timestep and draw, 2 at a time
    assert rows == [4] * (4 * 2)


def test_each_picture_and_each_prompt_is_encoded_once(backbone, samples):
    again = [replace(one, id=f"again {one.id}") for one in samples]
    with Calls(backbone.vae.encoder) as pictures:
        words = []
        handle = backbone.text_encoder.register_forward_hook(lambda *_: words.append(1))
        with handle:
            found = dict(Extractor(backbone, RECIPE, batch=4)([*samples, *again]))
    assert len(found) == 14
    assert len(pictures) == 7
    assert len(words) == 3


def test_the_network_is_left_early_and_as_it_was(backbone, samples):
    reached = []
    handle = backbone.unet.up_blocks[2].register_forward_hook(lambda *_: reached.append(1))
    with handle:
        list(Extractor(backbone, RECIPE)(samples[:2]))
    assert reached == []
    assert all(not module._forward_hooks for module in backbone.unet.modules())


def test_clean_gives_the_network_the_latent_itself(backbone, samples):
    given = []
    handle = backbone.unet.register_forward_pre_hook(
        lambda _, args: given.append((args[0].clone(), args[1]))
    )
    with handle, torch.no_grad():
        recipe = Recipe(("mid",), (261,), Ensemble("clean"))
        list(Extractor(backbone, recipe, batch=1)(samples[:1]))
        latent = backbone.encode(samples[0].image)
    (found, t) = given[0]
    assert torch.equal(found, latent)
    assert t == 261


def test_pictures_are_asked_for_when_they_are_needed(backbone, samples):
    asked = []

    def stream():
        for one in (samples[0], samples[1], samples[3], samples[4]):
            asked.append(one.id)
            yield one

    first = next(iter(Extractor(backbone, RECIPE, batch=2)(stream())))
    assert first[0] == samples[0].id
    assert asked == [samples[0].id, samples[1].id]


def test_a_module_path_is_a_tap_and_tokens_become_cells(backbone, samples):
    path = "up_blocks.1.attentions.1.transformer_blocks.0.attn2.to_q"
    recipe = Recipe((path, "up1.attention1"), (50,))
    (_, maps), *_ = Extractor(backbone, recipe, batch=1)(samples[:1])
    assert maps[path, 50].grid == maps["up1.attention1", 50].grid
    assert maps[path, 50].stride == backbone.taps["up1.attention1"].stride


def test_pictures_are_named_by_their_file_or_their_place(backbone, tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    Image.fromarray(array).save(tmp_path / "a.png")
    given = [tmp_path / "a.png", array, Image.fromarray(array), load_image(array)]
    found = dict(Extractor(backbone, "dift_davis", batch=2)([*given, Sample("b", array)]))
    assert list(found) == ["a.png", "1", "2", "3", "b"]
    assert all(maps["up2"].size_px == (20, 24) for maps in found.values())
    ((name, maps),) = Extractor(backbone, "dift_davis", batch=2)(str(tmp_path / "a.png"))
    assert name == "a.png"
    assert differences({"x": maps}, {"x": found["a.png"]}) == 0


def test_an_extractor_and_a_sample_are_shown_as_one_line(backbone, samples):
    shown = repr(Extractor(backbone, RECIPE, batch=2))
    assert (
        shown
        == "Extractor(random: taps mid, up1; t 261, 1; ensemble antithetic-2; batch 2; seed 0)"
    )
    assert repr(samples[0]) == "Sample(id='0.png', prompt='')"


def test_each_map_of_a_batch_knows_its_own_picture(backbone, samples):
    found = dict(Extractor(backbone, RECIPE, batch=4)(samples))
    for one in samples:
        assert found[one.id][0].size_px == tuple(one.image.shape[2:])


def test_one_pixel_is_a_picture(backbone):
    pixel = Sample("pixel", torch.zeros(1, 3, 1, 1))
    ((_, maps),) = Extractor(backbone, RECIPE, batch=2)([pixel])
    assert maps["up1", 1].tensor.isfinite().all()


# refusals


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_image_that_is_no_number_is_refused_by_its_id(backbone, samples, value):
    image = samples[0].image.clone()
    image[0, 0, 3, 3] = value
    with pytest.raises(ImageError, match="image 'bad' must hold finite numbers, got NaN or inf"):
        list(Extractor(backbone, RECIPE)([Sample("bad", image)]))


def test_two_samples_of_one_id_are_refused(backbone, samples):
    with pytest.raises(ConfigError, match=r"ids of samples must differ, got '0\.png' twice"):
        list(Extractor(backbone, RECIPE)([samples[0], samples[0]]))


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (["a/x.png", "b/x.png"], ConfigError, r"must differ, got 'x\.png' twice"),
        (["gone.png"], ImageError, r"but 'gone\.png' is no such file"),
        ([3], ImageError, "image '0' must be a tensor .* got a int"),
        (3, ConfigError, "must be given samples, pictures or paths, got a int"),
        (
            [torch.full((1, 3, 8, 8), 200.0)],
            ImageError,
            r"image '0' must hold numbers in \[-1, 1\]",
        ),
    ],
)
def test_what_is_no_picture_is_one_sentence(backbone, tmp_path, monkeypatch, given, error, message):
    monkeypatch.chdir(tmp_path)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / folder / "x.png")
    with pytest.raises(error, match=message):
        list(Extractor(backbone, RECIPE)(given))


def test_an_unknown_recipe_is_refused_with_what_is_near(backbone):
    with pytest.raises(UnknownNameError, match="no recipe named 'dift_spare'; did you mean dift_s"):
        Extractor(backbone, "dift_spare")


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (3, 8, 8), (1, 1, 8, 8)])
def test_a_sample_that_is_not_one_picture_is_refused(backbone, shape):
    with pytest.raises(ShapeError, match=r"image 'x' must be \(1 c=3 h w\)"):
        list(Extractor(backbone, RECIPE)([Sample("x", torch.zeros(shape))]))


@pytest.mark.parametrize(
    ("recipe", "error", "message"),
    [
        (Recipe(("up9",), (1,)), UnknownNameError, "no tap named 'up9'; did you mean"),
        (Recipe(("up1",), (1000,)), NoiseLevelError, "1000"),
        (Recipe(("up1",), (1, 1)), ConfigError, r"timesteps must differ from each other, got \[1"),
        (Recipe(("up1", "up1"), (1,)), ConfigError, "taps must differ from each other"),
        (Recipe((), (1,)), ConfigError, "taps must ask for something"),
    ],
)
def test_a_recipe_that_cannot_be_read_is_refused_at_once(backbone, recipe, error, message):
    with pytest.raises(error, match=message):
        Extractor(backbone, recipe)


@pytest.mark.parametrize("numbers", [{"batch": 0}, {"rows": 3, "batch": 4}, {"buckets": 0}])
def test_numbers_that_do_not_fit_are_refused(backbone, numbers):
    with pytest.raises(ConfigError, match="batch and buckets must be at least 1 and rows at least"):
        Extractor(backbone, RECIPE, **numbers)


@pytest.mark.parametrize(
    ("worker", "workers", "message"),
    [
        (2, 2, "shard must be i/n with i from 0 to n - 1, got 2/2"),
        (-1, 2, "shard must be i/n with i from 0 to n - 1, got -1/2"),
        (0, 5, "workers must be at most as many as buckets, got 5 and 4"),
    ],
)
def test_a_share_that_cannot_be_is_refused(samples, worker, workers, message):
    with pytest.raises(ConfigError, match=message):
        list(share(samples, worker=worker, workers=workers, buckets=4))
