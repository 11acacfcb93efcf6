"""A sample's rows: nothing done, the true picture and IF are exact, and seeds are its own."""

from dataclasses import replace

import pytest
import torch

from featurekit.core.types import FeatureMap
from featurekit_drag.engine.points import read_points
from featurekit_drag.engine.request import Request
from featurekit_drag.inputs import Subject
from featurekit_drag.metrics.benchmark import BenchmarkJudge, benchmark_rows
from featurekit_drag.metrics.image_fidelity import fidelity_outside, image_fidelity

SIZE = 40
FIGURES = [
    "all", "mask", "discs", "dai", "dai_script", "if", "if_outside", "mse_ratio", "lpips_truth",
]  # fmt: skip


class MeanSquare:
    """A distance of pictures without any network, which remembers what it was shown."""

    name = "mean square"

    def __init__(self):
        self.shapes = []

    def distance(self, a, b):
        self.shapes.append(tuple(a.shape))
        return (a - b).square().mean()


def picture(dx=0, dy=0):
    """A picture of coordinates, moved: red says from which column a pixel came, green which row."""
    y, x = torch.meshgrid(torch.arange(SIZE) - dy, torch.arange(SIZE) - dx, indexing="ij")
    return torch.stack([x, y, torch.zeros_like(x)]).float()[None] / 100


def coded(image, prompt="", seed=0):
    """Features that are coordinates."""
    angles = image[:, :2] * 100 * torch.pi / 160
    return FeatureMap(torch.cat([angles.cos(), angles.sin()], dim=1), "stub", 261, 1)


def subject_of(*rows, mask=True, truth=None):
    area = torch.zeros(1, 1, SIZE, SIZE)
    area[..., 5:35, 5:35] = 1
    points = read_points(rows, height=SIZE, width=SIZE)
    request = Request(picture(), points, area if mask else None, "a thing")
    return Subject(request, "art/one", truth)


ROWS = ([10.5, 12.5, 22.5, 17.5], [20.5, 20.5, 24.5, 23.5])


def nothing(subject):
    return subject.request.image


def test_nothing_done_has_the_mean_move_and_is_wholly_the_picture():
    judge = BenchmarkJudge(coded, perceptual=MeanSquare())
    rows, edit = benchmark_rows(subject_of(*ROWS), nothing, judge)
    assert list(rows) == ["edit", "noop"]
    assert list(rows["edit"]) == FIGURES
    assert rows["edit"] == rows["noop"]
    assert rows["noop"]["all"] == [[13, 5]]
    assert rows["noop"]["mask"] == [[13, 5]]
    shares = [[(0.3**2 + 0.125**2) ** 0.5, (0.1**2 + 0.075**2) ** 0.5]]
    torch.testing.assert_close(torch.tensor(rows["noop"]["discs"]), torch.tensor(shares))
    assert (rows["noop"]["if"], rows["noop"]["if_outside"]) == (1, 1)
    assert (rows["noop"]["mse_ratio"], rows["noop"]["lpips_truth"]) == (None, None)
    assert torch.equal(edit, picture())


def test_an_edit_that_arrives_has_no_distance_left():
    subject = subject_of([10.5, 12.5, 22.5, 17.5])
    rows, _ = benchmark_rows(subject, lambda _: picture(12, 5), BenchmarkJudge(coded))
    assert rows["edit"]["all"] == rows["edit"]["mask"] == rows["edit"]["discs"] == [[0]]
    assert rows["edit"]["dai"] == {"1": 0, "5": 0, "10": 0, "20": 0}
    assert rows["noop"]["dai"]["5"] > 0


def test_without_a_mask_and_without_lpips_those_figures_are_unknown():
    rows, _ = benchmark_rows(subject_of(*ROWS, mask=False), nothing, BenchmarkJudge(coded))
    assert [name for name in FIGURES if rows["edit"][name] is None] == [
        "mask", "if", "if_outside", "mse_ratio", "lpips_truth",
    ]  # fmt: skip


