"""Fields of a plan: where targets read, what stays, and drags that no field can please."""

import pytest
import torch

from featurekit_drag.plan.fields import (
    Bending,
    Drags,
    anchored,
    nearest_handle,
    rigid,
    similarity,
)
from featurekit_drag.plan.grid import Grid, read_at

GRID = Grid(64, 64, 1.0)
NO_PINS = torch.zeros(0, 2)


def at(*rows):
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 2)


def drags(*rows, pins=NO_PINS):
    table = torch.tensor(rows, dtype=torch.float64)
    return Drags(table[:, :2], table[:, 2:], pins)


def read(grid, back, points):
    """Where the content at some points comes from, (n 2) units."""
    shift = (back - grid.centres).permute(2, 0, 1)[None].float()
    found = read_at(shift, points.float()[None])[0, :, 0].T
    return points + found


def missed(grid, back, asked):
    """Units between what is read at each target and its handle, and how far each pin moves."""
    handles = (read(grid, back, asked.targets) - asked.handles).norm(dim=1)
    pins = (read(grid, back, asked.pins) - asked.pins).norm(dim=1)
    return handles.max().item(), pins.max().item() if len(pins) else 0.0


def disc(x=32.0, y=32.0, radius=16.0, grid=GRID):
    apart = (grid.centres - torch.tensor([x, y])).norm(dim=-1)
    return (apart < radius).float()[None, None]


def elastic(grid, asked, layer, held):
    """The bending for these targets, after one for others: what is kept knows no targets."""
    bending = Bending(grid, (asked.handles, asked.pins), layer, held)
    bending.field(asked.handles + 1)
    return bending.field(asked.targets)


NOTHING = torch.zeros(1, 1, 64, 64)


@pytest.mark.parametrize(
    "asked",
    [
        drags([20, 20, 31, 17]),
        drags([20.25, 20.75, 31.5, 17]),
        drags([20, 20, 26, 25], [40, 30, 46, 35]),
    ],
)
def test_a_rigid_field_carries_equal_drags_exactly(asked):
    back = rigid(GRID, asked)
    assert back.shape == (64, 64, 2)
    assert missed(GRID, back, asked)[0] < 1e-4
    assert (back - GRID.centres).reshape(-1, 2).std(dim=0).max() < 1e-5


@pytest.mark.parametrize(
    "asked",
    [
        drags([20, 32, 10, 32], [44, 32, 54, 32]),
        drags([20, 20, 44, 20], [44, 20, 44, 44]),
        drags([24, 30, 40, 30], [40, 30, 24, 30]),  # crossing: half a turn
        drags([20, 20, 24, 20], [30, 20, 34, 20], [40, 20, 44, 20]),  # collinear
    ],
)
def test_a_similarity_carries_two_drags_exactly(asked):
    back = similarity(GRID, asked)
    assert back.dtype == torch.float32
    assert missed(GRID, back, asked)[0] < 1e-3


def test_a_similarity_turns_and_scales_evenly():
    back = similarity(GRID, drags([20, 32, 14, 32], [44, 32, 50, 32]))
    right, down = back.diff(dim=1), back.diff(dim=0)
    torch.testing.assert_close(right, torch.tensor([24 / 36, 0]).expand_as(right))
    torch.testing.assert_close(down, torch.tensor([0, 24 / 36]).expand_as(down))


def test_a_similarity_of_many_drags_is_the_least_squares_one():
    generator = torch.Generator().manual_seed(0)
    targets = torch.rand(9, 2, generator=generator, dtype=torch.float64) * 40 + 10
    turned = targets @ torch.tensor([[0.8, 0.3], [-0.3, 0.8]], dtype=torch.float64)
    noise = torch.randn(9, 2, generator=generator, dtype=torch.float64)
    back = similarity(GRID, Drags(turned + noise, targets, NO_PINS))
    x, y = targets.T
    one, none = torch.ones_like(x), torch.zeros_like(x)
    system = torch.stack(
        [torch.stack([x, -y, one, none], 1), torch.stack([y, x, none, one], 1)], dim=1
    ).reshape(-1, 4)
    a, b, *offset = torch.linalg.lstsq(system, (turned + noise).reshape(-1, 1)).solution.flatten()
    expected = (
        GRID.centres.double() @ torch.tensor([[a, b], [-b, a]], dtype=torch.float64)
        + torch.stack(offset)
    ).float()
    torch.testing.assert_close(back, expected, rtol=0, atol=1e-3)


def test_drags_to_one_target_move_by_their_mean_and_do_not_smear_one_point():
    back = similarity(GRID, drags([20, 20, 32, 32], [44, 40, 32, 32]))
    torch.testing.assert_close(back - GRID.centres, torch.tensor([0.0, -2.0]).expand(64, 64, 2))


@pytest.mark.parametrize(("axis", "at_", "asked"), [
    (1, 50.0, drags([32, 20, 36, 10])),
    (0, 10.0, drags([40, 20, 50, 26])),
    (1, 50.0, drags([20, 20, 20, 12], [40, 20, 40, 12])),
])  # fmt: skip
def test_an_anchored_field_holds_a_line_and_goes_whole_from_the_target_on(axis, at_, asked):
    back = anchored(GRID, asked, axis=axis, at=at_)
    assert missed(GRID, back, asked)[0] < 0.1  # between centres, where the stretch ends
    shift = back - GRID.centres
    held = (GRID.centres[..., axis] >= at_) if axis else (GRID.centres[..., axis] <= at_)
    assert shift[held].abs().max() == 0
    target = asked.targets[0, axis]
    past = GRID.centres[..., axis] <= target if axis else GRID.centres[..., axis] >= target
    torch.testing.assert_close(
        shift[past], asked.back.mean(dim=0).float().expand_as(shift[past]), check_dtype=False
    )


