"""Compute attention maps beside a forward, in chunks, and keep only what a reduction leaves."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from featurekit.core.errors import CaptureError, ConfigError, UnknownNameError
from featurekit.taps.addresses import split_address
from featurekit.taps.attention_probabilities import HELD, Among, Reduce, head_mean, reduced_map
from featurekit.taps.attention_processors import refuse_unmapped
from featurekit.taps.capture import TAPS, Collection
from featurekit.taps.hooks import first_input, opened
from featurekit.taps.joint_attention import (
    JointTokens,
    Watch,
    grid_of,
    is_joint,
    joint_tokens,
    refuse_linear,
    the_one,
)
from featurekit.taps.kept import Kept, kept
from featurekit.taps.laid_out import AttentionMaps
from featurekit.taps.parts import along, refuse_compiled
from featurekit.taps.recomputation import saved_apart

_PROJECTIONS = ("to_q", "to_k")
_ADVICE = "its map cannot be computed"
_INSIDE = ".transformer_blocks."  # what the attentions of a transformer have in their path


@dataclass(frozen=True)
class _Asked:
    """What is to be kept of every map, and where it goes."""

    collection: Collection
    captured: AttentionMaps
    reduce: Reduce | Among
    held: int


@contextmanager
def attention_maps(
    module: nn.Module,
    taps: Mapping[str, str],
    *,
    stop_after: bool = False,
    reduce: Reduce | Among = head_mean,
    held: int = HELD,
) -> Iterator[AttentionMaps]:
    """Collect reduced attention maps while the block runs.

    The maps are computed from the queries and keys of the attention, in float32 where these are
    of half precision, and the forward itself is left as it is, bit for bit. Gradients reach
    queries and keys: a chunk is then computed once more on the way back instead of being kept.

    In a joint attention, as transformers have it, picture and text attend to both: all tokens are
    queries and keys, in the network's order, which ``AttentionMaps.tokens`` says. ``among_words``
    and ``among_cells`` give a reduction picture x text or picture x picture alone. Masks count.

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
        CaptureError: the submodule is no plain or joint attention, has a processor of which no map
            is known, or attends without a softmax; a plain one's projections are fused, or, during
            a forward, it attends with a mask that is not added; a joint one attends by another
            library; or one of ``capture``'s reasons.
        ConfigError: ``held`` is below 1, or the taps are no mapping.
    """
    if held < 1:
        raise ConfigError(f"held must be at least 1 number, got {held}")
    opened(module, taps, of=TAPS)
    captured = AttentionMaps(taps)
    with (
        Collection(module, captured, stop_after=stop_after) as collection,
        ExitStack() as watching,
    ):
        asked, watch = _Asked(collection, captured, reduce, held), Watch()
        for name, address in taps.items():
            path = _attention_path(module, address)
            attention = along(module, path)[-1][2]
            if is_joint(attention):
                _ask_joint(module, name, path, watch, asked)
            else:
                _ask_plain(module, name, path, asked)
        if any(is_joint(along(module, split_address(one)[0])[-1][2]) for one in taps.values()):
            watching.enter_context(watch)
        yield captured


def _ask_plain(network: nn.Module, name: str, path: str, asked: _Asked) -> None:
    """Put the visitors of an attention that attends with what it projects."""
    collection, reduce = asked.collection, asked.reduce
    if isinstance(reduce, Among):
        raise ConfigError(
            f"a reduction among {reduce.keys} must be of a joint attention, got {path}, which "
            f"attends to one kind of tokens alone; leave it out"
        )
    attention = along(network, path)[-1][2]
    seen: dict[str, list[Kept]] = {}
    for part in _PROJECTIONS:
        collection.attach(f"{path}.{part}", collection.first(_keeper(seen, part)))
    refuse_unmapped(attention, path)
    masks: list[Tensor | None] = []
    collection.watch(attention, _masking(path, masks))
    around = along(network, path.partition(_INSIDE)[0])[-1][2]
    collection.watch(around, _placing(asked.captured, name))
    add = _adder(asked, name, reduce)

    def into(q: Tensor, k: Tensor, scale: float) -> None:
        add(q, k, scale, masks[0] if masks else None)

    collection.attach(path, collection.first(_finisher(attention, path, seen, into)))


def _ask_joint(network: nn.Module, name: str, path: str, watch: Watch, asked: _Asked) -> None:
    """Put the hooks of an attention that is seen where torch's attention is called."""
    attention = refuse_compiled(network, path)[-1][2]
    grids: list[tuple[int, int] | None] = []

    def place(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        grids[:] = [grid_of(module, given, named)]

    def finish(output: object) -> None:
        seen = the_one(watch.end(), attention, path)
        tokens = joint_tokens(attention, path, seen, grids[0] if grids else None)
        q, mask, reduce = seen.q, seen.mask, asked.reduce
        if tokens is not None:
            asked.captured._grids[name], asked.captured._joint[name] = tokens.grid, tokens
        if isinstance(reduce, Among):
            keys = _keys(tokens, reduce.keys, path)
            q = q[:, :, keys.picture]
            mask = mask if mask is None or mask.shape[-2] == 1 else mask[..., keys.picture, :]
            reduce = partial(_among, reduce.reduce, getattr(keys, reduce.keys))
        _adder(asked, name, reduce)(q, seen.k, seen.scale, mask)

    def after(module: nn.Module, given: object, output: object) -> None:
        if collection.is_repeated():
            watch.end()
        else:
            finish(output)

    collection = asked.collection
    collection.watch(network, place)
    collection.watch(attention, watch.begin)
    collection.follow(attention, after)


def _among(reduce: Reduce, keys: slice, probabilities: Tensor) -> Tensor:
    return reduce(probabilities[..., keys])


def _keys(tokens: JointTokens | None, keys: str, path: str) -> JointTokens:
    """The places of tokens, known and some of them of the kind that is asked for."""
    if tokens is None:
        raise CaptureError(
            f"the tokens of {path} must have the same known places in every row to be reduced "
            f"among {keys}, but the network was given no shape of a picture, or words of other "
            f"lengths; read the whole map, or one row at a time"
        )
    if keys == "words" and tokens.words.stop <= tokens.words.start:
        raise CaptureError(
            f"{path} must attend to words to be reduced among them, got the picture alone; use "
            f"among_cells"
        )
    return tokens


def _attention_path(network: nn.Module, address: str) -> str:
    """Path of a plain attention of diffusers, as an address of its map names it."""
    path, side = split_address(address)
    parts = dict(network.named_modules())
    known = [name for name in parts if f"{name}.to_q" in parts or is_joint(parts[name])]
    if side != "map" or path not in known:
        raise UnknownNameError("attention map", address, [f"{name}:map" for name in known])
    refuse_linear(parts[path], path)
    if is_joint(parts[path]):
        return path
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


def _adder(asked: _Asked, name: str, reduce: Reduce) -> Callable[..., None]:
    """Make what computes a map and keeps it."""

    def add(q: Tensor, k: Tensor, scale: float, mask: Tensor | None = None) -> None:
        with saved_apart():
            found = reduced_map(q, k, scale=scale, mask=mask, reduce=reduce, held=asked.held)
        asked.collection.add(name, found)

    return add


def _by_head(projected: Tensor, heads: int) -> Tensor:
    """(b n heads*d) -> (b heads n d), a view."""
    return projected.reshape(*projected.shape[:2], heads, -1).transpose(1, 2)


def _masking(
    path: str, masks: list[Tensor | None]
) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
    """Make a hook that notes what is added to the products of queries and keys."""

    def note(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        mask = named.get("attention_mask")
        plain = isinstance(mask, Tensor) and mask.ndim == 3 and mask.is_floating_point()
        if mask is not None and not plain:
            raise CaptureError(
                f"{path} must attend with no mask, or with one (b q k) that is added, for its map "
                f"to be computed, got another one"
            )
        masks[:] = [None if mask is None else mask[:, None]]

    return note
