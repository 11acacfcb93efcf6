"""Read activations of a network while a block runs; leave nothing behind."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from featurekit.core.errors import CaptureError, UnknownNameError
from featurekit.taps.hooks import Visit, attach, opened
from featurekit.taps.kept import Kept, is_rewritten, kept
from featurekit.taps.recomputation import Block, saved_apart

Reduce: TypeAlias = Callable[[str, Tensor], Tensor]
"""``(name, activation)`` to what is kept of it, in memory of its own."""


TAPS = "taps must be addresses by name"
_ADVICE = "reduce=lambda name, activation: activation.clone() keeps it as it is"


class _Left(BaseException):  # no Exception: foreign code must not catch this way out
    """Carries control out of a forward to the ``capture`` that asked for it."""


class Captured(Mapping[str, Tensor]):
    """What the taps returned, by tap name, in the order of the calls."""

    def __init__(self, names: Mapping[str, str]) -> None:
        """Start empty.

        Args:
            names: module path by tap name; the values are not read here.
        """
        self._calls: dict[str, list[Kept]] = {name: [] for name in names}

    def __getitem__(self, name: str) -> Tensor:
        """Return the one output of a tap.

        Args:
            name: a tap name.

        Returns:
            The activation as the module returned it, graph attached; or what was kept of it.

        Raises:
            UnknownNameError: no such tap was asked for.
            CaptureError: the tap fired more often than once, or not yet; or it was written to in
                place after it fired.
        """
        calls = self.all(name)
        if len(calls) != 1:
            raise CaptureError(
                f"tap {name!r} must fire exactly once to be read by name, "
                f"it fired {len(calls)} times; use .all({name!r})"
            )
        return calls[0]

    def __repr__(self) -> str:
        """One line: each tap with the shape of what it gave, never the numbers."""
        shapes = {
            name: [str(tuple(one.tensor.shape)) for one in calls]
            for name, calls in self._calls.items()
        }
        given = (f"{name} {' '.join(some) or 'not yet'}" for name, some in shapes.items())
        return f"Captured({', '.join(given)})"

    def __iter__(self) -> Iterator[str]:
        """Walk the tap names, whether they have fired or not."""
        return iter(self._calls)

    def __len__(self) -> int:
        """Count the taps."""
        return len(self._calls)

    def __contains__(self, name: object) -> bool:
        """Tell whether a tap of that name was asked for."""
        return name in self._calls

    def all(self, name: str) -> tuple[Tensor, ...]:
        """Return every output of a tap.

        Args:
            name: a tap name.

        Returns:
            Activations in the order of the calls; empty if the module never ran.

        Raises:
            UnknownNameError: no such tap was asked for.
            CaptureError: it was written to in place after it fired.
        """
        if name not in self._calls:
            raise UnknownNameError("tap", name, self._calls)
        self._check(name)
        return tuple([one.tensor for one in self._calls[name]])

    def _check(self, name: str) -> None:
        for one in self._calls[name]:
            if one.is_written():
                one.read(f"tap {name!r}", _ADVICE)

    def _complete(self) -> bool:
        return all(self._calls.values())


@contextmanager
def capture(
    module: nn.Module,
    taps: Mapping[str, str],
    stop_after: bool = False,
    *,
    reduce: Reduce | None = None,
) -> Iterator[Captured]:
    """Collect the activations at named addresses while the block runs.

    Outputs keep their graph, so a loss on them reaches the latent. With ``stop_after`` the forward
    is left as soon as every tap has fired; the ``with`` block ends at that statement, so the call
    of the network must be its last one, and what the network would have returned is not computed.

    Args:
        module: any network; it runs as it would without this block, bit for bit.
        taps: address of an activation by the name it is to be read under, as
            ``backbone.addresses`` finds them: the path of a submodule, as in ``named_modules``, for
            its output, ``path:out0`` for the first of several; ``path:in`` for its first input;
            ``path:skip0`` for a skip that an up block is given.
        stop_after: leave the forward once every tap has fired.
        reduce: what to keep of an activation, asked as its tap fires, so that the network's own
            is never held longer than the network needs it; None keeps all of it.

    Yields:
        The outputs, filled while the block runs and readable after it.

    Raises:
        UnknownNameError: a path names no submodule.
        CaptureError: an output is neither a tensor nor a tuple of exactly one tensor, or it was
            written to in place later; a part of the network may be passed over, so that what is
            read would be stale; a module around a tap is compiled; ``reduce`` gave no tensor, or a
            view of the activation; nothing is to be captured though the forward is to be left; or
            the network ran and a tap never fired.
        ConfigError: the taps are no mapping.
    """
    opened(module, taps, of=TAPS)
    captured = Captured(taps)
    with Collection(module, captured, stop_after=stop_after) as collection:
        for name, address in taps.items():
            visit = collection.reducer(name, reduce) if reduce else collection.keeper(name)
            collection.attach(address, visit)
        yield captured


class Collection:
    """What fills a ``Captured`` while its ``with`` block runs, and misses nothing in silence."""

    def __init__(self, network: nn.Module, captured: Captured, *, stop_after: bool) -> None:
        """Prepare.

        Args:
            network: what is run inside the block.
            captured: what is to be filled.
            stop_after: leave the forward once every tap has fired.

        Raises:
            CaptureError: there is no tap to stop after; or, at the end of the block, the network
                was run and a tap never fired, unless it ends by an exception; or what was kept was
                written to.
        """
        if stop_after and not captured:
            raise CaptureError("stop_after must have a tap to stop after, got none")
        self._began, self._left = False, _Left()
        self._network, self._captured, self._stop_after = network, captured, stop_after
        self._block = Block()
        self._rewritten = is_rewritten(network)
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> "Collection":
        """Begin to watch the calls of the network."""
        self._handles.append(self._network.register_forward_pre_hook(self._begin))
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        """Take every visitor away, and see that nothing was missed."""
        for handle in self._handles:
            handle.remove()
        if error is not None and error is not self._left:  # a capture around this one is left
            return False
        # else the frames of the forward, and all activations in them, would live in a circle
        self._left.__traceback__ = None
        self._refuse_missed()
        return True

    def attach(self, address: str, visit: Visit) -> None:
        """Put a visitor at an address, for the length of the block; see ``hooks.attach``."""
        self._handles.append(attach(self._network, address, visit))

    def watch(self, part: nn.Module, see: Callable[..., None]) -> None:
        """Show every call of a part, with what it is given by position and by name."""
        self._handles.append(part.register_forward_pre_hook(see, with_kwargs=True))

    def follow(self, part: nn.Module, see: Callable[..., None]) -> None:
        """Show what every call of a part returned."""
        self._handles.append(part.register_forward_hook(see))

    def is_repeated(self) -> bool:
        """Tell whether gradient checkpointing only makes the present call again."""
        return self._block.is_repeated()

    def first(self, visit: Visit) -> Visit:
        """Leave out the calls that gradient checkpointing only makes again."""

        def visited(activation: Tensor) -> Tensor | None:
            return None if self._block.is_repeated() else visit(activation)

        return visited

    def keeper(self, name: str) -> Visit:
        """Make the visitor that keeps an activation of a tap."""
        calls, block = self._captured._calls[name], self._block

        def keep(activation: Tensor) -> None:
            if block.is_repeated():
                return
            calls.append(kept(activation, copied=self._rewritten))
            if self._stop_after:
                self._leave()

        return keep

    def reducer(self, name: str, reduce: Reduce) -> Visit:
        """Make the visitor that keeps what is left of an activation of a tap."""

        def keep_reduced(activation: Tensor) -> None:
            own = activation.clone() if self._rewritten else activation
            with saved_apart():
                found = _reduced(reduce, name, own)
            self.add(name, found)

        return self.first(keep_reduced)

    def add(self, name: str, found: Tensor) -> None:
        """Keep what nobody else has under the name of its tap."""
        self._captured._calls[name].append(Kept(found, None))
        if self._stop_after:
            self._leave()

    def _leave(self) -> None:
        """Leave the forward once every tap has fired."""
        if self._captured._complete():
            raise self._left

    def _begin(self, network: nn.Module, given: object) -> None:
        if not self._block.is_repeated():
            self._began = True
        self._rewritten = is_rewritten(network)  # it may have been switched on since

    def _refuse_missed(self) -> None:
        captured = self._captured
        for name in captured._calls:
            captured._check(name)
        if self._began and not captured._complete():
            missed = [name for name in captured if not captured.all(name)]
            raise CaptureError(
                f"every tap must fire when the network is run, {missed[0]!r} never did; run it to "
                f"that module, uncompiled, and do not leave it earlier"
            )


def _reduced(reduce: Reduce, name: str, activation: Tensor) -> Tensor:
    """What is kept; a view would hold the whole activation, unseen."""
    found: object = reduce(name, activation)
    if not isinstance(found, Tensor):
        raise CaptureError(f"reduce must give a tensor for {name!r}, got {type(found).__name__}")
    if found.untyped_storage()._cdata == activation.untyped_storage()._cdata:
        raise CaptureError(
            f"reduce must give a tensor with memory of its own for {name!r}, got a view of the "
            f"activation, which would hold all of it; add .clone()"
        )
    return found
