"""The motion loss: exact sampling, its value on a ramp, and a gradient that only runs ahead."""

from itertools import product

import pytest
import torch
from torch.nn import functional

from featurekit_drag.engine.settings import UNITS_PER_CELL, Rule
from featurekit_drag.engine.supervision.motion_supervision import motion_loss, patches

DIRECTIONS = [d for d in product((-1.0, 0.0, 1.0), repeat=2) if d != (0.0, 0.0)]


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def at(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def enlarged(field):
    return functional.interpolate(
        field, scale_factor=UNITS_PER_CELL, mode="bilinear", align_corners=False
    )


def everywhere(field):
    """Unit coordinates of the whole enlarged map, row by row."""
    height, width = (UNITS_PER_CELL * size for size in field.shape[-2:])
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=1).double()


def read(enlarged_map, xy):
    """Bilinear at index coordinates of a map that goes on for ever at its borders."""
    height, width = enlarged_map.shape[-2:]
    x, y = xy[:, 0].clamp(0, width - 1), xy[:, 1].clamp(0, height - 1)
    grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], dim=1)
    values = functional.grid_sample(
        enlarged_map, grid[None, None], mode="bilinear", align_corners=True
    )
    return values[0, :, 0].T


def ramp(slope, *, channels=1, cells=8):
    """A map whose enlargement is ``slope`` times the column, away from the borders."""
    columns = UNITS_PER_CELL * torch.arange(cells, dtype=torch.float64) + 1.5
    return (slope * columns).expand(1, channels, cells, cells).clone()


def test_native_sampling_is_enlarging_and_indexing_at_every_position():
    field = normal(1, 3, 16, 12)
    seen = patches(field, everywhere(field), radius=0)[:, 0]
    expected = enlarged(field)[0].flatten(1).T
    assert seen.shape == (64 * 48, 3)
    assert (seen - expected).abs().max() < 1e-12


def test_between_units_it_reads_the_enlarged_map_bilinearly_up_to_beyond_the_border():
    field = normal(1, 3, 9, 7)
    generator = torch.Generator().manual_seed(1)
    xy = torch.rand(500, 2, generator=generator, dtype=torch.float64) * at([40.0, 48.0]) - 6
    seen = patches(field, xy, radius=0)[:, 0]
    assert (seen - read(enlarged(field), xy)).abs().max() < 1e-12


