"""The layer under a handle, on pictures that are drawn for it."""

import pytest
import torch

from featurekit_drag.plan.grid import Grid
from featurekit_drag.plan.layer import Appearance, hanging_together, layer_at, random_walker

SIDE = 48
GRID = Grid(SIDE, SIDE, 1.0)


def discs(*where):
    """Bright discs (x, y, radius) on a dark ground of two textures, all with noise."""
    generator = torch.Generator().manual_seed(0)
    on = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    for x, y, radius in where:
        on |= (GRID.centres - torch.tensor([x, y])).norm(dim=-1) < radius
    image = -0.6 + 0.08 * torch.randn(1, 3, SIDE, SIDE, generator=generator)
    features = 0.05 * torch.randn(12, SIDE, SIDE, generator=generator)
    texture = 0 + (torch.arange(SIDE) % 16 < 8)
    features[0, texture == 0] += 1
    features[1, texture == 1] += 1
    image[0][:, on] += 1.2
    features[:2, on] = 0
    features[2][on] += 1
    return Appearance.of(GRID, features, image), on


def box(left, top, right, bottom):
    inside = torch.zeros(1, 1, SIDE, SIDE)
    inside[..., top:bottom, left:right] = 1
    return inside


def handle(x, y):
    return torch.tensor([[x, y]], dtype=torch.float64)


def test_a_bright_disc_on_noise_is_found():
    appearance, on = discs((20, 22, 7))
    alpha = layer_at(appearance, box(10, 12, 36, 34), handle(20, 22))
    assert alpha.shape == (1, 1, SIDE, SIDE)
    assert 0 <= alpha.min() <= alpha.max() <= 1
    found = alpha[0, 0] > 0.5
    assert (found & on).sum() / (found | on).sum() > 0.95
    assert alpha[0, 0][on].mean() > 0.95
    assert alpha[0, 0][~on].mean() < 0.02


def test_a_flat_surface_has_no_layer_whatever_its_features_say():
    appearance, _ = discs((20, 22, 7))
    image = 0.2 + 0.004 * torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    flat = Appearance.of(GRID, appearance.features, image)
    assert not layer_at(flat, box(10, 12, 36, 34), handle(20, 22)).any()


def test_a_second_disc_that_no_handle_touches_is_left_out():
    appearance, _ = discs((16, 24, 6), (34, 24, 5))
    inside = box(6, 12, 44, 36)
    alpha = layer_at(appearance, inside, handle(16, 24))[0, 0]
    assert alpha[24, 16] > 0.9
    assert alpha[:, 28:].max() == 0
    both = torch.cat([handle(16, 24), handle(34, 24)])
    assert layer_at(appearance, inside, both)[0, 0, 24, 34] > 0.9


def test_the_layer_goes_on_beyond_the_mask_where_the_thing_does():
    appearance, _ = discs()
    generator = torch.Generator().manual_seed(3)
    turned = ((torch.arange(SIDE) - 24) / 4).clamp(0, 1) * torch.pi / 2
    bar = (slice(10, 30), slice(14, 26))  # it looks otherwise at its lower end
    features = appearance.features.clone()
    features[:, *bar] = 0.05 * torch.randn(12, 20, 12, generator=generator)
    features[2, *bar] += turned.cos()[10:30, None]
    features[3, *bar] += turned.sin()[10:30, None]
    image = torch.full((1, 3, SIDE, SIDE), -0.6)
    image[0][:, *bar] = 0.4
    seen = Appearance.of(GRID, features, image)
    alpha = layer_at(seen, box(10, 6, 30, 28), handle(20, 16))[0, 0]
    assert alpha[12, 20] > 0.95
    assert alpha[28, 14:26].mean() > 0.2  # the first row below the mask
    assert alpha[31:].max() == 0
    cut = layer_at(seen, box(10, 6, 30, 20), handle(20, 16))[0, 0]
    assert cut.max() == 0  # what it is all like is in the ring, so known to stay


def test_a_handle_on_flat_ground_finds_nothing():
    appearance, _ = discs((36, 36, 4))
    alpha = layer_at(appearance, box(6, 6, 26, 26), handle(16, 16))
    assert float(alpha.mean()) < 1e-3


def test_where_everything_may_change_everything_is_the_layer():
    appearance, _ = discs((20, 20, 5))
    assert layer_at(appearance, torch.ones(1, 1, SIDE, SIDE), handle(3, 3)).all()


def test_a_mask_that_leaves_one_unit_still_has_surroundings():
    appearance, _ = discs((20, 22, 7))
    inside = torch.ones(1, 1, SIDE, SIDE)
    inside[..., 0, 0] = 0
    alpha = layer_at(appearance, inside, handle(20, 22))[0, 0]
    assert alpha.isfinite().all()
    assert alpha[22, 20] > 0.9


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 2)])
def test_grids_of_a_few_units(size):
    generator = torch.Generator().manual_seed(2)
    appearance = Appearance.of(
        Grid(*size, 1.0),
        torch.rand(6, *size, generator=generator),
        torch.rand(1, 3, *size, generator=generator),
    )
    inside = torch.zeros(1, 1, *size)
    inside[..., 0, 0] = 1
    alpha = layer_at(appearance, inside, handle(0.5, 0.5))
    assert alpha.shape == (1, 1, *size)
    assert alpha.isfinite().all()


def test_a_picture_of_one_colour_and_one_feature_has_no_layer():
    flat = Appearance.of(GRID, torch.ones(8, SIDE, SIDE), torch.full((1, 3, SIDE, SIDE), 0.2))
    alpha = layer_at(flat, box(10, 10, 30, 30), handle(20, 20))
    assert alpha.isfinite().all()
    assert alpha.max() < 0.05


def test_neighbours_that_look_alike_share_and_an_edge_parts_them():
    likely = torch.zeros(12, 24)
    likely[4, 4], likely[4, 20] = 1, 0
    image = torch.zeros(1, 3, 12, 24)
    image[..., 12:] = 1
    appearance = Appearance.of(Grid(12, 24, 1.0), torch.ones(4, 12, 24), image)
    alpha = random_walker(appearance, likely)
    assert alpha[:, :12].std() < alpha[:, :12].mean()
    assert alpha[:, 12:].max() < 0.1 * alpha[:, :12].min()
    # the energy's minimum keeps what there is in all, but for what the edge lets through
    torch.testing.assert_close(alpha.sum(), likely.sum(), rtol=0.01, atol=0)


def test_only_what_hangs_together_with_a_seed_is_kept_with_a_unit_around():
    alpha = torch.zeros(9, 9)
    alpha[1:3, 1:3], alpha[3, 3], alpha[4, 4], alpha[7:, 7:], alpha[0, 1] = 0.9, 0.8, 0.7, 0.9, 0.2
    seeds = torch.zeros(9, 9, dtype=torch.bool)
    seeds[1, 1] = True
    kept = hanging_together(alpha, seeds)[0, 0]
    assert kept[4, 4] == alpha[4, 4]  # by corners
    assert kept[0, 1] == alpha[0, 1]  # around it
    assert kept[6:, 6:].max() == 0
    assert hanging_together(alpha, ~seeds & (alpha == 0)).max() == 0
