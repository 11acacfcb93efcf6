"""Laying a plan: which pixels move, whose they are, what is left behind."""

import pytest
import torch

from featurekit_drag.plan import laying
from featurekit_drag.plan.fields import Drags, rigid, similarity
from featurekit_drag.plan.grid import Grid
from featurekit_drag.plan.laying import Moved, at_full_size, filled, guided, lay, refined
from featurekit_drag.plan.warp_plan import WarpPlan

GRID = Grid(64, 64, 1.0)


def drags(*rows):
    table = torch.tensor(rows, dtype=torch.float64)
    return Drags(table[:, :2], table[:, 2:], torch.zeros(0, 2))


def levels(height, width, seed=0):
    """A picture of noise as files hold it: 256 levels in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (1, 3, height, width), generator=generator) / 127.5 - 1


def as_bytes(picture):
    return ((picture + 1) * 127.5).round().to(torch.uint8)


def square(grid, left, top, right, bottom):
    alpha = torch.zeros(1, 1, grid.height, grid.width)
    alpha[..., top:bottom, left:right] = 1
    return alpha


def moved(alpha, dx, dy, grid=GRID):
    return Moved(alpha, rigid(grid, drags([32, 32, 32 + dx, 32 + dy])))


def everywhere(image):
    return torch.ones_like(image[:, :1])


def test_pixels_move_whole_and_what_they_leave_is_the_hole():
    image, alpha = levels(64, 64), square(GRID, 20, 20, 30, 32)
    laid = lay(image, (moved(alpha, 15, 4),), everywhere(image), GRID, copy=False)
    assert torch.equal(
        as_bytes(laid.picture[..., 24:36, 35:45]), as_bytes(image[..., 20:32, 20:30])
    )
    assert laid.moved.sum() == 120
    assert laid.moved[..., 24:36, 35:45].all()
    hole = square(GRID, 18, 18, 32, 34)  # two units around it, too
    assert torch.equal(laid.hole, hole)
    inner = laid.picture[..., 19:33, 19:31]
    assert inner.std() < 0.3 * image.std()  # filled smoothly
    rest = (hole == 0) & (laid.moved == 0)
    assert torch.equal(laid.picture[rest.expand_as(image)], image[rest.expand_as(image)])


def test_what_the_layer_covers_itself_is_no_hole():
    image, alpha = levels(64, 64), square(GRID, 20, 20, 30, 32)
    laid = lay(image, (moved(alpha, 3, 0),), everywhere(image), GRID, copy=False)
    assert laid.hole[..., 20:32, 20:23].all()
    assert not laid.hole[..., 20:32, 23:33].any()


def test_outside_the_mask_every_bit_is_the_pictures():
    image, alpha = levels(64, 64), square(GRID, 20, 20, 40, 40)
    inside = square(GRID, 18, 18, 44, 36)
    back = similarity(GRID, drags([24, 30, 18, 33], [36, 30, 47, 24]))
    laid = lay(image, (Moved(alpha, back),), inside, GRID, copy=False)
    out = (inside == 0).expand_as(image)
    assert torch.equal(laid.picture[out], image[out])
    assert not laid.hole[inside == 0].any()
    assert not laid.moved[inside == 0].any()
    assert not torch.equal(laid.picture, image)


def test_a_copy_leaves_no_hole_and_stays_where_it_was():
    image, alpha = levels(64, 64), square(GRID, 20, 20, 30, 32)
    laid = lay(image, (moved(alpha, 20, 0),), everywhere(image), GRID, copy=True)
    assert not laid.hole.any()
    assert torch.equal(laid.picture[..., :38], image[..., :38])
    assert torch.equal(
        as_bytes(laid.picture[..., 20:32, 40:50]), as_bytes(image[..., 20:32, 20:30])
    )


@pytest.mark.parametrize("move", [(130, -70), (37, 3), (1, 0)])
def test_at_full_resolution_moved_pixels_are_the_pictures_own(move):
    grid, (dx, dy) = Grid(64, 64, 10.0), move
    alpha = square(grid, 24, 24, 36, 36)
    image = levels(640, 640) * 0.2 - 0.5
    image[..., 240:360, 240:360] += 1  # the thing, so that alpha finds its edge
    image = as_bytes(image) / 127.5 - 1
    laid = lay(image, (moved(alpha, dx / 10, dy / 10, grid),), everywhere(image), grid, copy=False)
    core = slice(256, 344)
    there = (slice(256 + dy, 344 + dy), slice(256 + dx, 344 + dx))
    assert (laid.moved[..., *there] == 1).all()
    assert torch.equal(as_bytes(laid.picture[..., *there]), as_bytes(image[..., core, core]))
    assert laid.hole[..., *there].sum() == 0


def test_the_edge_of_a_layer_follows_the_picture_not_the_grid():
    grid, image = Grid(16, 16, 8.0), torch.full((1, 3, 128, 128), -0.5)
    image[..., 43:91, 37:85] = 0.5  # its sides lie between units
    alpha = refined(grid.shrunk((image[:, :1] > 0).float()), image, grid)
    assert alpha.shape == (1, 1, 128, 128)
    assert 0 <= alpha.min() <= alpha.max() <= 1
    assert alpha[..., 51:83, 45:77].min() > 0.8
    assert alpha[..., 64, 36] < 0.3
    assert alpha[..., 64, 37] > 0.7


def test_a_fit_is_that_of_every_window():
    generator = torch.Generator().manual_seed(0)
    field = torch.rand(1, 1, 9, 11, generator=generator)
    guide = torch.rand(1, 3, 9, 11, generator=generator)
    slopes, offsets = {}, {}
    for y in range(9):
        for x in range(11):
            window = (slice(max(0, y - 2), y + 3), slice(max(0, x - 2), x + 3))
            colours, wanted = guide[0][:, *window].flatten(1), field[0, 0][window].flatten()
            spread = torch.cov(colours, correction=0) + 1e-2 * torch.eye(3)
            away = wanted - wanted.mean()
            crossed = ((colours - colours.mean(1, keepdim=True)) * away).mean(1)
            slopes[y, x] = torch.linalg.solve(spread, crossed)
            offsets[y, x] = wanted.mean() - slopes[y, x] @ colours.mean(1)
    slope, offset = guided(field, guide, radius=2, softness=1e-2)
    for y, x in ((0, 0), (4, 5), (8, 3)):
        around = [(v, u) for v, u in slopes if abs(v - y) <= 2 and abs(u - x) <= 2]
        expected = torch.stack([slopes[one] for one in around]).mean(0)
        torch.testing.assert_close(slope[0, :, y, x], expected, rtol=1e-3, atol=1e-4)
        expected = torch.stack([offsets[one] for one in around]).mean(0)
        torch.testing.assert_close(offset[0, 0, y, x], expected, rtol=1e-3, atol=1e-4)


def test_texture_inside_a_layer_is_no_edge():
    grid, image = Grid(32, 32, 6.0), levels(192, 192)
    alpha = square(grid, 8, 8, 24, 24)
    fine = refined(alpha, image, grid)
    assert (fine[..., 57:135, 57:135] == 1).all()
    assert (fine[..., :39, :] == 0).all()


def test_a_backward_map_is_carried_to_pixels_of_any_size():
    grid = Grid(8, 12, 5.0)
    full = at_full_size(rigid(grid, drags([2, 2, 3, 4])), grid, (40, 60))
    expected = Grid(40, 60, 1.0).centres - torch.tensor([5.0, 10.0])
    torch.testing.assert_close(full.float(), expected)
    small = grid.centres
    assert at_full_size(small, Grid(8, 12, 1.0), (8, 12)) is small


def test_later_layers_lie_over_earlier_ones():
    image = levels(64, 64)
    one, other = square(GRID, 8, 28, 16, 36), square(GRID, 48, 28, 56, 36)
    layers = (moved(one, 20, 0), moved(other, -20, 0))  # both to columns 28 to 36
    for order, left in ((layers, 48), (layers[::-1], 8)):
        laid = lay(image, order, everywhere(image), GRID, copy=False)
        seen, expected = laid.picture[..., 28:36, 28:36], image[..., 28:36, left : left + 8]
        assert torch.equal(as_bytes(seen), as_bytes(expected))
        assert laid.hole[..., 28:36, 8:16].all()
        assert laid.hole[..., 28:36, 48:56].all()


@pytest.mark.parametrize(
    ("box", "move"),
    [
        ((0, 0, 10, 10), (-12, -14)),
        ((54, 54, 64, 64), (12, 14)),
        ((0, 20, 64, 30), (12, 14)),
        ((0, 20, 64, 30), (-12, -14)),
        ((1, 1, 10, 10), (12, 14)),
        ((20, 1, 30, 63), (-60, 0)),
    ],
)
def test_holes_at_the_frame_are_filled(box, move):
    image, alpha = levels(64, 64), square(GRID, *box)
    laid = lay(image, (moved(alpha, *move),), everywhere(image), GRID, copy=False)
    assert laid.picture.isfinite().all()
    assert laid.picture.abs().max() <= 1
    assert 0 <= laid.moved.min() <= laid.moved.max() <= 1
    assert set(laid.hole.unique().tolist()) <= {0.0, 1.0}
    assert laid.hole.any()


def test_what_the_frame_cuts_goes_on_to_the_frame():
    image, alpha = levels(64, 64), square(GRID, 20, 40, 40, 64)
    laid = lay(image, (moved(alpha, 0, -10),), everywhere(image), GRID, copy=False)
    assert laid.moved[..., 30:, 20:40].all()
    assert torch.equal(
        as_bytes(laid.picture[..., 54:, 20:40]),
        as_bytes(image[..., 63:, 20:40].expand(-1, -1, 10, -1)),
    )


@pytest.mark.parametrize(("side", "unit"), [(64, 1.0), (640, 10.0), (131, 131 / 64)])
def test_everything_that_moves_away_leaves_something_finite(side, unit):
    grid, image = Grid(64, 64, unit), levels(side, side)
    laid = lay(
        image, (moved(torch.ones(1, 1, 64, 64), 30, 5, grid),), everywhere(image), grid, copy=False
    )
    assert laid.picture.isfinite().all()
    assert laid.picture.abs().max() <= 1
    assert torch.equal(filled(image, everywhere(image), grid), image)


def test_no_move_changes_nothing():
    image, alpha = levels(64, 64), square(GRID, 20, 20, 30, 32)
    laid = lay(image, (Moved(alpha, GRID.centres),), everywhere(image), GRID, copy=False)
    assert not laid.hole.any()
    assert torch.equal(as_bytes(laid.picture), as_bytes(image))


def test_soft_layers_mix_with_the_ground_and_stay_in_range():
    generator = torch.Generator().manual_seed(5)
    image, alpha = levels(64, 64), torch.rand(1, 1, 64, 64, generator=generator)
    back = similarity(GRID, drags([20, 20, 8, 30], [44, 44, 60, 50]))
    laid = lay(image, (Moved(alpha, back), moved(alpha, 3, 1)), everywhere(image), GRID, copy=False)
    assert 0 <= laid.moved.min() <= laid.moved.max() <= 1
    assert laid.picture.isfinite().all()
    assert laid.picture.abs().max() <= 1


@pytest.mark.parametrize("unit", [1.0, 2.5, 7.3])
def test_a_part_and_its_bands_are_laid_as_the_whole_is(unit, monkeypatch):
    side = round(64 * unit)
    grid, image = Grid(64, 64, unit), levels(side, side)
    layers = (moved(square(grid, 20, 22, 30, 34), 9.3, 4.1, grid),)
    inside = torch.zeros(1, 1, side, side)
    inside[..., round(8 * unit) : round(50 * unit), round(6 * unit) : round(58 * unit)] = 1
    whole = lay(image, layers, inside, grid, copy=False)
    plan = WarpPlan(grid, layers, inside, "move", True, False)
    assert max(plan.box.size) < 0.7 * side
    monkeypatch.setattr(laying, "BAND_PX", 500)
    part = lay(image, layers, inside, grid, copy=False, box=plan.box)
    for name in ("picture", "moved", "left", "hole"):
        expected = part.box.of(getattr(whole, name))
        torch.testing.assert_close(getattr(part, name), expected, rtol=0, atol=2e-5)
    assert torch.equal(part.box.laid(part.box.of(image), whole.picture), image)
