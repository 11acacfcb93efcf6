"""recipes: records of what papers read, which can be run on a network of their shape."""

import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
import torch
from reduced import reduced_configs

from featurekit.backbones import describe_backbone
from featurekit.backbones.unet import sd, sdxl
from featurekit.cli.options import ExtractOptions
from featurekit.core.errors import ConfigError, UnknownNameError
from featurekit.features.extract import extract
from featurekit.features.noise_draws import noises, seed_of
from featurekit.features.reading import reading
from featurekit.features.recipes import Ensemble, Recipe, recipe, recipes
from featurekit.pipeline.overrides import fill


@pytest.fixture(scope="module")
def backbone():
    """Stable Diffusion's blocks, narrow."""
    return sd.build("sd15", reduced_configs("sd15"), device="cpu")


def test_importing_recipes_does_not_import_torch():
    program = "import sys, featurekit.features.recipes; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.fixture(scope="module")
def large():
    """Stable Diffusion XL's blocks, narrow, with as many transformers as the real ones."""
    configs = reduced_configs("sdxl")
    configs["unet"] = configs["unet"] | {"transformer_layers_per_block": [1, 2, 10]}
    return sdxl.build("sdxl", configs, device="cpu")


@pytest.mark.parametrize("name", recipes())
def test_every_recipe_can_be_read_from_a_network_of_that_shape(backbone, large, name):
    asked = reading(large if recipe(name).backbone == "sdxl" else backbone, recipe(name))
    assert tuple(asked.paths) == recipe(name).taps
    assert asked.timesteps == recipe(name).timesteps


def test_queries_of_a_recipe_are_maps_of_the_picture(backbone):
    one = recipe("gdf_practical")
    image = torch.zeros(1, 3, backbone.multiple, 2 * backbone.multiple)
    with torch.no_grad():
        maps = extract(backbone, image, taps=one.taps, timesteps=one.timesteps)
    assert [found.stride for found in maps] == [32, 32, 16, 8]
    assert [found.grid for found in maps] == [(2, 4), (2, 4), (4, 8), (8, 16)]


def test_the_taps_of_the_sdxl_recipe_lie_where_the_paper_has_them(large):
    one = recipe("gdf_practical_sdxl")
    assert tuple(reading(large, one).paths.values()) == (
        "up_blocks.0.attentions.0.transformer_blocks.5",
        "up_blocks.0.attentions.0.transformer_blocks.7",
        "up_blocks.1.attentions.0.transformer_blocks.0.attn2.to_q",
        "up_blocks.1.attentions.0.transformer_blocks.0",
    )
    assert {tap.name for tap in describe_backbone("sdxl")} >= {
        tap.name for tap in reading(large, one).taps.values()
    }


def test_hyperfeatures_are_read_at_the_timesteps_that_the_published_settings_come_to():
    saved = [49, *range(45, -1, -5)]  # indices in the order of generation, 50 steps
    climbed = range(0, 1000, 1000 // 50)  # timesteps of the inversion, leading, offset 0
    told = []
    for index in saved:
        call = 49 - index  # of the inversion, which goes the other way
        told.append(climbed[call - 1] if call else -1)  # each call is told where it comes from
    assert told[0] == -1  # no table has it: the recipe says 0
    assert recipe("hyperfeatures").timesteps == (0, *told[1:])


def test_recipes_say_their_task_and_stand_in_the_documentation():
    text = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text()
    rows = [
        [cell.strip() for cell in row.split("|")[1:-1]] for row in text.splitlines() if "| `" in row
    ]
    assert {row[1].strip("`"): row[0] for row in rows} == {
        name: one.task for name, one in recipes().items()
    }
    for row in rows:
        one = recipe(row[1].strip("`"))
        assert row[2].startswith(one.backbone)
        assert (row[5], row[6].strip("`")) == (str(one.ensemble), one.prompt)
        assert row[4].split(",")[0] == str(one.timesteps[0])
    assert all(one.task for one in recipes().values())


def test_one_of_a_kind_and_arrays_are_lists():
    assert Recipe("up1", 261, 8) == Recipe(("up1",), (261,), Ensemble("mean", 8))
    assert Recipe(["up1"], np.array([261, 1]), "clean").timesteps == (261, 1)


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
    with pytest.raises(
        UnknownNameError, match="no recipe named 'dift'; did you mean dift_davis, d"
    ):
        recipe("dift")


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
