"""Numbers of a network that lie neither in its parameters nor in its buffers between two calls.

Offloading onto the meta device or to disk leaves nothing or anything at all in the network's own
tensors, and torch's quantised layers keep theirs in objects of their own.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from safetensors import safe_open
from torch import Tensor, nn

from featurekit.taps.parts import having

Numbers = Callable[[nn.Module, str, Tensor], Tensor]
"""A part, the name of one of its own tensors and that one, to the numbers that it computes with."""


def numbers_of(network: nn.Module) -> Numbers:
    """Make what finds the numbers of a network wherever an offloading keeps them.

    Args:
        network: any network.

    Returns:
        A finder for its parts; it gives the tensor itself where nothing keeps it elsewhere.
    """
    mapped: dict[int, tuple[Mapping[str, Tensor], str]] = {}
    for part in having(network, "_hf_hook"):
        for hook in _hooks(vars(part)["_hf_hook"]):
            kept = getattr(hook, "weights_map", None)
            if kept is not None:
                within = part.named_modules() if hook.place_submodules else [("", part)]
                mapped |= {id(one): (kept, f"{path}." if path else "") for path, one in within}
    filed = _filed(network)

    def find(part: nn.Module, name: str, tensor: Tensor) -> Tensor:
        if id(tensor) in filed:
            path, key = filed[id(tensor)]
            with safe_open(path, "pt") as file:
                found: Tensor = file.get_tensor(key)
                return found
        kept, before = mapped.get(id(part), ({}, ""))
        return kept[before + name] if tensor.is_meta and before + name in kept else tensor

    return find


def _filed(network: nn.Module) -> dict[int, tuple[str, str]]:
    """File and key of each tensor that diffusers has offloaded to disk, by identity."""
    found = {}
    for part in having(network, "_diffusers_hook"):
        hook: Any = vars(part)["_diffusers_hook"].get_hook("group_offloading")
        group: Any = getattr(hook, "group", None)
        if getattr(group, "_is_offloaded_to_disk", False):
            path = group.safetensors_file_path
            found.update({id(one): (path, key) for one, key in group.tensor_to_key.items()})
    return found


def _hooks(hook: Any) -> Iterator[Any]:  # noqa: ANN401 - accelerate is not typed
    """A hook of accelerate, or those that one consists of."""
    for one in getattr(hook, "hooks", ()):
        yield from _hooks(one)
    yield hook


def unpacked(name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Take a tensor apart that only wraps others, as quantised weights do.

    Args:
        name: what it is called.
        tensor: any tensor.

    Yields:
        Name and tensor of what it consists of; itself if it wraps none.
    """
    inner = getattr(tensor, "__tensor_flatten__", None)
    if inner is None:
        yield name, tensor
        return
    for one in inner()[0]:
        yield from unpacked(f"{name}.{one}", getattr(tensor, one))


def packed(part: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """List the numbers that a quantised layer of torch keeps in an object of its own.

    Args:
        part: any module.

    Yields:
        Name and numbers, not quantised.
    """
    own = getattr(part, "_weight_bias", None)
    for name, tensor in zip(("weight", "bias"), own() if own else (), strict=False):
        if tensor is not None:
            yield f"packed {name}", tensor.dequantize() if tensor.is_quantized else tensor
