"""Handles and targets: rows are read whole or refused by number, and the unit grid is exact."""

import dataclasses

import pytest
import torch

from featurekit.core.errors import PointsError
from featurekit_drag.engine.points import Points, read_points, to_px, to_units
from featurekit_drag.engine.settings import UNITS_PER_CELL


def px(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def test_a_row_is_a_handle_then_a_target_and_keeps_its_fractions():
    points = read_points([[1.25, 2.5, 30, 4], [5, 6, 7.75, 8]], height=40, width=50)
    assert points.handles.tolist() == [[1.25, 2.5], [5, 6]]
    assert points.targets.tolist() == [[30, 4], [7.75, 8]]


def test_rows_read_give_back_the_same_rows():
    rows = [[1.25, 2.5, 30.0, 4.0], [5.0, 6.0, 7.75, 8.0]]
    assert read_points(rows, height=40, width=50).rows == rows


def test_lengths_are_the_distances_asked_for():
    points = read_points([[0, 0, 3, 4], [10, 10, 10, 22]], height=40, width=50)
    assert points.lengths.tolist() == [5, 12]


def test_points_cannot_be_changed_after_they_were_read():
    points = read_points([[1, 2, 3, 4]], height=40, width=50)
    with pytest.raises(dataclasses.FrozenInstanceError, match="handles"):
        points.handles = points.targets


def test_the_borders_belong_to_the_image():
    points = read_points([[0, 0, 50, 40], [50, 40, 0, 0]], height=40, width=50)
    assert points.handles.tolist() == [[0, 0], [50, 40]]


@pytest.mark.parametrize("stride", [4, 8, 16])
def test_the_centre_of_unit_k_is_k(stride):
    unit = stride / UNITS_PER_CELL
    centres = px([0.5 * unit, 2.5 * unit], [17.5 * unit, 8.5 * unit])
    assert to_units(centres, stride, snap=False).tolist() == [[0, 2], [17, 8]]


@pytest.mark.parametrize("stride", [4, 8])
def test_without_snapping_units_lead_back_to_the_same_pixels(stride):
    xy = px([0, 0], [3.3, 57.9], [64, 12.125])
    torch.testing.assert_close(to_px(to_units(xy, stride, snap=False), stride), xy)


def test_one_feature_cell_is_four_units():
    here, there = px([24, 40]), px([24 + 8, 40 - 16])
    for snap in (True, False):
        moved = to_units(there, 8, snap=snap) - to_units(here, 8, snap=snap)
        assert moved.tolist() == [[4, -8]]


def test_snapping_divides_by_the_unit_and_rounds_like_the_published_code():
    # 512 px, 64 cells: the code computes round(x / 512 * 256)
    xy = px([0, 511], [100.9, 101.1], [7.2, 256])
    expected = (xy / 512 * 256).round()
    assert torch.equal(to_units(xy, 8, snap=True), expected)
    assert expected.tolist() == [[0, 256], [50, 51], [4, 128]]


def test_snapped_points_lie_within_half_a_unit_of_the_published_place():
    generator = torch.Generator().manual_seed(0)
    xy = torch.rand(100, 2, generator=generator, dtype=torch.float64) * 64
    snapped = to_units(xy, 4, snap=True)
    assert torch.equal(snapped, snapped.round())
    assert (snapped - xy).abs().max() <= 0.5


@pytest.mark.parametrize("snap", [True, False])
def test_conversion_leaves_its_input_as_it_is(snap):
    xy = px([3.3, 4.7])
    to_px(to_units(xy, 8, snap=snap), 8)
    assert xy.tolist() == [[3.3, 4.7]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], r"at least one drag is needed, got none"),
        ([[True, 2, 3, 4]], r"four numbers \[x0, y0, x1, y1\], row 1 is \[True, 2, 3, 4\]"),
        ([[1, 2, 3]], r"four numbers \[x0, y0, x1, y1\], row 1 has 3"),
        ([[1, 2, 3, 4], [1, 2, 3, 4, 5]], r"row 2 has 5"),
        ([[1, 2, 3, 4], []], r"row 2 has 0"),
        ([[1, 2, float("nan"), 4]], r"must be finite, row 1 is \[1.0, 2.0, nan, 4.0\]"),
        ([[5, 6, 7, 8], [1, 2, 3, float("inf")]], r"must be finite, row 2"),
        ([[-0.5, 2, 3, 4]], r"inside the image \(0 to 50, 0 to 40\), the handle of row 1"),
        ([[5, 6, 7, 8], [1, 2, 3, 40.5]], r"the target of row 2 is \(3, 40.5\)"),
        ([[45, 2, 50.01, 4]], r"the target of row 1 is \(50.01, 4\)"),
        ([[2, 41, 3, 4]], r"the handle of row 1 is \(2, 41\)"),
        ([[1, 2, 1, 2]], r"must differ from its handle, row 1 has both at \(1, 2\)"),
        ([[1, 2, 1.0005, 2]], r"must differ from its handle, row 1"),
        ([[1, 2, 3, 4], [1, 2, 5, 6]], r"a handle of its own, two rows share one"),
    ],
)
def test_what_is_no_drag_is_refused_with_its_row(rows, message):
    with pytest.raises(PointsError, match=message):
        read_points(rows, height=40, width=50)


def test_two_handles_may_share_a_target():
    points = read_points([[1, 2, 20, 20], [30, 2, 20, 20]], height=40, width=50)
    assert isinstance(points, Points)
    assert len(points.handles) == 2
