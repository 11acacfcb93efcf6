"""Regions around handles, for pictures in which no layer can be told under them."""

import torch

from featurekit_drag.plan.fields import Drags
from featurekit_drag.plan.grid import UNITS_PER_CELL, Grid
from featurekit_drag.plan.laying import Moved

RADIUS = 4 * UNITS_PER_CELL  # units


def around_handles(grid: Grid, drags: Drags) -> tuple[Moved, ...]:
    """Let each drag move the region around its handle.

    A single point says nothing of what is to move, least of all to a transformer, whose features
    of a point tell less than those of a UNet. A region does.

    Args:
        grid: of the plan.
        drags: what is nearer to the handle of another drag goes with that one, what is nearer to a
            pin stays.

    Returns:
        A layer for each drag, within ``RADIUS`` of its handle, with a rim of one unit.

    Source: after the regions of DragFlow (ICLR 2026), which are brushed by a person; its points
    alone miss their targets on FLUX by 51.2 px, its regions by 31.3 px.
    """
    centres = grid.centres.reshape(-1, 2)
    apart = torch.cdist(centres, torch.cat([drags.handles, drags.pins]))
    nearest = apart.argmin(dim=1).view(grid.height, grid.width)
    layers = []
    for number, back in enumerate(drags.back):
        near = (RADIUS + 0.5 - apart[:, number]).clamp(0, 1).view(grid.height, grid.width)
        alpha = torch.where(nearest == number, near, 0.0)[None, None]
        layers.append(Moved(alpha, grid.centres + back))
    return tuple(layers)
