"""Scores: ratios with known values, controls that are the controls, and their refusals."""

from dataclasses import replace

import pytest
import torch

from featurekit.backbones import load
from featurekit.scenes import controls, move
from featurekit_drag.engine.points import read_points
from featurekit_drag.engine.request import Request
from featurekit_drag.inputs import Subject, from_move
from featurekit_drag.metrics.by_source import judge_by_source
from featurekit_drag.metrics.judges import JudgeFeatures
from featurekit_drag.metrics.scores import (
    CONTROLS,
    autoencoded,
    control_edits,
    likeness,
    score,
    scores,
)

SUN = move(1_000_001, "landscape", name="sun")


@pytest.fixture(scope="module")
def backbone():
    return load("random", device="cpu")


@pytest.fixture(scope="module")
def subject():
    return from_move(SUN, size=64, seed=0)


@pytest.fixture(scope="module")
def judge(backbone, subject):
    request = subject.request
    return judge_by_source(backbone, request.image, request.points, JudgeFeatures("up2", 101))


@pytest.fixture(scope="module")
def table(subject, judge):
    return scores(subject.request.image * 0.9, subject, judge)


def picture(height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 3, height, width, generator=generator) * 2 - 1


def users_own(height, width, *rows, mask=None):
    points = read_points(rows, height=height, width=width)
    return Subject(Request(picture(height, width), points, mask), "me.png")


def test_the_truth_scores_nothing_and_doing_nothing_scores_one(subject):
    assert likeness(subject.truth, subject) == 0
    assert likeness(subject.request.image, subject) == 1


def test_half_way_to_the_truth_scores_a_quarter(subject):
    between = (subject.truth + subject.request.image) / 2
    assert likeness(between, subject) == pytest.approx(0.25, abs=1e-5)


def test_only_pixels_that_truly_change_count(subject):
    still = ~subject.changed
    assert (still & (subject.request.mask == 1)).any()
    spoilt = torch.where(still, torch.ones_like(subject.truth), subject.truth)
    assert likeness(spoilt, subject) == 0
    missed = torch.where(subject.changed, subject.request.image, subject.truth)
    assert likeness(missed, subject) == 1


def test_without_a_truth_there_is_no_likeness():
    subject = users_own(40, 50, [10, 10, 20, 20])
    assert likeness(subject.request.image, subject) is None


def test_the_rows_are_the_edit_the_controls_the_truth_and_the_floor(table):
    assert list(table) == ["edit", *CONTROLS, "truth", "vae_floor"]
    assert list(CONTROLS) == ["noop", "erase", "blur", "shifted_copy"]
    for row in table.values():
        assert list(row) == ["mse_ratio", "error_px", "error_share", "arrived"]


def test_the_controls_are_those_of_the_world(subject, table):
    request = subject.request
    made = control_edits(subject)
    for name, control in controls.CONTROLS.items():
        expected = control(request.image, request.mask, SUN.drags_px(64))
        torch.testing.assert_close(made[name], expected)
        assert table[name]["mse_ratio"] == pytest.approx(likeness(expected, subject))


def test_noop_keeps_the_whole_way_and_the_truth_none(subject, table):
    length = float(subject.request.points.lengths)
    assert table["noop"]["mse_ratio"] == 1
    assert table["noop"]["error_px"] == pytest.approx({"patch": length, "feature": length})
    assert table["noop"]["error_share"] == pytest.approx({"patch": 1, "feature": 1})
    assert table["truth"]["mse_ratio"] == 0
    assert table["truth"]["error_px"]["patch"] < 1


def test_a_shifted_copy_follows_a_translation_better_than_every_other_control(table):
    others = [table[name]["mse_ratio"] for name in ("noop", "erase", "blur")]
    assert table["shifted_copy"]["mse_ratio"] < min(others)


def test_the_floor_is_the_truth_through_the_autoencoder(subject, table, backbone):
    floor = autoencoded(subject.truth, backbone)
    assert table["vae_floor"]["mse_ratio"] == pytest.approx(likeness(floor, subject))


@pytest.mark.parametrize("size", [(64, 64), (61, 97), (9, 33)])
def test_the_autoencoder_keeps_the_size_of_a_picture(backbone, size):
    decoded = autoencoded(picture(*size), backbone)
    assert decoded.shape == (1, 3, *size)
    assert decoded.abs().max() <= 1
    assert not decoded.requires_grad


