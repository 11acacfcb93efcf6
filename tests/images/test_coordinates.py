"""Coordinates: padding reflects and is undone by cropping; pixels and cells are inverse maps."""

import pytest
import torch
from torch.nn import functional

from featurekit.core.errors import ConfigError, ShapeError
from featurekit.images.coordinates import cells_from_px, crop, pad, px_from_cells


def picture(height, width, batch=1):
    numbers = torch.arange(batch * 2 * height * width, dtype=torch.float32)
    return numbers.reshape(batch, 2, height, width)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 70), (3, 5), (33, 64), (65, 100)])
def test_crop_undoes_pad(height, width):
    image = picture(height, width, batch=2)
    padded = pad(image, 32)
    assert padded.shape[2] % 32 == 0
    assert padded.shape[3] % 32 == 0
    assert torch.equal(crop(padded, height, width), image)


@pytest.mark.parametrize(("height", "width"), [(32, 64), (64, 32)])
def test_an_image_that_fits_is_returned_as_it_is(height, width):
    image = picture(height, width)
    assert pad(image, 32) is image


def test_pad_adds_no_more_than_the_next_multiple():
    assert pad(picture(33, 8), 8).shape == (1, 2, 40, 8)


def test_pad_reflects_without_repeating_the_border():
    row = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    expected = [1.0, 2.0, 3.0, 2.0, 1.0, 2.0, 3.0, 2.0]
    assert pad(row, 8)[0, 0, 0].tolist() == expected
    assert pad(row.mT, 8)[0, 0, :, 0].tolist() == expected


def test_pad_agrees_with_torch_where_torch_can_reflect():
    image = picture(20, 30)
    expected = functional.pad(image, (0, 2, 0, 12), mode="reflect")
    assert torch.equal(pad(image, 32), expected)


def test_one_pixel_fills_everything():
    assert torch.equal(pad(torch.full((1, 3, 1, 1), 0.25), 8), torch.full((1, 3, 8, 8), 0.25))


def test_pad_lets_gradients_through():
    image = picture(3, 3).requires_grad_()
    pad(image, 4).sum().backward()
    expected = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]])
    assert torch.equal(image.grad[0, 0], expected)


@pytest.mark.parametrize("stride", [1, 4, 8, 0.5, 7.3])
def test_px_and_cells_are_inverse(stride):
    xy = torch.rand(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 512
    there_and_back = px_from_cells(cells_from_px(xy, stride), stride)
    torch.testing.assert_close(there_and_back, xy, atol=1e-12, rtol=0)


def test_the_middle_of_the_first_cell_is_cell_zero():
    assert cells_from_px(torch.tensor([4.0, 4.0]), 8).tolist() == [0.0, 0.0]


def test_pixel_centres_are_cells_of_stride_one():
    assert cells_from_px(torch.tensor([10.5, 3.5]), 1).tolist() == [10.0, 3.0]


def test_x_stays_before_y():
    assert px_from_cells(torch.tensor([[0.0, 2.0]]), 8).tolist() == [[4.0, 20.0]]


@pytest.mark.parametrize("convert", [cells_from_px, px_from_cells])
def test_a_stride_that_is_not_positive_is_refused(convert):
    with pytest.raises(ConfigError, match="stride must be positive, got 0"):
        convert(torch.zeros(1, 2), 0)


@pytest.mark.parametrize("convert", [cells_from_px, px_from_cells])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_points_without_two_numbers_are_refused(convert, shape):
    with pytest.raises(ShapeError, match=r"points must be \(\.\.\. 2\), got"):
        convert(torch.zeros(shape), 8)


@pytest.mark.parametrize("multiple", [0, -8])
def test_a_multiple_below_one_is_refused(multiple):
    with pytest.raises(ConfigError, match=f"multiple must be at least 1, got {multiple}"):
        pad(picture(3, 3), multiple)


@pytest.mark.parametrize("shape", [(1, 3, 0, 4), (1, 3, 4, 0)])
def test_an_image_without_pixels_is_refused(shape):
    with pytest.raises(ShapeError, match="image must have at least one pixel"):
        pad(torch.zeros(shape), 8)


@pytest.mark.parametrize("change", [lambda image: pad(image, 8), lambda image: crop(image, 1, 1)])
def test_an_image_without_four_axes_is_refused(change):
    with pytest.raises(ShapeError, match=r"image must be \(b c h w\), got \(3, 4, 4\)"):
        change(torch.zeros(3, 4, 4))


@pytest.mark.parametrize(("height", "width"), [(9, 8), (8, 9), (0, 1), (1, 0), (-1, 1)])
def test_a_part_outside_the_image_is_refused(height, width):
    with pytest.raises(ShapeError, match="must lie inside the image of 8 x 8"):
        crop(picture(8, 8), height, width)
