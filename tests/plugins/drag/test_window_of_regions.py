"""The part of a large picture that is worked on holds all that was brushed, before and after."""

import torch

from featurekit_drag.engine.points import read_points
from featurekit_drag.engine.request import Region, Request
from featurekit_drag.working_size import window_of

HEIGHT, WIDTH = 480, 640


def window(move, box):
    mask = torch.zeros(1, 1, HEIGHT, WIDTH)
    left, top, right, bottom = box
    mask[..., top:bottom, left:right] = 1
    region = Region(mask, torch.tensor(move).double())
    points = read_points([region.row], height=HEIGHT, width=WIDTH)
    return window_of(Request(torch.zeros(1, 3, HEIGHT, WIDTH), points, None, regions=(region,)), 64)


def holds(found, left, top, right, bottom):
    return (
        found.left <= left
        and found.top <= top
        and found.left + found.width >= right
        and found.top + found.height >= bottom
    )


def test_a_wide_region_that_moves_little_is_held_whole():
    assert holds(window([8.0, 4.0], (100, 60, 400, 300)), 100, 60, 408, 304)


def test_a_region_that_leaves_the_picture_in_part_ends_at_its_frame():
    found = window([200.0, 0.0], (300, 100, 560, 200))
    assert holds(found, 300, 100, WIDTH, 200)
    assert found.left + found.width <= WIDTH
