"""One drawing against several, and people against each other: values by hand."""

import pytest
import torch

from featurekit_sketch.metrics.figures import figures, mean_row
from featurekit_sketch.metrics.several import against, mean_of, people

SIDE = 16


def rows(*inked):
    ink = torch.ones(1, 1, SIDE, SIDE)
    for row in inked:
        ink[0, 0, row] = 0
    return ink


def test_the_mean_is_over_drawings_and_the_best_is_one_of_them_whole():
    truths = [rows(5, 10), rows(5), rows(12)]
    found = against(rows(5), truths)
    each = [figures(rows(5), one)[0] for one in truths]
    assert found["mean"] == mean_row(each)
    assert found["mean"]["f1"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert found["best"] == each[1]


def test_the_best_is_by_lines_with_tolerance():
    beside, blank = (figures(rows(5), one)[0] for one in (rows(6), rows()))
    assert beside["ssim"] < blank["ssim"]
    assert against(rows(5), [rows(), rows(6)])["best"] == beside


def test_of_one_drawing_mean_and_best_are_the_same():
    found = against(rows(5), [rows(6)])
    assert found["mean"] == found["best"]
    assert (found["best"]["f1"], found["best"]["f1_exact"]) == (1, 0)


def test_people_are_measured_against_the_others_and_never_themselves():
    found = people([rows(5), rows(5, 10), rows(12)])
    # pairs of F1: 2/3, 0, 0 each way; the best other of the first two is the other
    assert found["mean"]["f1"] == pytest.approx((1 / 3 + 1 / 3 + 0) / 3)
    assert found["best"]["f1"] == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert found["mean"]["ink"] == pytest.approx(4 / 3 / SIDE)


def test_means_count_pictures_alike():
    one, other = against(rows(5), [rows(5)]), against(rows(5), [rows(12)])
    assert mean_of([one, other])["mean"]["f1"] == 0.5
    assert mean_of([one, other, other])["best"]["f1"] == pytest.approx(1 / 3)


def test_a_perceptual_distance_is_passed_on():
    class Distance:
        name = "mean"

        def distance(self, a, b):
            return (a - b).abs().mean()

    found = people([rows(5), rows(6)], lpips=Distance())
    assert found["mean"]["lpips"] == pytest.approx(2 * 2 / SIDE)
