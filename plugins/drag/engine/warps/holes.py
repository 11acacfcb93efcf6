"""What stands in cells that nothing came to."""

import torch
from torch import Tensor


def noise(latent: Tensor, holes: Tensor, generator: torch.Generator) -> Tensor:
    """Fill holes with unit noise, so that the model makes something up.

    Args:
        latent: (1 c h w).
        holes: (h w) bool.
        generator: on the CPU.

    Source: LazyDrag (ICLR 2026, arXiv:2509.12203), which does so in FastDrag's warp too.
    """
    drawn = torch.randn(latent.shape, generator=generator, dtype=torch.float64).to(latent)
    return torch.where(holes, drawn, latent)


def neighbours(latent: Tensor, holes: Tensor, generator: torch.Generator) -> Tensor:
    """Fill holes with the nearest cells to the left, right, above and below, by 1 / distance.

    Args:
        latent: (1 c h w).
        holes: (h w) bool; a cell that sees no other on its row and column stays as it is.
        generator: not needed.

    Source: Zhao et al. 2024, arXiv:2405.15769 (FastDrag), section 3.3, bilateral nearest
    neighbour interpolation.
    """
    del generator
    filled = latent.clone()
    known = (~holes).cpu()
    height, width = known.shape
    for row, column in holes.nonzero().tolist():
        total, weights = torch.zeros_like(latent[0, :, 0, 0]), 0.0
        for down, right in ((0, -1), (0, 1), (-1, 0), (1, 0)):
            y, x, distance = row + down, column + right, 1
            while 0 <= y < height and 0 <= x < width and not known[y, x]:
                y, x, distance = y + down, x + right, distance + 1
            if 0 <= y < height and 0 <= x < width:
                total = total + latent[0, :, y, x] / distance
                weights += 1 / distance
        if weights:
            filled[0, :, row, column] = total / weights
    return filled


FILLS = {"noise": noise, "neighbours": neighbours}
