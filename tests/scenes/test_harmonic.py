"""Harmonic filling: what Laplace's equation says, and nothing changed outside the hole."""

import pytest
import torch

from featurekit.core.errors import MaskError, ShapeError
from featurekit.scenes import harmonic
from featurekit.scenes.harmonic import fill


@pytest.fixture(autouse=True, params=[harmonic.FACTORISED, 0], ids=["factorised", "iterated"])
def _both_ways(request, monkeypatch):
    monkeypatch.setattr(harmonic, "FACTORISED", request.param)


def picture(seed=0, height=24, width=30):
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def box(top, bottom, left, right, height=24, width=30):
    hole = torch.zeros(1, 1, height, width, dtype=torch.bool)
    hole[..., top:bottom, left:right] = True
    return hole


def test_a_plane_is_filled_exactly():
    y, x = torch.meshgrid(
        torch.linspace(-0.5, 0.4, 24), torch.linspace(0.3, -0.6, 30), indexing="ij"
    )
    plane = torch.stack([x, y, x - y])[None]
    torch.testing.assert_close(fill(plane, box(5, 17, 4, 22)), plane)


def test_a_saddle_is_filled_exactly():
    y, x = torch.meshgrid(torch.arange(24.0), torch.arange(30.0), indexing="ij")
    saddle = ((x - 12) ** 2 - (y - 9) ** 2).expand(1, 3, -1, -1) / 300
    torch.testing.assert_close(fill(saddle, box(3, 20, 6, 25)), saddle, atol=1e-6, rtol=0)


@pytest.mark.parametrize("hole", [box(5, 17, 4, 22), box(0, 9, 0, 12), box(0, 24, 10, 20)])
def test_every_filled_pixel_is_the_mean_of_the_neighbours_that_there_are(hole):
    filled = fill(picture().double(), hole)
    total, count = torch.zeros_like(filled), torch.zeros_like(filled)
    for axis, step in ((2, 1), (2, -1), (3, 1), (3, -1)):
        size = filled.shape[axis] - 1
        here, there = (0, 1) if step == 1 else (1, 0)
        total.narrow(axis, here, size).add_(filled.narrow(axis, there, size))
        count.narrow(axis, here, size).add_(1)
    inside = hole.expand_as(filled)
    torch.testing.assert_close(filled[inside], (total / count)[inside], atol=1e-6, rtol=0)


def test_what_the_hole_held_is_not_read():
    image, other, hole = picture(), picture(1), box(5, 17, 4, 22)
    changed = torch.where(hole, other, image)
    torch.testing.assert_close(fill(image, hole), fill(changed, hole))


def test_nothing_outside_the_hole_changes_and_the_image_is_not_touched():
    image, hole = picture(), box(5, 17, 4, 22)
    before = image.clone()
    filled = fill(image, hole)
    assert torch.equal(torch.where(hole, 0, filled), torch.where(hole, 0, image))
    assert torch.equal(image, before)
    assert filled.dtype == image.dtype


def test_a_filled_colour_lies_between_those_around_it():
    image, hole = picture(), box(5, 17, 4, 22)
    ring = box(4, 18, 3, 23) & ~hole
    filled = fill(image, hole)
    for channel in range(3):
        inner, outer = filled[:, channel][hole[:, 0]], image[:, channel][ring[:, 0]]
        assert outer.min() <= inner.min()
        assert inner.max() <= outer.max()


def test_black_surroundings_fill_with_black_beside_a_coloured_channel():
    image = picture()
    image[:, 0] = 0
    filled = fill(image, box(5, 17, 4, 22))
    assert (filled[:, 0] == 0).all()
    assert filled.isfinite().all()


def test_without_a_hole_the_image_stays():
    assert torch.equal(fill(picture(), box(0, 0, 0, 0)), picture())


def test_a_hole_without_surroundings_is_refused():
    with pytest.raises(MaskError, match="must leave some of the image, got all of it"):
        fill(picture(), box(0, 24, 0, 30))


def test_a_hole_of_another_size_is_refused():
    with pytest.raises(ShapeError, match=r"hole must be \(1 1 h=24 w=30\), got \(1, 1, 8, 8\)"):
        fill(picture(), torch.ones(1, 1, 8, 8))
