"""Patches of a picture continue a hole: textures go on, and nothing else changes."""

import pytest
import torch

from featurekit.core.errors import ShapeError
from featurekit.scenes.harmonic import fill as harmonic
from featurekit_drag.redraw.patch_fill import continued

SIDE = 96


def places(height=SIDE, width=SIDE):
    return torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")


def stripes():
    y, x = places()
    return torch.sin(2 * torch.pi * (x + 0.5 * y) / 12)


def bricks():
    y, x = places()
    row = y // 8
    mortar = (y % 8 == 0) | ((x + 8 * (row % 2)) % 16 == 0)
    return torch.where(mortar, 0.8, -0.5)


def coloured(grey):
    return torch.stack([grey, 0.5 * grey, -grey])[None].float().clamp(-1, 1)


def hole_in(height, width, rows, columns):
    hole = torch.zeros(1, 1, height, width)
    hole[..., rows, columns] = 1
    return hole


def error(found, true, hole):
    return float(((found - true) ** 2)[hole.expand_as(true) > 0].mean())


@pytest.mark.parametrize(("texture", "share"), [(stripes, 0.1), (bricks, 0.35)])
def test_a_texture_goes_on_where_a_smooth_fill_is_flat(texture, share):
    image, hole = coloured(texture()), hole_in(SIDE, SIDE, slice(36, 60), slice(34, 62))
    found = continued(torch.where(hole > 0, 0.3, image), hole, hole, seed=0)
    assert error(found, image, hole) < share * error(harmonic(image, hole), image, hole)


def test_noise_keeps_its_strength():
    generator = torch.Generator().manual_seed(5)
    image = torch.randn(1, 3, SIDE, SIDE, generator=generator).mul(0.3).clamp(-1, 1)
    hole = hole_in(SIDE, SIDE, slice(36, 60), slice(34, 62))
    inside = hole.expand_as(image) > 0
    told = float(continued(image, hole, hole, seed=0)[inside].std() / image[~inside].std())
    assert told > 0.75
    assert float(harmonic(image, hole)[inside].std() / image[~inside].std()) < 0.5


def test_light_that_changes_over_the_picture_meets_the_hole():
    _, x = places()
    image = coloured(x / SIDE - 0.5 + 0.2 * stripes())
    hole = hole_in(SIDE, SIDE, slice(36, 60), slice(34, 62))
    found = continued(image, hole, hole, seed=0)
    seam = (found - image)[0, 0, 36:60, 34].abs().mean()
    assert seam < 0.1
    assert error(found, image, hole) < 0.01


def test_outside_the_hole_every_pixel_stays_and_the_seed_decides():
    image, hole = coloured(bricks()), hole_in(SIDE, SIDE, slice(30, 50), slice(0, 30))
    found = continued(image, hole, hole, seed=3)
    outside = hole.expand_as(image) == 0
    assert torch.equal(found[outside], image[outside])
    assert torch.equal(found, continued(image, hole, hole, seed=3))
    assert found.abs().max() <= 1


def test_nothing_is_copied_from_what_is_unusable():
    image = torch.full((1, 3, SIDE, SIDE), -0.5)
    image[:, 0, 20:44, 20:44] = 1.0  # red, and it touches the hole
    hole = hole_in(SIDE, SIDE, slice(20, 44), slice(44, 60))
    red = hole_in(SIDE, SIDE, slice(20, 44), slice(20, 44))
    found = continued(image, hole, torch.maximum(hole, red), seed=0)
    assert error(found, torch.full_like(image, -0.5), hole) < 1e-4
    assert error(continued(image, hole, hole, seed=0), torch.full_like(image, -0.5), hole) > 1e-4


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"),
    [
        (16, 16, slice(4, 9), slice(5, 11)),
        (5, 7, slice(1, 3), slice(2, 4)),
        (24, 8192, slice(6, 20), slice(4000, 4060)),
        (97, 61, slice(0, 40), slice(0, 20)),  # at the frame
        (48, 48, slice(1, 48), slice(1, 48)),  # nearly everything: nothing whole to copy
    ],
)
def test_any_size_and_place_is_filled_with_what_the_picture_has(height, width, rows, columns):
    y, x = places(height, width)
    image = coloured(torch.where((x + y) % 6 < 3, 0.6, -0.4))
    hole = hole_in(height, width, rows, columns)
    found = continued(torch.where(hole > 0, torch.nan, image), hole, hole, seed=0)
    assert found.shape == image.shape
    assert bool(found.isfinite().all())
    assert float(found.min()) >= float(image.min()) - 0.3
    assert float(found.max()) <= float(image.max()) + 0.3


def test_no_hole_and_a_hole_that_is_all_leave_the_picture():
    image = coloured(stripes())
    for hole in (torch.zeros(1, 1, SIDE, SIDE), torch.ones(1, 1, SIDE, SIDE)):
        assert torch.equal(continued(image, hole, hole, seed=0), image)


def test_a_hole_of_another_size_is_refused():
    with pytest.raises(ShapeError, match="hole"):
        continued(coloured(stripes()), torch.ones(1, 1, 8, 8), torch.ones(1, 1, 8, 8), seed=0)
