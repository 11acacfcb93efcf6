"""Compute attention maps beside a forward, in chunks, and keep only what a reduction leaves."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from featurekit.core.errors import CaptureError, ConfigError, UnknownNameError
from featurekit.taps.addresses import split_address
from featurekit.taps.attention_processors import refuse_unmapped
from featurekit.taps.capture import TAPS, Captured, Collection
from featurekit.taps.hooks import first_input, opened
from featurekit.taps.kept import Kept, kept
from featurekit.taps.parts import along
from featurekit.taps.recomputation import saved_apart

Reduce: TypeAlias = Callable[[Tensor], Tensor]
"""``(b heads q k) -> (b q ...)``: probabilities of some queries, each row summing to 1, to what is
kept of them; every query is reduced by itself, since it is given in chunks."""

HELD = 2**24  # probabilities computed at once: 64 MiB in float32
_PROJECTIONS = ("to_q", "to_k")
_ADVICE = "its map cannot be computed"
_INSIDE = ".transformer_blocks."  # what the attentions of a transformer have in their path


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


class AttentionMaps(Captured):
    """Attention maps by tap name, and where in the picture their queries are."""

    def __init__(self, names: Mapping[str, str]) -> None:
        """Start empty.

        Args:
            names: as for ``Captured``.
        """
        super().__init__(names)
        self._grids: dict[str, tuple[int, int]] = {}

    def as_map(self, name: str) -> Tensor:
        """Return the one map of a tap with its queries laid out as the cells they come from.

        Args:
            name: a tap name.

        Returns:
            (b ... h w), a view, where the reduction gave (b q ...): with that of ``to_tokens`` a
            picture for each token, (b m h w).

        Raises:
            UnknownNameError: no such tap was asked for.
            CaptureError: the tap fired more often than once, or not yet; or its attention was
                given no rows of cells.
        """
        found = self[name]
        height, width = self._grids.get(name, (0, 0))
        if height * width != found.shape[1]:
            raise CaptureError(
                f"the queries of {name!r} must be the cells of a picture to be laid out, got "
                f"{found.shape[1]} queries and {height} * {width} cells; read it as it is"
            )
        rest = found.shape[2:]
        return found.movedim(1, -1).reshape(found.shape[0], *rest, height, width)


@contextmanager
def attention_maps(
    module: nn.Module,
    taps: Mapping[str, str],
    *,
    stop_after: bool = False,
    reduce: Reduce = head_mean,
    held: int = HELD,
) -> Iterator[AttentionMaps]:
    """Collect reduced attention maps while the block runs.

    The maps are computed from the queries and keys of the attention, in float32 where these are
    of half precision, and the forward itself is left as it is, bit for bit. Gradients reach
    queries and keys: a chunk is then computed once more on the way back instead of being kept.

    Args:
        module: a diffusers network.
        taps: ``path:map`` of an attention by the name its maps are to be read under, as
            ``backbone.addresses("cross_map")`` finds them.
        stop_after: leave the forward once every tap has fired, as ``capture`` does.
        reduce: what is kept of the probabilities.
        held: probabilities computed at once, >= 1; beside the result about two such chunks are
            held, and never less than one query's.

    Yields:
        The maps, (b q ...) as reduced, filled while the block runs and readable after it.

    Raises:
        UnknownNameError: an address names no submodule, or not the map of one.
        CaptureError: the submodule is no plain attention, has a processor of which no map is
            known, its projections are fused, or, during a forward, it attends with a mask; or one
            of ``capture``'s reasons.
        ConfigError: ``held`` is below 1, or the taps are no mapping.
    """
    if held < 1:
        raise ConfigError(f"held must be at least 1 number, got {held}")
    opened(module, taps, of=TAPS)
    captured = AttentionMaps(taps)
    with Collection(module, captured, stop_after=stop_after) as collection:
        for name, address in taps.items():
            path = _attention_path(module, address)
            attention = along(module, path)[-1][2]
            seen: dict[str, list[Kept]] = {}
            for part in _PROJECTIONS:
                collection.attach(f"{path}.{part}", collection.first(_keeper(seen, part)))
            refuse_unmapped(attention, path)
            collection.watch(attention, _refusing(path))
            around = along(module, path.partition(_INSIDE)[0])[-1][2]
            collection.watch(around, _placing(captured, name))
            into = _adder(collection, name, reduce, held)
            finish = collection.first(_finisher(attention, path, seen, into))
            collection.attach(path, finish)
        yield captured


def reduced_map(
    q: Tensor, k: Tensor, *, scale: float, reduce: Reduce = head_mean, held: int = HELD
) -> Tensor:
    """Compute softmax(q k^T) chunk by chunk and reduce each chunk.

    Args:
        q: queries, (b heads q d).
        k: keys, (b heads k d).
        scale: factor of the products, usually d**-0.5.
        reduce: what is kept of the probabilities.
        held: probabilities computed at once; never less than one query's.

    Returns:
        (b q ...) as reduced, float32 or the dtype of ``q`` if that is wider.
    """
    transposed = k.mT
    rows = max(1, held // (k.shape[0] * k.shape[1] * k.shape[2]))
    out: Tensor | None = None
    for start in range(0, q.shape[2], rows):
        part: Tensor = checkpoint(
            lambda some, keys: reduce(_probabilities(some, keys, scale)),
            q[:, :, start : start + rows],
            transposed,
            use_reentrant=False,
            preserve_rng_state=False,
        )
        if out is None:
            out = part.new_empty(q.shape[0], q.shape[2], *part.shape[2:])
        out[:, start : start + rows] = part
    if out is None:
        raise CaptureError(f"an attention must have queries, got {tuple(q.shape)}")
    return out


def _probabilities(q: Tensor, transposed: Tensor, scale: float) -> Tensor:
    dtype = torch.promote_types(q.dtype, torch.float32)
    return torch.softmax((q.to(dtype) * scale) @ transposed.to(dtype), dim=-1)


def _attention_path(network: nn.Module, address: str) -> str:
    """Path of a plain attention of diffusers, as an address of its map names it."""
    path, side = split_address(address)
    parts = dict(network.named_modules())
    if side != "map" or f"{path}.to_q" not in parts:
        known = [name for name in parts if f"{name}.to_q" in parts]
        raise UnknownNameError("attention map", address, [f"{name}:map" for name in known])
    for name in ("norm_q", "norm_k"):
        if getattr(parts[path], name, None) is not None:
            raise CaptureError(
                f"{path} must attend with its queries and keys as they are projected, but it has "
                f"{name}; its map cannot be computed"
            )
    return path


def _keeper(seen: dict[str, list[Kept]], part: str) -> Callable[[Tensor], None]:
    def keep(projected: Tensor) -> None:
        seen.setdefault(part, []).append(kept(projected))

    return keep


def _placing(captured: AttentionMaps, name: str) -> Callable[..., None]:
    """Make a hook that notes the rows and columns which a transformer is given."""

    def place(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        cells = first_input(given, named)
        if isinstance(cells, Tensor) and cells.ndim == 4:
            captured._grids[name] = (cells.shape[2], cells.shape[3])

    return place


def _finisher(
    attention: Any,  # noqa: ANN401 - diffusers' Attention is not typed
    path: str,
    seen: dict[str, list[Kept]],
    into: Callable[[Tensor, Tensor, float], None],
) -> Callable[[Tensor], None]:
    """Make the visitor of an attention's output: by then its queries and keys are known."""

    def finish(output: Tensor) -> None:
        found = [seen.pop(part, []) for part in _PROJECTIONS]
        if [len(some) for some in found] != [1, 1]:
            raise CaptureError(
                f"{path} must project queries and keys once for its map to be computed, its "
                f"{type(attention.processor).__name__} ran {_PROJECTIONS[0]} {len(found[0])} times "
                f"and {_PROJECTIONS[1]} {len(found[1])} times"
            )
        q, k = (
            _by_head(some[0].read(f"the projection of {path}", _ADVICE), attention.heads)
            for some in found
        )
        into(q, k, attention.scale)

    return finish


def _adder(
    collection: Collection, name: str, reduce: Reduce, held: int
) -> Callable[[Tensor, Tensor, float], None]:
    """Make what computes a map and keeps it."""

    def add(q: Tensor, k: Tensor, scale: float) -> None:
        with saved_apart():
            found = reduced_map(q, k, scale=scale, reduce=reduce, held=held)
        collection.add(name, found)

    return add


def _by_head(projected: Tensor, heads: int) -> Tensor:
    """(b n heads*d) -> (b heads n d), a view."""
    return projected.reshape(*projected.shape[:2], heads, -1).transpose(1, 2)


def _refusing(path: str) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
    def refuse(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        if named.get("attention_mask") is not None:
            raise CaptureError(
                f"{path} must attend without a mask for its map to be computed, got a mask"
            )

    return refuse
