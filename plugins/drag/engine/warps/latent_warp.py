"""Carry the cells of a latent to where a field says, before any update."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from featurekit_drag.engine.parts import Drags


@dataclass(frozen=True)
class Carried:
    """Where the content of each cell comes from."""

    sources: Tensor  # (h w) long: number of the cell, row by row; -1 where nothing comes from

    @property
    def holes(self) -> Tensor:
        """Cells that nothing came to, (h w) bool."""
        return self.sources < 0

    @property
    def displacement(self) -> Tensor:
        """How far content came, (h w 2) as (x, y) in shares of width and height; NaN in holes."""
        height, width = self.sources.shape
        here = torch.arange(height * width, device=self.sources.device).reshape(height, width)
        x = (here % width - self.sources % width).double() / width
        y = (here // width - self.sources // width).double() / height
        moved = torch.stack([x, y], dim=-1)
        return moved.masked_fill(self.holes[..., None], float("nan"))

    def of(self, latent: Tensor) -> Tensor:
        """Carry a latent (1 c h w); holes keep what was there."""
        here = torch.arange(self.sources.numel(), device=latent.device)
        sources = torch.where(self.sources.flatten() < 0, here, self.sources.flatten())
        return latent.flatten(2)[..., sources].reshape(latent.shape)


def carried(editable: Tensor, drags: Drags, moves: Callable[[Tensor, Drags], Tensor]) -> Carried:
    """Send every cell that may change to where it goes.

    A cell goes to the nearest whole cell; of those that go to one cell the first in row-major
    order wins; one that would leave what may change is dropped.

    Args:
        editable: (1 1 h w), 1 where the latent may change.
        drags: in cells.
        moves: cells (k 2) as (x, y), and the drags, to their moves (k 2).

    Returns:
        Sources; what may not change comes from itself.

    Source: Zhao et al. 2024, arXiv:2405.15769 (FastDrag), section 3.2.
    """
    height, width = editable.shape[-2:]
    may = (editable[0, 0] > 0).cpu()
    rows, columns = may.nonzero(as_tuple=True)
    cells = torch.stack([columns, rows], dim=1).double()
    own = Drags(drags.handles.double().cpu(), drags.targets.double().cpu())
    goals = (cells + moves(cells, own)).round().long()
    sources = torch.arange(height * width).reshape(height, width)
    sources[may] = -1
    inside = ((goals >= 0) & (goals < goals.new_tensor([width, height]))).all(dim=1)
    for (x, y), row, column in zip(
        goals[inside].tolist(), rows[inside].tolist(), columns[inside].tolist(), strict=True
    ):
        if may[y, x] and sources[y, x] < 0:
            sources[y, x] = row * width + column
    return Carried(sources.to(editable.device))
