"""Learning a style: stopping and going on is the same as never stopping; bad numbers end it."""

import os
import random
import subprocess
import sys
from dataclasses import replace

import invented
import pytest
import torch

from featurekit.core.errors import ConfigError, TrainingError
from featurekit.images.io import read_tensors
from featurekit_sketch.losses.sketch_loss import SketchLoss
from featurekit_sketch.network.sketch_network import SketchNetwork
from featurekit_sketch.sampling.feature_cache import FeatureCache, Room
from featurekit_sketch.settings import Learning
from featurekit_sketch.training import published_course
from featurekit_sketch.training import trainer as training
from featurekit_sketch.training.published_course import Examples, PublishedCourse, rate_at
from featurekit_sketch.training.trainer import Trainer, iterations_in

ANATOMY = invented.feature_taps("embedded")
SIZE, TIMES = 32, 2
LEARNING = Learning(iterations=20, learning_rate=1e-3)
CHILD = """
import sys
from pathlib import Path

from featurekit_sketch.training import trainer as training
from test_trainer import trainer

training.SAVE_SECONDS = 0.0
trainer(Path(sys.argv[1]))(progress=lambda done, total: print(done, flush=True))
"""


class FakeClip:
    """A linear encoder of pictures."""

    def __init__(self):
        self.weight = torch.randn(3 * SIZE * SIZE, 8, generator=torch.Generator().manual_seed(1))

    def encode_image(self, image):
        return image.flatten(1) @ self.weight


class FakePerceptual:
    name = "mean square"

    def prepared(self, reference):
        return lambda a: (a - reference).square().mean()


def features(seed):
    return invented.features(ANATOMY, SIZE, SIZE, timesteps=TIMES, seed=seed)


def examples(samples=3):
    clip = FakeClip()
    ink = torch.ones(1, 1, SIZE, SIZE)
    ink[..., 4:6, :] = 0
    losses = [
        SketchLoss(clip, FakePerceptual(), source_image=features(i).image, drawing=ink)
        for i in range(2)
    ]
    embeddings = [clip.encode_image(features(10 + i).image) for i in range(samples)]
    return Examples(
        FeatureCache(features), losses, FeatureCache(lambda i: features(10 + i)), embeddings
    )


def trainer(folder, *, learning=LEARNING, key="key", given=None):
    network = SketchNetwork(ANATOMY, timesteps=TIMES)
    course = PublishedCourse(given or examples(), learning, 0)
    return Trainer(network, course, folder / "training.safetensors", key)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Weights after a training that nothing stopped."""
    whole = trainer(tmp_path_factory.mktemp("straight"))
    whole()
    return whole.network.state_dict()


def gap(folder, wanted):
    """Farthest that any weight of the training that goes on in a folder ends from another's."""
    resumed = trainer(folder)
    assert len(resumed()) == 20
    found = resumed.network.state_dict()
    return max(float((found[name] - one).abs().max()) for name, one in wanted.items())


def kept_iterations(folder):
    return len(read_tensors(folder / "training.safetensors")["trace"])


def all_finite(folder):
    kept = read_tensors(folder / "training.safetensors")
    return all(bool(one.isfinite().all()) for one in kept.values())


