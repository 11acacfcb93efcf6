"""The layer of a picture that the model does not know: colours tell it, and its rim is sharp."""

import torch

from featurekit_drag.plan.grid import Grid
from featurekit_drag.plan.layer import Appearance
from featurekit_drag.plan.layer_by_colours import layer_by_colours
from featurekit_drag.plan.laying import refined

SIDE = 64
HANDLE = torch.tensor([[24.0, 32.0]])


def places(side=SIDE):
    return torch.meshgrid(torch.arange(side) + 0.5, torch.arange(side) + 0.5, indexing="ij")


def discs(side=SIDE):
    """Bright discs on dark rough ground; the first is dragged, the others only look like it."""
    y, x = (axis * SIDE / side for axis in places(side))
    generator = torch.Generator().manual_seed(1)
    grey = -0.6 + 0.05 * torch.randn(side, side, generator=generator)
    for cx in (24, 44, 5):
        near = (x - cx) ** 2 + (y - 32) ** 2 < 64
        grey = torch.where(near, 0.4 + 0.1 * torch.sin(x), grey)
    return torch.stack([grey, grey, grey])[None]


def mask():
    inside = torch.zeros(1, 1, SIDE, SIDE)
    inside[..., 16:48, 12:36] = 1
    return inside


def found(image):
    noise = torch.randn(8, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    appearance = Appearance.of(Grid(SIDE, SIDE, 1.0), noise, image)  # features that say nothing
    return layer_by_colours(appearance, mask(), HANDLE)[0, 0]


def test_the_disc_under_the_handle_is_the_layer_and_its_like_are_not():
    y, x = places()
    alpha, disc = found(discs()), (x - 24) ** 2 + (y - 32) ** 2 < 64
    assert alpha[disc].mean() > 0.95
    assert alpha[~disc].mean() < 0.02
    assert alpha[disc].min() > 0.5  # no holes


def test_a_flat_surface_has_no_layer():
    assert not found(torch.full((1, 3, SIDE, SIDE), 0.2)).any()


def test_a_mask_that_is_the_picture_moves_all_of_it():
    image = discs()
    everything = torch.ones(1, 1, SIDE, SIDE)
    appearance = Appearance.of(Grid(SIDE, SIDE, 1.0), torch.ones(2, SIDE, SIDE), image)
    alpha = layer_by_colours(appearance, everything, HANDLE)
    assert torch.equal(alpha, everything)


def test_at_full_size_the_rim_follows_the_picture_not_the_units():
    side = 512
    y, x = places(side)
    true = ((x / 8 - 24) ** 2 + (y / 8 - 32) ** 2 < 64).float()
    alpha = found(discs())[None, None]
    sharp = refined(alpha, discs(side), Grid(SIDE, SIDE, 8.0))[0, 0]
    plain = torch.nn.functional.interpolate(alpha, size=(side, side), mode="bilinear")[0, 0]
    rim = (((x / 8 - 24) ** 2 + (y / 8 - 32) ** 2).sqrt() - 8).abs() < 1
    off = [float((one - true).abs()[rim].mean()) for one in (sharp, plain)]
    assert off[0] < 0.6 * off[1]
    assert off[0] < 0.1
