"""Which field a drag gets: by where its handle lies, by how drags agree, by what is asked."""

import pytest
import torch

from featurekit_drag.plan.choice import Choice
from featurekit_drag.plan.fields import Drags, anchored, rigid
from featurekit_drag.plan.grid import Grid
from featurekit_drag.plan.layer import Appearance

GRID = Grid(64, 64, 1.0)
NO_PINS = torch.zeros(0, 2)


def drags(*rows, pins=()):
    table = torch.tensor(rows, dtype=torch.float64)
    return Drags(table[:, :2], table[:, 2:], torch.tensor(pins).reshape(-1, 2))


def disc(x=32.0, y=32.0, radius=12.0):
    apart = (GRID.centres - torch.tensor([x, y])).norm(dim=-1)
    return (apart < radius).float()[None, None]


def box(left=16, top=16, right=48, bottom=48):
    inside = torch.zeros(1, 1, 64, 64)
    inside[..., top:bottom, left:right] = 1
    return inside


def pillar():
    """What stands on the lower side of the box and goes on below it."""
    alpha = torch.zeros(1, 1, 64, 64)
    alpha[..., 22:60, 24:40] = 1
    return alpha


def chosen(mode, asked, layer, inside, features=None):
    """The field on a picture of one thing, or with features (c h w) of its own."""
    one = torch.ones(4, 64, 64) if features is None else features
    scene = Appearance(GRID, one, torch.zeros(3, 64, 64))
    return Choice(scene, (asked.handles, asked.pins), layer, inside).field(mode, asked.targets)


def kind(mode, asked, layer=None, inside=None):
    given = (disc() if layer is None else layer, box() if inside is None else inside)
    found = chosen(mode, asked, *given)
    assert found.back.shape == (64, 64, 2)
    assert found.back.isfinite().all()
    return found.kind


INSIDE, RIM = drags([32, 32, 38, 30]), drags([32, 23, 32, 18])
OPPOSED = drags([24, 32, 19, 32], [40, 32, 45, 32])
SAME_WAY = drags([26, 28, 28, 28], [38, 36, 46, 37])
EQUAL = drags([28, 30, 34, 30], [36, 34, 42, 34])


@pytest.mark.parametrize(
    ("asked", "layer", "expected"),
    [
        (INSIDE, disc(), "move"),
        (EQUAL, disc(), "move"),
        (RIM, pillar(), "anchored"),
        (OPPOSED, disc(), "similarity"),
        (SAME_WAY, disc(), "elastic"),
        (drags([32, 32, 38, 30], pins=[[32, 42]]), disc(), "elastic"),
        (drags([24, 32, 19, 32], [40, 32, 45, 32], pins=[[32, 42]]), disc(), "elastic"),
    ],
    ids=["inside", "equal", "rim", "opposed", "same way", "pinned", "opposed and pinned"],
)
def test_left_to_itself(asked, layer, expected):
    assert kind("auto", asked, layer) == expected


@pytest.mark.parametrize("mode", ["move", "copy"])
def test_move_and_copy_move_whatever_is_dragged(mode):
    for asked in (INSIDE, RIM, drags([32, 23, 32, 18], pins=[[32, 42]])):
        assert kind(mode, asked, pillar()) == "move"
    assert kind(mode, OPPOSED) == "similarity"
    found = chosen(mode, RIM, pillar(), box())
    assert torch.equal(found.back, rigid(GRID, RIM))


def test_reshape_never_moves_all():
    assert kind("reshape", INSIDE) == "anchored"
    assert kind("reshape", RIM, pillar()) == "anchored"
    assert kind("reshape", OPPOSED) == "elastic"
    assert kind("reshape", drags([32, 32, 38, 30], pins=[[32, 42]])) == "elastic"


def test_the_side_where_the_layer_goes_on_is_held():
    found = chosen("auto", RIM, pillar(), box())
    assert torch.equal(found.back, anchored(GRID, RIM, axis=1, at=48.0))
    sideways = drags([23, 32, 18, 32])
    lying = pillar().transpose(2, 3)
    found = chosen("auto", sideways, lying, box())
    assert torch.equal(found.back, anchored(GRID, sideways, axis=0, at=48.0))


def test_a_side_at_the_frame_is_not_taken_for_one_where_the_layer_goes_on():
    # the layer fills its box down to the frame, and goes on at the left
    alpha = torch.zeros(1, 1, 64, 64)
    alpha[..., 50:64, 10:50] = 1
    asked = drags([47, 57, 44, 57])
    found = chosen("reshape", asked, alpha, box(20, 30, 52, 64))
    assert torch.equal(found.back, anchored(GRID, asked, axis=0, at=20.0))


def test_where_no_side_can_be_held_it_moves_or_bends():
    small = box(31, 31, 34, 34)  # each side is too near to the handle or to the target
    asked = drags([32, 32, 33, 33])
    assert kind("auto", asked, disc(radius=2), small) == "move"
    assert kind("reshape", asked, disc(radius=2), small) == "elastic"


@pytest.mark.parametrize(
    "asked",
    [
        drags([0, 0, 5, 5]),
        drags([64, 64, 60, 60]),
        drags([64, 0, 60, 6], [0, 64, 6, 60]),
        drags([0.5, 0.5, 0.6, 0.5]),
    ],
)
@pytest.mark.parametrize("mode", ["auto", "move", "reshape", "copy"])
def test_handles_at_the_corners(mode, asked):
    assert kind(mode, asked, inside=torch.ones(1, 1, 64, 64))


@pytest.mark.parametrize("mode", ["auto", "move", "reshape", "copy"])
def test_a_mask_and_a_layer_of_one_unit(mode):
    one = box(32, 32, 33, 33)
    assert kind(mode, drags([32.5, 32.5, 40, 32.5]), one, one)
    assert kind(mode, drags([32.5, 32.5, 40, 32.5]), 0 * one, one)


def test_a_handle_between_two_things_reshapes_and_one_inside_a_thing_moves():
    two = torch.zeros(4, 64, 64)
    two[0, :, :32], two[1, :, 32:] = 1, 1
    across, asked = drags([32, 32, 40, 32]), drags([26, 32, 26, 26])
    assert chosen("auto", across, disc(), box()).kind == "move"
    assert chosen("auto", across, disc(), box(), two).kind == "anchored"
    assert chosen("auto", asked, disc(), box(), two).kind == "move"
