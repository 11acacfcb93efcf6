"""A stand-in for Apple's MPS: computes on the CPU and refuses what MPS refuses.

A float64 tensor that would come to lie there, operands on two devices, NumPy. What it lets pass may
still fail on such hardware.
"""

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

MPS, CPU = torch.device("mps"), torch.device("cpu")
HOME = ("cpu", "tolist", "item")  # leave the device
ACROSS = ("to", "copy_", "__getitem__", "__setitem__", "type_as", "to_mps", "set_", "__set__")
NO_DOUBLE = "cannot convert an MPS tensor to float64, which MPS does not support"


class OnMps(Tensor):
    """A tensor that says it is on MPS."""

    device = property(lambda self: MPS)

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return computed(func, args, kwargs or {})


def flat(value: object, found: list) -> list:
    """Leaves of lists, tuples and dicts; torch's own pytrees take ten times as long."""
    if isinstance(value, (list, tuple)):
        for one in value:
            flat(one, found)
    elif isinstance(value, dict):
        for one in value.values():
            flat(one, found)
    else:
        found.append(value)
    return found


def mapped(change, value: object) -> object:
    if isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
        made = [mapped(change, one) for one in value]
        return type(value)(*made) if hasattr(value, "_fields") else type(value)(made)
    if isinstance(value, dict):
        return {name: mapped(change, one) for name, one in value.items()}
    return change(value)


def is_mps(value: object) -> bool:
    if isinstance(value, OnMps):
        return True
    return isinstance(value, (str, torch.device)) and str(value).startswith("mps")


def arrived(value: object) -> object:
    """A result as it lies on the device."""
    if not isinstance(value, Tensor) or isinstance(value, OnMps):
        return value
    if value.dtype is torch.float64:
        raise TypeError(NO_DOUBLE)
    return value.as_subclass(OnMps)


def goes_home(name: str, given: list[object]) -> bool:
    """Whether the result of a call lies on the CPU."""
    to_cpu = any(isinstance(v, (str, torch.device)) and str(v).startswith("cpu") for v in given)
    like_cpu = name in ("to", "type_as") and any(
        isinstance(v, Tensor) and not isinstance(v, OnMps) for v in given[1:]
    )
    into_cpu = name in ("copy_", "__setitem__") and not isinstance(given[0], OnMps)
    return name in HOME or to_cpu or like_cpu or into_cpu


def computed(func, args, kwargs):
    """Compute a call on the CPU, or refuse it."""
    name = getattr(func, "__name__", "")
    with torch._C.DisableTorchFunctionSubclass():
        leaves = flat((args, kwargs), [])
        check(name, args, leaves)
        out = func(*mapped(without_mps, args), **mapped(without_mps, kwargs))
        if goes_home(name, [*args, *kwargs.values()]):
            return mapped(lambda v: v.as_subclass(Tensor) if isinstance(v, OnMps) else v, out)
        return mapped(arrived, out)


def check(name, args, leaves):
    """Refuse what MPS refuses."""
    if name in ("numpy", "__array__"):
        raise TypeError("cannot convert an MPS tensor to numpy, use Tensor.cpu() first")
    tensors = [v for v in leaves if isinstance(v, Tensor)]
    there = [v for v in tensors if isinstance(v, OnMps)]
    here = [v for v in tensors if not isinstance(v, OnMps) and v.ndim]
    if here and there and name not in ACROSS:
        raise RuntimeError(f"{name}: expected all tensors on one device, found mps and cpu")
    if name == "to" and isinstance(args[0], OnMps) and any(v is torch.float64 for v in leaves):
        raise TypeError(NO_DOUBLE)  # cast where it lies, as the order of work on MPS is not told


def without_mps(value: object) -> object:
    return CPU if isinstance(value, (str, torch.device)) and is_mps(value) else value


class Emulated(TorchFunctionMode):
    """Sends what touches MPS through ``computed``."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is not torch.device and any(map(is_mps, flat((args, kwargs), []))):
            return computed(func, args, kwargs)
        return func(*args, **kwargs)


OWN_TO = nn.Module.to


def module_to(self: nn.Module, *args, **kwargs) -> nn.Module:
    """``nn.Module.to`` that knows the device."""
    if not any(map(is_mps, [*args, *kwargs.values()])):
        return OWN_TO(self, *args, **kwargs)
    OWN_TO(self, *(one for one in args if isinstance(one, torch.dtype)))
    return moved(self)


def moved(network: nn.Module) -> nn.Module:
    """Put a network there, in place; its numbers stay where they are."""
    for part in network.modules():
        for name, weight in list(part._parameters.items()):
            if weight is not None:
                there = nn.Parameter(weight.detach().as_subclass(OnMps), weight.requires_grad)
                part._parameters[name] = there
        for name, buffer in list(part._buffers.items()):
            if buffer is not None:
                part._buffers[name] = buffer.as_subclass(OnMps)
    return network
