"""The autoencoder's measure: exact copies, a known error, and every kind in the report."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from featurekit.backbones import random
from featurekit.measures import measure_reconstruction
from featurekit.measures.held_out import EQUAL_DB, decibels, grouped, image_of, scenes_of
from featurekit.scenes import HELD_OUT_KINDS, KINDS

SIZE = 16


def scaling(factor):
    """A backbone whose pictures come back scaled."""
    return SimpleNamespace(
        sample_size=(SIZE, SIZE),
        stride=1,
        device=torch.device("cpu"),
        encode=lambda image: image,
        decode=lambda latent: factor * latent,
    )


def test_an_exact_copy_counts_as_equal_and_leaves_the_mean_finite():
    figures = measure_reconstruction(scaling(1.0), count=1).figures
    assert figures["trained"]["psnr"] == EQUAL_DB
    assert figures["held_out"]["psnr_foreground_min"] == EQUAL_DB


def test_equal_pictures_count_a_hundred_decibels_and_others_what_they_are():
    a = torch.zeros(2, 3, 4, 4)
    b = a.clone()
    b[1] = 0.2
    assert decibels(a, b) == [EQUAL_DB, pytest.approx(20)]


def test_a_known_error_gives_its_decibels():
    figures = measure_reconstruction(scaling(0.9), count=2).figures
    expected = []
    for scene in scenes_of("face", 2):
        image = image_of(scene, SIZE).double()
        expected.append(10 * math.log10(4 / (0.1 * image).square().mean().item()))
    face = figures["kinds"]["face"]
    assert face["psnr"] == pytest.approx(sum(expected) / 2, abs=1e-3)
    assert face["psnr_min"] == pytest.approx(min(expected), abs=1e-3)


def test_what_is_wrong_outside_the_foreground_leaves_its_figure():
    kind = next(iter(KINDS))
    scene = scenes_of(kind, 1)[0]
    front = torch.from_numpy(np.array(scene.foreground(SIZE))) > 0
    spoilt = scaling(1.0)
    spoilt.decode = lambda latent: torch.where(front, latent, -latent)
    face = measure_reconstruction(spoilt, count=1).figures["kinds"][kind]
    assert face["psnr"] < 30
    assert face["psnr_foreground"] == EQUAL_DB


def test_a_group_is_the_mean_over_its_scenes_and_the_worst_of_all():
    found = grouped({"face": [{"psnr": 10.0}], "animal": [{"psnr": 30.0}, {"psnr": 50.0}]})
    assert found["trained"] == {"psnr": 30.0, "psnr_min": 10.0}
    assert found["kinds"]["animal"] == {"psnr": 40.0, "psnr_min": 30.0}
    assert "held_out" not in found


def test_every_kind_is_in_the_report_and_the_progress_ends_at_its_total():
    told = []
    measured = measure_reconstruction(
        random.load("cpu"), count=1, progress=lambda *numbers: told.append(numbers)
    )
    assert set(measured.figures["kinds"]) == set(KINDS)
    assert measured.figures["kinds"].keys() >= set(HELD_OUT_KINDS)
    assert told == [(i + 1, len(KINDS)) for i in range(len(KINDS))]
    assert measured.pictures["reconstruction"].width > 256
