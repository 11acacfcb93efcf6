"""Where neither a layer nor a mask says what moves, it is the region around each handle."""

from dataclasses import replace

import pytest
import torch

from featurekit.backbones import load
from featurekit_drag.engine.points import read_points
from featurekit_drag.engine.request import Request
from featurekit_drag.engine.settings import PlanSettings, RedrawSettings, WarpSettings
from featurekit_drag.plan import warp_plan
from featurekit_drag.plan.around_handles import RADIUS, around_handles
from featurekit_drag.plan.fields import Drags
from featurekit_drag.plan.grid import Grid
from featurekit_drag.plan.preview import Preview
from featurekit_drag.redraw.warp_drag import WarpDrag

PLAN = PlanSettings(shifts=1)
SETTINGS = WarpSettings(PLAN, RedrawSettings(steps=4, strength=0.5, candidates=1, fill="model"))


def drags(handles, targets, pins=()):
    pinned = torch.tensor(pins).reshape(-1, 2).float()
    return Drags(torch.tensor(handles), torch.tensor(targets), pinned)


def test_a_disc_of_four_cells_moves_by_its_drag():
    grid = Grid(80, 96, 4.0)
    (one,) = around_handles(grid, drags([[40.0, 30.0]], [[50.0, 33.0]]))
    apart = (grid.centres - torch.tensor([40.0, 30.0])).norm(dim=-1)
    assert torch.equal(one.alpha[0, 0] == 1, apart <= RADIUS - 0.5)
    assert torch.equal(one.alpha[0, 0] > 0, apart < RADIUS + 0.5)
    torch.testing.assert_close(one.back, grid.centres - torch.tensor([10.0, 3.0]))


def test_neighbours_share_what_lies_between_them_and_pins_hold_theirs():
    grid = Grid(64, 96, 1.0)
    handles, targets = [[30.0, 30.0], [42.0, 30.0]], [[30.0, 20.0], [42.0, 40.0]]
    one, other = around_handles(grid, drags(handles, targets))
    assert not ((one.alpha > 0) & (other.alpha > 0)).any()
    assert one.alpha[0, 0, 30, 35] == other.alpha[0, 0, 30, 36] == 1
    held, _ = around_handles(grid, drags(handles, targets, [[22.0, 30.0]]))
    assert held.alpha[0, 0, 30, 20] == 0
    assert one.alpha[0, 0, 30, 20] == 1


@pytest.fixture(scope="module")
def backbone():
    return load("random", device="cpu")


def request_of(size, rows, **more):
    seeded = torch.Generator().manual_seed(0)
    flat = 0.2 + 0.01 * torch.rand(1, 3, size, size, generator=seeded)
    return Request(flat, read_points(rows, height=size, width=size), **more)


@pytest.mark.parametrize("size", [64, 24])  # in the smaller one nothing is known to stay
def test_on_a_flat_picture_the_region_moves_and_the_edit_says_so(backbone, size):
    request = request_of(size, [[12, 12, 18, 14]])
    edit = WarpDrag(backbone, SETTINGS)(request)
    assert edit.facts["kind"] == "around"
    assert edit.facts["layer_found"] is False
    (told, *_) = edit.remarks
    assert told.startswith("nothing stands out under the handle, so what lies around it moves")
    assert "plugin.regions=[[mask.png,dx,dy]]" in told
    corner = edit.image[..., -2:, :2]
    assert size < 40 or torch.equal(corner, request.image[..., -2:, :2])


def test_with_a_mask_all_inside_it_moves_as_before(backbone):
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 4:40, 4:40] = 1
    edit = WarpDrag(backbone, SETTINGS)(request_of(64, [[12, 12, 18, 14]], mask=mask))
    assert edit.facts["kind"] != "around"
    assert "so all that may change moves" in edit.remarks[0]


def test_the_preview_shows_what_is_planned(backbone):
    request = request_of(64, [[20, 20, 28, 23], [40, 40, 36, 30]])
    request.image[..., 16:24, 16:24] += 0.02  # less than what tells a thing
    planner = WarpDrag(backbone, SETTINGS).planner(request)
    plan = planner.plan(request, PLAN)
    assert plan.kind == "around"
    shown = Preview.of(planner, request, "auto", 512).laid(request)
    inside = plan.inside > 0
    laid = plan.laid(request.image).picture
    torch.testing.assert_close(shown * inside, laid * inside, atol=1e-4, rtol=0)


def test_a_layer_that_stands_out_moves_as_a_layer(backbone, monkeypatch):
    def disc(appearance, inside, handles):
        return appearance.grid.near(handles, 6).float()[None, None]

    for find in ("layer_at", "layer_by_colours"):
        monkeypatch.setattr(warp_plan, find, disc)
    request = request_of(64, [[20, 20, 28, 23]])
    planner = WarpDrag(backbone, SETTINGS).planner(request)
    assert planner.plan(request, replace(PLAN, mode="move")).kind == "move"
