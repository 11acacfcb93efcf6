"""What a layer computes in, and where: casts and offloading store its weights otherwise."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


def compute_dtype(*layers: nn.Module) -> torch.dtype:
    """Find what a layer computes in.

    Args:
        layers: a layer, and where its weights do not say, such as quantised ones, what it is part
            of.

    Returns:
        The compute dtype of the layer-wise cast of the first weight that has one; else the dtype of
        the first weight in numbers that are computed in: floating, of more than one byte.
    """
    for layer in layers:
        for path, weight in layer.named_parameters():
            for part in (layer, layer.get_submodule(path.rpartition(".")[0])):
                cast = _hook(part, "layerwise_casting")
                if cast is not None:
                    found: torch.dtype = cast.compute_dtype
                    return found
            if weight.dtype.is_floating_point and weight.dtype.itemsize > 1:
                return weight.dtype
    return torch.get_default_dtype()


def running_device(layer: nn.Module, network: nn.Module) -> torch.device:
    """Find where a layer computes.

    Args:
        layer: a layer with a weight.
        network: what it is part of.

    Returns:
        The device that an offloading of diffusers or accelerate moves it to, if there is one; else
        that of its weight.
    """
    for part in (layer, network):
        offload = _hook(part, "group_offloading")
        if offload is not None:
            return torch.device(offload.group.onload_device)
        moved = getattr(vars(part).get("_hf_hook"), "execution_device", None)
        if moved is not None:
            return torch.device(moved)
    weight: Tensor = next(layer.parameters())
    return weight.device


def layers_of(network: nn.Module) -> Iterator[nn.Module]:
    """Walk the layers of a network.

    Args:
        network: any network.

    Yields:
        Parts with a weight of their own, in the order in which the network lists them.
    """
    return (
        part for part in network.modules() if next(part.parameters(recurse=False), None) is not None
    )


def is_moved(network: nn.Module) -> bool:
    """Tell whether an offloading brings the weights of a network to where they compute.

    Args:
        network: any network.

    Returns:
        True where accelerate or diffusers has put such a hook on it or on a part of it.
    """
    return any(
        "_hf_hook" in vars(part) or _hook(part, "group_offloading") is not None
        for part in network.modules()
    )


def _hook(part: nn.Module, name: str) -> Any:  # noqa: ANN401 - diffusers is not typed
    registry = vars(part).get("_diffusers_hook")
    return None if registry is None else registry.get_hook(name)
