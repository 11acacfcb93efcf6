"""Judges by the truth: sure of the true picture, never of an untouched one, whatever changes."""

import pytest
import torch

from featurekit.backbones import load
from featurekit.scenes import KINDS, move
from featurekit_drag.engine.points import read_points
from featurekit_drag.inputs import from_move
from featurekit_drag.metrics.by_source import judge_by_source
from featurekit_drag.metrics.by_truth import judge_by_truth
from featurekit_drag.metrics.judges import JUDGES, JudgeFeatures
from featurekit_drag.metrics.scores import autoencoded, score

SIGHT = JudgeFeatures("up2", 51)
SCENES = [  # seeds of training; by the truth's patch alone most pass untouched
    (7000, "face", "slide"),
    (7001, "landscape", "sun"),
    (9000, "face", "hair"),
    (9001, "shapes", "turn"),
    (9003, "flowers", "grow"),
    (9004, "building", "flag"),
]


@pytest.fixture(scope="module")
def backbone():
    return load("embedded", device="cpu")


def noise(height=64, width=64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 3, height, width, generator=generator) * 2 - 1


def judge_for(backbone, source, truth, *rows):
    points = read_points(rows, height=source.shape[2], width=source.shape[3])
    return judge_by_truth(backbone, source, truth, points, SIGHT)


@pytest.mark.parametrize(("seed", "kind", "name"), SCENES)
def test_the_truth_and_its_vae_arrive_and_nothing_done_does_not(backbone, seed, kind, name):
    subject = from_move(move(seed, kind, name=name), size=64, seed=0)
    request = subject.request
    asked = JudgeFeatures("up2", 51, request.prompt)
    judge = judge_by_truth(backbone, request.image, subject.truth, request.points, asked)
    everything, nothing = dict.fromkeys(JUDGES, 1), dict.fromkeys(JUDGES, 0)
    for edit in (subject.truth, autoencoded(subject.truth, backbone)):
        assert score(edit, subject, judge)["arrived"] == everything
    for edit in (request.image, autoencoded(request.image, backbone)):
        assert score(edit, subject, judge)["arrived"] == nothing


def test_a_true_deformation_that_the_source_cannot_show_arrives(backbone):
    """What the judges of the source could not say: a turned corner does not look like itself."""
    subject = from_move(move(9001, "shapes", name="turn"), size=64, seed=0)
    request, truth = subject.request, subject.truth
    by_truth = judge_by_truth(backbone, request.image, truth, request.points, SIGHT)
    by_source = judge_by_source(backbone, request.image, request.points, SIGHT)
    assert all(row["reached"] for row in by_truth.report(truth))
    assert not all(row["reached"] for row in by_source.report(truth))
    assert all(float(error.max()) == 0 for error in by_truth.errors(truth).values())


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_true_place_is_that_of_the_named_point_in_the_true_picture(kind):
    """The judges take their template there: a drag ends where the moved scene has its point."""
    for mover in KINDS[kind].movers:
        made = move(9100, kind, name=mover.name)
        handles, targets = zip(*made.drags, strict=True)
        assert handles == mover.handles(made.before.params)
        assert targets == mover.handles(made.after.params)
        assert all(0 <= c <= 1 for point in (*handles, *targets) for c in point)
        subject = from_move(made, size=64, seed=0)
        expected = torch.tensor(targets, dtype=torch.float64) * 64
        torch.testing.assert_close(subject.request.points.targets, expected)


def test_an_edit_is_found_where_it_shows_what_the_truth_shows_at_the_target(backbone):
    source, thing = torch.zeros(1, 3, 64, 64), noise(12, 12)
    truth, elsewhere = source.clone(), source.clone()
    truth[..., 34:46, 34:46] = thing
    elsewhere[..., 24:36, 26:38] = thing  # 8 px too far left, 10 px too high
    judge = judge_for(backbone, source, truth, [24, 40, 40, 40])
    assert judge.find(truth)["patch"].tolist() == [[40, 40]]
    assert judge.find(elsewhere)["patch"].tolist() == [[32, 30]]
    assert judge.report(elsewhere)[0]["reached"] is False


def test_a_true_place_that_still_shows_the_source_is_not_where_a_point_is(backbone):
    source = noise()
    truth = source.clone()
    truth[..., 39:41, 39:41] = -truth[..., 39:41, 39:41]  # a speck: the patch hardly changes
    judge = judge_for(backbone, source, truth, [26, 40, 40, 40])
    assert judge.find(truth)["patch"].tolist() == [[40, 40]]
    apart = float(judge.errors(source)["patch"])
    assert apart > backbone.stride
    assert judge.report(source)[0]["reached"] is False


def test_what_is_flat_before_and_after_has_arrived_in_no_picture(backbone):
    """A patch without detail fits everywhere, which is no evidence of anything."""
    flat = torch.zeros(1, 3, 64, 64)
    judge = judge_for(backbone, flat, flat + 0.5, [20, 40, 40, 40])
    for edit in (flat, flat + 0.5, noise()):
        assert float(judge.errors(edit)["patch"]) > backbone.stride


def test_in_a_picture_of_a_few_cells_a_point_that_did_not_come_is_at_its_handle(backbone):
    source, truth = noise(5, 5), noise(5, 5, seed=1)
    judge = judge_for(backbone, source, truth, [1, 2.5, 2.5, 2.5])
    assert judge.find(truth)["patch"].tolist() == [[2.5, 2.5]]
    assert judge.find(source)["patch"].tolist() == [[1, 2.5]]
    assert judge.report(source)[0]["reached"] is False


def test_every_point_is_judged_by_its_own_place(backbone):
    source, truth = torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64)
    first, second = noise(9, 9, seed=2), noise(9, 9, seed=3)
    truth[..., 12:21, 12:21], truth[..., 40:49, 40:49] = first, second
    half = source.clone()
    half[..., 40:49, 40:49] = second
    rows = [16.5, 30.5, 16.5, 16.5], [28.5, 44.5, 44.5, 44.5]
    judge = judge_for(backbone, source, truth, *rows)
    patch = judge.errors(half)["patch"]
    assert float(patch[0]) > backbone.stride
    assert float(patch[1]) == 0


def test_a_picture_is_looked_at_once_by_a_judge_of_the_truth_too(backbone, monkeypatch):
    judge, looks = judge_for(backbone, noise(), noise(seed=1), [20, 20, 40, 40], [9, 9, 9, 30]), []
    own = judge.find.sight._look
    monkeypatch.setattr(judge.find.sight, "_look", lambda image: looks.append(1) or own(image))
    judge.find(noise(seed=2))
    judge.find(noise(seed=2))
    assert len(looks) == 3  # truth, source, edit
