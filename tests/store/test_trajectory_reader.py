"""trajectory_reader: a store of inversions, and the features that are made of them later."""

import re

import numpy as np
import pytest
import torch
from fake_features import contents
from PIL import Image
from reduced import reduced_configs
from spoken import sentence

from featurekit import backbones
from featurekit.backbones.unet import sdxl
from featurekit.cli.router import main
from featurekit.core.errors import ConfigError, UnknownNameError
from featurekit.diffusion.backbone import Predictor
from featurekit.diffusion.flow_schedule import FlowSchedule
from featurekit.diffusion.flow_table import FlowTable
from featurekit.diffusion.flows.sigmas import DynamicShift
from featurekit.diffusion.invert import invert
from featurekit.diffusion.noise_schedule import Schedule
from featurekit.features.extract import extract_latents
from featurekit.features.recipes import Recipe
from featurekit.images.io import load_image
from featurekit.store.export import plan_pictures, store_pictures
from featurekit.store.picture_reader import PictureReader
from featurekit.store.read import StoredFeatures
from featurekit.store.trajectory_reader import Inversion, TrajectoryReader, recomputed
from featurekit.store.upkeep import verify_store

STEPS = 3
RECIPE = Recipe(("mid", "up1.attention0.block0"), (667, 1))


@pytest.fixture(scope="module")
def backbone():
    return backbones.load("random", device="cpu")


@pytest.fixture(autouse=True)
def alone(backbone, monkeypatch):
    """No launcher, and the network that is there."""
    for name in ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(backbones, "load", lambda *_, **__: backbone)


def album(folder, count=3):
    """Pictures of one padded size and two sizes of their own."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for index in range(count):
        pixels = random.integers(0, 256, (9, 16 + index % 2, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return album(tmp_path_factory.mktemp("photos") / "album")


class FlowOf:
    """A model that says it is a flow's, and answers as it is."""

    def __init__(self, model, noise):
        self._model, self.noise = model, noise

    def __getattr__(self, name):
        return getattr(self._model, name)

    def predictor(self, conditioning, guidance=1.0):
        predict = self._model.predictor(conditioning, guidance)
        return Predictor(lambda z, t: predict(z, min(int(t), 999)), lambda: "")


def test_a_flow_is_inverted_for_a_store_at_its_own_levels(backbone, photos, tmp_path):
    flow = FlowOf(backbone, FlowTable(shift=3.0))
    reader = reader_of(flow)
    store_pictures(tmp_path / "store", photos[:1], reader=reader)
    schedule = FlowSchedule.euler(flow.noise, STEPS)
    ((_, kept),) = StoredFeatures(tmp_path / "store")
    assert set(kept) == {"latent/1000", "latent/857.142857143", "latent/600"}
    z0 = backbone.encode(load_image(photos[0]))
    with torch.no_grad():
        way = invert(flow.predictor(backbone.embed("")), z0, schedule, keep_residuals=False)
    torch.testing.assert_close(kept["latent/600"], way.at(1)[0])
    made = recomputed(tmp_path / "store", flow, Recipe(("mid",), (600,)))
    ((_, features),) = made
    assert set(features) == {"mid/600"}


def test_levels_that_follow_the_picture_are_those_of_its_size(backbone, photos, tmp_path):
    flow = FlowOf(backbone, FlowTable(dynamic=DynamicShift(), patch=1))
    store_pictures(tmp_path / "store", photos[:1], reader=reader_of(flow))
    z0 = backbone.encode(load_image(photos[0]))
    schedule = FlowSchedule.euler(flow.noise, STEPS, tokens=z0.shape[2] * z0.shape[3])
    ((_, kept),) = StoredFeatures(tmp_path / "store")
    with torch.no_grad():
        way = invert(flow.predictor(backbone.embed("")), z0, schedule, keep_residuals=False)
    assert len(kept) == STEPS
    for t in schedule.timesteps:
        found = kept[f"latent/{int(t) if t == int(t) else t}"]
        torch.testing.assert_close(found, way.at_timestep(t)[0])
    t = schedule.timesteps[-1]
    assert t != int(t)
    ((_, features),) = recomputed(tmp_path / "store", flow, Recipe(("mid",), (t,)))
    maps = extract_latents(flow, way, taps="mid", timesteps=t)
    torch.testing.assert_close(features[f"mid/{t}"], maps["mid", t].tensor[0])
    again, _ = store_pictures(tmp_path / "store", photos[:1], reader=reader_of(flow))
    assert (again.samples, again.found) == (0, 1)


