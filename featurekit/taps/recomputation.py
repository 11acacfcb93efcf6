"""Gradient checkpointing: a part that is computed again is computed as it was the first time.

A checkpointed part keeps nothing for its gradient and runs a second time while gradients are
computed. What a block did to it must then be done again, though the block may be over by now; a
part that first ran outside the block must be left alone, though the block may be open; and what
was read the first time must not be read twice.

Source: Chen et al. 2016, arXiv:1604.06174; ``torch.utils.checkpoint``.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, TypeAlias

import torch.utils.checkpoint
from torch import Tensor, nn

from featurekit.core.errors import CaptureError
from featurekit.taps.parts import having

Again: TypeAlias = Callable[[], AbstractContextManager[object]]
"""Does to the network what a block did, for the length of one recomputation."""

_FUNCTION = "_gradient_checkpointing_func"  # what runs a part, in diffusers and transformers
_SWITCH = "gradient_checkpointing"
_FILE = torch.utils.checkpoint.__file__


class Block:
    """One block around calls of a network, and which of them it has to do with."""

    def __init__(self, again: Again | None = None) -> None:
        """Begin; the block is open until ``close``.

        Args:
            again: opens the block once more, for a recomputation after its end; None is a block
                that changes nothing.
        """
        self._again = again or nullcontext
        self._open = True
        self._numbers: dict[str, int] = {}
        # a block may be opened inside a function that is checkpointed as a whole
        self._backward = _backward()
        self._depth = _depth() if again else 0

    def close(self) -> None:
        """End the block: from now on it has to do with recomputations alone."""
        self._open = False

    def is_repeated(self) -> bool:
        """Tell whether the present call only computes again what ran before."""
        if not self._open:
            return True
        backward = _backward()
        if backward in (-1, self._backward):
            return False
        return bool(self._parts()) or _depth() > 0

    def is_meant(self) -> bool:
        """Tell whether the present call is one that the block is about.

        Returns:
            False for the recomputation of a part that first ran outside the block.

        Raises:
            CaptureError: the network is called inside a function that is checkpointed as a whole
                and began before the block, so that the block would be missing in its gradient.
        """
        if self._parts():
            return True
        if _backward() not in (-1, self._backward):
            return _depth() == 0
        if _depth() > self._depth:
            raise CaptureError(
                "a network that is changed must not be called inside a checkpoint that begins "
                "before the change, which its gradient would miss; open this block inside the "
                "function that is checkpointed, or use enable_gradient_checkpointing"
            )
        return True

    def number(self, name: str) -> int:
        """Count the calls of something, a recomputation as the call that it repeats.

        Args:
            name: what is counted.

        Returns:
            How many calls of that name came before, hence 0 for the first.
        """
        parts = self._parts()
        known = next((part for part in parts if part.repeats), None)
        if known is None:
            found = self._numbers.get(name, 0)
            self._numbers[name] = found + 1
        else:
            found = known.recalled(name)
        for part in parts:
            if not part.repeats:
                part.remember(name, found)
        return found

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Make a checkpointing function whose recomputations are done inside this block.

        Args:
            function: calls what it is given with the rest of what it is given, and may do so again.

        Returns:
            One that does the same.
        """

        def checkpointed(run: Callable[..., Any], *given: Any, **named: Any) -> Any:  # noqa: ANN401
            return function(_Part(self, run) if self.is_meant() else run, *given, **named)

        return checkpointed

    def opened_again(self) -> AbstractContextManager[object]:
        """Do once more what the block does, unless it is still open."""
        return nullcontext() if self._open else self._again()

    def _parts(self) -> tuple["_Part", ...]:
        """Checkpointed parts that are being computed, those of this block, the outermost first."""
        return tuple(part for part in _computed.get() if part.block is self)