def test_a_share_is_the_distance_left_over_the_length_of_each_drag(backbone):
    subject = users_own(64, 64, [20, 20, 26, 28], [40, 40, 40, 20])
    request = subject.request
    judge = judge_by_source(backbone, request.image, request.points, JudgeFeatures("up2", 101))
    row = score(subject.request.image, subject, judge)
    assert row["mse_ratio"] is None
    assert row["error_px"] == pytest.approx({"patch": 15, "feature": 15})
    assert row["error_share"] == pytest.approx({"patch": 1, "feature": 1})
    assert row["arrived"] == {"patch": 0, "feature": 0}
    edit = picture(64, 64, seed=1)
    errors, row = judge.errors(edit), score(edit, subject, judge)
    for name in ("patch", "feature"):
        left = errors[name].tolist()
        assert row["error_px"][name] == pytest.approx(sum(left) / 2)
        assert row["error_share"][name] == pytest.approx((left[0] / 10 + left[1] / 20) / 2)


def test_without_a_mask_controls_differ_only_within_a_drags_length_of_its_ends():
    subject = users_own(60, 80, [20, 30, 28, 36])
    image = subject.request.image
    y, x = torch.meshgrid(torch.arange(60) + 0.5, torch.arange(80) + 0.5, indexing="ij")
    near = ((x - 20) ** 2 + (y - 30) ** 2 <= 100) | ((x - 28) ** 2 + (y - 36) ** 2 <= 100)
    made = control_edits(subject)
    assert list(made) == list(CONTROLS)
    for name in ("erase", "blur"):
        changed = (made[name] != image).any(dim=1)[0]
        assert not (changed & ~near).any()
        assert changed[near].float().mean() > 0.95
    copied = (made["shifted_copy"] != image).any(dim=1)[0]
    assert copied.any()
    assert not (copied & ~near).any()


def test_with_a_mask_controls_stay_inside_it():
    mask = torch.zeros(1, 1, 60, 80)
    mask[..., 10:50, 5:60] = 1
    subject = users_own(60, 80, [20, 30, 28, 36], mask=mask)
    for name, edit in control_edits(subject).items():
        changed = (edit != subject.request.image).any(dim=1, keepdim=True)
        assert changed.any() == (name != "noop")
        assert not (changed & (mask == 0)).any()


def test_a_control_that_has_no_room_is_left_out():
    everything = users_own(40, 50, [10, 10, 20, 20], mask=torch.ones(1, 1, 40, 50))
    assert list(control_edits(everything)) == ["noop", "blur", "shifted_copy"]
    speck = torch.zeros(1, 1, 40, 50)
    speck[..., 10, 10] = 1
    narrow = users_own(40, 50, [10.5, 10.5, 30, 30], mask=speck)
    assert list(control_edits(narrow)) == ["noop", "erase", "blur"]


def test_a_subject_without_truth_has_neither_truth_nor_floor(backbone, subject, judge):
    own = replace(subject, truth=None)
    assert list(scores(own.request.image, own, judge)) == ["edit", *CONTROLS]


def test_what_has_arrived_is_a_share_of_the_points_by_judge(backbone):
    subject = users_own(64, 64, [20, 20, 20, 20.5], [40, 40, 40, 20])
    request = subject.request
    judge = judge_by_source(backbone, request.image, request.points, JudgeFeatures("up2", 101))
    edit = request.image.roll(-20, dims=2)  # the second handle came, the first is 20 px off
    assert score(edit, subject, judge)["arrived"]["patch"] == 0.5
    assert judge.near_px.tolist() == [0.25, 4]  # half the way, or a latent cell


def test_pictures_on_the_way_are_scored_beside_the_edit(subject, judge):
    between = (subject.truth + subject.request.image) / 2
    table = scores(subject.truth, subject, judge, {"warp": between})
    assert list(table) == ["edit", "warp", *CONTROLS, "truth", "vae_floor"]
    assert table["warp"]["mse_ratio"] == pytest.approx(0.25, abs=1e-5)
    assert table["edit"] == table["truth"]
