"""Put a visitor at an address of a network; refuse an address whose module may be passed over."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from featurekit.core.errors import CaptureError, ConfigError, UnknownNameError
from featurekit.taps.addresses import split_address
from featurekit.taps.parts import Link, along, refuse_compiled, refuse_fused, refuse_stale

Visit: TypeAlias = Callable[[Tensor], "Tensor | None"]
"""Is given an activation; what it returns takes its place, None leaves it as it is."""

_Given: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]  # what a module is called with
_SKIPS = "res_hidden_states_tuple"  # what diffusers' up blocks call them
_SIDES = ("in", "out", "out0", "out1", "map", "skip0", "skip1")
_HIDDEN = "hidden_states"  # what diffusers' blocks call their first input


def opened(network: nn.Module, addresses: Mapping[str, object], *, of: str) -> None:
    """Refuse what is no network, or one of which some part may not run as it is.

    Args:
        network: what is to be read or written.
        addresses: what a context manager was given, to be a mapping.
        of: what the caller calls it, for the message.

    Raises:
        CaptureError: the network is none, is compiled, or a part may be passed over.
        ConfigError: there is no mapping.
    """
    if not isinstance(network, nn.Module):
        raise CaptureError(
            f"a network must be a torch module, got {type(network).__name__}; give that of a "
            f"backbone, as in capture(backbone.denoiser, backbone.addresses('up1', 'cross_q'))"
        )
    if not isinstance(addresses, Mapping):
        raise ConfigError(
            f"{of}, got {type(addresses).__name__}; backbone.addresses('up1', 'cross_q') finds the "
            f"addresses that names, roles and globs mean"
        )
    refuse_compiled(network)
    refuse_stale(network)


def attach(network: nn.Module, address: str, visit: Visit) -> RemovableHandle:
    """Let a visitor see, and change if it likes, the activation at an address.

    Visitors of one address are called in the order in which they were put there, each with what
    the one before it left.

    Args:
        network: what ``opened`` has let pass.
        address: as ``split_address`` reads it.
        visit: called with the activation whenever the module runs.

    Returns:
        A handle that takes the visitor away.

    Raises:
        UnknownNameError: the path names no submodule, or modules have no such side.
        CaptureError: the module is part of a compiled one, or its projection is fused; or, during
            a forward, there is no one tensor at the address, or another module has come there.
    """
    path, side = split_address(address)
    if not path:
        along(network, path)  # the network is no part of itself: says so
    links = refuse_compiled(network, path)
    around, _, module = links[-1]
    refuse_fused(around, path)
    if side == "out":
        return module.register_forward_hook(_after(links, path, visit))
    if side.startswith("out") and side[3:].isdecimal():
        return module.register_forward_hook(_after_one(links, path, int(side[3:]), visit))
    if side == "map":
        raise CaptureError(
            f"an attention map must be computed to be read, got {address!r}; use attention_maps"
        )
    if side != "in" and not (side.startswith("skip") and side[4:].isdecimal()):
        raise UnknownNameError("side of a submodule", side, _SIDES)
    return module.register_forward_pre_hook(_before(links, path, side, visit), with_kwargs=True)


def _check_staying(links: Sequence[Link], path: str) -> None:
    """Refuse a module that another one has taken the place of, such as a LoRA's layer."""
    for around, name, part in links:
        if around._modules.get(name) is not part:
            now = dict(links[0][0].named_modules()).get(path)
            raise CaptureError(
                f"{path} must stay the module that was found there, but it is now a "
                f"{type(now).__name__}; open this block inside the one that changes it"
            )


def _after(
    links: Sequence[Link], path: str, visit: Visit
) -> Callable[[nn.Module, object, object], object]:
    """Make a forward hook; without a change it returns None, so the output stays the very same."""

    def hook(module: nn.Module, inputs: object, output: object) -> object:
        _check_staying(links, path)
        changed = visit(output if isinstance(output, Tensor) else _tensor(output, path))
        if changed is None:
            return None
        return (changed,) if isinstance(output, tuple) else changed

    return hook


def _after_one(
    links: Sequence[Link], path: str, number: int, visit: Visit
) -> Callable[[nn.Module, object, object], object]:
    """Make a forward hook for one tensor of an output that is a tuple."""

    def hook(module: nn.Module, inputs: object, output: object) -> object:
        _check_staying(links, path)
        if not isinstance(output, tuple) or number >= len(output):
            found = f"a tuple of {len(output)}" if isinstance(output, tuple) else _kind(output)
            raise CaptureError(
                f"submodule {path!r} must return a tuple with a tensor at {number} to be read as "
                f"out{number}, got {found}"
            )
        if not isinstance(output[number], Tensor):
            raise CaptureError(
                f"submodule {path!r} must return a tensor at {number} of its tuple, "
                f"got {_kind(output[number])}"
            )
        changed = visit(output[number])
        return None if changed is None else (*output[:number], changed, *output[number + 1 :])

    return hook


def _kind(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _before(
    links: Sequence[Link], path: str, side: str, visit: Visit
) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], _Given | None]:
    """Make a hook for what a module is given."""

    def hook(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> _Given | None:
        _check_staying(links, path)
        if side != "in":
            return _visit_skip(path, given, named, int(side[4:]), visit)
        changed = visit(_tensor(first_input(given, named), f"{path}:in"))
        if changed is None:
            return None
        if given:
            return (changed, *given[1:]), named
        return given, named | {_HIDDEN: changed}

    return hook


def first_input(given: tuple[Any, ...], named: Mapping[str, Any]) -> object:
    """Find the first input of a call in the way diffusers names it.

    Args:
        given: what a module is called with by position.
        named: and by name.

    Returns:
        The input, or None where there is none.
    """
    return given[0] if given else named.get(_HIDDEN)


def _visit_skip(
    path: str, given: tuple[Any, ...], named: dict[str, Any], number: int, visit: Visit
) -> _Given | None:
    """A block takes its skips from the end of the tuple, one for each resnet."""
    skips = named.get(_SKIPS)
    if not isinstance(skips, tuple) or number >= len(skips):
        found = f"{len(skips)} of them" if isinstance(skips, tuple) else "none"
        raise CaptureError(f"{path} must be given {_SKIPS} to read skip{number}, got {found}")
    place = len(skips) - 1 - number
    changed = visit(skips[place])
    if changed is None:
        return None
    return given, named | {_SKIPS: (*skips[:place], changed, *skips[place + 1 :])}


def _tensor(value: object, where: str) -> Tensor:
    """Diffusers' attentions return their one tensor in a tuple; nothing else is unpacked."""
    if isinstance(value, tuple) and len(value) == 1:
        value = value[0]
    if isinstance(value, Tensor):
        return value
    size = f" of {len(value)}" if isinstance(value, tuple) else ""
    raise CaptureError(
        f"submodule {where!r} must return a tensor to be captured, "
        f"got a {type(value).__name__}{size}; name one of its parts instead"
    )