def test_pictures_of_two_sizes_are_refused_where_levels_follow_them(backbone, tmp_path):
    for side in (32, 64):
        Image.new("RGB", (side, 64)).save(tmp_path / f"{side}.png")
    flow = FlowOf(backbone, FlowTable(dynamic=DynamicShift(), patch=1))
    with pytest.raises(ConfigError, match=r"as many tokens, .* got (256|128) and, of .* make a st"):
        store_pictures(tmp_path / "store", sorted(tmp_path.glob("*.png")), reader=reader_of(flow))
    assert not (tmp_path / "store").exists()


def reader_of(backbone, **others):
    return TrajectoryReader(backbone, Inversion("ddim", STEPS), **{"batch": 1, **others})


@pytest.fixture(scope="module")
def folder(backbone, photos, tmp_path_factory):
    root = tmp_path_factory.mktemp("stores") / "store"
    store_pictures(root, photos, reader=reader_of(backbone, prompt="a house"))
    return root


def inverted(backbone, path, conditioning):
    schedule = Schedule.ddim(backbone.noise, STEPS)
    with torch.no_grad():
        z0 = backbone.encode(load_image(path))
        return invert(backbone.predictor(conditioning), z0, schedule)


# laws


def test_a_store_holds_the_latents_of_each_inversion(backbone, photos, folder):
    stored = dict(StoredFeatures(folder))
    for path in photos:
        trajectory = inverted(backbone, path, backbone.embed("a house"))
        assert stored[path.name].keys() == {f"latent/{t}" for t in trajectory.schedule.timesteps}
        for t in trajectory.schedule.timesteps:
            torch.testing.assert_close(
                stored[path.name][f"latent/{t}"], trajectory.at_timestep(t)[0], rtol=1e-5, atol=1e-5
            )


def test_recomputed_features_are_those_of_the_inversion(backbone, photos, folder):
    made = recomputed(folder, backbone, RECIPE, prompt="a house")
    assert len(made) == len(photos)
    features = dict(made[index] for index in range(len(made)))
    conditioning = backbone.embed("a house")
    for path in photos:
        trajectory = inverted(backbone, path, conditioning)
        with torch.no_grad():
            maps = extract_latents(
                backbone, trajectory, taps=RECIPE.taps, timesteps=RECIPE.timesteps, prompt="a house"
            )
        assert features[path.name].keys() == {f"{one.tap}/{one.timestep}" for one in maps}
        for one in maps:
            torch.testing.assert_close(
                features[path.name][f"{one.tap}/{one.timestep}"], one.tensor[0],
                rtol=1e-4, atol=1e-4,
            )  # fmt: skip
    assert not any(tensor.requires_grad for tensor in features["0.png"].values())


def test_the_command_line_writes_the_same_store_and_goes_on_with_it(
    backbone, photos, folder, tmp_path, capsys
):
    words = [f"image={photos[0].parent}", f"store={tmp_path / 'store'}", "backbone=random"]
    words += [f"trajectories={STEPS}", "prompt=a house", "batch=1"]
    assert main(["extract", *words, "dry_run=true"]) == 0
    said = capsys.readouterr().out
    cost = re.match(
        r"3 samples to store \(0 there already\), \d+ shards, 9 forwards, (\d+) b", said
    )
    assert cost, said
    assert not (tmp_path / "store").exists()
    assert main(["extract", *words]) == 0
    size = sum(map(len, contents(tmp_path / "store").values()))
    assert int(cost[1]) == pytest.approx(size, rel=0.01)
    assert contents(tmp_path / "store") == contents(folder)
    assert verify_store(tmp_path / "store") == ()
    called = []
    with backbone.unet.register_forward_pre_hook(lambda *_: called.append(1)):
        assert main(["extract", *words]) == 0
    assert called == []
    assert "0 samples stored (3 there already)" in capsys.readouterr().out


def test_the_forwards_of_a_plan_are_those_of_the_network(backbone, photos, tmp_path):
    reader = TrajectoryReader(backbone, Inversion("anderson", STEPS), batch=2)
    plan, _ = plan_pictures(tmp_path / "store", photos, reader=reader)
    rows = []
    hook = backbone.unet.register_forward_pre_hook(lambda _, given: rows.append(len(given[0])))
    with hook:
        store_pictures(tmp_path / "store", photos, reader=reader)
    assert plan.forwards == sum(rows)
    assert set(rows) == {2}


