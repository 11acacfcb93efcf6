"""The layer that moves: what hangs together with a handle and is unlike what lies around."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from scipy import ndimage, sparse
from scipy.sparse.linalg import cg
from torch import Tensor

from featurekit.core.fields import pca
from featurekit_drag.plan.grid import UNITS_PER_CELL, Grid, grown

AROUND = 2 * UNITS_PER_CELL  # units around the mask whose content is known to stay
AXES = 24  # principal axes of the features that are compared
COLOUR_SCALE = 0.7  # a colour difference of this weighs as much as features at right angles
NEIGHBOURS = 4  # nearest samples whose mean distance says how unlike a unit is
UNLIKE, SOFTNESS = 0.45, 0.12  # squared distance at which a unit is as likely layer as ground
COLOUR_EDGE, FEATURE_EDGE, LEAST_EDGE = 0.12, 0.6, 1e-3  # widths of the random walker's weights
DATA_WEIGHT = 0.08  # of a unit's own likelihood beside its neighbours'
SOLID = 0.4  # alpha from which units hang together
REACH = 4.5  # units around a handle that belong to its layer
SAMPLES = 2048  # of the surroundings at most
PART = 1024  # units compared with them at once: what that takes fits a cache


@dataclass(frozen=True)
class Appearance:
    """What the layer is told apart by, at every unit."""

    grid: Grid
    features: Tensor  # (c h w), centred and normalised over channels
    colours: Tensor  # (3 h w): lightness, red against blue, green against both

    @classmethod
    def of(cls, grid: Grid, features: Tensor, image: Tensor) -> "Appearance":
        """Prepare features (c h w) and the picture (1 3 h w), both on the grid."""
        centred = features - features.mean(dim=(1, 2), keepdim=True)
        red, green, blue = image[0].float().cpu()
        opposed = [(red + green + blue) / 3, 0.8 * (red - blue), 0.5 * (red - 2 * green + blue)]
        return cls(grid, F.normalize(centred, dim=0), torch.stack(opposed))

    @cached_property
    def joint(self) -> Tensor:
        """Features on their principal axes, with colours, one row per unit, (h*w d)."""
        axes = min(AXES, len(self.features))
        shape = F.normalize(pca(self.features[None], axes)[0], dim=0)
        return torch.cat([shape, self.colours / COLOUR_SCALE]).flatten(1).T


def layer_at(appearance: Appearance, inside: Tensor, handles: Tensor) -> Tensor:
    """Find the layer under the handles.

    A unit is likely part of it when it is unlike all that lies in a ring around the mask, which is
    known to stay; neighbours that look alike share their likelihood; only what hangs together with
    a handle is kept.

    Args:
        appearance: of the picture.
        inside: (1 1 h w), 1 where the picture may change.
        handles: (n 2) in units.

    Returns:
        Alpha (1 1 h w) in [0, 1], also beyond the mask where the layer goes on.
    """
    grid = appearance.grid
    around = (grown(inside, AROUND) > 0) & (inside <= 0)
    if not bool(around.any()):  # the mask is the whole picture
        return torch.ones_like(inside)
    unlike = unlike_known(appearance.joint, around.flatten()).view(grid.height, grid.width)
    likely = torch.sigmoid((unlike - UNLIKE) / SOFTNESS)
    alpha = random_walker(appearance, likely)
    return hanging_together(alpha, grid.near(handles, REACH))


def unlike_known(joint: Tensor, known: Tensor) -> Tensor:
    """Mean squared distance of every unit to the nearest of the known ones, (h*w,)."""
    samples = joint[known]
    samples = samples[:: max(1, -(-len(samples) // SAMPLES))]
    count = min(NEIGHBOURS, len(samples))
    lengths, own = (samples**2).sum(dim=1), (joint**2).sum(dim=1)
    # |a - b|^2 = |a|^2 + (|b|^2 - 2ab), whose order among samples is that of the part in brackets
    parts = [
        torch.addmm(lengths, part, samples.T, alpha=-2).topk(count, dim=1, largest=False).values
        for part in torch.split(joint, PART)
    ]
    return (own + torch.cat(parts).mean(dim=1)).clamp_min(0)


def random_walker(appearance: Appearance, likely: Tensor, weight: Tensor | None = None) -> Tensor:
    """Let neighbours that look alike share what is likely of each.

    Args:
        appearance: what neighbours are compared by.
        likely: (h w) in [0, 1], of each unit alone.
        weight: (h w), of what is likely of each unit; None: ``DATA_WEIGHT`` for all.

    Returns:
        The (h w) that minimises the weighted squared differences of neighbours plus
        the weighted squared differences to ``likely``.

    Source: Grady 2006, "Random Walks for Image Segmentation", with a prior in place of seeds.
    """
    height, width = likely.shape
    number = np.arange(height * width).reshape(height, width)
    down = _weights(appearance, (slice(0, -1), slice(None)), (slice(1, None), slice(None)))
    right = _weights(appearance, (slice(None), slice(0, -1)), (slice(None), slice(1, None)))
    first = np.concatenate([number[:-1].ravel(), number[:, :-1].ravel()])
    second = np.concatenate([number[1:].ravel(), number[:, 1:].ravel()])
    alike = np.concatenate([down, right])
    pairs = sparse.coo_array((alike, (first, second)), shape=(number.size, number.size))
    both = (pairs + pairs.T).tocsr()
    weight = torch.full_like(likely, DATA_WEIGHT) if weight is None else weight
    data = weight.double().numpy().ravel()
    degree = np.asarray(both.sum(axis=1)).ravel() + data
    system = sparse.diags_array(degree) - both
    own = likely.double().numpy().ravel()
    solved, _ = cg(
        system, data * own, x0=own, rtol=1e-5, M=sparse.diags_array(1 / degree), maxiter=500
    )
    return torch.from_numpy(solved).float().clamp(0, 1).view(height, width)


def _weights(
    appearance: Appearance, first: tuple[slice, slice], second: tuple[slice, slice]
) -> np.ndarray:
    """How alike neighbours are, in (0, 1]."""
    apart = [
        ((field[:, *first] - field[:, *second]) ** 2).sum(dim=0)
        for field in (appearance.colours, appearance.features)
    ]
    colour, feature = apart
    alike = torch.exp(-colour / (2 * COLOUR_EDGE**2) - feature / (2 * FEATURE_EDGE**2))
    return (alike + LEAST_EDGE).double().numpy().ravel()


def hanging_together(alpha: Tensor, seeds: Tensor) -> Tensor:
    """Keep what is connected with one of the seeds, and a unit around it.

    Args:
        alpha: (h w) in [0, 1].
        seeds: (h w) bool.

    Returns:
        (1 1 h w).
    """
    solid = (alpha > SOLID).numpy()
    parts, _ = ndimage.label(solid, structure=np.ones((3, 3)))
    wanted = np.unique(parts[solid & seeds.numpy()])
    kept = torch.from_numpy(np.isin(parts, wanted[wanted > 0]))[None, None]
    return alpha[None, None] * grown(kept, 1)
