"""Large pictures: windows that cover, tiles that fade into each other without a seam."""

from itertools import pairwise

import pytest
import torch

from featurekit.errors import ConfigError, ShapeError
from featurekit_sketch.tiles import tiled, windows

TILES = {"tile": 16, "overlap": 4}
SIZES = [(40, 50), (33, 47), (16, 200), (200, 17), (7, 90), (64, 64)]


def image(height, width):
    generator = torch.Generator().manual_seed(height * 1000 + width)
    return torch.rand(1, 3, height, width, generator=generator) * 2 - 1


def pointwise(tile):
    return (tile.mean(1, keepdim=True) + 1) / 2


# windows


@pytest.mark.parametrize("length", [16, 17, 27, 28, 29, 40, 101, 1000])
@pytest.mark.parametrize("overlap", [0, 1, 4, 15])
def test_windows_of_one_size_cover_a_length_and_share_enough(length, overlap):
    found = windows(length, tile=16, overlap=overlap)
    assert found[0][0] == 0
    assert found[-1][1] == length
    assert {end - start for start, end in found} == {16}
    shared = [before[1] - after[0] for before, after in pairwise(found)]
    assert all(overlap <= one < 16 for one in shared)


def test_no_window_is_superfluous():
    assert len(windows(28, tile=16, overlap=4)) == 2
    assert len(windows(29, tile=16, overlap=4)) == 3
    assert windows(32, tile=16, overlap=0) == [(0, 16), (16, 32)]


def test_a_short_length_is_one_window_of_its_own_size():
    assert windows(5, tile=16, overlap=4) == [(0, 5)]
    assert windows(16, tile=16, overlap=4) == [(0, 16)]


# drawing


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_weights_add_up_to_one_so_a_constant_stays_itself(height, width):
    white = tiled(lambda tile: torch.ones_like(tile[:, :1]), image(height, width), **TILES)
    assert white.shape == (1, 1, height, width)
    assert white.unique().tolist() == [1.0]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_what_looks_at_one_pixel_draws_the_same_in_tiles_and_in_one_go(height, width):
    picture = image(height, width)
    drawn = tiled(pointwise, picture, **TILES)
    assert torch.allclose(drawn, pointwise(picture), rtol=0, atol=1e-6)


def test_ink_stays_between_black_and_white():
    drawn = tiled(lambda tile: (tile[:, :1] > 0).float(), image(50, 61), **TILES)
    assert 0 <= drawn.min() <= drawn.max() <= 1


def test_one_tile_fades_into_the_next_without_a_step():
    values = iter([0.0, 1.0])
    drawn = tiled(
        lambda tile: torch.full_like(tile[:, :1], next(values)), image(16, 24), tile=16, overlap=8
    )
    row = drawn[0, 0, 8]
    assert row[:8].tolist() == [0.0] * 8
    assert row[16:].tolist() == [1.0] * 8
    assert (row.diff() >= 0).all()
    assert row.diff().max() < 0.3


def test_every_tile_has_the_size_of_the_model():
    seen = []
    tiled(lambda tile: seen.append(tuple(tile.shape)) or tile[:, :1], image(33, 47), **TILES)
    assert set(seen) == {(1, 3, 16, 16)}


def test_a_small_picture_is_drawn_once_at_its_own_size():
    seen = []
    picture = image(9, 13)

    def draw(tile):
        seen.append(tile)
        return pointwise(tile)

    drawn = tiled(draw, picture, **TILES)
    assert len(seen) == 1
    assert torch.equal(seen[0], picture)
    assert torch.allclose(drawn, pointwise(picture), rtol=0, atol=1e-6)


def test_progress_counts_every_call():
    calls, told = [], []
    tiled(
        lambda tile: calls.append(1) or pointwise(tile),
        image(40, 29),
        **TILES,
        progress=lambda done, total: told.append((done, total)),
    )
    assert len(calls) == 9
    assert told == [(i + 1, 9) for i in range(9)]


# refusals


@pytest.mark.parametrize("overlap", [-1, 16, 20])
def test_an_overlap_that_leaves_no_progress_is_refused(overlap):
    with pytest.raises(ConfigError, match=rf"overlap must lie in \[0, 16\) px.*got {overlap}"):
        windows(100, tile=16, overlap=overlap)
    with pytest.raises(ConfigError, match="overlap must lie in"):
        tiled(pointwise, image(20, 20), tile=16, overlap=overlap)


def test_a_batch_or_a_grey_picture_is_refused():
    with pytest.raises(ShapeError, match="image must be"):
        tiled(pointwise, image(20, 20).expand(2, -1, -1, -1), **TILES)
    with pytest.raises(ShapeError, match="image must be"):
        tiled(pointwise, image(20, 20)[:, :1], **TILES)
