"""Ways of a layer to follow its handles: their fields, and which of them is taken."""

import pytest
import torch

from featurekit_drag.plan.choice import Choice
from featurekit_drag.plan.energy import Setting
from featurekit_drag.plan.fields import Drags
from featurekit_drag.plan.grid import Grid
from featurekit_drag.plan.layer import Appearance
from featurekit_drag.plan.laying import Moved, lay
from featurekit_drag.plan.ways import Way, ways

GRID = Grid(64, 64, 1.0)
BOX = (16.0, 16.0, 48.0, 48.0)
BOTTOM = (1, 48.0, 16.0)  # axis, the side that is held, the one across


def drags(*rows):
    table = torch.tensor(rows, dtype=torch.float32)
    return Drags(table[:, :2], table[:, 2:], torch.zeros(0, 2))


def shift(way, asked, x, y):
    """What is added to the place of the unit at x and y, in units."""
    back = way.field(GRID, asked)
    return (back - GRID.centres)[int(y), int(x)]


LEANT = drags([32.5, 20.5, 40.5, 24.5])  # to the right by 8 and down by 4


def test_a_beam_stretches_evenly_along_itself_and_bends_across():
    way = Way("bent", *BOTTOM)
    assert shift(way, LEANT, 32, 60).tolist() == [0, 0]
    half = (48 - 36.5) / (48 - 24.5)
    assert shift(way, LEANT, 32, 36).tolist() == pytest.approx([-8 * half**2, -4 * half])
    assert shift(way, LEANT, 40, 24).tolist() == pytest.approx([-8, -4])
    assert shift(way, LEANT, 40, 18).tolist() == pytest.approx([-8, -4])  # goes along


def test_what_is_held_on_two_sides_gives_way_behind_the_handle():
    way = Way("between", *BOTTOM)
    assert shift(way, LEANT, 40, 24).tolist() == pytest.approx([-8, -4])
    before, behind = (48 - 36.5) / (48 - 24.5), (20.5 - 16) / (24.5 - 16)
    assert shift(way, LEANT, 32, 36).tolist() == pytest.approx([-8 * before, -4 * before], rel=1e-5)
    assert shift(way, LEANT, 32, 20).tolist() == pytest.approx([-8 * behind, -4 * behind], rel=1e-5)
    assert shift(way, LEANT, 32, 8).tolist() == [0, 0]
    eased = shift(Way("eased", *BOTTOM), LEANT, 32, 36).tolist()
    assert eased == pytest.approx([-8 * before**2, -4 * before**2], rel=1e-5)
    assert shift(Way("eased", *BOTTOM), LEANT, 32, 20).tolist() == pytest.approx(
        [-8 * behind, -4 * behind], rel=1e-5
    )


@pytest.mark.parametrize("kind", ["anchored", "bent", "between", "eased"])
def test_between_several_handles_their_drags_are_shared_in_proportion(kind):
    asked = drags([20.5, 24.5, 16.5, 24.5], [44.5, 24.5, 48.5, 24.5])
    way = Way(kind, *BOTTOM)
    for x, moved in ((16, 4), (32, 0), (48, -4), (24, 2)):
        assert shift(way, asked, x, 24).tolist() == pytest.approx([moved, 0], abs=1e-5)


@pytest.mark.parametrize("kind", ["move", "similarity", "anchored", "bent", "between", "eased"])
def test_every_way_brings_its_handle_to_its_target_on_any_grid(kind):
    asked = drags([32.5, 20.5, 40.5, 24.5])
    if kind == "similarity":
        asked = drags([32.5, 20.5, 40.5, 24.5], [22.5, 40.5, 22.5, 42.5])
    for step in (1, 4):
        grid = Grid(64 * step, 64 * step, 1.0)
        finer = Drags(asked.handles * step, asked.targets * step, asked.pins)
        back = Way(kind, *BOTTOM).scaled(step).field(grid, finer)
        x, y = finer.targets[0]
        rounded = torch.tensor([int(x) + 0.5, int(y) + 0.5])
        found = back[int(y), int(x)] - (rounded - finer.targets[0])
        assert found.tolist() == pytest.approx(finer.handles[0].tolist(), abs=0.4)
        if kind in ("anchored", "bent", "between", "eased"):
            moved = (back - grid.centres).norm(dim=-1).amax(dim=1)
            assert bool((moved[48 * step :] == 0).all())
            assert bool((moved[24 * step : 44 * step] > 0).all())


def test_only_sides_with_room_are_held_and_only_what_is_dragged_across_bends():
    kinds = [(way.kind, way.axis, way.at) for way in ways(LEANT, BOX, differ=False)]
    assert kinds[0][0] == "move"
    assert ("bent", 1, 48.0) in kinds
    straight = ways(drags([32.5, 20.5, 32.5, 28.5]), BOX, differ=False)
    assert ("bent", 1) not in {(way.kind, way.axis) for way in straight}
    assert ("bent", 0) in {(way.kind, way.axis) for way in straight}
    near = ways(drags([32.5, 40.5, 32.5, 46.5]), BOX, differ=False)
    held = [(way.axis, way.at) for way in near[1:]]
    assert (1, 16.0) in held
    assert (1, 48.0) not in held
    assert {way.kind for way in near if way.axis == 1} == {"anchored"}
    assert ways(LEANT, BOX, differ=True)[0] == Way("similarity")


