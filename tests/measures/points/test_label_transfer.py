"""One-shot labels: carried by features that are shared, measured beside the controls."""

import pytest
import torch

from featurekit.backbones import random
from featurekit.core.errors import ConfigError
from featurekit.core.types import FeatureMap
from featurekit.measures.points import label_transfer as measure


@pytest.fixture(scope="module")
def model():
    return random.load("cpu")


KINDS = ("face", "vehicle")  # one of each group
METHODS = {"network", "random", "pixels", "position"}


def test_a_picture_labels_itself(model):
    image = torch.rand(1, 3, 32, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1
    mask = torch.zeros(1, 1, 32, 40)
    mask[:, :, 8:24, 4:20] = 1
    found = measure.label_images(model, (image, mask), [image], taps=["up3"], timestep=1)[0]
    assert found.shape == mask.shape
    assert measure.overlap(found >= 0.5, mask >= 0.5) > 0.8


@pytest.mark.filterwarnings("ignore:the prompt has")
def test_features_that_know_the_foreground_beat_every_control(model, monkeypatch):
    truth = {}

    def known(one, size):
        image = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(one.seed))
        truth[float(image.sum())] = foreground(one, size)
        return image

    def read(backbone, image, *, taps, timesteps, ensemble, seed):
        mask = truth[float(image.sum())] if backbone is model else torch.ones_like(image[:, :1])
        return [FeatureMap(torch.cat((mask, 1 - mask), dim=1), taps[0], timesteps[0], 1)]

    foreground = measure.foreground_of
    monkeypatch.setattr(measure, "image_of", known)
    monkeypatch.setattr(measure, "extract", read)
    told = []
    found = measure.measure_labels(
        model, pairs=1, kinds=KINDS, progress=lambda *both: told.append(both)
    )
    assert set(found.figures["kinds"]) == set(KINDS)
    for kind in KINDS:
        row = found.figures["kinds"][kind]
        assert set(row) == METHODS
        assert row["network"] > 0.95
        assert max(row["random"], row["pixels"], row["position"]) < row["network"]
    assert told[-1] == (len(KINDS), len(KINDS))
    assert set(found.pictures) == {"labels", "overlap"}


def test_raw_patches_see_brightness_and_not_its_direction_alone():
    dark, bright = (torch.full((1, 3, 4, 4), value) for value in (0.1, 0.9))
    here = torch.cat((dark, bright), dim=3)
    mask = torch.cat((torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)), dim=3)
    field = measure.raw_patches(here)
    there = measure.raw_patches(bright)
    assert float(measure.propagate(field, mask, there, neighbours=1).mean()) == 1


def test_no_pairs_are_refused(model):
    with pytest.raises(
        ConfigError, match="pairs must be at least 1 of some kind, got 0 of 7 kinds"
    ):
        measure.measure_labels(model, pairs=0)
