"""Learning a style: stopping and going on is the same as never stopping; bad numbers end it."""

from dataclasses import replace

import invented
import pytest
import torch

from featurekit.errors import ConfigError, TrainingError
from featurekit_sketch.losses import SketchLoss
from featurekit_sketch.network import SketchNetwork
from featurekit_sketch.settings import Learning
from featurekit_sketch.shelf import Shelf
from featurekit_sketch.training import Lessons, Trainer, rate_at

ANATOMY = invented.anatomy("embedded")
SIZE, TIMES = 32, 2
LEARNING = Learning(iterations=20, learning_rate=1e-3)


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


def lessons(samples=3):
    clip = FakeClip()
    ink = torch.ones(1, 1, SIZE, SIZE)
    ink[..., 4:6, :] = 0
    losses = [
        SketchLoss(clip, FakePerceptual(), source_image=features(i).image, drawing=ink)
        for i in range(2)
    ]
    embeddings = [clip.encode_image(features(10 + i).image) for i in range(samples)]
    return Lessons(Shelf(features), losses, Shelf(lambda i: features(10 + i)), embeddings)


def trainer(folder, *, learning=LEARNING, key="key", given=None):
    network = SketchNetwork(ANATOMY, timesteps=TIMES)
    return Trainer(network, given or lessons(), learning, 0, folder / "training.safetensors", key)


def test_the_loss_falls_and_every_iteration_is_told(tmp_path):
    told = []
    trace = trainer(tmp_path)(progress=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == list(range(1, 21))
    assert {total for _, total in told} == {20}
    assert sum(row["total"] for row in trace[-4:]) < 0.7 * sum(row["total"] for row in trace[:4])


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


def test_a_finished_training_is_not_trained_again(tmp_path):
    first = trainer(tmp_path)
    trace = first()
    told = []
    assert trainer(tmp_path)(progress=lambda *at: told.append(at)) == trace
    assert not told


def test_without_samples_the_directions_count_nothing(tmp_path):
    trace = trainer(tmp_path, given=lessons(samples=0))(until=3)
    assert all(row["across"] == row["within"] == 0 for row in trace)


def test_samples_come_in_order_and_all_of_them(tmp_path):
    found = [lessons().chosen(i, 30, 0)[1] for i in range(30)]
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
    sick = lessons()
    first = next(i for i in range(20) if sick.chosen(i, 20, 0)[0] == 1)
    poisoned = replace(features(1), image=features(1).image * float("nan"))
    sick = replace(sick, views=lambda number: poisoned if number == 1 else features(number))
    with pytest.raises(TrainingError, match=rf"NaN or infinity at iteration {first}; the state"):
        trainer(tmp_path, given=sick)()
    kept = trainer(tmp_path)
    assert len(kept(until=first)) == first
    assert all(bool(one.isfinite().all()) for one in kept.network.parameters())


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

    shelf = Shelf(make, room=features(0).bytes)
    for number in (0, 1, 0, 1):
        assert torch.equal(shelf(number).image, features(number).image)
    assert asked == [0, 1, 1]
