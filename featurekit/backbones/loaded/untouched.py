"""Call networks of somebody else's, and leave them as they are."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from featurekit.core.errors import BackboneError
from featurekit.taps.parts import having
from featurekit.taps.recomputation import kept_in_recomputations

FITTED = "_fitted"  # attribute of weights that an update of ours is fitted through
_MOVING = ("group_offloading", "layerwise_casting")  # hooks that change weights in place


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Keep gradients from the weights of a network while a block calls it.

    They pass it and reach what it is given, and weights that ``fit_lora`` fits. Recomputations of
    gradient checkpointing are no other.

    Args:
        network: any network; its weights want gradients or not after the block, as before.

    Raises:
        BackboneError: a cache would answer from what the network was asked before.
    """
    _refuse_caches(network)
    if not torch.is_grad_enabled():  # then none reaches anything
        yield
        return
    wanting = list(_wanting(network))

    @contextmanager
    def without() -> Iterator[None]:
        _want(wanting, gradients=False)
        try:
            yield
        finally:
            _want(wanting, gradients=True)

    with (
        kept_in_recomputations(network, without) if wanting else nullcontext(),
        without(),
        remembered(network),
    ):
        yield


def _is_checkpointed(network: nn.Module) -> bool:
    name = "gradient_checkpointing"
    return any(vars(part)[name] for part in having(network, name))


def _is_lost(part: nn.Module) -> bool:
    """Tell whether a part that remembers its own weight may find other numbers in it."""
    registry = vars(part)["_diffusers_hook"]
    if registry.get_hook("layerwise_casting") is not None:
        return hasattr(part, "kernel_size")  # a convolution; others remember a view of theirs
    group: Any = getattr(registry.get_hook("group_offloading"), "group", None)
    if group is None:
        return False
    apart = torch.device(group.onload_device) != torch.device(group.offload_device)
    return apart or bool(group.offload_to_disk_path)


def _wanting(network: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """Weights that want gradients, by their place: an offloading puts others there."""
    inside = [network]
    for part in inside:  # grows while it is walked: many times faster than named_parameters
        for name, weight in part._parameters.items():
            if weight is not None and weight.requires_grad and not hasattr(weight, FITTED):
                yield part, name
        inside += [one for one in part._modules.values() if one is not None]


def remembered(network: nn.Module) -> AbstractContextManager[object]:
    """Let the way back use the weights of the way there while a block calls a network.

    Some layers remember the weight itself, and hooks of diffusers put other numbers into it as soon
    as a layer has run. What is detached keeps the numbers that it had.

    Args:
        network: any network.

    Returns:
        The block; one that does nothing where no hook changes weights, or no gradient is wanted.

    Raises:
        BackboneError: gradient checkpointing would remember weights that are changed.
    """
    if not torch.is_grad_enabled():
        return nullcontext()
    parts = having(network, "_diffusers_hook")
    if any(map(_is_lost, parts)) and _is_checkpointed(network):
        raise BackboneError(
            f"the weights of a {type(network).__name__} must stay what they are until the way back "
            f"for gradient checkpointing to be right, but a layer-wise cast or a group offload "
            f"changes them; call its disable_gradient_checkpointing(), or ask under torch.no_grad()"
        )
    if not any(name in vars(part)["_diffusers_hook"].hooks for part in parts for name in _MOVING):
        return nullcontext()
    return saved_tensors_hooks(
        lambda saved: saved if saved.requires_grad else saved.detach(), lambda saved: saved
    )


@contextmanager
def upcast(vae: nn.Module) -> Iterator[torch.dtype]:
    """Let an autoencoder compute in numbers that do not overflow.

    One that is stored in float16 and says that it overflows there is cast while the block runs, as
    the stock pipelines do; back again it has the same bits.

    Args:
        vae: an autoencoder of diffusers.

    Yields:
        What it computes in.

    Raises:
        BackboneError: it would have to be cast, but a layer-wise cast does that already.
    """
    stored: torch.dtype = vae.dtype  # type: ignore[assignment]
    config = getattr(vae, "config", {})
    if stored != torch.float16 or not config.get("force_upcast", False):
        yield stored
        return
    for part in having(vae, "_diffusers_hook"):
        if vars(part)["_diffusers_hook"].get_hook("layerwise_casting") is not None:
            raise BackboneError(
                "an autoencoder that overflows in float16 must compute in other numbers, but a "
                "layer-wise cast has this one compute in float16; enable it with "
                "compute_dtype=torch.float32 or torch.bfloat16"
            )
    before = {at: weight.dtype for at, weight in _floating(vae)}
    nn.Module.to(vae, torch.float32)
    try:
        yield torch.float32
    finally:
        for at, weight in _floating(vae):
            weight.data = weight.data.to(before.get(at, stored))


def _floating(network: nn.Module) -> Iterator[tuple[tuple[int, str], Tensor]]:
    """Numbers of a network by their place; an offloading puts other tensors there."""
    for part in network.modules():
        for name, one in (*part._parameters.items(), *part._buffers.items()):
            if one is not None and one.is_floating_point():
                yield (id(part), name), one


def _want(weights: Iterable[tuple[nn.Module, str]], *, gradients: bool) -> None:
    for part, name in weights:
        weight = part._parameters[name]
        if weight is not None:
            weight.requires_grad_(gradients)


def _refuse_caches(network: nn.Module) -> None:
    for part in having(network, "_diffusers_hook"):
        for name, hook in vars(part)["_diffusers_hook"].hooks.items():
            if getattr(hook, "_is_stateful", False):
                raise BackboneError(
                    f"the network of a wrapped pipeline must answer alike at every call, but it "
                    f"has the cache {name!r}, which answers from earlier calls; take it off "
                    f"first, as disable_cache() does"
                )
