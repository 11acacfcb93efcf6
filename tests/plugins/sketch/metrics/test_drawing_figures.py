"""The figures of a drawing: values by hand, edge cases as stated, means, refusals."""

import pytest
import torch

from featurekit.core.errors import ImageError, ShapeError
from featurekit_sketch.metrics.figures import FIGURES, figures, mean_row, means, scores

SIDE = 16


def sheet(**lines):
    """White paper with inked rows: row5=0.0 is a black one."""
    ink = torch.ones(1, 1, SIDE, SIDE)
    for name, tone in lines.items():
        ink[0, 0, int(name.removeprefix("row"))] = tone
    return ink


class Differences:
    """A perceptual distance by hand: the largest difference of a colour."""

    name = "largest difference"

    def distance(self, a, b):
        assert a.shape == b.shape == (1, 3, SIDE, SIDE)
        return (a - b).abs().amax()


def test_the_truth_itself_has_full_marks():
    (row,) = figures(sheet(row5=0.0), sheet(row5=0.0))
    assert row["ssim"] == pytest.approx(1, abs=1e-5)
    assert row["pearson"] == pytest.approx(1, abs=1e-5)
    wanted = {"f1": 1, "f1_exact": 1, "l1": 0, "ink": 1 / SIDE, "ink_true": 1 / SIDE, "grey": 0}
    assert {name: row[name] for name in wanted} == wanted
    assert tuple(row) == FIGURES


def test_a_line_one_pixel_beside_is_found_with_tolerance_alone():
    (beside,) = figures(sheet(row6=0.0), sheet(row5=0.0))
    (further,) = figures(sheet(row7=0.0), sheet(row5=0.0))
    assert (beside["f1"], beside["f1_exact"]) == (1, 0)
    assert (further["f1"], further["f1_exact"]) == (0, 0)


def test_twice_the_lines_are_half_as_precise():
    (row,) = figures(sheet(row5=0.0, row10=0.0), sheet(row5=0.0))
    assert row["f1"] == row["f1_exact"] == pytest.approx(2 / 3)  # precision 1/2, recall 1
    assert (row["ink"], row["ink_true"]) == (2 / SIDE, 1 / SIDE)
    assert row["l1"] == 1 / SIDE
    # of n = 16 rows with one and two inked: covariance 14/256, variances 15/256 and 28/256
    assert row["pearson"] == pytest.approx(14 / (15 * 28) ** 0.5, abs=1e-5)


@pytest.mark.parametrize(("tone", "lines"), [(0.59, 1), (0.61, 0)])
def test_a_pixel_below_six_tenths_of_white_is_a_line(tone, lines):
    (row,) = figures(sheet(row5=tone), sheet(row5=0.0))
    assert row["ink"] == lines / SIDE
    assert row["f1"] == lines


def test_white_paper_for_white_paper_is_right_and_has_no_correlation():
    (row,) = figures(sheet(), sheet())
    assert row["ssim"] == pytest.approx(1, abs=1e-6)
    wanted = {"f1": 1, "f1_exact": 1, "l1": 0, "pearson": 0, "ink": 0, "ink_true": 0, "grey": 0}
    assert {name: row[name] for name in wanted} == wanted


@pytest.mark.parametrize(("drawn", "truth"), [({"row5": 0.0}, {}), ({}, {"row5": 0.0})])
def test_where_one_alone_is_blank_no_line_is_right(drawn, truth):
    (row,) = figures(sheet(**drawn), sheet(**truth))
    assert (row["f1"], row["f1_exact"], row["pearson"], row["grey"]) == (0, 0, 0, 0)
    assert row["l1"] == 1 / SIDE
    assert row["ink"] == len(drawn) / SIDE
    assert row["ink_true"] == len(truth) / SIDE


def test_all_black_has_every_pixel_inked_and_none_grey():
    (row,) = figures(torch.zeros(1, 1, SIDE, SIDE), sheet(row5=0.0))
    assert (row["ink"], row["grey"], row["pearson"]) == (1, 0, 0)
    assert row["l1"] == 15 / SIDE
    assert row["f1_exact"] == pytest.approx(2 / 17)  # precision 1/16, recall 1
    assert row["f1"] == pytest.approx(6 / 19)  # 3 of 16 rows are in reach


@pytest.mark.parametrize(("tone", "grey"), [(0.5, 2.0), (0.75, 3.0), (0.25, 1.0)])
def test_grey_is_four_times_the_tone_of_a_sheet_of_one_tone(tone, grey):
    (row,) = figures(torch.full((1, 1, SIDE, SIDE), tone), sheet())
    assert row["grey"] == pytest.approx(grey)


def test_grey_weighs_lines_by_their_ink():
    (row,) = figures(sheet(row5=0.0, row10=0.5), sheet())
    assert row["grey"] == pytest.approx(1 / 1.5)


def test_ssim_of_opposite_sheets_is_by_its_constants():
    (row,) = figures(torch.zeros(1, 1, SIDE, SIDE), sheet())
    c1 = (0.01 * 2) ** 2
    assert row["ssim"] == pytest.approx((-2 + c1) / (2 + c1), abs=1e-5)


def test_each_picture_has_its_row_and_means_count_them_alike():
    drawn, truths = torch.cat([sheet(row5=0.0), sheet()]), torch.cat([sheet(row5=0.0)] * 2)
    rows = figures(drawn, truths)
    assert [row["f1"] for row in rows] == [1, 0]
    assert scores(drawn, truths) == mean_row(rows)
    assert scores(drawn, truths)["f1"] == 0.5
    assert means({"a": rows[0], "b": rows[1]}, ["a", "b"]) == mean_row(rows)
    assert means({"a": rows[0], "b": rows[1]}, ["b"]) == rows[1]


def test_a_perceptual_distance_is_of_pictures_and_only_where_it_is_given():
    drawn = torch.cat([sheet(row5=0.0), sheet()])
    rows = figures(drawn, torch.cat([sheet(row5=0.0)] * 2), lpips=Differences())
    assert [row["lpips"] for row in rows] == [0, 2]
    assert tuple(rows[0]) == (*FIGURES, "lpips")


@pytest.mark.parametrize("bad", [float("nan"), -0.01, 1.01, float("inf")])
def test_ink_outside_its_range_is_refused(bad):
    with pytest.raises(ImageError, match=r"drawn ink must lie in \[0, 1\], got"):
        figures(sheet(row5=bad), sheet())
    with pytest.raises(ImageError, match=r"true ink must lie in \[0, 1\], got"):
        figures(sheet(), sheet(row5=bad))


def test_another_shape_is_refused():
    with pytest.raises(ShapeError, match=r"true ink must be \(n=1 1 h=16 w=16\), got \(2, 1"):
        figures(sheet(), torch.ones(2, 1, SIDE, SIDE))
    with pytest.raises(ShapeError, match=r"drawn ink must be \(n 1 h w\)"):
        figures(torch.ones(1, 3, SIDE, SIDE), sheet())
