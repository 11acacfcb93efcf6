"""Tiles: every pixel covered, no seam, and what is the same everywhere comes back exactly."""

from itertools import pairwise

import pytest
import torch

from featurekit.core.errors import ConfigError, ShapeError
from featurekit_sketch.tiling.tiles import Box, blend, tiled, windows

SIZES = [(8, 8), (9, 31), (16, 16), (16, 50), (37, 16), (33, 47), (64, 8), (61, 53)]


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def first(image):
    return image[:, :1].clone()


@pytest.mark.parametrize("length", [1, 8, 15, 16, 17, 31, 32, 33, 100, 257])
@pytest.mark.parametrize(("tile", "overlap"), [(16, 0), (16, 4), (16, 9), (16, 15), (1, 0)])
def test_windows_cover_a_length_with_equal_parts_that_share_enough(length, tile, overlap):
    found = windows(length, tile=tile, overlap=overlap)
    assert found[0][0] == 0
    assert found[-1][1] == length
    assert {end - start for start, end in found} == {min(tile, length)}
    shared = [end - start for (_, end), (start, _) in pairwise(found)]
    assert all(overlap <= share < tile for share in shared)


def test_no_window_could_be_spared():
    for length in range(17, 120):
        count = len(windows(length, tile=16, overlap=4))
        assert 16 + (count - 2) * 12 < length <= 16 + (count - 1) * 12


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("overlap", [0, 1, 5, 8, 13])
def test_drawing_pixel_by_pixel_is_drawing_in_one_go(size, overlap):
    image = normal(1, 3, *size)
    assert torch.equal(tiled(first, image, tile=16, overlap=overlap), first(image))


@pytest.mark.parametrize("size", SIZES)
def test_a_constant_comes_back_to_the_bit(size):
    def draw(part):
        return torch.full_like(part[:, :1], 0.1)

    assert (tiled(draw, normal(1, 3, *size), tile=16, overlap=5) == torch.tensor(0.1)).all()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("overlap", [0, 5, 8])
def test_the_shares_of_all_tiles_sum_to_one(size, overlap):
    """Each tile in turn is the only one that is not 0."""
    columns = windows(size[1], tile=16, overlap=overlap)
    boxes = [
        Box(row, column) for row in windows(size[0], tile=16, overlap=overlap) for column in columns
    ]
    shares = torch.zeros(1, 1, *size, dtype=torch.float64)
    for chosen in boxes:
        share = blend(*size, [(box, level(box, box == chosen)) for box in boxes], overlap=overlap)
        assert (share >= 0).all()
        shares += share
    assert (shares - 1).abs().max() < 1e-12


def level(box, value):
    (top, bottom), (left, right) = box
    return torch.full((1, 1, bottom - top, right - left), float(value), dtype=torch.float64)


def test_ink_stays_between_black_and_white():
    drawn = tiled(lambda part: (first(part) > 0).float(), normal(1, 3, 50, 61), tile=16, overlap=4)
    assert 0 <= drawn.min() < drawn.max() <= 1


def test_two_tiles_fade_into_each_other_without_a_step():
    drawn = iter([0.0, 1.0])
    whole = tiled(
        lambda part: torch.full_like(part[:, :1], next(drawn)),
        normal(1, 3, 16, 24),
        tile=16,
        overlap=8,
    )[0, 0]
    assert (whole == whole[0]).all()
    assert (whole[0, :8] == 0).all()
    assert (whole[0, 16:] == 1).all()
    share = torch.sin(torch.pi / 2 * (torch.arange(8) + 0.5) / 8).square()
    assert torch.allclose(whole[0, 8:16], share, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "shapes"),
    [((12, 9), [(12, 9)]), ((16, 16), [(16, 16)]), ((9, 40), [(9, 16)] * 3), ((28, 17), None)],
)
def test_each_tile_is_drawn_once_and_a_short_side_is_never_cut(size, shapes):
    seen, told = [], []

    def draw(part):
        seen.append(tuple(part.shape[-2:]))
        return first(part)

    tiled(draw, normal(1, 3, *size), tile=16, overlap=4, progress=lambda *at: told.append(at))
    assert seen == (shapes or [(16, 16)] * 4)
    assert told == [(index + 1, len(seen)) for index in range(len(seen))]


def test_no_more_than_one_piece_is_held_at_a_time():
    alive = 0

    class Counted:
        def __init__(self):
            nonlocal alive
            alive += 1
            assert alive <= 2  # the one that is added and the one that is made

        def __del__(self):
            nonlocal alive
            alive -= 1

    def draw(part):
        drawn = first(part)
        drawn.held = Counted()
        return drawn

    tiled(draw, normal(1, 3, 64, 64), tile=16, overlap=4)
    assert alive == 0


def test_the_result_has_the_dtype_of_the_pieces_and_no_gradient():
    image = normal(1, 3, 20, 20).half().requires_grad_()
    whole = tiled(first, image, tile=16, overlap=4)
    assert whole.dtype == torch.float16
    assert not whole.requires_grad


# refusals


@pytest.mark.parametrize(("tile", "overlap"), [(16, 16), (16, 20), (16, -1)])
def test_an_overlap_that_is_no_part_of_a_tile_is_refused(tile, overlap):
    with pytest.raises(ConfigError, match=f"less than the tile of 16 px, got {overlap} px"):
        windows(100, tile=16, overlap=overlap)
    with pytest.raises(ConfigError, match=f"less than the tile of 16 px, got {overlap} px"):
        tiled(first, normal(1, 3, 20, 20), tile=tile, overlap=overlap)


@pytest.mark.parametrize(("length", "tile"), [(0, 4), (4, 0)])
def test_sizes_below_a_pixel_are_refused(length, tile):
    with pytest.raises(ConfigError, match="must be at least 1 px"):
        windows(length, tile=tile, overlap=0)


def test_a_tile_that_comes_back_in_another_size_is_refused():
    with pytest.raises(ShapeError, match=r"a drawn tile must be .*16.* got \(1, 1, 8, 16\)"):
        tiled(lambda part: first(part)[:, :, ::2], normal(1, 3, 20, 20), tile=16, overlap=4)


def test_an_image_of_other_axes_is_refused():
    with pytest.raises(ShapeError, match="image must be"):
        tiled(first, normal(2, 3, 20, 20), tile=16, overlap=4)
    with pytest.raises(ShapeError, match="image must be"):
        tiled(first, normal(3, 20, 20), tile=16, overlap=4)


def test_a_pixel_without_a_piece_is_refused():
    with pytest.raises(ShapeError, match="got none over 4 pixels"):
        blend(4, 5, [(Box((0, 4), (0, 4)), torch.ones(1, 1, 4, 4))], overlap=0)


def test_a_piece_outside_the_whole_is_refused():
    with pytest.raises(ShapeError, match="inside 4x4 px"):
        blend(4, 4, [(Box((0, 4), (1, 5)), torch.ones(1, 1, 4, 4))], overlap=0)
