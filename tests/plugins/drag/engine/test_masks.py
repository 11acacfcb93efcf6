"""The mask: its latent twin, its seam, and pixels outside that stay the input's own."""

import pytest
import torch

from featurekit.core.errors import MaskError, ShapeError
from featurekit_drag.engine.masks import check_mask, compose, feathered, latent_mask
from featurekit_drag.engine.points import Points


def box(height, width, rows, columns):
    mask = torch.zeros(1, 1, height, width)
    mask[..., slice(*rows), slice(*columns)] = 1
    return mask


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def points(*rows):
    table = torch.tensor(rows, dtype=torch.float64)
    return Points(table[:, :2], table[:, 2:])


def outside(mask, width):
    """Pixels further from the mask than ``width``, counted in king's moves."""
    height, across = mask.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(across), indexing="ij")
    inside = mask[0, 0].nonzero()
    reach = torch.stack([(y - r).abs().maximum((x - c).abs()) for r, c in inside.tolist()])
    return reach.amin(dim=0) > width


@pytest.mark.parametrize("stride", [4, 8])
def test_a_mask_of_whole_cells_keeps_its_cells(stride):
    mask = box(8 * stride, 16 * stride, (2 * stride, 5 * stride), (stride, 9 * stride))
    found = latent_mask(mask, stride=stride, multiple=8 * stride)
    assert torch.equal(found, box(8, 16, (2, 5), (1, 9)))


@pytest.mark.parametrize("size", [(64, 64), (50, 71), (96, 40), (1, 33)])
def test_the_latent_mask_fits_the_padded_image_and_the_padding_may_not_change(size):
    mask = torch.ones(1, 1, *size)
    found = latent_mask(mask, stride=4, multiple=32)
    rows, columns = (-(-side // 32) * 8 for side in size)
    assert found.shape == (1, 1, rows, columns)
    kept = [-(-side // 4) for side in size]
    assert torch.equal(found, box(rows, columns, (0, kept[0]), (0, kept[1])))


def test_the_latent_mask_is_zeros_and_ones():
    generator = torch.Generator().manual_seed(0)
    mask = (torch.rand(1, 1, 50, 71, generator=generator) > 0.5).float()
    assert set(latent_mask(mask, stride=4, multiple=32).unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("size", [(64, 64), (50, 71)])
def test_the_mask_given_is_not_changed(size):
    mask = torch.ones(1, 1, *size)
    latent_mask(mask, stride=4, multiple=32)
    feathered(mask, 3)
    assert torch.equal(mask, torch.ones(1, 1, *size))


@pytest.mark.parametrize("width", [0, 1, 4])
def test_the_seam_is_one_inside_falls_outside_and_ends(width):
    mask = box(31, 23, (10, 18), (8, 12))
    soft = feathered(mask, width)
    assert (soft[mask == 1] == 1).all()
    assert (soft[0, 0][outside(mask, width)] == 0).all()
    across = soft[0, 0, 14, 11:]
    expected = [(width + 1 - ring) / (width + 1) for ring in range(width + 1)]
    torch.testing.assert_close(across[: width + 1], torch.tensor(expected))


def test_without_a_seam_the_mask_is_itself():
    mask = box(31, 23, (10, 18), (8, 12))
    assert torch.equal(feathered(mask, 0), mask)


@pytest.mark.parametrize("size", [(31, 23), (64, 43), (36, 64)])
@pytest.mark.parametrize("width", [0, 3])
def test_outside_the_seam_pixels_are_bit_equal_and_inside_they_are_the_edits(size, width):
    mask = box(*size, (10, 18), (8, 12))
    image, edit = normal(1, 3, *size), normal(1, 3, *size, seed=1)
    result = compose(edit, image, feathered(mask, width))
    assert result.shape == image.shape
    away = outside(mask, width)
    assert torch.equal(result[..., away], image[..., away])
    inside = mask[0, 0] == 1
    assert torch.equal(result[..., inside], edit[..., inside])


def test_what_is_not_finite_in_an_edit_does_not_leak_through_the_mask():
    mask = box(31, 23, (10, 18), (8, 12))
    image, edit = normal(1, 3, 31, 23), torch.full((1, 3, 31, 23), float("nan"))
    result = compose(edit, image, mask)
    assert torch.equal(result[..., mask[0, 0] == 0], image[..., mask[0, 0] == 0])


def test_in_the_seam_edit_and_image_are_blended():
    mask = box(9, 9, (4, 5), (4, 5))
    result = compose(torch.ones(1, 3, 9, 9), torch.zeros(1, 3, 9, 9), feathered(mask, 1))
    assert result[0, 0, 4].tolist() == [0, 0, 0, 0.5, 1, 0.5, 0, 0, 0]


def test_handles_inside_pass_wherever_their_targets_are():
    check_mask(box(20, 30, (5, 10), (5, 10)), points([5.0, 9.9, 29, 19], [9.5, 5.5, 0, 0]))


def test_a_handle_on_the_far_border_belongs_to_the_last_pixel():
    check_mask(box(20, 30, (19, 20), (29, 30)), points([30, 20, 5, 5]))


@pytest.mark.parametrize("handle", [(4.9, 7.0), (10.0, 7.0), (7.0, 4.5), (7.0, 10.0)])
def test_a_handle_outside_is_refused_with_its_place(handle):
    mask = box(20, 30, (5, 10), (5, 10))
    place = rf"the one at \({handle[0]:g}, {handle[1]:g}\) does not"
    with pytest.raises(MaskError, match=place):
        check_mask(mask, points([7, 7, 9, 9], [*handle, 8, 8]))


def test_an_empty_mask_is_refused_rather_than_freezing_everything():
    with pytest.raises(MaskError, match="every handle must lie inside the mask"):
        check_mask(torch.zeros(1, 1, 20, 30), points([7, 7, 9, 9]))


def test_a_mask_of_another_rank_is_refused():
    with pytest.raises(ShapeError, match=r"mask must be \(1 1 h w\), got \(20, 30\)"):
        check_mask(torch.ones(20, 30), points([7, 7, 9, 9]))


def test_a_mask_smaller_than_a_latent_cell_is_refused():
    with pytest.raises(MaskError, match=r"cover a cell of 4 px, this one is 4 px in all"):
        latent_mask(box(32, 32, (21, 23), (21, 23)), stride=4, multiple=32)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8])
def test_a_mask_that_is_no_float_is_refused(dtype):
    with pytest.raises(MaskError, match=r"float tensor of 0 and 1, got torch\.(bool|uint8)"):
        check_mask(torch.ones(1, 1, 8, 8).to(dtype), points([2.0, 2.0, 5.0, 5.0]))