class _Part:
    """A part that is checkpointed inside a block: runs once, and again for its gradient."""

    def __init__(self, block: Block, run: Callable[..., Any]) -> None:
        self.block, self.repeats = block, False
        self._run = run
        self._numbers: dict[str, list[int]] = {}
        self._recalled: Counter[str] = Counter()

    def __call__(self, *given: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever the part takes
        self._recalled.clear()
        token = _computed.set((*_computed.get(), self))
        try:
            with self.block.opened_again():
                return self._run(*given, **named)
        finally:
            self.repeats = True
            _computed.reset(token)

    def remember(self, name: str, number: int) -> None:
        self._numbers.setdefault(name, []).append(number)

    def recalled(self, name: str) -> int:
        self._recalled[name] += 1
        return self._numbers[name][self._recalled[name] - 1]


_computed: ContextVar[tuple[_Part, ...]] = ContextVar("checkpointed parts", default=())


@contextmanager
def kept_in_recomputations(network: nn.Module, again: Again) -> Iterator[Block]:
    """Open a block whose doings are part of every recomputation of what runs inside it.

    Args:
        network: what is called inside.
        again: does to the network what the block does; what it makes must ask the block whether it
            ``is_meant``.

    Yields:
        The block; the network's checkpointing functions are put back at its end.
    """
    block = Block(lambda: _checkpointed(network, block, again))
    try:
        with _checkpointed(network, block):
            yield block
    finally:
        block.close()


@contextmanager
def guarded(network: nn.Module, block: Block) -> Iterator[None]:
    """Refuse calls that a block is not about, where what it does cannot be left out of them.

    Args:
        network: what is called inside.
        block: as ``kept_in_recomputations`` yields it.

    Raises:
        CaptureError: during a forward or a backward pass, for one of the reasons of ``is_meant``,
            or a part is computed again that first ran outside the block.
    """

    def check(part: nn.Module, given: object) -> None:
        if (part is network or _backward() != -1) and not block.is_meant():
            raise CaptureError(
                "a part that is computed again for its gradient must be as it was the first time, "
                "without what is applied now; call backward outside this block"
            )

    checkpointed = any(getattr(part, _SWITCH) for part in having(network, _SWITCH))
    with ExitStack() as undo:
        for part in network.modules() if checkpointed else (network,):
            undo.callback(part.register_forward_pre_hook(check).remove)
        yield


@contextmanager
def saved_apart() -> Iterator[None]:
    """Let a checkpoint around this block know nothing of what is computed inside it.

    What a hook computes of an activation is not computed again, so what it needs for its gradient
    is kept, apart from what the checkpoint counts.
    """
    if torch.is_grad_enabled() and _depth():
        with torch.autograd.graph.saved_tensors_hooks(_versioned, _unwritten):
            yield
    else:
        yield


def _versioned(saved: Tensor) -> tuple[Tensor, int]:
    return saved, saved._version


def _unwritten(saved: tuple[Tensor, int]) -> Tensor:
    tensor, version = saved
    if tensor._version != version:
        raise CaptureError(
            f"what is computed of an activation must find it unchanged on the way back, but one of "
            f"{tuple(tensor.shape)} was written to in place; compute it of activation.clone()"
        )
    return tensor


@contextmanager
def _checkpointed(network: nn.Module, block: Block, again: Again = nullcontext) -> Iterator[None]:
    """Let the checkpointed parts of a network run as parts of the block."""
    with ExitStack() as undo:
        for part in having(network, _SWITCH):
            own = vars(part).get(_FUNCTION)
            if getattr(part, _SWITCH) and own is not None:
                ours = block.around(own)
                setattr(part, _FUNCTION, ours)
                undo.callback(_put_back, part, own, ours)
        undo.enter_context(again())
        yield


def _put_back(part: nn.Module, own: object, ours: object) -> None:
    if vars(part).get(_FUNCTION) is ours:  # else it was switched inside the block, and stays so
        setattr(part, _FUNCTION, own)


# the number of the backward pass that is running, -1 where none is
_backward: Callable[[], int] = torch._C._current_graph_task_id


def _depth() -> int:
    """Count the calls of torch's checkpointing that the present one stands in."""
    frame, found = sys._getframe(1).f_back, 0
    while frame is not None:
        found += frame.f_code.co_filename == _FILE
        frame = frame.f_back
    return found
