"""The judges: exact on shifts, sure of the truth, and blind to the optimiser's tracker."""

import ast
import inspect

import pytest
import torch
from torch.nn import functional

from featurekit.backbones import load
from featurekit.scenes import move
from featurekit_drag.engine.points import read_points
from featurekit_drag.inputs import from_move
from featurekit_drag.metrics import by_source, by_truth
from featurekit_drag.metrics import judges as judging
from featurekit_drag.metrics.by_source import SourceFinder, judge_by_source
from featurekit_drag.metrics.by_truth import TruthFinder
from featurekit_drag.metrics.judges import JUDGES, JudgeFeatures

SIGHT = JudgeFeatures("up2", 51)
HANDLE = (30.0, 34.0)
TRANSLATIONS = [("face", "slide"), ("landscape", "sun"), ("landscape", "house"), ("shapes", "move")]


@pytest.fixture(scope="module")
def backbone():
    return load("embedded", device="cpu")


@pytest.fixture(scope="module")
def canvas():
    """Soft spots, larger than what is cut from it, so that a shift needs no filling."""
    generator = torch.Generator().manual_seed(0)
    spots = torch.rand(1, 3, 16, 16, generator=generator) * 1.6 - 0.8
    return functional.interpolate(spots, size=(96, 96), mode="bicubic").clamp(-1, 1)


def cut(canvas, dx=0, dy=0):
    return canvas[..., 16 - dy : 80 - dy, 16 - dx : 80 - dx]


def judge_for(backbone, source, *rows):
    height, width = source.shape[-2:]
    return judge_by_source(backbone, source, read_points(rows, height=height, width=width), SIGHT)


def judge_of_move(backbone, kind, name, seed=1_000_003):
    subject = from_move(move(seed, kind, name=name), size=64, seed=0)
    request = subject.request
    asked = JudgeFeatures("up2", 51, request.prompt)
    return judge_by_source(backbone, request.image, request.points, asked), subject


def test_in_an_unchanged_picture_every_judge_finds_every_handle_where_it_was(backbone, canvas):
    judge = judge_for(backbone, cut(canvas), [*HANDLE, 40, 34], [20.25, 12.5, 20.25, 30.5])
    for found in judge.find(cut(canvas)).values():
        assert torch.equal(found, judge.points.handles)
    for errors in judge.errors(cut(canvas)).values():
        torch.testing.assert_close(errors, torch.tensor([10.0, 18.0], dtype=torch.float64))


@pytest.mark.parametrize("shift", [(8, 0), (0, -8), (5, 7), (-12, 8)])
def test_a_shifted_picture_has_its_handle_at_the_target(backbone, canvas, shift):
    dx, dy = shift
    judge = judge_for(backbone, cut(canvas), [*HANDLE, HANDLE[0] + dx, HANDLE[1] + dy])
    errors = judge.errors(cut(canvas, dx, dy))
    assert float(errors["patch"]) < 0.02
    assert float(errors["feature"]) <= backbone.stride


def test_a_judge_says_where_a_handle_is_and_not_where_it_should_be(backbone, canvas):
    judge = judge_for(backbone, cut(canvas), [*HANDLE, HANDLE[0] - 8, HANDLE[1]])
    found = judge.find(cut(canvas, 4, 4))
    place = torch.tensor([[HANDLE[0] + 4, HANDLE[1] + 4]], dtype=torch.float64)
    assert (found["patch"] - place).norm() < 0.02
    assert (found["feature"] - place).norm() <= backbone.stride


@pytest.mark.parametrize(("kind", "name"), TRANSLATIONS)
def test_in_the_true_picture_the_judges_see_the_handle_arrive(backbone, kind, name):
    judge, subject = judge_of_move(backbone, kind, name)
    errors = judge.errors(subject.truth)
    assert float(errors["patch"]) < 1
    assert float(errors["feature"]) <= backbone.stride
    (row,) = judge.report(subject.truth)
    assert row["reached"] is True


def test_features_without_training_are_no_judge(backbone):
    random = load("random", device="cpu")
    for kind, name in TRANSLATIONS[:2]:
        blind, subject = judge_of_move(random, kind, name)
        trained, _ = judge_of_move(backbone, kind, name)
        by_chance = float(blind.errors(subject.truth)["feature"])
        assert float(trained.errors(subject.truth)["feature"]) < by_chance / 3