def test_a_patch_is_row_major_around_its_centre():
    field = normal(1, 2, 8, 8)
    patch = patches(field, at([12, 20]), radius=1)[0]
    expected = enlarged(field)[0, :, 19:22, 11:14].flatten(1).T
    torch.testing.assert_close(patch, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_no_handle_anywhere_fails_and_borders_count_as_going_on(direction):
    field = normal(1, 2, 4, 5)
    handles = everywhere(field)
    targets = handles + 6 * at(direction)
    total = motion_loss(field, handles, targets, rule=Rule())
    step = at(direction) / at(direction).norm()
    offsets = at(*product((-1.0, 0.0, 1.0), repeat=2))
    whole = enlarged(field)
    expected = 0.0
    for offset in offsets:
        ahead, behind = read(whole, handles + step + offset), read(whole, handles + offset)
        expected += (ahead - behind).abs().mean(dim=1).sum()
    torch.testing.assert_close(total, expected)


@pytest.mark.parametrize("channels", [1, 4, 64])
@pytest.mark.parametrize("slope", [0.7, -2.0])
def test_on_a_ramp_the_loss_is_nine_slopes_whatever_the_channels(channels, slope):
    loss = motion_loss(ramp(slope, channels=channels), at([12, 16]), at([22, 16]), rule=Rule())
    assert loss.item() == pytest.approx(9 * abs(slope), rel=1e-12)


@pytest.mark.parametrize("radius", [0, 1, 4])
def test_the_loss_counts_the_cells_of_the_patch(radius):
    rule = Rule(patch_radius=radius)
    loss = motion_loss(ramp(0.5), at([14, 16]), at([24, 16]), rule=rule)
    assert loss.item() == pytest.approx((2 * radius + 1) ** 2 * 0.5, rel=1e-12)


@pytest.mark.parametrize(
    ("step", "gap", "expected"),
    [(1.0, 10.0, 1.0), (4.0, 10.0, 4.0), (0.25, 10.0, 0.25), (4.0, 3.0, 3.0), (4.0, 2.0, 2.0)],
)
def test_it_supervises_one_step_ahead_and_never_beyond_the_target(step, gap, expected):
    loss = motion_loss(ramp(1.0), at([12, 16]), at([12 + gap, 16]), rule=Rule(step=step))
    assert loss.item() == pytest.approx(9 * expected, rel=1e-12)


def test_a_diagonal_step_has_length_one():
    loss = motion_loss(ramp(1.0), at([12, 12]), at([20, 20]), rule=Rule())
    assert loss.item() == pytest.approx(9 / 2**0.5, rel=1e-12)


def test_across_a_ramp_and_on_a_constant_there_is_nothing_to_gain():
    assert motion_loss(ramp(1.0), at([12, 12]), at([12, 22]), rule=Rule()) == 0
    assert motion_loss(ramp(0.0), at([12, 12]), at([22, 22]), rule=Rule()) == 0


def test_handles_add_up():
    field = normal(1, 3, 8, 8)
    handles, targets = at([5, 6], [20, 21], [12, 9]), at([15, 6], [11, 12], [12, 28])
    together = motion_loss(field, handles, targets, rule=Rule())
    alone = [
        motion_loss(field, h[None], t[None], rule=Rule())
        for h, t in zip(handles, targets, strict=True)
    ]
    torch.testing.assert_close(together, sum(alone))


@pytest.mark.parametrize("slope", [1.5, -1.5])
def test_gradient_runs_only_into_the_patch_ahead(slope):
    # derived by hand on the enlarged map: sign / C at columns c-r+1 to c+r+1, nothing at c-r
    field = ramp(slope, channels=3).requires_grad_()
    column, row, radius = 13, 17, 1
    loss = motion_loss(field, at([column, row]), at([column + 9, row]), rule=Rule())
    (found,) = torch.autograd.grad(loss, field)
    whole = enlarged(field)
    on_map = torch.zeros_like(whole)
    rows = slice(row - radius, row + radius + 1)
    on_map[:, :, rows, column - radius + 1 : column + radius + 2] = (1 if slope > 0 else -1) / 3
    (expected,) = torch.autograd.grad(whole, field, grad_outputs=on_map)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_the_patch_at_the_handle_receives_exactly_no_gradient():
    field = normal(1, 4, 8, 8).requires_grad_()
    # the handle is read from cells 0 to 2 of the row, the place ahead from cells 3 to 5
    loss = motion_loss(field, at([5.5, 5.5]), at([30, 5.5]), rule=Rule(patch_radius=0, step=12.0))
    (gradient,) = torch.autograd.grad(loss, field)
    columns = gradient.abs().sum(dim=(0, 1, 2)).nonzero()[:, 0].tolist()
    assert columns == [3, 4, 5]


def test_a_handle_nearer_than_the_stop_distance_contributes_exactly_nothing():
    field = normal(1, 3, 8, 8).requires_grad_()
    far, near = (at([8, 8]), at([18, 8])), (at([20, 20]), at([21.9, 20]))
    alone = motion_loss(field, *far, rule=Rule())
    both = motion_loss(field, *map(torch.cat, zip(far, near, strict=True)), rule=Rule())
    assert torch.equal(both, alone)
    gradients = [torch.autograd.grad(loss, field)[0] for loss in (both, alone)]
    assert torch.equal(*gradients)


def test_at_exactly_the_stop_distance_a_handle_still_pulls():
    field = normal(1, 3, 8, 8)
    for gap, pulls in ((1.999, False), (2.0, True)):
        loss = motion_loss(field, at([8, 8]), at([8 + gap, 8]), rule=Rule())
        assert bool(loss > 0) is pulls


def test_a_handle_at_its_target_gives_zero_and_no_nan():
    loss = motion_loss(normal(1, 3, 8, 8), at([8, 8]), at([8, 8]), rule=Rule())
    assert loss == 0


def test_anchors_are_the_reference_in_place_of_the_current_patch():
    unmoved, now = normal(1, 3, 8, 8, seed=1), normal(1, 3, 8, 8, seed=2)
    handles, targets = at([9, 10], [20, 20]), at([19, 10], [20.5, 20])
    anchors = patches(unmoved, at([5, 10], [20, 20]), radius=1)
    loss = motion_loss(now, handles, targets, rule=Rule(), anchors=anchors)
    ahead = patches(now, at([10, 10]), radius=1)
    torch.testing.assert_close(loss, (ahead - anchors[:1]).abs().mean() * 9)


def test_handles_and_targets_are_not_changed():
    handles, targets = at([9, 10], [20, 20]), at([19, 10], [20.5, 20])
    copies = handles.clone(), targets.clone()
    motion_loss(normal(1, 3, 8, 8), handles, targets, rule=Rule())
    assert torch.equal(handles, copies[0])
    assert torch.equal(targets, copies[1])


def test_the_papers_reduction_is_the_codes_times_the_channels():
    field = torch.randn(1, 5, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    points = torch.tensor([[8.0, 9.0]]).double(), torch.tensor([[20.0, 15.0]]).double()
    code, paper = (
        motion_loss(field, *points, rule=Rule(reduction=reduction)).item()
        for reduction in ("code", "paper")
    )
    assert paper == pytest.approx(5 * code, rel=1e-12)
