"""Averages: means and medians by hand, intervals that cover as they say, rows that are missing."""

import pytest
import torch

from featurekit_drag.metrics.averages import averages, by_kind, interval, mean, median, success


def row(ratio, patch, feature, share=(0.5, 0.5)):
    return {
        "mse_ratio": ratio,
        "error_share": dict(zip(("patch", "feature"), share, strict=True)),
        "arrived": {"patch": patch, "feature": feature},
    }


def scene(length, kind="face", seconds=2.0, **rows):
    return {"length_px": length, "kind": kind, "seconds": seconds, "scores": rows}


def test_success_is_the_mean_of_both_judges_over_the_points():
    assert success(row(0.1, 1, 0.5)) == 0.75
    assert success(row(9.0, 0, 0)) == 0


def test_figures_are_those_of_the_scenes():
    table = averages(
        [
            scene(10, edit=row(0.2, 1, 1, (0.1, 0.3)), noop=row(1, 0, 0)),
            scene(14, edit=row(0.7, 0, 1, (0.3, 0.5)), noop=row(1, 0, 0), seconds=4.0),
            scene(9, edit=row(0.3, 0, 0, (0.8, 1)), noop=row(1, 0, 0), seconds=6.0),
        ]
    )
    assert (table["scenes"], table["mean_move_px"], table["shortest_move_px"]) == (3, 11, 9)
    assert table["seconds"] == 4
    edit, noop = table["rows"]["edit"], table["rows"]["noop"]
    assert edit["mse_ratio"]["mean"]["value"] == pytest.approx(0.4)
    assert edit["mse_ratio"]["median"]["value"] == pytest.approx(0.3)
    assert edit["success"]["value"] == pytest.approx(0.5)
    assert edit["arrived"] == pytest.approx({"patch": 1 / 3, "feature": 2 / 3})
    assert edit["error_share"] == pytest.approx({"patch": 0.4, "feature": 0.6})
    assert edit["all_arrived"] == 1
    assert noop["mse_ratio"]["mean"] == {"value": 1, "low": 1, "high": 1}
    assert noop["success"] == {"value": 0, "low": 0, "high": 0}


def test_a_row_that_some_scenes_lack_is_of_the_others_and_says_how_many():
    table = averages(
        [scene(9, edit=row(1, 0, 0)), scene(9, edit=row(1, 0, 0), erase=row(0.5, 1, 0))]
    )
    assert list(table["rows"]) == ["edit", "erase"]
    assert table["rows"]["erase"]["scenes"] == 1
    assert table["rows"]["erase"]["mse_ratio"]["mean"]["value"] == 0.5


def test_the_median_of_an_even_number_lies_between_the_middle_two():
    assert interval([1, 2, 4, 100], median)["value"] == 3
    assert interval([1, 2, 4, 100], mean)["value"] == 26.75


def test_an_interval_is_the_same_each_time_and_leaves_other_generators_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = interval([0.1, 0.5, 0.2, 0.9], mean)
    assert first == interval([0.1, 0.5, 0.2, 0.9], mean)
    assert torch.equal(before, torch.get_rng_state())
    assert first["low"] < first["value"] < first["high"]


def test_an_interval_has_the_width_of_the_normal_law():
    """Mean of 400 values of unit variance: 1.96 standard errors of 1/20 to either side."""
    values = torch.randn(400, generator=torch.Generator().manual_seed(0))
    values = (values - values.mean()) / values.std(correction=0)
    found = interval(values.tolist(), mean)
    assert found["low"] == pytest.approx(-1.96 / 20, abs=0.01)
    assert found["high"] == pytest.approx(1.96 / 20, abs=0.01)


def test_intervals_cover_the_true_mean_about_as_often_as_they_say():
    generator = torch.Generator().manual_seed(1)
    samples = torch.rand(200, 50, generator=generator).tolist()
    held = [found["low"] <= 0.5 <= found["high"] for found in (interval(s, mean) for s in samples)]
    assert 0.90 <= sum(held) / len(held) <= 0.98


def test_kinds_are_told_apart():
    table = by_kind(
        [
            scene(9, "face", edit=row(0.2, 1, 1)),
            scene(9, "sun", edit=row(0.8, 0, 0)),
            scene(9, "face", edit=row(0.4, 1, 0)),
        ]
    )
    assert list(table) == ["face", "sun"]
    assert (table["face"]["scenes"], table["sun"]["scenes"]) == (2, 1)
    assert table["face"]["mse_ratio"]["value"] == pytest.approx(0.3)
    assert table["face"]["success"]["value"] == 0.75
    assert table["sun"]["success"] == {"value": 0, "low": 0, "high": 0}