def test_stored_halves_are_read_as_single_precision(backbone, photos, tmp_path):
    store_pictures(tmp_path / "store", photos[:1], reader=reader_of(backbone), reduce=("fp16",))
    ((_, features),) = recomputed(tmp_path / "store", backbone, RECIPE, ids=["0.png"])
    assert {one.dtype for one in features.values()} == {torch.float32}


def test_a_network_that_is_told_sizes_is_told_the_pictures_own(photos, tmp_path):
    model = sdxl.build("sdxl", reduced_configs("sdxl"), device="cpu")
    told = []

    def note(module, args, given):
        told.append(tuple(given["added_cond_kwargs"]["time_ids"][0].tolist()))

    reader = reader_of(model)
    with model.unet.register_forward_pre_hook(note, with_kwargs=True):
        store_pictures(tmp_path / "store", photos[:2], reader=reader)
        recomputed(tmp_path / "store", model, RECIPE, ids=["1.png"])[0]
    assert set(told[: 2 * STEPS]) == {(9, 16, 0, 0, 9, 16), (9, 17, 0, 0, 9, 17)}
    assert set(told[2 * STEPS :]) == {(9, 17, 0, 0, 9, 17)}


@pytest.mark.parametrize(
    ("word", "inversion"),
    [
        ("20", Inversion("ddim", 20)),
        ("anderson", Inversion("anderson", 50)),
        ("ddim-7", Inversion("ddim", 7)),
    ],
)
def test_an_inversion_is_a_word(word, inversion):
    assert Inversion.named(word) == inversion
    assert Inversion.named(str(inversion)) == inversion


# refusals


@pytest.mark.parametrize("word", ["edict", "0", "ddim-0", "anderson-x", "residual-5", "-3", "5.5"])
def test_an_inversion_that_cannot_be_stored_is_refused(word):
    with pytest.raises(ConfigError, match=r"steps or one of ddim, anderson, .* got '"):
        Inversion.named(word)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trajectories=3"], "trajectories must go with a store, got none"),
        (["trajectories=3", "store=s", "taps=[mid]"], r"must be left out with .* got taps=\[mid\]"),
        (["trajectories=edict", "store=s"], "trajectories must be steps or one of"),
        (["trajectories=3", "store=s", "reduce=[pool:2]"], "trajectories must be stored whole"),
        (["trajectories=3", "store=s", "batch=0"], "batch must be at least 1, got 0"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(
    photos, tmp_path, capsys, monkeypatch, words, message
):
    monkeypatch.chdir(tmp_path)
    assert main(["extract", f"image={photos[0].parent}", "backbone=random", *words]) == 2
    err = capsys.readouterr().err
    assert re.search(message, err), err
    assert sentence(err)
    assert list(tmp_path.iterdir()) == []


def test_another_inversion_does_not_go_into_the_store(backbone, photos, folder):
    reader = TrajectoryReader(backbone, Inversion("ddim", STEPS + 1), prompt="a house")
    with pytest.raises(ConfigError, match="a store must hold features of one making"):
        store_pictures(folder, photos, reader=reader)


def test_features_of_another_model_prompt_or_timestep_are_refused(backbone, folder):
    with pytest.raises(ConfigError, match="prompt of the inversion, whose conditioning is"):
        recomputed(folder, backbone, RECIPE, prompt="a cat")
    other = backbones.random.load(device="cpu")
    next(other.unet.parameters()).data.add_(1)
    with pytest.raises(ConfigError, match="prompt of the inversion, whose weights is"):
        recomputed(folder, other, RECIPE, prompt="a house")
    with pytest.raises(UnknownNameError, match="no stored tensor named 'latent/5'; did you mean"):
        recomputed(folder, backbone, Recipe("mid", 5), prompt="a house")
    with pytest.raises(ConfigError, match="in an ensemble of 1, got 8"):
        recomputed(folder, backbone, Recipe("mid", 1, 8), prompt="a house")


def test_a_store_of_features_has_nothing_to_recompute(backbone, photos, tmp_path):
    store_pictures(tmp_path / "store", photos[:1], reader=PictureReader(backbone, RECIPE))
    with pytest.raises(ConfigError, match=r"from a store of trajectories, but .* holds features"):
        recomputed(tmp_path / "store", backbone, RECIPE)
