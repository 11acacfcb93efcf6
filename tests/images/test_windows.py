"""Parts of a picture that are worked on apart: chosen, cut, shrunk, laid back, points exact."""

import pytest
import torch

from featurekit.core.errors import ConfigError
from featurekit.images.coordinates import Window, window_around

SIZES = [(960, 1280, 64), (512, 512, 64), (333, 500, 96), (65, 640, 64), (97, 61, 64)]


def noise(height, width):
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1


def around(height, width, side_px, box=(30, 20, 41, 33), least_px=200):
    return window_around(box, height=height, width=width, least_px=least_px, side_px=side_px)


@pytest.mark.parametrize(("height", "width", "side_px"), SIZES)
def test_the_work_is_no_larger_than_it_may_be_and_holds_the_box(height, width, side_px):
    window = around(height, width, side_px)
    assert 0 <= window.left <= 30
    assert 0 <= window.top <= 20
    assert 41 <= window.left + window.width <= width
    assert 33 <= window.top + window.height <= height
    assert max(window.work_px) == side_px
    assert window.take(noise(height, width)).shape == (1, 3, *window.work_px)


@pytest.mark.parametrize(("height", "width", "side_px"), SIZES)
def test_points_go_there_and_back_unchanged_and_corners_meet_corners(height, width, side_px):
    window = around(height, width, side_px)
    xy = torch.tensor([[30.25, 20.0], [41.0, 33.0], [window.left, window.top]]).double()
    there = window.points_to_work(xy)
    torch.testing.assert_close(window.points_to_picture(there), xy, rtol=0, atol=1e-12)
    assert there[2].tolist() == [0, 0]
    rows, columns = window.work_px
    end = window.points_to_picture(torch.tensor([[columns, rows]]).double())[0]
    over = end - torch.tensor([window.left + window.width, window.top + window.height])
    assert (over >= 0).all()  # what was padded, less than a pixel of the work
    assert (over < window.shrink + 0.5).all()


def test_a_bright_dot_is_found_in_the_work_where_its_point_goes():
    window = around(480, 640, 64, box=(300, 220, 311, 233))
    assert (window.left, window.top) == (206, 126)
    dark = torch.full((1, 3, 480, 640), -1.0)
    x, y = 310, 231
    dark[..., y, x] = 1
    work = window.take(dark)[0, 0]
    row, column = divmod(int(work.argmax()), work.shape[1])
    there = window.points_to_work(torch.tensor([[x + 0.5, y + 0.5]]))[0]
    assert (int(there[0]), int(there[1])) == (column, row)


def test_points_of_a_part_in_the_middle_are_exact():
    window = around(480, 640, 64, box=(300, 220, 311, 233))
    xy = torch.tensor([[300.25, 220.5]]).double()
    there = (xy - torch.tensor([206, 126])) / (200 / 64)
    torch.testing.assert_close(window.points_to_work(xy), there, rtol=0, atol=1e-12)
    torch.testing.assert_close(window.points_to_picture(there), xy, rtol=0, atol=1e-12)


def test_one_factor_shrinks_both_axes_to_within_half_a_pixel():
    window = Window(0, 0, 1280, 957, 20.0)
    assert window.work_px == (48, 64)
    across, down = window.points_to_picture(torch.tensor([[64.0, 48.0]]).double())[0].tolist()
    assert across == 1280
    assert abs(down / 48 - 20) * 48 <= 0.5


@pytest.mark.parametrize("size", [(64, 64), (10, 64), (64, 1)])
def test_a_picture_that_is_small_enough_is_taken_as_it_is(size):
    window = window_around((0, 0, 1, 1), height=size[0], width=size[1], least_px=9, side_px=64)
    assert window == Window(0, 0, size[1], size[0], 1.0)
    picture = noise(*size)
    assert torch.equal(window.take(picture), picture)
    ones = torch.ones(1, 1, *size)
    assert torch.equal(window.put(picture, picture, ones), picture)


def test_where_there_is_room_a_part_keeps_its_pixels():
    window = around(480, 640, 64, least_px=10)
    assert window.shrink == 1
    picture = noise(480, 640)
    rows = slice(window.top, window.top + 64)
    columns = slice(window.left, window.left + 64)
    assert torch.equal(window.take(picture), picture[..., rows, columns])


def test_pixels_outside_the_soft_mask_and_the_part_stay_bit_for_bit():
    window, picture = around(480, 640, 64), noise(480, 640)
    soft = torch.zeros(1, 1, 480, 640)
    soft[..., 20:60, 30:300] = 1
    soft[..., 60:64, 30:300] = 0.5
    laid = window.put(torch.zeros(1, 3, *window.work_px), picture, soft)
    changed = (laid != picture).any(dim=1)[0]
    inside = torch.zeros(480, 640, dtype=torch.bool)
    inside[window.top : window.top + window.height, window.left : window.left + window.width] = True
    assert torch.equal(changed, (soft[0, 0] > 0) & inside)
    assert (laid[0, :, 30, 40] == 0).all()
    assert torch.equal(laid[..., 61, 40], picture[..., 61, 40] / 2)
    assert (picture == noise(480, 640)).all()  # a copy was made


def test_what_is_smooth_comes_back_as_it_was():
    x = torch.linspace(-1, 1, 640).expand(1, 3, 480, 640)
    window = around(480, 640, 64, least_px=480)
    back = window.put(window.take(x), x, torch.ones(1, 1, 480, 640))
    rim = 2 * int(window.shrink)
    assert float((back - x)[..., :, rim : window.width - rim].abs().max()) < 1e-3


def test_a_mask_of_a_single_pixel_is_still_there_in_the_work():
    window = Window(0, 0, 1280, 960, 20.0)
    mask = torch.zeros(1, 1, 960, 1280)
    mask[..., 959, 1279] = 1
    work = window.take_mask(mask)
    assert work.sum() == 1
    assert work[0, 0, -1, -1] == 1


def test_the_seam_lies_at_sides_within_the_picture_alone():
    window = Window(0, 100, 300, 300, 1.0)
    mask = window.inside(960, 1280, 16)[0, 0]
    assert mask[120, 0] == 1
    assert (mask[115, 5], mask[116, 5]) == (0, 1)
    assert (mask[200, 283], mask[200, 284]) == (1, 0)
    whole = Window(0, 0, 1280, 960, 20.0)
    assert whole.inside(960, 1280, 60).all()


def test_a_size_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="side_px must be at least 1, got 0"):
        around(100, 100, 0)
