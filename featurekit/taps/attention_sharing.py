"""Let self-attentions read another row's keys and values while a block runs.

Every context manager here wraps the processor that a module already has and hands it other rows as
``encoder_hidden_states``, so the arithmetic stays diffusers' own and a LoRA around ``to_k`` and
``to_v`` takes part. With gradient checkpointing, gradients are those of the network as it ran
inside the block, whether they are taken inside it or later.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn

from featurekit.core.errors import CaptureError, ShapeError, UnknownNameError
from featurekit.taps.attention_processors import Reference, reading_other_rows, self_attentions
from featurekit.taps.kept import Kept, kept
from featurekit.taps.recomputation import Block


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
    known = tuple(self_attentions(unet))
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
        CaptureError: an attention normalises its input itself, has fused projections, a processor
            that reads other states in another way, or is compiled or shared already; a part of the
            network may be passed over; or, during a forward, the network is called inside a
            checkpoint that began before the block.
        ShapeError: ``rows`` is below 1, or, during a forward, does not divide the batch.

    Source: Cao et al. 2023, arXiv:2304.08465 (mutual self-attention); as reference-latent control
    in Shi et al. 2023, arXiv:2306.14435.
    """
    if rows < 1:
        raise ShapeError(f"rows of a group must be at least 1, got {rows}")

    def first_of_each_group(hidden: Tensor, block: Block) -> Tensor:
        if hidden.shape[0] % rows:
            raise ShapeError(
                f"batch must be whole groups of {rows} rows to share attention, "
                f"got {hidden.shape[0]} rows"
            )
        return hidden[::rows].repeat_interleave(rows, dim=0)

    with reading_other_rows(unet, dict.fromkeys(paths, first_of_each_group)):
        yield


class AttentionRecord:
    """What self-attentions were given, call by call, for a later run to read."""

    def __init__(self, paths: Sequence[str]) -> None:
        """Start empty.

        Args:
            paths: self-attentions that will be recorded.
        """
        self._calls: dict[str, list[Kept]] = {path: [] for path in paths}

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
            CaptureError: the network wrote to what was recorded.
        """
        if path not in self._calls:
            raise UnknownNameError("recorded self-attention", path, self._calls)
        what = f"what {path} was given"
        return tuple(one.read(what, "it cannot be recorded") for one in self._calls[path])

    def _add(self, path: str, hidden: Tensor) -> None:
        self._calls[path].append(kept(hidden))


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
        CaptureError: one of the reasons of ``share_attention``.
    """
    record = AttentionRecord(paths)

    def keep(path: str) -> Reference:
        def reference(hidden: Tensor, block: Block) -> Tensor:
            if not block.is_repeated():
                record._add(path, hidden)
            return hidden

        return reference

    with reading_other_rows(unet, {path: keep(path) for path in paths}):
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
            one of the reasons of ``share_attention``.
        ShapeError: during a forward, the sizes do not fit what was recorded.
    """

    def read(path: str) -> Reference:
        calls = record.calls(path)

        def reference(hidden: Tensor, block: Block) -> Tensor:
            number = block.number(path)
            if number >= len(calls):
                raise CaptureError(
                    f"{path} must not be called more often than it was recorded, "
                    f"got call {number + 1} of {len(calls)}; record a run of as many steps"
                )
            return _repeated(calls[number], hidden, path)

        return reference

    with reading_other_rows(unet, {path: read(path) for path in paths}):
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


def _below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}.")


def _parents(paths: Sequence[str]) -> set[str]:
    """Every part of a network that has one of the paths below it."""
    parts = [path.split(".") for path in paths]
    return {".".join(part[:n]) for part in parts for n in range(1, len(part) + 1)}
