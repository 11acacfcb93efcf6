"""The preview of a plan: it is what the plan lays, and a target moves nothing but the field."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from drag_sessions import FAST, PLAN, backbone, subject
from scipy.sparse.linalg import spsolve

from featurekit.images.coordinates import Window
from featurekit_drag.engine.points import Points
from featurekit_drag.engine.request import Region
from featurekit_drag.plan import fields, preview, warp_plan
from featurekit_drag.plan.fields import Bending, Drags
from featurekit_drag.plan.grid import Grid
from featurekit_drag.plan.preview import Preview
from featurekit_drag.redraw.warp_drag import WarpDrag
from featurekit_drag.tasks import bench_preview

SCENES = (0, 1, 2)


@pytest.fixture(scope="module", params=SCENES)
def planned(request):
    """A request and its planner."""
    asked = subject(request.param, 64)
    return asked, WarpDrag(backbone(), FAST).planner(asked)


def turned(asked):
    """The same handle with a second one, whose targets turn and scale the layer."""
    handles = torch.cat([asked.points.handles, asked.points.handles + torch.tensor([[4.0, 3.0]])])
    targets = torch.cat([asked.points.targets, asked.points.targets + torch.tensor([[2.0, 6.0]])])
    return replace(asked, points=Points(handles, targets))


def close(found, wanted):
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", ["auto", "move", "copy"])
def test_a_preview_is_the_laid_picture_of_the_plan(planned, mode):
    asked, planner = planned
    shown = Preview.of(planner, asked, mode, 512)
    for share in (1.0, 0.5):  # the second time of what the first one prepared
        part = asked.up_to(share)
        plan = planner.plan(part, replace(PLAN, mode=mode))
        assert plan.kind == "move"
        close(shown.laid(part), plan.laid(asked.image).picture)


def test_a_preview_of_a_turned_layer_is_the_laid_picture_too(planned):
    asked, planner = turned(planned[0]), planned[1]
    plan = planner.plan(asked, replace(PLAN, mode="move"))
    assert plan.kind == "similarity"
    still = (plan.layers[0].back - planner.grid.centres).norm(dim=-1) < 0.25
    assert not (still & (plan.layers[0].alpha[0, 0] > 0)).any()  # all of it moves
    close(Preview.of(planner, asked, "move", 512).laid(asked), plan.laid(asked.image).picture)


def test_a_preview_of_regions_is_the_laid_picture(planned):
    asked, planner = planned
    mask = torch.zeros_like(asked.mask)
    mask[..., 20:40, 16:30] = 1
    regions = (Region(mask, torch.tensor([6.0, -3.0]).double()),)  # as they are read
    brushed = replace(asked, regions=regions, mask=None)
    plan = planner.plan(brushed, PLAN)
    shown = Preview.of(planner, brushed, "auto", 512)
    inside = plan.inside > 0
    laid = plan.laid(asked.image).picture
    close(shown.laid(brushed) * inside, laid * inside)


def test_where_a_layer_stays_in_part_the_preview_is_near(planned):
    asked, planner = planned
    plan = planner.plan(asked, replace(PLAN, mode="reshape"))
    assert plan.kind == "anchored"
    found = Preview.of(planner, asked, "reshape", 512).laid(asked)
    assert (found - plan.laid(asked.image).picture).abs().mean() < 0.01


def test_a_reshaped_layer_is_read_from_a_finer_texture_and_looks_the_same(planned):
    asked, planner = planned
    shown = Preview.of(planner, asked, "reshape", 512)
    assert shown.fields(asked)[0][0] == "anchored"
    where = shown._where(shown.fields(asked)[0][1])
    finer, exact = (shown._content(kind, where) for kind in ("anchored", "move"))
    plain = preview._read(shown.texture, where, "bilinear")
    assert not torch.equal(finer, exact)
    assert (finer - exact).abs().mean() < 1 / 127.5  # grey level
    assert (finer - exact).abs().mean() < 0.5 * (plain - exact).abs().mean()


def test_moving_a_target_looks_for_no_layer_and_fills_nothing(planned, monkeypatch):
    asked, planner = planned
    shown = Preview.of(planner, asked, "auto", 512)

    def never(*_, **__):
        raise AssertionError("was prepared")

    monkeypatch.setattr(warp_plan, "layer_at", never)
    for name in ("filled", "refined"):
        monkeypatch.setattr(preview, name, never)
    moved = shown.laid(asked.up_to(0.7))
    assert not torch.equal(moved, shown.laid(asked))


def test_a_bending_is_factorised_once_for_all_targets(planned, monkeypatch):
    asked, planner = planned
    pins = asked.points.handles + 8
    pinned = replace(asked, pins=pins)
    shown = Preview.of(planner, pinned, "reshape", 512)
    first = shown.laid(pinned)
    monkeypatch.setattr(fields, "splu", None)
    assert not torch.equal(shown.laid(pinned.up_to(0.5)), first)
    assert torch.equal(shown.laid(pinned), first)


def test_a_small_texture_is_the_picture_shrunk(planned):
    asked, planner = planned
    small = Preview.of(planner, asked, "auto", 32).laid(asked)
    assert small.shape == (1, 3, 32, 32)
    view = Window(0, 0, 64, 64, 2.0)
    shrunk = view.take(Preview.of(planner, asked, "auto", 512).laid(asked))
    unmoved = view.take(asked.image)
    assert (small - shrunk).abs().mean() < 0.3 * (small - unmoved).abs().mean()


def test_a_bending_solves_its_equations():
    """Against one solution of the whole system by another solver."""
    grid = Grid(24, 24, 1.0)
    layer = torch.zeros(1, 1, 24, 24)
    layer[..., 6:18, 4:20] = 1
    drags = Drags(
        torch.tensor([[8.5, 9.5]]), torch.tensor([[11.0, 12.0]]), torch.tensor([[17.5, 15.5]])
    )
    bending = Bending(grid, (drags.handles, drags.pins), layer, torch.zeros_like(layer))
    displaced = bending._forward(drags.targets - drags.handles)
    number = torch.full((24, 24), -1)
    number[bending.cells] = torch.arange(len(bending.cells[0]))
    weight = bending.weight
    system = fields._energy(number.numpy(), len(weight)) + fields.sparse.diags_array(weight)
    for axis in range(2):
        move = [float(drags.targets[0, axis] - drags.handles[0, axis]), 0.0]
        wanted = np.where(bending.gripped, np.take(move, bending.owner), 0.0)
        solved = spsolve(system.tocsc(), weight * wanted)
        found = displaced[0, axis][bending.cells].double()
        torch.testing.assert_close(found, torch.from_numpy(solved), atol=1e-5, rtol=1e-4)
    at = bending.grid.near(drags.handles, 1.0)
    reached = displaced[0, :, at].mean(dim=1)
    torch.testing.assert_close(reached, torch.tensor([2.5, 2.5]), atol=0.3, rtol=0)


def test_the_bench_of_previews_names_every_kind(capsys):
    assert bench_preview.bench(["--side", "64", "--side-px", "64"]) == 0
    said = capsys.readouterr().out
    assert all(kind in said for kind in ("move", "turn and scale", "stretch", "pin", "bicubic"))


@pytest.mark.parametrize("words", [["--side", "8"], ["--side-px", "1"], ["--scene", "-1"]])
def test_the_bench_of_previews_refuses_what_it_cannot_time(words, capsys):
    with pytest.raises(SystemExit, match="2"):
        bench_preview.bench(words)
    assert "must be at least" in capsys.readouterr().err
