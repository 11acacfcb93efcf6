"""Copied pieces brought to one light: their gradients are kept, their steps are not."""

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import splu
from torch import Tensor

from featurekit_drag.redraw.patch_matching import Matches

AGREED = 5e-3  # weight of what all patches agree on beside one gradient


def relit(matches: Matches, drawn: Tensor) -> Tensor:
    """Find what is to be added to each copied cell so that pieces and rim meet without a step.

    The colours of the hole have, in least squares, the gradients of what is copied (across the
    border of two pieces the mean of both), meet the known cells around, and hold a little to what
    all patches agree on.

    Args:
        matches: of the finest level, with an offset for each cell in and beside the hole.
        drawn: (3 h w), what all patches agree on.

    Returns:
        (3 h w), 0 outside the hole.

    Source: Perez, Gangnet and Blake 2003, "Poisson Image Editing".
    """
    level = matches.level
    hole, image = level.hole.numpy(), level.image.double().numpy()
    known = (level.compared.numpy() > 0) & ~hole
    number = np.full(hole.shape, -1)
    number[hole] = np.arange(hole.sum())
    offset, has = matches.offset.numpy(), np.zeros_like(hole)
    has[matches.y.numpy(), matches.x.numpy()] = True
    count = int(hole.sum())
    system = sparse.csr_array((count, count))
    wanted = AGREED * drawn.double().numpy()[:, hole]
    diagonal = np.full(count, AGREED)
    for dy, dx in ((0, 1), (1, 0)):
        near, far = _pairs(hole, known, dy, dx)
        steps = _step(image, near, far, offset, has)
        for one, other, sign in ((near, far, -1.0), (far, near, 1.0)):
            own = hole[one]
            mine, its = number[one][own], number[other][own]
            np.add.at(diagonal, mine, 1.0)
            right = sign * steps[:, own]
            among = its >= 0
            outside = tuple(axis[own][~among] for axis in other)
            right[:, ~among] += image[:, *outside]
            for channel in range(3):
                np.add.at(wanted[channel], mine, right[channel])
            both = (np.ones(int(among.sum())), (mine[among], its[among]))
            system = system - sparse.csr_array(both, shape=(count, count))
    solved = splu((system + sparse.diags_array(diagonal)).tocsc()).solve(wanted.T).T
    y, x = hole.nonzero()
    moved = offset[y, x]
    lacking = np.zeros_like(image)
    lacking[:, y, x] = solved - image[:, y + moved[:, 0], x + moved[:, 1]]
    return torch.from_numpy(lacking).to(drawn)


def _pairs(
    hole: np.ndarray, known: np.ndarray, dy: int, dx: int
) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """Neighbours of which one is in the hole and the other there or known: rows and columns."""
    height, width = hole.shape
    first, second = (
        (slice(0, height - dy), slice(0, width - dx)),
        (slice(dy, None), slice(dx, None)),
    )
    either = hole[first] | hole[second]
    told = (hole | known)[first] & (hole | known)[second]
    y, x = (either & told).nonzero()
    return (y, x), (y + dy, x + dx)


def _step(
    image: np.ndarray,
    near: tuple[np.ndarray, ...],
    far: tuple[np.ndarray, ...],
    offset: np.ndarray,
    has: np.ndarray,
) -> np.ndarray:
    """From each first cell to its neighbour, by the mean of what both offsets show, (3 n)."""
    height, width = has.shape
    total = np.zeros((3, len(near[0])))
    told = np.zeros(len(near[0]))
    for owner in (near, far):
        dy, dx = offset[owner].T
        a, b = (near[0] + dy, near[1] + dx), (far[0] + dy, far[1] + dx)
        there = has[owner]
        for y, x in (a, b):
            there = there & (y >= 0) & (y < height) & (x >= 0) & (x < width)
        safe = [(y.clip(0, height - 1), x.clip(0, width - 1)) for y, x in (a, b)]
        total += there * (image[:, *safe[1]] - image[:, *safe[0]])
        told += there
    mean: np.ndarray = total / told.clip(1)
    return mean
