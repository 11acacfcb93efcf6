"""Timesteps that are chosen: by the analysis of runs or by hand, in learning and in the style."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from two_scale_runs import counted

import featurekit as fk
from featurekit.core.errors import ConfigError
from featurekit.core.json_files import read_json
from featurekit.core.types import Job, silent
from featurekit.diffusion.noise_schedule import Schedule
from featurekit.measures.analyses.timesteps import Asked, measure_runs
from featurekit.scenes import scene
from featurekit_sketch.config import SketchConfig, check
from featurekit_sketch.sampling import chosen_timesteps
from featurekit_sketch.sampling.chosen_timesteps import reading_for
from featurekit_sketch.sampling.noising_paths import SampledRun, generated_paths, inverted_path
from featurekit_sketch.settings import ANALYSED, OWN, PUBLISHED, RANDOM, RELEASED, Reading
from featurekit_sketch.training.sketcher import Reader, Sketcher
from featurekit_sketch.training.style_file import load_style
from featurekit_sketch.two_scales.reading import TwoScaleReader
from featurekit_sketch.two_scales.training import RANKS, two_scale_training_of

STEPS, FEW_RUNS = 20, 2
FAST = ["plugin.samples=1", "plugin.iterations=2", "plugin.views=2", "plugin.side_px=64"]


@pytest.fixture(scope="module")
def backbone():
    return fk.load_backbone("random")


@pytest.fixture
def pair(tmp_path):
    """A user's own picture and drawing, as words of a command."""
    shown, drawing = tmp_path / "face.png", tmp_path / "drawn.png"
    scene(5, "face").image(64).save(shown)
    scene(5, "face").drawing(64).save(drawing)
    return [f"image={shown}", f"plugin.drawing={drawing}"]


@pytest.fixture
def few_runs(monkeypatch):
    monkeypatch.setattr(chosen_timesteps, "RUNS", FEW_RUNS)


def job(backbone, folder, timesteps=ANALYSED, **settings):
    config = SketchConfig(steps=STEPS, timesteps=timesteps, **settings)
    said = []
    made = Job(
        backbone=backbone,
        settings=config,
        task="train",
        image=None,
        prompt="",
        seed=3,
        out=folder,
        stage=lambda _: nullcontext(silent),
        say=said.append,
    )
    return made, said


def picture(seed=0):
    return 2 * torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(seed)) - 1


# the choice


def test_the_analysis_chooses_13_timesteps_of_the_models_own_runs(backbone, tmp_path, few_runs):
    made, said = job(backbone, tmp_path)
    found = reading_for(made)
    wanted = measure_runs(backbone, range(FEW_RUNS), Asked(steps=STEPS, count=13)).figures
    assert list(found.timesteps) == wanted["timesteps"]
    assert len(set(found.timesteps)) == 13
    assert set(found.timesteps) <= set(Schedule.ddim(backbone.noise, STEPS).timesteps)
    assert found == Reading("noise", STEPS, 3, found.timesteps, ANALYSED)
    assert said == [
        f"13 timesteps stand for 2 runs of the model: {', '.join(map(str, found.timesteps))}"
    ]
    assert (tmp_path / "timesteps.png").exists()


def test_what_the_analysis_found_serves_the_same_command_again_and_no_other(
    backbone, tmp_path, few_runs
):
    made, _ = job(backbone, tmp_path)
    first = reading_for(made)
    with counted(backbone) as rows:
        assert reading_for(made) == first
    assert rows == []
    other = replace(made, settings=replace(made.settings, steps=24))
    with counted(backbone) as rows:
        assert reading_for(other).timesteps != first.timesteps
    assert sum(rows) > FEW_RUNS * 24


def test_the_published_timesteps_need_no_analysis(backbone, tmp_path):
    made, said = job(backbone, tmp_path, PUBLISHED)
    with counted(backbone) as rows:
        assert reading_for(made) == Reading("noise", STEPS, 3)
    assert (rows, said, list(tmp_path.iterdir())) == ([], [], [])


def test_two_scales_takes_its_ranks_of_the_analysis_and_all_of_a_list(backbone, tmp_path, few_runs):
    made, _ = job(backbone, tmp_path)
    found = reading_for(made)
    reader = two_scale_training_of(made, None, found).reader
    assert reader.timesteps == tuple(found.timesteps[rank] for rank in RANKS)
    made, _ = job(backbone, tmp_path, [1, 51, 301])
    assert two_scale_training_of(made, None, reading_for(made)).reader.timesteps == (1, 51, 301)


# reading at them


def test_a_list_of_the_usual_timesteps_reads_what_is_usually_read(backbone):
    usual = TwoScaleReader(Reader.of(backbone, Reading("noise", STEPS, 3)), RANKS)
    own = Reading("noise", STEPS, 3, (51, 301), OWN)
    found = TwoScaleReader(Reader.of(backbone, own), (0, 1))(picture())
    wanted = usual(picture())
    assert usual.timesteps == (51, 301)
    assert all(torch.equal(found.maps[name], one) for name, one in wanted.maps.items())