def test_the_published_script_divides_by_the_drags_twice():
    rows, _ = benchmark_rows(subject_of(*ROWS), nothing, BenchmarkJudge(coded))
    for radius, value in rows["edit"]["dai"].items():
        assert rows["edit"]["dai_script"][radius] == pytest.approx(value / 2)


def test_where_the_truth_is_known_it_stands_beside_the_edit():
    subject = subject_of([10.5, 12.5, 22.5, 17.5], truth=picture(12, 5))
    judge = BenchmarkJudge(coded, perceptual=MeanSquare())
    half = (picture() + picture(12, 5)) / 2
    rows, _ = benchmark_rows(subject, lambda _: half, judge)
    assert list(rows) == ["edit", "noop", "truth"]
    assert rows["truth"]["all"] == [[0]]
    assert [rows[name]["mse_ratio"] for name in ("noop", "truth")] == [1, 0]
    assert rows["edit"]["mse_ratio"] == pytest.approx(0.25)
    assert rows["truth"]["lpips_truth"] == 0
    assert 0 < rows["edit"]["lpips_truth"] < rows["noop"]["lpips_truth"]


def test_only_what_may_change_counts_for_the_error():
    subject = subject_of([10.5, 12.5, 22.5, 17.5], truth=picture(12, 5))
    mask = subject.request.mask
    outside = torch.where(mask == 1, subject.request.image, torch.ones(()))
    rows, _ = benchmark_rows(subject, lambda _: outside, BenchmarkJudge(coded))
    assert rows["edit"]["mse_ratio"] == 1
    same = replace(subject, truth=subject.request.image)
    assert benchmark_rows(same, nothing, BenchmarkJudge(coded))[0]["edit"]["mse_ratio"] is None


def test_controls_are_a_mapping_of_names_to_edits():
    controls = {"noop": nothing, "warp": lambda subject: picture(12, 5)}
    rows, _ = benchmark_rows(subject_of(ROWS[0]), nothing, BenchmarkJudge(coded), controls)
    assert list(rows) == ["edit", "noop", "warp"]
    assert rows["warp"]["all"] == [[0]]


def test_each_seed_is_read_with_noise_of_its_own_and_source_and_edit_with_the_same():
    seen = []

    def look(image, prompt, seed):
        seen.append((prompt, seed, torch.equal(image, picture())))
        return coded(image)

    judge = BenchmarkJudge(look, seed=5, seeds=3)
    rows, _ = benchmark_rows(subject_of(ROWS[0]), lambda _: picture(3, 0), judge)
    assert len(rows["edit"]["all"]) == 3
    seeds = judge.seeds_of("art/one")
    assert len(set(seeds)) == 3
    assert seen == [("a thing", seed, source) for seed in seeds for source in (True, False)]
    assert judge.seeds_of("art/two") != seeds


def test_fidelity_is_measured_at_the_published_size():
    perceptual = MeanSquare()
    assert image_fidelity(picture(), picture(), perceptual) == 1
    assert image_fidelity(picture(), picture(4, 4), perceptual) < 1
    assert set(perceptual.shapes) == {(1, 3, 224, 224)}


def test_fidelity_outside_sees_nothing_inside_the_mask():
    mask = torch.zeros(1, 1, SIZE, SIZE)
    mask[..., 10:20, 10:20] = 1
    inside = torch.where(mask == 1, torch.ones(()), picture())
    outside = torch.where(mask == 1, picture(), torch.ones(()))
    assert fidelity_outside(picture(), inside, mask, MeanSquare()) == 1
    assert fidelity_outside(picture(), outside, mask, MeanSquare()) < 1
    assert fidelity_outside(picture(), inside, None, MeanSquare()) is None
    assert fidelity_outside(picture(), inside, torch.ones_like(mask), MeanSquare()) is None
