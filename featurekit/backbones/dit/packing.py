"""Latents as tokens and back: squares of cells, row after row, their channels in some order."""

import torch
from einops import rearrange
from torch import Tensor

from featurekit.core.shapes import expect


def packed(z: Tensor, patch: int) -> Tensor:
    """Turn a latent into tokens, channel slowest: the order of FLUX and Qwen-Image.

    Args:
        z: latent, (b c h w), whole patches.
        patch: cells along the side of a token.

    Returns:
        Tokens, (b n c*patch*patch), row after row.
    """
    return rearrange(z, "b c (h p) (w q) -> b (h w) (c p q)", p=patch, q=patch)


def unpacked(tokens: Tensor, patch: int, grid: tuple[int, int]) -> Tensor:
    """Turn tokens into a latent again; undoes ``packed``.

    Args:
        tokens: (b n c*patch*patch).
        patch: cells along the side of a token.
        grid: rows and columns of tokens.

    Returns:
        Latent, (b c h w).
    """
    expect(tokens, "b n c", of="tokens", n=grid[0] * grid[1])
    return rearrange(tokens, "b (h w) (c p q) -> b c (h p) (w q)", h=grid[0], p=patch, q=patch)


def gathered(z: Tensor, patch: int) -> Tensor:
    """Turn squares of cells into the channels of one, channel slowest: the order of FLUX.2.

    Args:
        z: latent, (b c h*patch w*patch).
        patch: cells along the side of a square.

    Returns:
        Latent, (b c*patch*patch h w).
    """
    return rearrange(z, "b c (h p) (w q) -> b (c p q) h w", p=patch, q=patch)


def scattered(z: Tensor, patch: int) -> Tensor:
    """Turn channels of a cell into a square of cells again; undoes ``gathered``.

    Args:
        z: latent, (b c*patch*patch h w).
        patch: cells along the side of a square.

    Returns:
        Latent, (b c h*patch w*patch).
    """
    return rearrange(z, "b (c p q) h w -> b c (h p) (w q)", p=patch, q=patch)


def places_of_tokens(grid: tuple[int, int], like: Tensor) -> Tensor:
    """Say where each token is, as FLUX.1 and Chroma are told.

    Args:
        grid: rows and columns of tokens.
        like: of whose dtype and device the places are.

    Returns:
        Row and column of each token behind a 0, (n 3).
    """
    rows, columns = (torch.arange(side, device=like.device, dtype=like.dtype) for side in grid)
    row, column = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([torch.zeros_like(row), row, column], dim=-1).reshape(-1, 3)