def test_winner_takes_all_has_no_mean_at_the_midline():
    asked = drags([24, 32, 14, 32], [40, 32, 50, 32])
    shift = nearest_handle(GRID, asked) - GRID.centres
    assert set(shift[..., 0].flatten().tolist()) == {10.0, -10.0}
    assert (shift[:, :32, 0] == 10).all()
    assert (shift[:, 32:, 0] == -10).all()
    assert shift[..., 1].abs().max() == 0
    assert missed(GRID, nearest_handle(GRID, asked), asked)[0] < 1e-4


def test_winner_takes_all_of_crossing_drags_and_of_two_to_one_target():
    asked = drags([10, 10, 50, 50], [50, 10, 10, 50])
    assert missed(GRID, nearest_handle(GRID, asked), asked)[0] < 1e-4
    shared = drags([10, 10, 32, 32], [50, 10, 32, 32])
    shift = nearest_handle(GRID, shared) - GRID.centres
    assert shift.isfinite().all()
    assert len(shift.reshape(-1, 2).unique(dim=0)) == 1


ELASTIC = {
    "one": drags([32, 20, 32, 12]),
    "pinned": drags([32, 20, 32, 12], pins=at([32, 44], [20, 36])),
    "apart": drags([24, 32, 16, 32], [40, 32, 48, 32]),
    "together": drags([24, 32, 20, 32], [40, 32, 44, 34]),
    "same way": drags([24, 24, 30, 24], [40, 40, 48, 40]),
    "collinear": drags([22, 32, 22, 28], [32, 32, 32, 24], [42, 32, 42, 28]),
    "at the frame": drags([0, 0, 6, 6], [64, 64, 60, 60]),
    "off the layer": drags([4, 4, 9, 4], pins=at([60, 60])),
}


@pytest.mark.parametrize("name", ELASTIC)
def test_an_elastic_field_takes_handles_to_targets_and_keeps_pins(name):
    asked = ELASTIC[name]
    back = elastic(GRID, asked, disc(), NOTHING)
    assert back.isfinite().all()
    handles, pins = missed(GRID, back, asked)
    assert handles < 0.1
    assert pins < 0.1


def test_an_elastic_field_holds_what_is_held_and_bends_evenly_between():
    held = torch.zeros(1, 1, 64, 64)
    held[..., 45:48, :] = 1
    asked = drags([32, 20, 32, 14])
    shift = elastic(GRID, asked, disc(), held) - GRID.centres
    assert shift[46, 26:38].norm(dim=-1).max() < 0.1
    column = shift[16:46, 32, 1]
    assert (column.diff() < 0.02).all()
    assert column[0] == pytest.approx(6, abs=0.6)


def test_away_from_the_layer_an_elastic_field_goes_on():
    asked = drags([32, 32, 36, 33])
    shift = elastic(GRID, asked, disc(), NOTHING) - GRID.centres
    torch.testing.assert_close(
        shift, torch.tensor([-4.0, -1.0]).expand_as(shift), rtol=0, atol=0.05
    )


@pytest.mark.parametrize("side", [128, 320, 333])
def test_an_elastic_field_on_a_fine_grid_is_as_exact(side):
    grid, times = Grid(side, side * 3 // 4, 1.0), side / 64
    layer = disc(24 * times, 32 * times, 16 * times, grid)
    table = torch.tensor([[24, 20, 24, 14], [20, 34, 16, 38]]).double() * times
    asked = Drags(table[:, :2], table[:, 2:], at([30, 44]) * times)
    back = elastic(grid, asked, layer, torch.zeros_like(layer))
    assert back.shape == (*layer.shape[-2:], 2)
    handles, pins = missed(grid, back, asked)
    assert handles < 0.1
    assert pins < 0.1


def test_an_elastic_field_of_fifty_drags():
    generator = torch.Generator().manual_seed(0)
    rows, columns = torch.meshgrid(torch.arange(5), torch.arange(10), indexing="ij")
    handles = torch.stack([columns * 6 + 5, rows * 12 + 8], dim=-1).reshape(-1, 2).double()
    moves = torch.rand(50, 2, generator=generator, dtype=torch.float64) * 2 - 1
    asked = Drags(handles, handles + moves, NO_PINS)
    back = elastic(GRID, asked, torch.ones(1, 1, 64, 64), NOTHING)
    assert missed(GRID, back, asked)[0] < 0.1


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (5, 4)])
def test_fields_on_a_few_units(size):
    grid = Grid(*size, 1.0)
    asked = drags([0.5, 0.5, size[1] - 0.25, 0.75])
    layer = torch.zeros(1, 1, *size)
    layer[..., 0, 0] = 1
    for back in (
        rigid(grid, asked),
        similarity(grid, asked),
        nearest_handle(grid, asked),
        elastic(grid, asked, layer, torch.zeros_like(layer)),
    ):
        assert back.shape == (*size, 2)
        assert back.isfinite().all()


@pytest.mark.parametrize(
    "asked",
    [
        drags([20, 32, 44, 32], [44, 32, 20, 32]),  # crossing
        drags([32, 32, 20, 32], [32, 32.5, 44, 32]),  # all but one handle
        drags([32, 32, 20, 32], [32, 32, 44, 32]),  # one handle
        drags([20, 32, 32, 32], [44, 32, 32, 32]),  # one target
    ],
)
@pytest.mark.parametrize("field", [rigid, similarity, nearest_handle, elastic])
def test_what_no_field_can_please_stays_finite_and_near(field, asked):
    more = (disc(), NOTHING) if field is elastic else ()
    back = field(GRID, asked, *more)
    assert back.isfinite().all()
    assert (back - GRID.centres).abs().max() < 300
