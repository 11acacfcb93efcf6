"""Write activations of a network while a block runs, at the addresses where they can be read."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TypeAlias

from torch import Tensor, nn

from featurekit.core.errors import CaptureError, ShapeError
from featurekit.taps.hooks import Visit, attach, opened
from featurekit.taps.kept import Kept, is_rewritten, kept
from featurekit.taps.recomputation import Block, kept_in_recomputations

Change: TypeAlias = "Tensor | Callable[[Tensor], Tensor]"
"""What an activation is replaced by, or what makes it from the activation that was computed."""


@contextmanager
def inject(module: nn.Module, changes: Mapping[str, Change]) -> Iterator[None]:
    """Put other activations in the place of those that a network computes.

    What comes after an address goes on with the written activation. A ``capture`` opened inside
    this block reads it; one opened around it reads what was computed. Gradients pass through a
    callable, and reach a tensor that asks for them; with gradient checkpointing they are those of
    the changed network whether they are taken inside this block or later, and a callable is called
    again for them.

    Args:
        module: any network.
        changes: a tensor, or a callable that is given the activation and returns one, by the
            address to write to, as ``capture`` takes it; one for several addresses is
            ``dict.fromkeys(backbone.addresses("**.conv2").values(), change)``.

    Yields:
        Nothing; the network is restored at the end, also after an exception.

    Raises:
        UnknownNameError: an address names no submodule.
        ShapeError: what is to be written differs from the activation in shape, dtype or device.
        CaptureError: a part of the network may be passed over or is compiled; there is no one
            tensor at the address; the network is called inside a checkpoint that began before the
            block; or the block ends and an address was never reached, or the network wrote to the
            tensor that was given for it.
        ConfigError: the changes are no mapping.
    """
    opened(module, changes, of="changes must be what is written by address")
    given = _Given()

    @contextmanager
    def visited() -> Iterator[None]:
        with ExitStack() as hooks:
            for address, change in changes.items():
                visit = _writer(module, address, change, given, block)
                hooks.callback(attach(module, address, visit).remove)
            yield

    with kept_in_recomputations(module, visited) as block, visited():
        yield
    missed = [address for address in changes if address not in given.reached]
    if missed:
        raise CaptureError(
            f"an injection must be reached by a forward inside its block, {missed[0]!r} never was; "
            f"call the network inside the block and do not leave it earlier"
        )
    for address, tensor in given.written:
        tensor.read(
            f"the tensor for {address!r}", "give lambda activation: tensor.clone() in its place"
        )


class _Given:
    """What an injection has done so far."""

    def __init__(self) -> None:
        self.reached: set[str] = set()
        self.written: list[tuple[str, Kept]] = []


def _writer(network: nn.Module, address: str, change: Change, given: _Given, block: Block) -> Visit:
    """Make the visitor that replaces an activation."""

    def write(activation: Tensor) -> Tensor | None:
        if not block.is_meant():
            return None
        given.reached.add(address)
        if not isinstance(change, Tensor):
            written = change(activation)
            _check(address, activation, written)
            return written
        _check(address, activation, change)
        copy = kept(change, copied=is_rewritten(network))
        given.written.append((address, copy))
        return copy.tensor

    return write


def _check(address: str, activation: Tensor, written: object) -> None:
    if not isinstance(written, Tensor):
        raise ShapeError(
            f"what is written to {address} must be a tensor, got a {type(written).__name__}"
        )
    if written.shape != activation.shape:
        raise ShapeError(
            f"what is written to {address} must have the shape of the activation "
            f"{tuple(activation.shape)}, got {tuple(written.shape)}"
        )
    if (written.dtype, written.device) != (activation.dtype, activation.device):
        raise ShapeError(
            f"what is written to {address} must be {activation.dtype} on {activation.device}, as "
            f"the activation is, got {written.dtype} on {written.device}; move it first"
        )