def setting(alpha, box=BOX, colours=None):
    inside = torch.zeros(64, 64)
    left, top, right, bottom = map(int, box)
    inside[top:bottom, left:right] = 1
    plain = torch.zeros(3, 64, 64)
    return Setting(GRID, alpha, inside, plain if colours is None else colours, box)


def pole(down_to=64):
    """A pole that stands below the mask and ends in it."""
    alpha = torch.zeros(64, 64)
    alpha[22:down_to, 24:40] = 1
    return alpha


def effects(setting, way, asked):
    length = float(asked.back.norm(dim=1).mean())
    found = setting.effects(way.field(GRID, asked)[None], length)
    return {name: float(one) for name, one in found.items()}


def test_moving_what_goes_on_across_the_rim_tears_it_and_holding_that_side_does_not():
    asked = drags([32.5, 22.5, 40.5, 22.5])
    torn = effects(setting(pole()), Way("move"), asked)
    kept = effects(setting(pole()), Way("bent", *BOTTOM), asked)
    assert torn["torn"] == pytest.approx(1, abs=1e-3)
    assert torn["strain"] == 0
    assert kept["torn"] < 0.1
    assert 0 < kept["share"] < torn["share"] == pytest.approx(1)


def test_what_is_carried_out_of_the_mask_is_counted():
    asked = drags([32.5, 32.5, 48.5, 32.5])
    thing = pole(40)
    assert effects(setting(thing), Way("move"), asked)["leaves"] == pytest.approx(0.5, abs=0.1)
    nearer = drags([32.5, 32.5, 36.5, 32.5])
    assert effects(setting(thing), Way("move"), nearer)["leaves"] == 0


def test_what_was_marked_and_does_not_change_leaves_a_gap():
    thing, asked = pole(40), drags([32.5, 32.5, 40.5, 32.5])
    colours = thing.expand(3, -1, -1).clone()
    found = effects(setting(thing, colours=colours), Way("move"), asked)
    # from x = 24 to 48 and y = 22 to 40 something changes in a box of 16 to 48
    gaps = [8, 0, 6, 8]
    assert found["widest_gap"] == pytest.approx(1)
    assert found["gap"] == pytest.approx(sum(gaps) / 16, abs=0.4)


def test_a_pole_that_is_gripped_at_its_end_is_rooted():
    end, middle = torch.tensor([[32.5, 22.5]]), torch.tensor([[32.5, 36.5]])
    assert setting(pole()).is_rooted(end)
    assert not setting(pole()).is_rooted(middle)
    assert not setting(pole(40)).is_rooted(end)


def picture_of(alpha):
    """A yellow thing on blue, (1 3 64 64) in [-1, 1], and its appearance."""
    thing, ground = torch.tensor([0.9, 0.7, -0.6]), torch.tensor([-0.6, -0.2, 0.7])
    image = torch.lerp(ground[:, None, None], thing[:, None, None], alpha)[None]
    features = torch.stack([alpha, 1 - alpha, torch.ones_like(alpha)])
    return image, Appearance.of(GRID, features, image)


def planned(alpha, asked, box=BOX):
    """The edit that is planned with the true layer, by the field's kind."""
    image, scene = picture_of(alpha)
    inside = torch.zeros(1, 1, 64, 64)
    left, top, right, bottom = map(int, box)
    inside[..., top:bottom, left:right] = 1
    grips = (asked.handles, asked.pins)
    chosen = Choice(scene, grips, alpha[None, None], inside).field("auto", asked.targets)
    laid = lay(image, (Moved(alpha[None, None], chosen.back),), inside, GRID, copy=False)
    return chosen, laid.picture, image


def missed(edit, truth, before):
    """Squared error to the truth as a share of doing nothing."""
    return float(((edit - truth) ** 2).mean() / ((before - truth) ** 2).mean())


def test_a_rooted_pole_is_bent_and_looks_as_it_truly_does():
    alpha = pole()
    asked = drags([32.5, 22.5, 42.5, 22.5])
    bent = torch.zeros(64, 64)
    for y in range(22, 64):
        lean = round(10 * min(1, max(0, (48 - (y + 0.5)) / (48 - 22.5))) ** 2)
        bent[y, 24 + lean : 40 + lean] = 1
    chosen, edit, before = planned(alpha, asked)
    assert chosen.kind == "anchored"
    assert missed(edit, picture_of(bent)[0], before) < 0.25


def test_a_thing_that_lies_free_in_its_mask_moves_whole():
    alpha = pole(38)
    asked = drags([32.5, 30.5, 38.5, 34.5])
    chosen, edit, before = planned(alpha, asked)
    truth = picture_of(alpha.roll((4, 6), (0, 1)))[0]
    assert chosen.kind == "move"
    assert missed(edit, truth, before) < 0.05
