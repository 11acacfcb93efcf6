"""Plans of whole requests: with a mask, without one, of brushed regions, of odd pictures."""

from dataclasses import replace

import pytest
import torch

from featurekit.backbones import load
from featurekit_drag.engine.points import Points, read_points
from featurekit_drag.engine.request import Region, Request
from featurekit_drag.engine.settings import PlanSettings
from featurekit_drag.plan.grid import Grid
from featurekit_drag.plan.layer import Appearance
from featurekit_drag.plan.warp_plan import Planner
from featurekit_drag.working_size import view_of

SETTINGS = PlanSettings()


def disc(side, x, y, radius):
    apart = (Grid(side, side, 1.0).centres - torch.tensor([x, y])).norm(dim=-1)
    return apart < radius


def scene(unit_px=1, *, x=24.0, y=24.0, radius=7.0):
    """A planner of 64 units whose features know a disc, at any size of picture."""
    generator = torch.Generator().manual_seed(0)
    on = disc(64, x, y, radius)
    features = 0.05 * torch.randn(12, 64, 64, generator=generator)
    texture = torch.arange(64) % 16 < 8
    features[0, ~texture] += 1
    features[1, texture] += 1
    features[:2, on] = 0
    features[2, on] += 1
    small = -0.6 + 0.05 * torch.randn(1, 3, 64, 64, generator=generator)
    small[0][:, on] += 1.2
    image = small.repeat_interleave(unit_px, 2).repeat_interleave(unit_px, 3)
    grid = Grid(64, 64, float(unit_px))
    planner = Planner(image, Appearance.of(grid, features, small), missed=0.0)
    return planner, on.repeat_interleave(unit_px, 0).repeat_interleave(unit_px, 1)


def asked(planner, *rows, mask=None):
    size = planner.image.shape[-2:]
    return Request(planner.image, read_points(rows, height=size[0], width=size[1]), mask)


def box(side, left, top, right, bottom):
    inside = torch.zeros(1, 1, side, side)
    inside[..., top:bottom, left:right] = 1
    return inside


@pytest.mark.parametrize("unit_px", [1, 5])
def test_a_disc_in_a_mask_moves_as_a_whole(unit_px):
    planner, on = scene(unit_px)
    side = 64 * unit_px
    mask = box(side, *(edge * unit_px for edge in (13, 13, 50, 36)))
    row = [edge * unit_px for edge in (24, 24, 38, 25)]
    request = asked(planner, row, mask=mask)
    plan = planner.plan(request, SETTINGS)
    assert (plan.kind, plan.stands_out, plan.copy) == ("move", True, False)
    assert plan.inside is mask
    laid = plan.laid(planner.image)
    there = torch.roll(on, (unit_px, 14 * unit_px), (0, 1))
    assert laid.moved[0, 0][there].mean() > 0.97
    assert laid.moved[0, 0][~there].mean() < 0.02
    assert laid.hole[0, 0][on & ~there].mean() > 0.97
    assert not laid.hole[mask == 0].any()


def test_on_flat_ground_all_inside_the_mask_moves_and_the_plan_says_so():
    planner, _ = scene(x=50.0, y=50.0, radius=5.0)
    mask = box(64, 8, 8, 30, 30)
    plan = planner.plan(asked(planner, [18, 18, 24, 18], mask=mask), SETTINGS)
    assert not plan.stands_out
    assert torch.equal(plan.layers[0].alpha, mask)
    assert plan.laid(planner.image).picture.isfinite().all()


@pytest.mark.parametrize("unit_px", [1, 5])
def test_without_a_mask_a_neighbourhood_that_holds_the_layer_may_change(unit_px):
    planner, on = scene(unit_px, radius=12.0)
    row = [edge * unit_px for edge in (24, 24, 30, 24)]
    plan = planner.plan(asked(planner, row), SETTINGS)
    assert plan.inside.shape == (1, 1, 64 * unit_px, 64 * unit_px)
    assert set(plan.inside.unique().tolist()) == {0.0, 1.0}
    assert plan.inside[0, 0][on].mean() > 0.98
    assert plan.inside[0, 0, -1, -1] == 0  # and not everything
    assert plan.stands_out
    for x, y in (row[:2], row[2:]):
        assert plan.inside[0, 0, y, x] == 1


@pytest.mark.parametrize("row", [[0, 0, 6, 6], [64, 64, 58, 60], [64, 0, 0, 64], [0, 64, 3, 64]])
@pytest.mark.parametrize("mode", ["auto", "move", "reshape", "copy"])
def test_without_a_mask_a_handle_may_lie_in_the_corner(row, mode):
    planner, _ = scene()
    plan = planner.plan(asked(planner, row), replace(SETTINGS, mode=mode))
    laid = plan.laid(planner.image)
    assert plan.copy == (mode == "copy")
    assert laid.picture.isfinite().all()
    if plan.copy:
        assert not laid.hole.any()


def test_regions_move_as_brushed_and_may_change_what_they_touch():
    planner, on = scene(5)
    region = Region(on.float()[None, None], torch.tensor([60.0, 35.0]).double())
    middle = torch.tensor([region.row], dtype=torch.float64)
    request = Request(planner.image, Points(middle[:, :2], middle[:, 2:]), regions=(region,))
    plan = planner.plan(request, SETTINGS)
    assert plan.kind == "regions"
    laid = plan.laid(planner.image)
    there = torch.roll(on, (35, 60), (0, 1))
    assert plan.inside[0, 0][on | there].all()
    assert plan.inside.mean() < 5 * on.float().mean()
    assert (laid.moved[0, 0][there] > 0.5).float().mean() > 0.99
    assert laid.hole[0, 0][on & ~there].float().mean() > 0.99
    far = plan.inside[0, 0] == 0
    assert torch.equal(laid.picture[0][:, far], planner.image[0][:, far])
    within = replace(request, mask=torch.ones(1, 1, 320, 320))
    assert planner.plan(within, SETTINGS).inside is within.mask


def test_two_regions_are_two_layers():
    planner, on = scene()
    other = disc(64, 50.0, 50.0, 5.0)
    regions = tuple(
        Region(one.float()[None, None], torch.tensor(move).double())
        for one, move in ((on, [20.0, 0.0]), (other, [0.0, -20.0]))
    )
    rows = [one.row for one in regions]
    request = replace(asked(planner, *rows), regions=regions)
    plan = planner.plan(request, replace(SETTINGS, mode="copy"))
    assert len(plan.layers) == 2
    laid = plan.laid(planner.image)
    assert not laid.hole.any()
    assert laid.moved[0, 0][torch.roll(other, -20, 0)].min() > 0.9


@pytest.fixture(scope="module")
def backbone():
    return load("random", device="cpu")


@pytest.mark.parametrize("size", [(16, 16), (16, 300), (61, 37)])
@pytest.mark.parametrize("side_px", [0, 32])
def test_a_planner_of_a_backbone_takes_pictures_of_any_size(backbone, size, side_px):
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)) * 1.8 - 0.9
    request = Request(image, read_points([[8, 8, 12, 9]], height=size[0], width=size[1]))
    view = view_of(image, side_px)
    planner = Planner.of(backbone, request, view, SETTINGS)
    rows, columns = view.work_px
    assert (planner.grid.height, planner.grid.width) == (rows, columns)  # units of one pixel
    assert planner.grid.unit_px == pytest.approx(view.shrink)
    plan = planner.plan(request, SETTINGS)
    laid = plan.laid(image)
    assert laid.picture.shape == image.shape
    assert laid.picture.isfinite().all()
