"""A redraw by a flow: what is known, what is drawn, and the same network as a diffusion model."""

from dataclasses import replace
from statistics import fmean
from types import SimpleNamespace

import pytest
import torch
from drag_flows import AsFlow, embedded, levels_of

import featurekit as fk
from featurekit.diffusion.flow_schedule import FlowSchedule
from featurekit.diffusion.flow_table import FlowTable
from featurekit.scenes import held_out_moves
from featurekit_drag.config import warp_settings_of
from featurekit_drag.inputs import from_move
from featurekit_drag.presets import own_settings
from featurekit_drag.redraw.hole import Redrawing
from featurekit_drag.redraw.warp_drag import WarpDrag

HOLE = torch.zeros(1, 1, 6, 8)
HOLE[..., 1:4, 2:6] = 1
INSIDE = HOLE.bool().expand(1, 3, 6, 8)
TABLES = {
    "even": FlowTable(),
    "shifted": FlowTable(shift=3.0),
    "with an end": FlowTable(shift=3.0, terminal=0.02),
    "karras": FlowTable(respacing="karras"),
}


def redrawing_of(flow, table, steps=20):
    """A redraw of pictures that are latents themselves."""
    backbone = SimpleNamespace(encode=lambda image: image, multiple=1, stride=1)
    return Redrawing(backbone, flow, None, FlowSchedule.euler(table, steps), ())


def drawn(redrawing, picture, **changed):
    asked = {"strength": 1.0, "candidates": 3, "seed": 5, **changed}
    return redrawing(picture, HOLE, **asked)


def templates(count=2):
    return torch.randn(count, 3, 6, 8, generator=torch.Generator().manual_seed(0)).double()


@pytest.mark.parametrize("strength", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("name", TABLES)
def test_what_is_known_comes_back(name, strength):
    known = templates(3)
    flow = fk.testing.MixtureFlow(known[:2], spread=0.2)
    picture = known[2:]
    found = drawn(redrawing_of(flow, TABLES[name]), picture, strength=strength)
    apart = (found - picture).abs()
    assert apart[~INSIDE.expand_as(apart)].max() <= 1e-6
    assert apart[INSIDE.expand_as(apart)].min() > 0


def test_on_its_way_what_is_known_has_the_noise_of_each_level():
    known, seen = templates(3), []
    flow = fk.testing.MixtureFlow(known[:2], spread=0.2)

    def watched(z, t):
        seen.append((z.clone(), t))
        return flow(z, t)

    redrawing = redrawing_of(watched, TABLES["shifted"], steps=6)
    drawn(redrawing, known[2:], candidates=2)
    draws = torch.Generator().manual_seed(5)
    noise = torch.randn(2, 3, 6, 8, generator=draws).double()
    outside = ~INSIDE.expand_as(noise)
    assert [t for _, t in seen] == list(redrawing.schedule.timesteps)
    for z, t in seen:
        expected = (1 - t / 1000) * known[2:] + t / 1000 * noise
        torch.testing.assert_close(z[outside], expected[outside], atol=1e-9, rtol=0)


def test_the_hole_is_drawn_as_what_is_known_tells():
    """Where what is known fits one template alone, the hole is that template with its spread."""
    known, spread, count = templates(), 0.3, 96
    flow = fk.testing.MixtureFlow(known, spread=spread)
    found = drawn(redrawing_of(flow, FlowTable(), steps=80), known[1:], candidates=count)
    off = (found - known[1:])[INSIDE.expand_as(found)].view(count, -1)
    assert off.mean(dim=0).abs().max() < 5 * spread / count**0.5
    assert abs(float(off.std()) / spread - 1) < 0.05


def test_what_is_known_leaves_open_is_drawn_in_equal_shares():
    """Two templates that differ in the hole alone are both drawn, and nothing between them."""
    known, spread, count = templates(), 0.2, 128
    known = torch.where(INSIDE, known, known[:1])
    flow = fk.testing.MixtureFlow(known, spread=spread)
    found = drawn(redrawing_of(flow, FlowTable(), steps=80), known[:1], candidates=count)
    apart = (found[:, None] - known[None]).square() * INSIDE
    nearest = apart.sum(dim=(2, 3, 4)).min(dim=1)
    share = float((nearest.indices == 0).double().mean())
    assert abs(share - 0.5) < 4 * 0.5 / count**0.5
    rms = (nearest.values / INSIDE.sum()).sqrt()
    assert abs(float(rms.mean()) / spread - 1) < 0.1
    assert rms.max() < 2 * spread


def test_a_seed_draws_the_same_bits_and_another_one_others():
    flow, picture = fk.testing.MixtureFlow(templates(), spread=0.2), templates()[:1]
    redrawing = redrawing_of(flow, TABLES["shifted"])
    before = torch.get_rng_state()
    first = drawn(redrawing, picture)
    torch.manual_seed(3)
    assert torch.equal(first, drawn(redrawing, picture))
    assert not torch.equal(first, drawn(redrawing, picture, seed=6))
    torch.set_rng_state(before)


@pytest.fixture(scope="module")
def scene():
    (move,) = held_out_moves(1, deforms=False)
    return from_move(move, size=64, seed=0)


@pytest.mark.parametrize("shares", [(), ("up_blocks.2", "up_blocks.3")])
@pytest.mark.parametrize("strength", [0.5, 0.9])
def test_the_same_network_as_a_flow_redraws_the_same(scene, strength, shares):
    """Euler's step along the velocity is DDIM's step, divided by the sum of its amplitudes."""
    image, pair = scene.request.image, []
    hole = (scene.request.mask > 0).float()
    for model, schedule in zip(
        (embedded(), AsFlow(embedded())), levels_of(embedded(), 10), strict=True
    ):
        predict = model.predictor(model.embed(scene.request.prompt))
        with torch.no_grad():
            source = model.encode(scene.truth) if shares else None
        draw = Redrawing(model, predict, source, schedule, shares)
        pair.append(draw(image, hole, strength=strength, candidates=2, seed=1))
    assert (pair[0] - pair[0].mean()).std() > 0.5
    assert (pair[0] - pair[1]).norm() < 1e-3 * pair[0].norm()


def test_drags_by_a_flow_come_as_near_to_the_truth_as_those_by_diffusion():
    """The same network, by DDIM's and by a flow's levels: squared errors of those of doing nothing.

    On the first seven translations and seven deformations: .587 and .590; without a redraw .655.
    """
    settings = replace(warp_settings_of(own_settings("embedded")), animation_frames=0)
    settings = replace(settings, redraw=replace(settings.redraw, fill="model"))
    errors = {"diffusion": [], "flow": [], "alone": []}
    for move in (*held_out_moves(3, deforms=False)[::2], *held_out_moves(3, deforms=True)[2:]):
        subject = from_move(move, size=64, seed=0)
        planner = WarpDrag(embedded(), settings).planner(subject.request)
        for name, model in (("diffusion", embedded()), ("flow", AsFlow(embedded(), shift=3.0))):
            edit = WarpDrag(model, settings, planner)(subject.request)
            errors[name].append(share_left(edit.image, subject))
        errors["alone"].append(share_left(edit.stages["warp"], subject))
    diffusion, flow, alone = (fmean(one) for one in errors.values())
    assert flow < alone
    assert abs(flow - diffusion) < 0.04


def share_left(image, subject):
    left, nothing = (
        (one - subject.truth).square().mean() for one in (image, subject.request.image)
    )
    return float(left / nothing)
