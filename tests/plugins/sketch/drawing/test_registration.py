"""Where a drawing lies on its picture: exact correlations, true shifts found, others left alone."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from featurekit import scenes
from featurekit.scenes.drawings import STYLES
from featurekit_sketch.drawing.registration import agreement, moved, offset


def scene_of(number):
    return scenes.held_out_scenes(number + 1)[number]


def pixels(image):
    return torch.from_numpy(np.array(image, dtype=np.float64)).permute(2, 0, 1)[None] / 127.5 - 1


def drawn(scene, style, size=64):
    return (pixels(scene.drawing(size, style))[:, :1] + 1).float() / 2


def outlined(picture):
    """Ink where the picture changes most, an eighth of it."""
    wide = functional.pad(picture, (1, 1, 1, 1), mode="replicate")
    across = wide[..., 1:-1, 2:] - wide[..., 1:-1, :-2]
    down = wide[..., 2:, 1:-1] - wide[..., :-2, 1:-1]
    change = (across.square() + down.square()).sum(1, keepdim=True)
    return (change < change.quantile(0.875)).float()


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_paper_comes_in_where_ink_is_moved_away():
    ink = torch.arange(12.0).reshape(1, 1, 3, 4) / 12
    assert torch.equal(moved(ink, (0, 0)), ink)
    there = moved(ink, (1, -2))
    assert torch.equal(there[0, 0, 0, 1:], ink[0, 0, 2, :3])
    assert (there[0, 0, 1:] == 1).all()
    assert (there[0, 0, :, 0] == 1).all()


@pytest.mark.parametrize("by", [(0, 0), (2, -1), (-3, 2)])
def test_the_best_shift_is_that_of_trying_every_one(by):
    picture = functional.interpolate(normal(1, 3, 4, 5), size=(60, 80), mode="nearest")
    edges = outlined(picture)
    ink = moved(edges, (-by[0], -by[1]))
    tried = {
        (x, y): agreement(moved(ink, (x, y)), picture) for x in range(-4, 5) for y in range(-3, 4)
    }
    assert offset(ink, picture) == max(tried, key=tried.get) == by


def test_agreement_is_pearsons_coefficient():
    picture = torch.zeros(1, 3, 20, 20, dtype=torch.float64)
    picture[..., 10:] = 1
    ink = torch.ones(1, 1, 20, 20)
    ink[..., 9:11] = 0
    assert agreement(ink, picture) == pytest.approx(1, abs=1e-9)
    assert agreement(1 - ink, picture) == pytest.approx(-1, abs=1e-9)


def test_faint_edges_count_beside_strong_ones():
    picture = torch.zeros(1, 3, 24, 48, dtype=torch.float64)
    picture[..., 12:] += 0.1
    picture[..., 36:] += 1.8
    faint, strong = torch.ones(2, 1, 1, 24, 48)
    faint[..., 11:13], strong[..., 35:37] = 0, 0
    assert agreement(faint, picture) > 0.5 * agreement(strong, picture) > 0


@pytest.mark.parametrize("by", [(3, -2), (-1, 3), (0, 2)])
@pytest.mark.parametrize("number", range(4))
def test_an_outline_beside_its_picture_is_found(number, by):
    picture = pixels(scene_of(number).image(64))
    ink = moved(outlined(picture), by)
    assert offset(ink, picture) == (-by[0], -by[1])


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("number", range(8))
def test_a_drawing_at_rest_stays_though_its_lines_follow_no_edge(style, number):
    scene = scene_of(number)
    assert offset(drawn(scene, style), pixels(scene.image(64))) == (0, 0)


def test_a_shift_of_more_than_a_twentieth_is_not_mended():
    picture = pixels(scene_of(0).image(64))
    assert offset(moved(outlined(picture), (4, 0)), picture) == (0, 0)
    assert offset(moved(outlined(picture), (3, 0)), picture) == (-3, 0)


@pytest.mark.parametrize("size", [8, 9])
def test_the_smallest_pictures_and_flat_ones_are_left_alone(size):
    flat = torch.zeros(1, 3, size, size, dtype=torch.float64)
    ink = torch.ones(1, 1, size, size)
    ink[..., 3] = 0
    assert agreement(ink, flat) == 0
    assert offset(ink, flat) == (0, 0)
    assert offset(torch.ones_like(ink), normal(1, 3, size, size)) == (0, 0)
