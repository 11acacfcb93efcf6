"""Put a visitor at an address of a network; refuse an address whose module may be passed over."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from featurekit.core.errors import CaptureError, ConfigError, UnknownNameError
from featurekit.taps.addresses import split_address

Visit: TypeAlias = Callable[[Tensor], "Tensor | None"]
"""Is given an activation; what it returns takes its place, None leaves it as it is."""

_Given: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]  # what a module is called with
_HARMLESS = {  # hooks of diffusers that move or cast weights and run all there is
    "group_offloading",
    "layer_execution_tracker",
    "lazy_prefetch_group_offloading",
    "layerwise_casting",
    "peft_autocast_disable",
}
_WRAPPED = "_orig_mod"  # what torch.compile puts a module in as
_NAMES = "names, roles and globs become addresses by backbone.addresses(...)"
_SKIPS = "res_hidden_states_tuple"  # what diffusers' up blocks call them
_HIDDEN = "hidden_states"  # what diffusers' blocks call their first input
_UNFUSED = ("AttnProcessor", "XFormersAttn", "SlicedAttn")  # these read to_q, to_k, to_v
_FUSED = {"to_q": False, "to_k": True, "to_v": True}  # by projection: also where words are read


def opened(network: nn.Module, addresses: Mapping[str, object], *, of: str) -> dict[str, nn.Module]:
    """List the parts of a network that is to be visited, once it is known to run all of them.

    Args:
        network: what is to be read or written.
        addresses: what a context manager was given, to be a mapping.
        of: what the caller calls it, for the message.

    Returns:
        Every part by its path, as in ``named_modules``.

    Raises:
        CaptureError: the network is none, is compiled, or a part may be passed over.
        ConfigError: there is no mapping.
    """
    if not isinstance(network, nn.Module):
        raise CaptureError(
            f"a network must be a torch module, got {type(network).__name__}; give that of a "
            f"backbone, as in capture(backbone.unet, backbone.addresses('up1', 'cross_q'))"
        )
    if not isinstance(addresses, Mapping):
        raise ConfigError(
            f"{of}, got {type(addresses).__name__}; backbone.addresses('up1', 'cross_q') finds the "
            f"addresses that names, roles and globs mean"
        )
    modules = dict(network.named_modules())
    _refuse_compiled(modules, "")
    refuse_stale(modules)
    return modules


def attach(modules: Mapping[str, nn.Module], address: str, visit: Visit) -> RemovableHandle:
    """Let a visitor see, and change if it likes, the activation at an address.

    Visitors of one address are called in the order in which they were put there, each with what
    the one before it left.

    Args:
        modules: submodules by path, as ``opened`` lists them; the network itself has the path "".
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
    if not path or path not in modules:
        raise UnknownNameError("submodule", path, filter(None, modules), _NAMES)
    for outer in _chain(path):
        _refuse_compiled(modules, outer, path)
    _refuse_fused(modules, path)
    visit = _staying(modules, path, visit)
    if side == "out":
        return modules[path].register_forward_hook(_after(path, visit))
    if side == "map":
        raise CaptureError(
            f"an attention map must be computed to be read, got {address!r}; use attention_maps"
        )
    if side != "in" and not (side.startswith("skip") and side[4:].isdecimal()):
        raise UnknownNameError("side of a submodule", side, ("in", "out", "map", "skip0", "skip1"))
    return modules[path].register_forward_pre_hook(_before(path, side, visit), with_kwargs=True)


def refuse_stale(modules: Mapping[str, nn.Module]) -> None:
    """Refuse a network of which a forward may leave a part out, or run another in its place.

    Whatever lies around such a part or comes after it would be stale, so all is refused.

    Args:
        modules: every part by its path.

    Raises:
        CaptureError: a part has a cache or skip hook of diffusers, or another library has
            replaced its forward.
    """
    for path, part in modules.items():
        registry = vars(part).get("_diffusers_hook")
        for name in getattr(registry, "hooks", ()):
            if name not in _HARMLESS:
                raise CaptureError(
                    f"every part of a network must be computed at every call for it to be read, "
                    f"but {path or 'the network'} has the hook {name!r}, which may skip it; "
                    f"remove the cache first"
                )
        if _replaced(part):
            raise CaptureError(
                f"every part of a network must be computed as it is for it to be read, but the "
                f"forward of {path or 'the network'} has been replaced; undo what replaced it first"
            )


def _refuse_compiled(modules: Mapping[str, nn.Module], outer: str, path: str = "") -> None:
    """Refuse a part whose forward runs what was traced before a visitor came."""
    part, where = modules.get(outer), outer or "the network"
    wrapped = _WRAPPED in getattr(part, "_modules", ())
    if not wrapped and getattr(part, "_compiled_call_impl", None) is None:
        return
    advice = f"call and read its {_WRAPPED}" if wrapped else "read a deepcopy of it, which is not"
    raise CaptureError(
        f"{path or 'a network'} must run uncompiled to be read, but {where} is compiled, and what "
        f"was traced knows no taps; {advice}, or read before it is compiled"
    )


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


def _replaced(part: nn.Module) -> bool:
    """Tell whether a forward was set on the instance; hooks that pass on to its own one do that."""
    own = vars(part)
    if "forward" not in own or _WRAPPED in part._modules:
        return False
    kept = [own["forward"]]
    if "_hf_hook" in own:  # accelerate's offloading
        kept.append(own.get("_old_forward"))
    for innermost in getattr(own.get("_diffusers_hook"), "_fn_refs", [])[:1]:
        kept.append(innermost.original_forward or innermost.forward)
    functions = [getattr(forward, "__func__", None) for forward in kept]
    return type(part).forward not in functions


def _staying(modules: Mapping[str, nn.Module], path: str, visit: Visit) -> Visit:
    """Refuse to visit a module that another one has taken the place of, such as a LoRA's layer."""
    network, module = modules.get(""), modules[path]

    def visited(activation: Tensor) -> Tensor | None:
        now: nn.Module | None = network
        for name in path.split(".") if network is not None else ():
            now = now._modules.get(name) if now is not None else None
        if network is not None and now is not module:
            raise CaptureError(
                f"{path} must stay the module that was found there, but it is now a "
                f"{type(now).__name__}; open this block inside the one that changes it"
            )
        return visit(activation)

    return visited


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
