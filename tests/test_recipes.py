"""recipes: records of what papers read, which can be run on a network of their shape."""

import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest
import torch
from reduced import reduced_configs

from featurekit.backbones import sd
from featurekit.draws import noises, seed_of
from featurekit.errors import ConfigError, UnknownNameError
from featurekit.extract import extract
from featurekit.options import ExtractOptions
from featurekit.overrides import fill
from featurekit.reading import reading
from featurekit.recipes import Ensemble, recipe, recipes


@pytest.fixture(scope="module")
def backbone():
    """Stable Diffusion's blocks, narrow."""
    return sd.build("sd15", reduced_configs("sd15"), device="cpu")


def test_importing_recipes_does_not_import_torch():
    program = "import sys, featurekit.recipes; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("name", recipes())
def test_every_recipe_can_be_read_from_a_network_of_that_shape(backbone, name):
    asked = reading(backbone, recipe(name))
    assert tuple(asked.paths) == recipe(name).taps
    assert tuple(asked.levels) == recipe(name).timesteps


def test_queries_of_a_recipe_are_maps_of_the_picture(backbone):
    one = recipe("gdf_practical")
    image = torch.zeros(1, 3, backbone.multiple, 2 * backbone.multiple)
    with torch.no_grad():
        maps = extract(backbone, image, taps=one.taps, timesteps=one.timesteps)
    assert [found.stride for found in maps] == [32, 32, 16, 8]
    assert [found.grid for found in maps] == [(2, 4), (2, 4), (4, 8), (8, 16)]


@pytest.mark.parametrize("name", recipes())
def test_the_words_of_a_recipe_give_the_recipe(name):
    one = recipe(name)
    options = fill(ExtractOptions, ["image=x.png", *one.words()])
    assert (tuple(options.taps), tuple(options.timesteps)) == (one.taps, one.timesteps)
    assert Ensemble.named(options.ensemble) == one.ensemble


@pytest.mark.parametrize("name", recipes())
def test_every_recipe_names_its_paper_and_does_not_change(name):
    assert "arXiv:" in recipe(name).paper
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'taps'"):
        recipe(name).taps = ()


@pytest.mark.parametrize(
    ("word", "ensemble"),
    [
        ("1", Ensemble()),
        ("8", Ensemble("mean", 8)),
        ("mean-3", Ensemble("mean", 3)),
        ("antithetic", Ensemble("antithetic", 2)),
        ("antithetic-8", Ensemble("antithetic", 8)),
        ("clean", Ensemble("clean")),
    ],
)
def test_an_ensemble_is_a_word(word, ensemble):
    assert Ensemble.named(word) == ensemble
    assert Ensemble.named(str(ensemble)) == ensemble


def test_antithetic_noises_cancel_and_each_is_normal():
    drawn = noises(Ensemble("antithetic", 4), (4, 16, 16), seed=1)
    assert drawn.shape == (4, 4, 16, 16)
    assert torch.equal(drawn[0], -drawn[1])
    assert torch.equal(drawn[2], -drawn[3])
    assert not torch.equal(drawn[0], drawn[2])
    assert drawn[0].std() == pytest.approx(1, abs=0.1)


def test_clean_has_no_noise_and_a_mean_has_independent_ones():
    assert not noises(Ensemble("clean"), (4, 2, 3), seed=1).any()
    drawn = noises(Ensemble("mean", 2), (4, 16, 16), seed=1)
    assert abs((drawn[0] * drawn[1]).mean()) < 0.15


def test_a_seed_differs_by_run_and_by_name():
    seeds = {seed_of(seed, name) for seed in range(20) for name in ("a", "b", "1/a")}
    assert len(seeds) == 60
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_an_unknown_recipe_is_refused():
    with pytest.raises(UnknownNameError, match="no recipe named 'dift_spiar'; did you mean dift"):
        recipe("dift_spiar")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("0", "the draws of the ensemble policy mean must be at least 1, got 0"),
        ("antithetic-3", "antithetic must be even and at least 2, got 3"),
        ("clean-2", "clean must be 1, got 2"),
        ("mean-x", "must be such as 8, antithetic-8 or clean, got 'mean-x'"),
        ("-3", "no ensemble policy named ''"),
    ],
)
def test_an_ensemble_that_cannot_be_is_refused(word, message):
    with pytest.raises((ConfigError, UnknownNameError), match=message):
        Ensemble.named(word)


def test_an_unknown_policy_is_refused():
    with pytest.raises(UnknownNameError, match="no ensemble policy named 'cleen'; did you mean cl"):
        Ensemble("cleen")
