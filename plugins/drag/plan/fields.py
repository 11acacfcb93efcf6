"""Where every pixel of an edit comes from: rigid, similar, anchored and elastic fields.

A field is a backward map (h w 2): for each unit the position in units whose content goes there.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage, sparse
from scipy.sparse.linalg import splu
from torch import Tensor

from featurekit_drag.plan.grid import Grid, read_at

FIRM = 100.0  # weight of a handle or pin beside bending
TENSION = 0.01  # of stretching beside bending: far from handles and pins the field levels out
LEAST_SPREAD = 1e-3  # squared units of the targets around their mean, below which they are one
GRIP = 2.0  # units around a handle or pin that go with it
COARSE = 64  # units of the longer side, at which an elastic field is solved; it is smooth
INVERSIONS = 30  # fixed-point steps from a forward map to the backward one at most
INVERTED = 1e-3  # units of the coarse grid: a step that is shorter everywhere is the last


@dataclass(frozen=True)
class Drags:
    """Handles and targets in units, (n 2) each; pins, which stay, (m 2)."""

    handles: Tensor
    targets: Tensor
    pins: Tensor

    @property
    def back(self) -> Tensor:
        """From target to handle, (n 2)."""
        return self.handles - self.targets


def rigid(grid: Grid, drags: Drags) -> Tensor:
    """Move everything by the mean of the drags."""
    return grid.centres + drags.back.mean(dim=0)


def similarity(grid: Grid, drags: Drags) -> Tensor:
    """Turn, scale and move everything, with least squares where there are more than two drags.

    Targets that are one point ask for no turn and no scale: all moves by the mean of the drags.
    """
    handles, targets, centres = (
        torch.view_as_complex(one.double().contiguous())
        for one in (drags.handles, drags.targets, grid.centres)
    )
    middle = targets.mean()
    spread = ((targets - middle).abs() ** 2).sum()
    turn = ((targets - middle).conj() * (handles - handles.mean())).sum() / spread
    if spread < LEAST_SPREAD:
        turn = torch.ones_like(turn)
    return torch.view_as_real(handles.mean() + turn * (centres - middle)).float()


def anchored(grid: Grid, drags: Drags, *, axis: int, at: float) -> Tensor:
    """Hold a line, move from the targets on, and stretch evenly between.

    Args:
        grid: units.
        drags: what is asked; the mean of several is taken.
        axis: 0 holds the vertical line x = ``at``, 1 the horizontal one.
        at: in units, not where a target is.
    """
    far = (drags.targets[:, axis] - at).mean()
    share = ((grid.centres[..., axis] - at) / far).clamp(0, 1)
    return grid.centres + share[..., None] * drags.back.mean(dim=0)


def nearest_handle(grid: Grid, drags: Drags) -> Tensor:
    """Give every unit the whole drag of the nearest target: what is between is not averaged away.

    Source: LazyDrag, arXiv:2509.12203, "winner takes all".
    """
    apart = torch.cdist(grid.centres.reshape(-1, 2), drags.targets.float())
    back = drags.back[apart.argmin(dim=1)].view(grid.height, grid.width, 2)
    return grid.centres + back


class Bending:
    """The bending of a layer with its handles and pins, factorised once for all targets.

    The displacement over the layer has the least bending energy (the squared second differences of
    a thin plate) with a little tension. Away from the layer it goes on as at the nearest unit.

    Source: Bookstein 1989, "Principal Warps"; tension as in Franke 1985.
    """

    def __init__(
        self, grid: Grid, grips: tuple[Tensor, Tensor], layer: Tensor, held: Tensor
    ) -> None:
        """Set up and factorise the equations.

        Args:
            grid: units.
            grips: handles (n 2) and pins (m 2) in units.
            layer: alpha (1 1 h w).
            held: (1 1 h w), 1 where the layer may not move.
        """
        self.step = step = max(1.0, max(grid.height, grid.width) / COARSE)
        self.grid, (self.handles, pins) = grid, grips
        self.coarse = coarse = Grid(
            max(1, round(grid.height / step)), max(1, round(grid.width / step)), grid.unit_px * step
        )
        self.pins = len(pins)
        xy = torch.cat([self.handles.float(), pins.float()]) / step
        domain = coarse.shrunk(layer)[0, 0] > 0.3
        domain |= coarse.near(xy, GRIP)
        rows, columns = np.nonzero(domain.numpy())
        number = np.full(domain.shape, -1)
        number[rows, columns] = np.arange(len(rows))
        apart = torch.cdist(coarse.centres[rows, columns], xy).numpy()
        fixed = (coarse.shrunk(held)[0, 0] > 0.3).numpy()[rows, columns]
        self.owner, self.gripped = apart.argmin(axis=1), apart.min(axis=1) < GRIP
        self.weight = np.where(self.gripped | fixed, FIRM, 0.0)
        self.cells = (rows, columns)
        system = _energy(number, len(rows)) + sparse.diags_array(self.weight)
        self.solve = splu(system.tocsc()).solve
        self.nearest = ndimage.distance_transform_edt(
            ~domain.numpy(), return_distances=False, return_indices=True
        )

    def field(self, targets: Tensor) -> Tensor:
        """Bend the layer so that the handles reach targets (n 2) in units; a backward map."""
        grid, coarse, step = self.grid, self.coarse, self.step
        back = _inverted(coarse, self._forward((targets - self.handles).float() / step))
        if step == 1.0:
            return back
        shift = (back - coarse.centres).permute(2, 0, 1)[None]
        finer = read_at(shift, grid.centres / step)[0].permute(1, 2, 0)
        return grid.centres + finer * step

    def _forward(self, moves: Tensor) -> Tensor:
        """Solve for the forward displacement on the domain and continue it, (1 2 h w)."""
        still = np.zeros((self.pins, 2), dtype=np.float32)
        wanted = np.concatenate([moves.numpy(), still])[self.owner]
        wanted = np.where(self.gripped[:, None], wanted, 0.0)
        full = np.zeros((self.coarse.height, self.coarse.width, 2))
        full[self.cells] = self.solve(self.weight[:, None] * wanted)
        return torch.from_numpy(full[tuple(self.nearest)]).float().permute(2, 0, 1)[None]


def _energy(number: np.ndarray, count: int) -> sparse.csr_array:
    """Bending and tension of a displacement on numbered units (-1: none) with free borders."""
    stencils = (
        (1.0, ((0, -1, 1.0), (0, 0, -2.0), (0, 1, 1.0))),
        (1.0, ((-1, 0, 1.0), (0, 0, -2.0), (1, 0, 1.0))),
        (2.0, ((0, 0, 1.0), (0, 1, -1.0), (1, 0, -1.0), (1, 1, 1.0))),
        (TENSION, ((0, 0, -1.0), (0, 1, 1.0))),
        (TENSION, ((0, 0, -1.0), (1, 0, 1.0))),
    )
    total = 1e-6 * sparse.eye_array(count, format="csr")
    around = np.pad(number, 1, constant_values=-1)
    height, width = number.shape
    for weight, stencil in stencils:
        found = np.stack(
            [
                around[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width].ravel()
                for dy, dx, _ in stencil
            ]
        )
        found = found[:, (found >= 0).all(axis=0)]
        each = np.arange(found.shape[1])
        values = np.concatenate([np.full(len(each), factor) for *_, factor in stencil])
        where = (np.tile(each, len(stencil)), found.ravel())
        differences = sparse.csr_array((values, where), shape=(len(each), count))
        total = total + weight * (differences.T @ differences)
    return total


def _inverted(grid: Grid, forward: Tensor) -> Tensor:
    """Turn a forward displacement (1 2 h w) into a backward map, by damped fixed-point steps."""
    back = grid.centres - forward[0].permute(1, 2, 0)
    for _ in range(INVERSIONS):
        moved = read_at(forward, back)[0].permute(1, 2, 0)
        step = 0.5 * (grid.centres - moved - back)
        back = back + step
        if bool(step.abs().max() < INVERTED):
            break
    return back


Field = Callable[[Grid, Drags], Tensor]
