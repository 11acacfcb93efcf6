"""Softmax of queries and keys, computed in chunks, and the reductions that keep little of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from featurekit.core.errors import CaptureError, ConfigError

Reduce: TypeAlias = Callable[[Tensor], Tensor]
"""``(b heads q k) -> (b q ...)``: probabilities of some queries, each row summing to 1, to what is
kept of them; every query is reduced by itself, since it is given in chunks."""

HELD = 2**24  # probabilities computed at once: 64 MiB in float32


def head_mean(probabilities: Tensor) -> Tensor:
    """Take the mean over heads.

    Args:
        probabilities: (b heads q k).

    Returns:
        (b q k), each row summing to 1.
    """
    return probabilities.mean(dim=1)


def to_tokens(tokens: Sequence[int]) -> Reduce:
    """Make the reduction that keeps the attention paid to some tokens, as a mean over heads.

    Args:
        tokens: which words (of a cross-attention) or cells (of a self-attention), counted from 0.

    Returns:
        A reduction to (b q m), m the number of tokens.

    Raises:
        ConfigError: no token is named, or one is negative.
    """
    if not tokens or min(tokens) < 0:
        raise ConfigError(f"tokens must name at least one from 0 on, got {list(tokens)}")

    def reduce(probabilities: Tensor) -> Tensor:
        if max(tokens) >= probabilities.shape[-1]:
            raise ConfigError(
                f"tokens must lie below the {probabilities.shape[-1]} that are attended to, "
                f"got {list(tokens)}"
            )
        return probabilities[..., list(tokens)].mean(dim=1)

    return reduce


@dataclass(frozen=True)
class Among:
    """A reduction of what the picture's queries of a joint attention pay to one kind of keys."""

    keys: Literal["words", "picture"]
    reduce: Reduce


def among_words(reduce: Reduce = head_mean) -> Among:
    """Make the reduction that is given picture x text of a joint attention.

    Args:
        reduce: what is kept; its rows are the share that goes to the text, and sum to less than 1.
            In ``to_tokens`` 0 is the first state of the text.

    Returns:
        What ``attention_maps`` takes in the place of a reduction.
    """
    return Among("words", reduce)


def among_cells(reduce: Reduce = head_mean) -> Among:
    """Make the reduction that is given picture x picture of a joint attention.

    Args:
        reduce: what is kept; its rows are the share that goes to the picture, and sum to less than
            1. In ``to_tokens`` 0 is the first cell of the picture.

    Returns:
        What ``attention_maps`` takes in the place of a reduction.
    """
    return Among("picture", reduce)


def reduced_map(
    q: Tensor,
    k: Tensor,
    *,
    scale: float,
    mask: Tensor | None = None,
    reduce: Reduce = head_mean,
    held: int = HELD,
) -> Tensor:
    """Compute softmax(q k^T) chunk by chunk and reduce each chunk.

    Args:
        q: queries, (b heads q d).
        k: keys, (b heads k d).
        scale: factor of the products, usually d**-0.5.
        mask: of (b heads q k) or what broadcasts to it: true where a key may be attended to, or
            numbers that are added to the products.
        reduce: what is kept of the probabilities.
        held: probabilities computed at once; never less than one query's.

    Returns:
        (b q ...) as reduced, float32 or the dtype of ``q`` if that is wider.
    """
    transposed = k.mT
    rows = max(1, held // (k.shape[0] * k.shape[1] * k.shape[2]))
    out: Tensor | None = None
    for start in range(0, q.shape[2], rows):
        some = slice(start, start + rows)
        part: Tensor = checkpoint(
            lambda queries, keys, allowed: reduce(_probabilities(queries, keys, scale, allowed)),
            q[:, :, some],
            transposed,
            mask if mask is None or mask.shape[-2] == 1 else mask[..., some, :],
            use_reentrant=False,
            preserve_rng_state=False,
        )
        if out is None:
            out = part.new_empty(q.shape[0], q.shape[2], *part.shape[2:])
        out[:, some] = part
    if out is None:
        raise CaptureError(f"an attention must have queries, got {tuple(q.shape)}")
    return out


def _probabilities(q: Tensor, transposed: Tensor, scale: float, mask: Tensor | None) -> Tensor:
    dtype = torch.promote_types(q.dtype, torch.float32)
    products = (q.to(dtype) * scale) @ transposed.to(dtype)
    if mask is None:
        return torch.softmax(products, dim=-1)
    if mask.dtype != torch.bool:
        return torch.softmax(products + mask.to(dtype), dim=-1)
    # a query that may attend to nothing attends to nothing, as torch's own attention has it
    found = torch.softmax(products.masked_fill(~mask, -torch.inf), dim=-1)
    return found.masked_fill(~mask.any(dim=-1, keepdim=True), 0.0)
