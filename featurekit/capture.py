"""Read activations of a network while a block runs; leave nothing behind."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn

from featurekit.errors import CaptureError, UnknownNameError


class _Left(BaseException):  # no Exception: foreign code must not catch this way out
    """Carries control out of a forward to the ``capture`` that asked for it."""


class Captured(Mapping[str, Tensor]):
    """What the taps returned, by tap name, in the order of the calls."""

    def __init__(self, names: Mapping[str, str]) -> None:
        """Start empty.

        Args:
            names: module path by tap name; the values are not read here.
        """
        self._calls: dict[str, list[Tensor]] = {name: [] for name in names}

    def __getitem__(self, name: str) -> Tensor:
        """Return the one output of a tap.

        Args:
            name: a tap name.

        Returns:
            The activation as the module returned it, graph attached.

        Raises:
            UnknownNameError: no such tap was asked for.
            CaptureError: the tap fired more often than once, or not yet.
        """
        calls = self.all(name)
        if len(calls) != 1:
            raise CaptureError(
                f"tap {name!r} must fire exactly once to be read by name, "
                f"it fired {len(calls)} times; use .all({name!r})"
            )
        return calls[0]

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
        """
        if name not in self._calls:
            raise UnknownNameError("tap", name, self._calls)
        return tuple(self._calls[name])

    def _keep(self, name: str, output: Tensor) -> None:
        self._calls[name].append(output)

    def _complete(self) -> bool:
        return all(self._calls.values())


@contextmanager
def capture(
    module: nn.Module, taps: Mapping[str, str], stop_after: bool = False
) -> Iterator[Captured]:
    """Collect the outputs of named submodules while the block runs.

    Outputs keep their graph, so a loss on them reaches the latent. With ``stop_after`` the forward
    is left as soon as every tap has fired; the ``with`` block ends at that statement, so the call
    of the network must be its last one, and what the network would have returned is not computed.

    Args:
        module: any network; it runs as it would without this block, bit for bit.
        taps: path of a submodule, as in ``named_modules``, by the name it is to be read under.
        stop_after: leave the forward once every tap has fired.

    Yields:
        The outputs, filled while the block runs and readable after it.

    Raises:
        UnknownNameError: a path names no submodule.
        CaptureError: an output is neither a tensor nor a tuple of exactly one tensor; or nothing
            is to be captured though the forward is to be left.
    """
    if stop_after and not taps:
        raise CaptureError("stop_after must have a tap to stop after, got none")
    modules = {path: found for path, found in module.named_modules() if path}
    captured = Captured(taps)
    left = _Left()
    with ExitStack() as hooks:
        for name, path in taps.items():
            if path not in modules:
                raise UnknownNameError("submodule", path, modules)
            hook = _hook(captured, name, path, left if stop_after else None)
            hooks.callback(modules[path].register_forward_hook(hook).remove)
        try:
            yield captured
        except _Left as signal:
            if signal is not left:  # it belongs to a capture around this one
                raise


def _hook(
    captured: Captured, name: str, path: str, left: _Left | None
) -> Callable[[nn.Module, object, object], None]:
    """Make the forward hook that keeps an output and, when asked, leaves."""

    def hook(module: nn.Module, inputs: object, output: object) -> None:
        captured._keep(name, _tensor(output, path))
        if left is not None and captured._complete():
            raise left

    return hook


def _tensor(output: object, path: str) -> Tensor:
    """Diffusers' attentions return their one tensor in a tuple; nothing else is unpacked."""
    if isinstance(output, tuple) and len(output) == 1:
        output = output[0]
    if isinstance(output, Tensor):
        return output
    size = f" of {len(output)}" if isinstance(output, tuple) else ""
    raise CaptureError(
        f"submodule {path!r} must return a tensor to be captured, "
        f"got a {type(output).__name__}{size}; name one of its parts instead"
    )
