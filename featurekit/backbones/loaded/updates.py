"""Apply an update to a network only where it has its effect, and in every recomputation."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from typing import Protocol, TypeVar

from torch import Tensor, nn

from featurekit.core.errors import BackboneError
from featurekit.taps.parts import refuse_compiled, refuse_fused, refuse_stale
from featurekit.taps.recomputation import guarded, kept_in_recomputations


class _Update(Protocol):
    """A low-rank update: PATH.lora_A.weight and PATH.lora_B.weight for each layer."""

    @property
    def weights(self) -> Mapping[str, Tensor]: ...


U = TypeVar("U", bound=_Update, contravariant=True)


class _Applying(Protocol[U]):
    """Runs a network with an update while a block lasts."""

    def __call__(
        self, module: nn.Module, lora: U, strength: float = 1.0
    ) -> AbstractContextManager[None]: ...


def in_force(door: _Applying[U]) -> _Applying[U]:
    """Let an update be applied only where it has its effect, gradient checkpointing included.

    Args:
        door: applies an update to a network for the length of a block.

    Returns:
        The same, with reasons to refuse before any work. CaptureError: a part of the network may
        be passed over, a layer is compiled or fused, or the network is called inside a checkpoint
        that began before the block; or, during a backward pass, what is computed again ran before
        the block. BackboneError: a layer is stored in other numbers or elsewhere.
    """

    @wraps(door)
    @contextmanager
    def whole(module: nn.Module, lora: U, strength: float = 1.0) -> Iterator[None]:
        def again() -> AbstractContextManager[None]:
            return door(module, lora, strength)

        _refuse_without_effect(module, lora)
        with kept_in_recomputations(module, again) as block, guarded(module, block), again():
            yield

    return whole


def _refuse_without_effect(network: nn.Module, update: _Update) -> None:
    refuse_compiled(network)
    refuse_stale(network)
    parts = dict(network.named_modules())
    for path in sorted({name.rpartition(".lora_")[0] for name in update.weights}):
        if path in parts:  # what is not there is refused by name where it is looked for
            around, _, _ = refuse_compiled(network, path)[-1]
            refuse_fused(around, path)
            _refuse_stored_otherwise(parts[path], path)


def _refuse_stored_otherwise(layer: nn.Module, path: str) -> None:
    own = vars(layer)
    registry = own.get("_diffusers_hook")
    if registry is not None and registry.get_hook("layerwise_casting") is not None:
        raise BackboneError(
            f"{path} must be stored as it computes to be updated, but layer-wise casting stores it "
            f"in {next(layer.parameters()).dtype}; load the network again and leave it uncast"
        )
    offload = registry.get_hook("group_offloading") if registry is not None else None
    apart = offload is not None and offload.group.onload_device != offload.group.offload_device
    if apart or getattr(own.get("_hf_hook"), "offload", False):
        raise BackboneError(
            f"{path} must stay where it computes to be updated, but its weights are offloaded; "
            f"load the network again and leave it where it is"
        )
