"""The exam: what perfect and useless sketches score, and that it asks for nothing it taught."""

import pytest
import torch

from featurekit.scenes import HELD_OUT_SEEDS, KINDS, TRAIN_SEEDS
from featurekit_sketch.inputs import bundled
from featurekit_sketch.metrics.held_out import HeldOutDrawings, means, scores

SIZE = 32


@pytest.fixture(scope="module")
def exam():
    return HeldOutDrawings.of("brush", SIZE, tests=2)


def test_the_true_drawing_scores_full_marks(exam):
    truths = exam.truths("face")
    found = scores(truths, truths)
    assert found["ssim"] == pytest.approx(1, abs=1e-5)
    assert found["f1"] == pytest.approx(1, abs=1e-6)
    assert found["l1"] == 0
    assert found["pearson"] == pytest.approx(1, abs=1e-5)


def test_white_paper_has_no_lines_and_an_inverted_drawing_is_the_opposite(exam):
    truths = exam.truths("face")
    assert scores(torch.ones_like(truths), truths)["f1"] == 0
    assert scores(1 - truths, truths)["pearson"] == pytest.approx(-1, abs=1e-5)


def test_the_scenes_are_held_out_and_what_is_learnt_from_is_not_among_them(exam):
    asked = {one.seed for some in exam.scenes.values() for one in some}
    assert set(exam.scenes) == set(KINDS)
    assert all(len(some) == 2 for some in exam.scenes.values())
    assert all(seed in HELD_OUT_SEEDS for seed in asked)
    assert all(bundled(number).seed in TRAIN_SEEDS for number in (0, 10_000))


def test_edges_are_lines_of_full_black_where_the_picture_changes(exam):
    image = torch.full((1, 3, SIZE, SIZE), -1.0)
    image[..., 16:] = 1.0
    ink = exam.edges(image)
    assert set(ink.unique().tolist()) == {0.0, 1.0}
    dark = (ink[0, 0] == 0).nonzero()[:, 1]
    assert set(dark.tolist()) == {15, 16}


def test_marks_are_by_kind_and_means_over_kinds(exam):
    truths = {"face": exam.truths("face"), "shapes": torch.ones(2, 1, SIZE, SIZE)}
    marks = exam.figures(truths)
    assert marks["face"]["f1"] == pytest.approx(1, abs=1e-6)
    assert marks["shapes"]["f1"] == 0
    assert means(marks, ["face", "shapes"])["f1"] == pytest.approx(0.5, abs=1e-6)
