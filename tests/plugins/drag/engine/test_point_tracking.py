"""Point tracking: exact displacements, a window that ends at the border, first of equals."""

import pytest
import torch

from featurekit_drag.engine.supervision.motion_supervision import patches
from featurekit_drag.engine.tracking.point_tracking import track


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def at(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def plane(cells=10, *, moved=(0.0, 0.0)):
    """Features that say where they are, in units, after everything moved by ``moved``."""
    axis = 4 * torch.arange(cells, dtype=torch.float64) + 1.5
    x = (axis - moved[0]).expand(cells, cells)
    y = (axis - moved[1]).expand(cells, cells).T
    return torch.stack([x, y])[None]


def follow(before, after, handles, *, radius=3, start=None):
    templates = patches(before, handles if start is None else start, radius=0)[:, 0]
    return track(after, handles, templates, radius=radius)


@pytest.mark.parametrize("dx", [-3, -1, 0, 2, 3])
@pytest.mark.parametrize("dy", [-3, -2, 0, 1, 3])
def test_a_move_within_the_window_is_found_exactly(dx, dy):
    handles = at([16, 20], [9, 25])
    found = follow(plane(), plane(moved=(dx, dy)), handles)
    assert torch.equal(found, handles + at([dx, dy]))


@pytest.mark.parametrize("dx", [-3, 0, 1])
@pytest.mark.parametrize("dy", [-2, 0, 3])
def test_a_map_rolled_by_whole_cells_is_found_exactly(dx, dy):
    before = normal(1, 6, 12, 12)
    after = before.roll((dy, dx), dims=(2, 3))
    handles = at([21.5, 25.5], [22, 19])
    assert torch.equal(follow(before, after, handles, radius=12), handles + 4 * at([dx, dy]))


@pytest.mark.parametrize("move", [(4, 0), (-7, 2), (0, 9), (5, -5)])
def test_a_move_beyond_the_window_ends_at_its_edge(move):
    handle = at([20, 20])
    found = follow(plane(), plane(moved=move), handle)
    assert torch.equal(found, handle + at(move).clamp(-3, 3))


def test_the_window_lies_around_the_last_place_and_the_template_at_the_first():
    start, last = at([12, 16]), at([16, 16])
    found = follow(plane(), plane(moved=(6, 0)), last, start=start)
    assert found.tolist() == [[18, 16]]


def test_distances_are_sums_of_absolute_differences():
    # cell 12 is off a little in every channel, cell 8 a lot in one; squares would choose cell 12
    field = torch.full((1, 5, 1, 40), 2.0, dtype=torch.float64)
    field[0, :, 0, 12] = 1
    field[0, :, 0, 8] = torch.tensor([3.0, 0, 0, 0, 0])
    template = torch.zeros(1, 5, dtype=torch.float64)
    found = track(field, at([41.5, 1.5]), template, radius=12)
    assert found[0, 0] == 4 * 8 + 1.5


def test_of_equally_near_units_the_first_in_row_major_order_is_taken():
    flat = torch.ones(1, 3, 8, 8, dtype=torch.float64)
    assert follow(flat, flat, at([16, 20])).tolist() == [[13, 17]]
    stripes = plane()[:, :1]  # every row alike, so the topmost is first
    assert follow(stripes, stripes, at([16, 20])).tolist() == [[16, 17]]


def test_on_a_constant_map_the_window_is_clipped_to_the_map():
    flat = torch.ones(1, 3, 5, 7, dtype=torch.float64)  # 28 x 20 units
    handles = at([0, 0], [1, 19], [27, 2], [27, 19])
    assert follow(flat, flat, handles).tolist() == [[0, 0], [0, 16], [24, 0], [24, 16]]


def test_the_last_unit_of_the_map_belongs_to_it():
    handles = at([0, 0], [27, 19])
    assert torch.equal(follow(*[normal(1, 3, 5, 7)] * 2, handles, radius=0), handles)


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_every_position_of_a_map_can_be_tracked(shift):
    field = normal(1, 2, 4, 5)
    y, x = torch.meshgrid(torch.arange(16), torch.arange(20), indexing="ij")
    handles = torch.stack([x.flatten(), y.flatten()], dim=1).double() + shift
    found = follow(field, normal(1, 2, 4, 5, seed=1), handles)
    assert ((found >= 0) & (found <= at([19.0, 15.0]))).all()
    inside = handles.clamp(max=at([19.0, 15.0]))
    assert (found - inside).abs().max() < 3 + 1e-9


def test_a_handle_keeps_its_fraction_of_a_unit():
    handle = at([16.25, 20.75])
    found = follow(plane(), plane(moved=(2.1, -0.9)), handle)
    assert found.tolist() == [[18.25, 19.75]]


def test_handles_are_not_changed_in_place():
    handles = at([16, 20], [9, 25])
    copy = handles.clone()
    found = follow(plane(), plane(moved=(2, 2)), handles)
    assert torch.equal(handles, copy)
    assert found.data_ptr() != handles.data_ptr()


def test_each_handle_follows_its_own_template():
    handles = at([16, 20], [17, 20])
    templates = patches(plane(), at([15, 21], [19, 18]), radius=0)[:, 0]
    assert track(plane(), handles, templates, radius=3).tolist() == [[15, 21], [19, 18]]
