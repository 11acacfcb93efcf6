"""The grid of a plan: units over pictures of any size, and reading between them."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it

from featurekit_drag.plan.grid import Grid, grown, reached, read_at, share_around


@pytest.mark.parametrize("stride", [4, 8, 16])
@pytest.mark.parametrize(
    ("height", "width"),
    [(16, 16), (16, 300), (300, 16), (17, 33), (97, 61), (512, 512), (767, 1023), (8192, 8192)],
)
def test_units_are_a_quarter_of_a_cell_and_cover_the_picture(height, width, stride):
    grid = Grid.over(height, width, stride)
    assert grid.unit_px == stride / 4
    assert abs(grid.height * grid.unit_px - height) <= grid.unit_px / 2
    assert abs(grid.width * grid.unit_px - width) <= grid.unit_px / 2


def test_a_picture_smaller_than_a_unit_has_one():
    assert Grid.over(1, 3, 16) == Grid(1, 1, 4.0)


def test_centres_lie_at_half_units_x_before_y():
    centres = Grid(3, 5, 2.0).centres
    assert centres.shape == (3, 5, 2)
    assert centres[0, 0].tolist() == [0.5, 0.5]
    assert centres[2, 4].tolist() == [4.5, 2.5]


@pytest.mark.parametrize("size", [(1, 1), (4, 7), (64, 64), (33, 320)])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_read_at_the_centres_a_field_is_itself(size, mode):
    field = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    read = read_at(field, Grid(*size, 1.0).centres, mode=mode)
    torch.testing.assert_close(read, field, rtol=0, atol=1e-4)


def test_between_centres_it_is_read_evenly_and_beyond_the_border_is_the_border():
    field = torch.arange(4.0).view(1, 1, 1, 4)
    at = torch.tensor([[[1.0, 0.5], [2.25, 0.5], [-9.0, -9.0], [99.0, 99.0]]])
    torch.testing.assert_close(read_at(field, at).flatten(), torch.tensor([0.5, 1.75, 0.0, 3.0]))


def test_positions_of_another_type_are_read_in_the_fields():
    field = torch.rand(1, 1, 4, 4)
    assert read_at(field, Grid(4, 4, 1.0).centres.double()).dtype == torch.float32


@pytest.mark.parametrize("size", [(8, 8), (9, 13), (64, 40)])
def test_shrunk_keeps_the_mean_and_what_fits_already(size):
    field = torch.rand(1, 2, *size, generator=torch.Generator().manual_seed(1))
    grid = Grid.over(*size, 8)
    small = grid.shrunk(field)
    assert small.shape == (1, 2, grid.height, grid.width)
    if size[0] % 2 == size[1] % 2 == 0:
        torch.testing.assert_close(small.mean(), field.mean())
        torch.testing.assert_close(small[0, 0, 0, 0], field[0, 0, :2, :2].mean())
    assert Grid(*size, 1.0).shrunk(field) is field


def test_one_pixel_of_a_mask_is_seen_on_the_grid():
    mask = torch.zeros(1, 1, 640, 480)
    mask[..., 639, 479] = 1
    small = Grid(64, 48, 10.0).shrunk(mask)
    assert (small > 0).nonzero().tolist() == [[0, 0, 63, 47]]


def test_near_counts_from_centres():
    near = Grid(5, 5, 1.0).near(torch.tensor([[2.5, 2.5], [0.0, 0.0]]).double(), 1.1)
    expected = torch.zeros(5, 5, dtype=torch.bool)
    for row, column in ((2, 2), (1, 2), (3, 2), (2, 1), (2, 3), (0, 0)):
        expected[row, column] = True
    assert torch.equal(near, expected)


def test_grown_by_a_square_that_the_frame_cuts():
    mask = torch.zeros(1, 1, 5, 6, dtype=torch.bool)
    mask[..., 0, 0] = True
    wide = grown(mask, 2)
    assert wide[..., :3, :3].all()
    assert wide.sum() == 9
    assert torch.equal(grown(mask, 0), mask.float())


@pytest.mark.parametrize("radius", [0, 1, 3, 40])
def test_sums_over_a_square_grow_a_mask_and_share_it_out_as_windows_do(radius):
    generator = torch.Generator().manual_seed(radius)
    mask = (torch.rand(1, 1, 30, 21, generator=generator) > 0.9).float()
    assert torch.equal(reached(mask, radius), grown(mask, radius))
    wide = 2 * radius + 1
    share = F.avg_pool2d(mask, wide, stride=1, padding=radius, count_include_pad=False)
    torch.testing.assert_close(share_around(mask, radius), share)