def test_the_loss_falls_and_every_iteration_is_told(tmp_path):
    told = []
    trace = trainer(tmp_path)(progress=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == list(range(1, 21))
    assert {total for _, total in told} == {20}
    assert sum(row["total"] for row in trace[-4:]) < 0.7 * sum(row["total"] for row in trace[:4])


def test_who_listens_hears_the_terms_of_every_iteration_before_the_progress(tmp_path):
    heard = []
    given = replace(trainer(tmp_path), heard=lambda done, terms: heard.append((done, terms)))
    trace = given(until=4, progress=lambda done, total: heard.append(done))
    assert heard == [one for done, row in enumerate(trace, 1) for one in ((done, row), done)]
    assert iterations_in(given.path) == 4
    assert iterations_in(tmp_path / "none.safetensors") == 0


def test_a_training_that_was_stopped_ends_with_the_very_weights_of_one_that_was_not(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    straight = trainer(whole)
    trace = straight()
    trainer(parts)(until=10)
    resumed = trainer(parts)
    assert resumed() == trace
    ends = resumed.network.state_dict()
    assert all(torch.equal(ends[name], one) for name, one in straight.network.state_dict().items())


@pytest.mark.parametrize("seed", range(3))
def test_a_training_that_broke_off_anywhere_ends_like_one_that_did_not(
    straight, tmp_path, monkeypatch, seed
):
    monkeypatch.setattr(training, "SAVE_SECONDS", 0.0)
    last = random.Random(seed).randrange(2, 20)

    def broken_off(done, _):
        if done == last:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path)(progress=broken_off)
    assert kept_iterations(tmp_path) == last - 1  # its state was seen to be good, the next not yet
    assert gap(tmp_path, straight) <= 1e-6


def test_a_training_whose_process_was_killed_ends_like_one_that_was_not(straight, tmp_path):
    last = random.Random(7).randrange(3, 12)
    paths = os.pathsep.join(filter(None, sys.path))
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        next(line for line in child.stdout if int(line) == last)
        child.kill()
    assert child.returncode < 0  # by the signal, and not because it was done
    assert last - 1 <= kept_iterations(tmp_path) < 20
    assert gap(tmp_path, straight) <= 1e-6


def test_a_finished_training_is_not_trained_again(tmp_path):
    first = trainer(tmp_path)
    trace = first()
    told = []
    assert trainer(tmp_path)(progress=lambda *at: told.append(at)) == trace
    assert not told


def test_without_samples_the_directions_count_nothing(tmp_path):
    trace = trainer(tmp_path, given=examples(samples=0))(until=3)
    assert all(row["across"] == row["within"] == 0 for row in trace)


def test_samples_come_in_order_and_all_of_them(tmp_path):
    found = [examples().chosen(i, 30, 0)[1] for i in range(30)]
    assert found == sorted(found)
    assert set(found) == {0, 1, 2}


def test_the_rate_falls_over_its_last_share_alone():
    learning = replace(LEARNING, cool_down=0.5)
    rates = [rate_at(i, learning) for i in range(20)]
    assert rates[:11] == [1e-3] * 11
    assert rates[11:] == sorted(rates[11:], reverse=True)
    assert rates[-1] == pytest.approx(1e-4)
    assert rate_at(19, LEARNING) == 1e-3


def test_nan_ends_the_training_and_the_last_good_state_is_kept(tmp_path):
    sick = examples()
    first = next(i for i in range(20) if sick.chosen(i, 20, 0)[0] == 1)
    poisoned = replace(features(1), image=features(1).image * float("nan"))
    sick = replace(sick, views=lambda number: poisoned if number == 1 else features(number))
    with pytest.raises(TrainingError, match=rf"NaN or infinity at iteration {first}; the state"):
        trainer(tmp_path, given=sick)()
    kept = trainer(tmp_path)
    assert len(kept(until=first)) == first
    assert all(bool(one.isfinite().all()) for one in kept.network.parameters())


def test_a_gradient_of_nan_ends_the_training_though_its_loss_is_finite(straight, tmp_path):
    sick, calls = trainer(tmp_path), []

    def at_the_sixth(gradient):
        calls.append(1)
        return gradient * float("nan") if len(calls) == 6 else gradient

    next(sick.network.parameters()).register_hook(at_the_sixth)
    with pytest.raises(TrainingError, match=r"its gradient .* got NaN or infinity at iteration 5;"):
        sick()
    assert all_finite(tmp_path)
    assert kept_iterations(tmp_path) == 4  # the fifth state gave the bad gradient
    assert gap(tmp_path, straight) == 0


@pytest.mark.parametrize("last", [6, 20])
def test_weights_that_a_step_made_infinite_are_never_kept(straight, tmp_path, monkeypatch, last):
    with monkeypatch.context() as patched:
        patched.setattr(training, "SAVE_SECONDS", 0.0)
        far = {last - 1: float("inf")}
        patched.setattr(published_course, "rate_at", lambda at, _: far.get(at, 1e-3))
        message = rf"NaN or infinity at iteration {last}; the state before it is kept"
        with pytest.raises(TrainingError, match=message):
            trainer(tmp_path)()
    assert all_finite(tmp_path)
    assert kept_iterations(tmp_path) == last - 1
    assert gap(tmp_path, straight) == 0


def test_a_training_that_is_bad_from_the_start_keeps_nothing(tmp_path):
    poisoned = replace(features(0), image=features(0).image * float("nan"))
    sick = replace(examples(), views=lambda _: poisoned)
    with pytest.raises(TrainingError, match=r"at iteration 0; .* so that nothing is kept"):
        trainer(tmp_path, given=sick)()
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_other_settings_is_refused_and_kept(tmp_path):
    trainer(tmp_path)(until=2)
    before = (tmp_path / "training.safetensors").read_bytes()
    with pytest.raises(ConfigError, match=r"is of another training; choose another out"):
        trainer(tmp_path, key="other")()
    assert (tmp_path / "training.safetensors").read_bytes() == before


def test_a_shelf_keeps_what_fits_and_reads_the_rest_again():
    asked = []

    def make(number):
        asked.append(number)
        return features(number)

    cache = FeatureCache(make, room=Room(features(0).bytes))
    for number in (0, 1, 0, 1):
        assert torch.equal(cache(number).image, features(number).image)
    assert asked == [0, 1, 1]


def test_ctrl_c_keeps_the_last_good_state_and_says_how_to_go_on(tmp_path, straight):
    stopped = trainer(tmp_path)

    def interrupt(done, total):
        if done == 7:
            raise KeyboardInterrupt

    told = f"^run the same command with out={tmp_path} to go on from iteration 6$"
    with pytest.raises(KeyboardInterrupt, match=told):
        stopped(progress=interrupt)
    assert kept_iterations(tmp_path) == 6
    said = []
    resumed = replace(trainer(tmp_path), say=said.append)
    assert len(resumed()) == 20
    assert said == ["going on at iteration 6 of 20"]
    ends = resumed.network.state_dict()
    assert all(torch.equal(ends[name], one) for name, one in straight.items())


def test_ctrl_c_before_anything_is_good_promises_nothing(tmp_path):
    stopped = trainer(tmp_path, given=replace(examples(), views=_interrupted))
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        stopped()
    assert not (tmp_path / "training.safetensors").exists()


def _interrupted(number):
    raise KeyboardInterrupt
