"""Rectangles of a picture, and parts of an enlargement."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it

from featurekit.images.parts import Box, enlarged


def noise(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("mode", ["nearest-exact", "bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(13, 17), (40, 77), (131, 18)])
def test_a_part_of_an_enlargement_is_that_of_the_whole(mode, size):
    field, box = noise(1, 3, 13, 17), Box(3, 2, size[0] - 4, size[1] - 1)
    whole = F.interpolate(field, size, mode=mode, antialias=mode == "bicubic")
    found = enlarged(field, size, box, mode)
    assert found.shape[-2:] == box.size
    torch.testing.assert_close(found, box.of(whole), rtol=0, atol=1e-6)


def test_one_cell_is_enlarged_to_itself():
    for mode in ("nearest-exact", "bilinear", "bicubic"):
        assert (
            enlarged(torch.full((1, 1, 1, 1), 0.25), (5, 7), Box(1, 1, 4, 4), mode) == 0.25
        ).all()


def test_a_box_is_the_smallest_around_what_a_mask_holds():
    mask = torch.zeros(1, 1, 9, 8)
    assert Box.around(mask) is None
    mask[..., 3, 2] = mask[..., 6, 5] = 1
    assert Box.around(mask) == Box(3, 2, 7, 6)
    assert Box(3, 2, 7, 6).grown(2, 9, (9, 8)) == Box(1, 0, 9, 8)
    assert Box(3, 2, 7, 6).with_(Box(1, 4, 5, 8)) == Box(1, 2, 7, 8)


def test_bands_are_whole_rows_that_make_up_the_box():
    bands = Box(2, 3, 12, 10).bands(21)
    assert [one.size for one in bands] == [(3, 7), (3, 7), (3, 7), (1, 7)]
    assert bands[0].top == 2
    assert all(one.bottom == other.top for one, other in pairwise(bands))
    assert bands[-1].bottom == 12
    assert Box(0, 0, 4, 9).bands(1) == [Box(row, 0, row + 1, 9) for row in range(4)]


def test_a_part_is_laid_without_touching_the_picture():
    picture, box = noise(1, 3, 6, 7), Box(1, 2, 4, 6)
    before = picture.clone()
    laid = box.laid(torch.full((1, 3, 3, 4), 2.0), picture)
    assert torch.equal(picture, before)
    assert (box.of(laid) == 2).all()
    assert int((laid != picture).sum()) == 3 * 12
    part = torch.zeros_like(picture)
    assert Box.whole((6, 7)).laid(part, picture) is part


def test_what_two_boxes_share_is_carried_and_the_rest_is_nothing():
    picture = noise(1, 1, 8, 9) + 1
    one, other = Box(1, 2, 6, 7), Box(4, 0, 8, 5)
    found = one.carried(one.of(picture), other)
    assert torch.equal(found[..., :2, 2:], picture[..., 4:6, 2:5])
    assert int((found > 0).sum()) == 6
    assert not one.carried(one.of(picture), Box(6, 7, 8, 9)).any()
    assert other.relative_to(one).placed_in(one) == other
