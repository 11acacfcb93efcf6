"""Put a visitor at an address of a network; refuse an address whose module may be passed over."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from featurekit.addresses import split_address
from featurekit.errors import CaptureError, UnknownNameError

Visit: TypeAlias = Callable[[Tensor], "Tensor | None"]
"""Is given an activation; what it returns takes its place, None leaves it as it is."""

_Given: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]  # what a module is called with
_HARMLESS = {"group_offloading", "layerwise_casting", "peft_autocast_disable"}  # diffusers' own
_SKIPS = "res_hidden_states_tuple"  # what diffusers' up blocks call them
_HIDDEN = "hidden_states"  # what diffusers' blocks call their first input
_UNFUSED = ("AttnProcessor", "XFormersAttn", "SlicedAttn")  # these read to_q, to_k, to_v
_FUSED = {"to_q": False, "to_k": True, "to_v": True}  # by projection: also where words are read


def attach(modules: Mapping[str, nn.Module], address: str, visit: Visit) -> RemovableHandle:
    """Let a visitor see, and change if it likes, the activation at an address.

    Visitors of one address are called in the order in which they were put there, each with what
    the one before it left.

    Args:
        modules: submodules by path, as in ``named_modules``; the network itself has the path "".
        address: as ``split_address`` reads it.
        visit: called with the activation whenever the module runs.

    Returns:
        A handle that takes the visitor away.

    Raises:
        UnknownNameError: the path names no submodule, or modules have no such side.
        CaptureError: the module may be passed over or answer from a cache, so that what is read
            would be stale; or, during a forward, there is no one tensor at the address.
    """
    path, side = split_address(address)
    if not path or path not in modules:
        raise UnknownNameError("submodule", path, filter(None, modules))
    refuse_stale(modules, path)
    if side == "out":
        return modules[path].register_forward_hook(_after(path, visit))
    if side == "map":
        raise CaptureError(
            f"an attention map must be computed to be read, got {address!r}; use attention_maps"
        )
    if side != "in" and not (side.startswith("skip") and side[4:].isdecimal()):
        raise UnknownNameError("side of a submodule", side, ("in", "out", "map", "skip0", "skip1"))
    return modules[path].register_forward_pre_hook(_before(path, side, visit), with_kwargs=True)


def refuse_stale(modules: Mapping[str, nn.Module], path: str) -> None:
    """Refuse a submodule that a forward may not run, or not with what it would be given.

    Args:
        modules: submodules by path.
        path: of one of them.

    Raises:
        CaptureError: a cache or skip hook of diffusers sits on it or around it, another library
            has replaced a forward around it, or it is a projection that has been fused.
    """
    for outer in _chain(path):
        hooks = getattr(modules.get(outer), "_diffusers_hook", None)
        for name in getattr(hooks, "hooks", {}):
            if name not in _HARMLESS:
                raise CaptureError(
                    f"{path} must be computed at every call to be read, but "
                    f"{outer or 'the network'} has the hook {name!r}, which may skip it; "
                    f"remove the cache first"
                )
        if outer and hooks is None and _replaced(modules[outer]):
            raise CaptureError(
                f"{path} must be computed at every call to be read, but the forward of {outer} "
                f"has been replaced; undo what replaced it first"
            )
    _refuse_fused(modules, path)


def _refuse_fused(modules: Mapping[str, nn.Module], path: str) -> None:
    parent, _, name = path.rpartition(".")
    attention = modules.get(parent)
    processor = type(getattr(attention, "processor", None)).__name__
    # diffusers leaves the flag set when it is undone and puts the own processors back
    if not getattr(attention, "fused_projections", False) or processor.startswith(_UNFUSED):
        return
    if name not in _FUSED:
        return
    if _FUSED[name] or not getattr(attention, "is_cross_attention", False):
        raise CaptureError(
            f"{path} must run to be read, but fuse_qkv_projections has put another projection in "
            f"its place; call unfuse_qkv_projections first"
        )


def _chain(path: str) -> Iterator[str]:
    """The network, each part around a submodule, and the submodule."""
    yield ""
    parts = path.split(".")
    for end in range(1, len(parts) + 1):
        yield ".".join(parts[:end])


def _replaced(module: nn.Module) -> bool:
    """Tell whether a forward was set on the instance; accelerate's offloading does so as well."""
    return "forward" in vars(module) and not hasattr(module, "_hf_hook")


def _after(path: str, visit: Visit) -> Callable[[nn.Module, object, object], object]:
    """Make a forward hook; without a change it returns None, so the output stays the very same."""

    def hook(module: nn.Module, inputs: object, output: object) -> object:
        changed = visit(_tensor(output, path))
        if changed is None:
            return None
        return (changed,) if isinstance(output, tuple) else changed

    return hook


def _before(
    path: str, side: str, visit: Visit
) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], _Given | None]:
    """Make a hook for what a module is given."""

    def hook(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> _Given | None:
        if side != "in":
            return _visit_skip(path, given, named, int(side[4:]), visit)
        first = given[0] if given else named.get(_HIDDEN)
        changed = visit(_tensor(first, f"{path}:in"))
        if changed is None:
            return None
        if given:
            return (changed, *given[1:]), named
        return given, named | {_HIDDEN: changed}

    return hook


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
