"""Let self-attentions read another row's keys and values while a block runs.

Every context manager here wraps the processor that a module already has and hands it other rows as
``encoder_hidden_states``, so the arithmetic stays diffusers' own and a LoRA around ``to_k`` and
``to_v`` takes part.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from featurekit.core.errors import CaptureError, ShapeError, UnknownNameError
from featurekit.core.shapes import expect

# settings under which a processor treats encoder_hidden_states unlike its own hidden states
_UNLIKE = ("group_norm", "spatial_norm", "norm_cross", "fused_projections")

_Reference = Callable[[Tensor], Tensor]


def self_attention_paths(unet: nn.Module, prefixes: Sequence[str]) -> tuple[str, ...]:
    """List the self-attentions below some parts of a network.

    Args:
        unet: a diffusers network whose transformer blocks call their self-attention ``attn1``.
        prefixes: module paths, e.g. ``up_blocks.2``; a path counts with all that lies below it.

    Returns:
        Paths in the order of ``named_modules``.

    Raises:
        UnknownNameError: nothing below a prefix is a self-attention.
    """
    known = tuple(_self_attentions(unet))
    for prefix in prefixes:
        if not any(_below(path, prefix) for path in known):
            raise UnknownNameError("part with self-attentions", prefix, _parents(known))
    return tuple(path for path in known if any(_below(path, prefix) for prefix in prefixes))


@contextmanager
def share_attention(unet: nn.Module, paths: Sequence[str], *, rows: int = 2) -> Iterator[None]:
    """Let every row of a group read keys and values of the group's first row.

    The batch is consecutive groups of ``rows``: with guidance, (unconditional reference,
    unconditional edit, conditional reference, conditional edit) is two groups of two. Queries stay
    each row's own; the first row of a group computes what it would compute alone.

    Args:
        unet: a diffusers network.
        paths: self-attentions, as ``self_attention_paths`` lists them.
        rows: rows of a group, >= 1.

    Yields:
        Nothing; the processors are restored at the end, also after an exception.

    Raises:
        UnknownNameError: a path names no self-attention.
        CaptureError: an attention normalises its input itself or has fused projections.
        ShapeError: ``rows`` is below 1, or, during a forward, does not divide the batch.

    Source: Cao et al. 2023, arXiv:2304.08465 (mutual self-attention); as reference-latent control
    in Shi et al. 2023, arXiv:2306.14435.
    """
    if rows < 1:
        raise ShapeError(f"rows of a group must be at least 1, got {rows}")

    def first_of_each_group(hidden: Tensor) -> Tensor:
        if hidden.shape[0] % rows:
            raise ShapeError(
                f"batch must be whole groups of {rows} rows to share attention, "
                f"got {hidden.shape[0]} rows"
            )
        return hidden[::rows].repeat_interleave(rows, dim=0)

    with _wrapped(unet, dict.fromkeys(paths, first_of_each_group)):
        yield


class AttentionRecord:
    """What self-attentions were given, call by call, for a later run to read."""

    def __init__(self, paths: Sequence[str]) -> None:
        """Start empty.

        Args:
            paths: self-attentions that will be recorded.
        """
        self._calls: dict[str, list[Tensor]] = {path: [] for path in paths}

    @property
    def paths(self) -> tuple[str, ...]:
        """The self-attentions of this record."""
        return tuple(self._calls)

    def calls(self, path: str) -> tuple[Tensor, ...]:
        """Return what one self-attention was given.

        Args:
            path: a recorded self-attention.

        Returns:
            Hidden states, one (b n d) per call, graph attached if there was one.

        Raises:
            UnknownNameError: the path was not recorded.
        """
        if path not in self._calls:
            raise UnknownNameError("recorded self-attention", path, self._calls)
        return tuple(self._calls[path])

    def _add(self, path: str, hidden: Tensor) -> Tensor:
        self._calls[path].append(hidden)
        return hidden


@contextmanager
def record_attention(unet: nn.Module, paths: Sequence[str]) -> Iterator[AttentionRecord]:
    """Keep what self-attentions are given while a reference is run.

    The hidden states are kept, not keys and values: a LoRA that is applied only during the replay
    then acts on the reference as well, as it does when both rows run together.

    Args:
        unet: a diffusers network; it runs as it would without this block.
        paths: self-attentions, as ``self_attention_paths`` lists them.

    Yields:
        The record, filled while the block runs. One call holds (b n d) numbers per path.

    Raises:
        UnknownNameError: a path names no self-attention.
        CaptureError: an attention normalises its input itself or has fused projections.
    """
    record = AttentionRecord(paths)

    def keep(path: str) -> _Reference:
        return lambda hidden: record._add(path, hidden)

    with _wrapped(unet, {path: keep(path) for path in paths}):
        yield record


@contextmanager
def replay_attention(
    unet: nn.Module, paths: Sequence[str], record: AttentionRecord
) -> Iterator[None]:
    """Let a run read keys and values of a recorded one: call k of an attention reads record k.

    A record of r rows serves a batch of any multiple of r rows, consecutive groups reading one
    recorded row each; a reference recorded with guidance so serves several edits with guidance.

    Args:
        unet: the network that was recorded.
        paths: self-attentions of the record that are to read it.
        record: what ``record_attention`` yielded; it can be replayed any number of times.

    Yields:
        Nothing; the processors are restored at the end, also after an exception.

    Raises:
        UnknownNameError: a path is no self-attention, or was not recorded.
        CaptureError: during a forward, an attention is called more often than it was recorded; or
            one normalises its input itself or has fused projections.
        ShapeError: during a forward, the sizes do not fit what was recorded.
    """

    def read(path: str) -> _Reference:
        calls = iter(record.calls(path))
        count = len(record.calls(path))

        def reference(hidden: Tensor) -> Tensor:
            recorded = next(calls, None)
            if recorded is None:
                raise CaptureError(
                    f"{path} must not be called more often than it was recorded, "
                    f"got call {count + 1} of {count}; record a run of as many steps"
                )
            return _repeated(recorded, hidden, path)

        return reference

    with _wrapped(unet, {path: read(path) for path in paths}):
        yield


def _repeated(recorded: Tensor, hidden: Tensor, path: str) -> Tensor:
    """Recorded rows, each as often as the batch of the replay needs it."""
    times, left_over = divmod(hidden.shape[0], recorded.shape[0])
    if left_over or recorded.shape[1:] != hidden.shape[1:]:
        raise ShapeError(
            f"{path} must be given a whole multiple of the recorded rows (b n d), recorded "
            f"{tuple(recorded.shape)}, got {tuple(hidden.shape)}; replay at the recorded size"
        )
    return recorded.repeat_interleave(times, dim=0)


class _Referring:
    """A processor that hands its wrapped one other rows to read keys and values from."""

    def __init__(self, wrapped: Any, reference: _Reference) -> None:  # noqa: ANN401 - any processor
        self.wrapped = wrapped
        self.reference = reference

    # diffusers reads this signature to decide what it may pass on
    def __call__(
        self,
        attn: nn.Module,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        if encoder_hidden_states is not None or attention_mask is not None:
            extra = "a mask" if attention_mask is not None else "other states to attend to"
            raise CaptureError(f"a shared self-attention must be given its rows alone, got {extra}")
        expect(hidden_states, "b n d", of="hidden states of a self-attention")
        reference = self.reference(hidden_states)
        out: Tensor = self.wrapped(attn, hidden_states, encoder_hidden_states=reference, temb=temb)
        return out


@contextmanager
def _wrapped(unet: nn.Module, references: dict[str, _Reference]) -> Iterator[None]:
    """Wrap the processors of some self-attentions for the length of the block."""
    known = _self_attentions(unet)
    with ExitStack() as undo:
        for path, reference in references.items():
            if path not in known:
                raise UnknownNameError("self-attention", path, known)
            attention = known[path]
            for name in _UNLIKE:
                # no default: a diffusers that renames one of these must be noticed
                if getattr(attention, name) not in (None, False):
                    raise CaptureError(
                        f"{path} must read plain hidden states to be shared, but it has {name}; "
                        f"unfuse its projections or leave it out"
                    )
            own = attention.processor
            undo.callback(attention.set_processor, own)
            attention.set_processor(_Referring(own, reference))
        yield


def _self_attentions(unet: nn.Module) -> dict[str, Any]:
    """Modules named attn1 that read their own rows (with only_cross_attention they do not)."""
    return {
        path: module
        for path, module in unet.named_modules()
        if path.rpartition(".")[2] == "attn1" and not getattr(module, "is_cross_attention", True)
    }


def _below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}.")


def _parents(paths: Sequence[str]) -> set[str]:
    """Every part of a network that has one of the paths below it."""
    parts = [path.split(".") for path in paths]
    return {".".join(part[:n]) for part in parts for n in range(1, len(part) + 1)}