def test_inversion_and_sampling_keep_the_latents_of_the_timesteps_that_are_asked_for(backbone):
    schedule, states = Schedule.ddim(backbone.noise, STEPS), backbone.embed("").states.detach()
    clean = backbone.encode(picture()).detach()
    usual = inverted_path(backbone, clean, schedule, states)
    some = (usual.timesteps[1], usual.timesteps[4])
    with counted(backbone) as rows:
        found = inverted_path(backbone, clean, schedule, states, timesteps=some)
    assert (found.timesteps, len(rows)) == (some, schedule.timesteps[::-1].index(some[1]) + 1)
    assert torch.equal(found.latents, usual.latents[[1, 4]])
    (whole,) = generated_paths(backbone, states, SampledRun(STEPS, 1.0), seeds=[5])
    (part,) = generated_paths(backbone, states, SampledRun(STEPS, 1.0, some), seeds=[5])
    assert part.timesteps == some
    assert torch.equal(part.latents, whole.latents[[1, 4]])


def test_timesteps_by_lot_are_13_of_the_run_and_other_ones_for_another_picture(backbone):
    reader = Reader.of(backbone, Reading("noise", STEPS, 3, chosen_by=RANDOM))
    one, other = (backbone.encode(picture(seed)).detach() for seed in (0, 1))
    found = reader.noising(one)
    assert len(found.timesteps) == len(found.latents) == reader.count == 13
    assert list(found.timesteps) == sorted(set(found.timesteps))
    assert set(found.timesteps) <= set(reader.timesteps) == set(reader.schedule.timesteps)
    assert reader.noising(one).timesteps == found.timesteps
    assert reader.noising(other).timesteps != found.timesteps


# from the settings to the style


def test_a_style_of_the_released_code_draws_at_timesteps_that_each_picture_draws(tmp_path, pair):
    words = ["plugin=sketch", "backbone=random", "plugin.network=released", *FAST, *pair]
    record = fk.run(fk.compose([*words, "plugin.timesteps=random", f"out={tmp_path / 'out'}"]))
    assert record["metrics"]["mixing"]["top"]["first_level"] == 0
    assert "as released" in record["metrics"]["perceptual"]
    backbone = fk.load_backbone("random")
    style = load_style(tmp_path / "out" / "style.safetensors", "random", "")
    assert (style.network, style.chosen_by, len(style.timesteps)) == (RELEASED, RANDOM, STEPS)
    taken = Sketcher.from_style(style, backbone)
    with counted(backbone) as rows:
        assert taken(picture()).shape == (1, 1, 64, 64)
    assert sum(rows) == 13
    again = Sketcher.from_style(taken.style((64, 64), prompt=style.prompt), backbone)
    assert torch.equal(again(picture()), taken(picture()))


@pytest.mark.parametrize("network", ["two_scales", "published"])
def test_a_style_draws_at_the_timesteps_that_it_was_learnt_at(network, tmp_path, pair):
    out, image = tmp_path / "out", tmp_path / "one.png"
    words = ["plugin=sketch", "backbone=random", f"plugin.network={network}", *FAST, *pair]
    record = fk.run(fk.compose([*words, "plugin.timesteps=[41,333]", f"out={out}"]))
    assert record["metrics"]["timesteps"] == [41, 333]
    backbone = fk.load_backbone("random")
    style = load_style(out / "style.safetensors", "random", "")
    assert (style.timesteps, style.chosen_by) == ((41, 333), OWN)
    scene(7, "building").image(64).save(image)
    use = ["plugin=sketch", "backbone=random", "task=extract", f"image={image}"]
    fk.run(fk.compose([*use, f"plugin.style={out / 'style.safetensors'}", f"out={tmp_path / 'd'}"]))
    assert Reader.of_style(style, backbone).timesteps == (41, 333)


def test_an_analysed_run_says_and_shows_what_was_chosen(tmp_path, pair, few_runs):
    out = tmp_path / "out"
    words = ["plugin=sketch", "backbone=random", *FAST, *pair, "plugin.timesteps=analysed"]
    record = fk.run(fk.compose([*words, f"out={out}"]))
    chosen = read_json(out / "timesteps.json")["timesteps"]
    assert record["metrics"]["timesteps"] == [chosen[rank] for rank in RANKS]
    assert record["outputs"]["timesteps"] == "timesteps.png"
    assert any(note.startswith("13 timesteps stand for 2 runs") for note in record["notes"])
    style = load_style(out / "style.safetensors", "random", "")
    assert (style.chosen_by, list(style.timesteps)) == (ANALYSED, record["metrics"]["timesteps"])


# refusals


@pytest.mark.parametrize(
    "asked", ["anlysed", [], [301, 51], [51, 51], [1.5], ["late"], [True], [-1, 5], 51, None, {}]
)
def test_what_names_no_timesteps_is_refused(asked):
    with pytest.raises(
        ConfigError, match=r"^plugin\.timesteps must be published, analysed, random or"
    ):
        check(SketchConfig(timesteps=asked))


def test_timesteps_that_the_model_or_the_run_does_not_have_are_refused(backbone, tmp_path):
    made, _ = job(backbone, tmp_path, [51, 1000])
    with pytest.raises(ConfigError, match=r"must lie in 0 to 999, .*, got 1000; choose others"):
        reading_for(made)
    made, _ = job(backbone, tmp_path, [51, 60], features="inversion")
    with pytest.raises(ConfigError, match=r"the run of 20 steps, 1, 51, .*, got 60; choose of th"):
        reading_for(made)


def test_two_scales_reads_no_timesteps_by_lot():
    with pytest.raises(ConfigError, match=r"random is of plugin\.network=published and released,"):
        check(SketchConfig(timesteps=RANDOM, network="two_scales"))