def test_the_report_is_one_record_a_drag_with_the_means_of_both_judges(backbone, canvas):
    judge = judge_for(backbone, cut(canvas), [*HANDLE, 38, 34], [20, 44, 28, 52])
    edit = cut(canvas, 8, 0)
    report, found, errors = judge.report(edit), judge.find(edit), judge.errors(edit)
    assert len(report) == 2
    for i, row in enumerate(report):
        assert list(row) == [
            "handle",
            "target",
            "reached_px",
            "final_px_error",
            "reached",
            "judges",
        ]
        assert row["handle"] == judge.points.handles[i].tolist()
        assert row["target"] == judge.points.targets[i].tolist()
        assert row["judges"] == {name: found[name][i].tolist() for name in JUDGES}
        ends = torch.tensor([row["judges"][name] for name in JUDGES], dtype=torch.float64)
        assert row["reached_px"] == pytest.approx(ends.mean(dim=0).tolist())
        left = [float(errors[name][i]) for name in JUDGES]
        assert row["final_px_error"] == pytest.approx(sum(left) / 2)
        assert row["reached"] == all(error <= backbone.stride for error in left)
    assert [row["reached"] for row in report] == [True, False]


def test_a_handle_that_one_judge_alone_sees_arrive_has_not_arrived(backbone, canvas):
    judge = judge_for(backbone, cut(canvas), [*HANDLE, HANDLE[0] + 6, HANDLE[1]])
    edit = cut(canvas, 6, 0)
    other = cut(torch.flip(canvas, dims=(2, 3)))
    blind = judge_by_source(backbone, other, judge.points, SIGHT)
    assert judge.report(edit)[0]["reached"] is True
    # the features of a picture that was never there, the pixels of the one that was
    judge.find.features = blind.find.features
    (row,) = judge.report(edit)
    assert abs(row["judges"]["patch"][0] - HANDLE[0] - 6) < 0.02
    assert row["reached"] is False


def test_the_judges_do_not_know_the_tracker():
    for module in (judging, by_source, by_truth):
        tree = ast.parse(inspect.getsource(module))
        modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert {name for name in modules if name.startswith("featurekit_drag.engine")} == {
            "featurekit_drag.engine.points"
        }
    for finder in (SourceFinder, TruthFinder):
        assert list(inspect.signature(finder.__call__).parameters) == ["self", "edit"]


def test_a_judge_of_half_precision_compares_in_float32_on_the_cpu(canvas):
    half = load("random", device="cpu", dtype="bfloat16")
    judge = judge_for(half, cut(canvas), [*HANDLE, 38, 34])
    assert judge.find.features.tensor.dtype is torch.float32
    assert judge.find.features.tensor.device.type == "cpu"
    assert all(torch.equal(at, judge.points.handles) for at in judge.find(cut(canvas)).values())


def test_judging_leaves_no_graph_and_no_gradient(backbone, canvas):
    source = cut(canvas).clone().requires_grad_()
    judge = judge_for(backbone, source, [*HANDLE, 38, 34])
    assert not judge.find.features.tensor.requires_grad
    assert all(weight.grad is None for weight in backbone.unet.parameters())


def test_a_picture_of_any_size_is_judged_up_to_its_corners(backbone):
    generator = torch.Generator().manual_seed(1)
    picture = torch.rand(1, 3, 61, 97, generator=generator) * 2 - 1
    judge = judge_for(backbone, picture, [0, 0, 12, 12], [97, 61, 80, 50])
    assert torch.equal(judge.find(picture)["patch"], judge.points.handles)


def test_a_picture_is_looked_at_once_however_often_it_is_asked_about(backbone, canvas, monkeypatch):
    judge, looks = judge_for(backbone, cut(canvas), [*HANDLE, 40, 34]), []
    own = judging.extract

    def counting(*given, **named):
        looks.append(1)
        return own(*given, **named)

    monkeypatch.setattr(judging, "extract", counting)
    judge.find(cut(canvas).clone())  # the source itself
    assert not looks
    first = judge.find(cut(canvas, 3, 0))
    again = judge.find(cut(canvas, 3, 0))
    assert len(looks) == 1
    assert all(torch.equal(first[name], again[name]) for name in JUDGES)
    judge.find(cut(canvas, 4, 0))
    assert len(looks) == 2
