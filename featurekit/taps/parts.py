"""Parts of a network as they are now; refuse those that a forward may pass over or has compiled.

Nothing is remembered of a network between two calls: whatever was added, replaced or hooked since
is seen. What every block costs is one walk over all parts that asks each a single question.
To compare all parts with a remembered listing takes more than half as long, and such a listing
would keep in memory what was taken out of the network.
"""

from typing import TypeAlias

from torch import nn

from featurekit.core.errors import CaptureError, UnknownNameError
from featurekit.taps.compiled import is_compiled

HARMLESS = {  # hooks of diffusers that move or cast weights and run all there is
    "group_offloading",
    "layer_execution_tracker",
    "lazy_prefetch_group_offloading",
    "layerwise_casting",
    "peft_autocast_disable",
}
_WRAPPED = "_orig_mod"  # what torch.compile puts a module in as
_NAMES = "names, roles and globs become addresses by backbone.addresses(...)"
_UNFUSED = ("AttnProcessor", "XFormersAttn", "SlicedAttn")  # these read to_q, to_k, to_v
_FUSED = {"to_q": False, "to_k": True, "to_v": True}  # by projection: also where words are read

Link: TypeAlias = tuple[nn.Module, str, nn.Module]
"""A part, the name of one inside it, and that one."""


def along(network: nn.Module, path: str) -> list[Link]:
    """Find the way to a part of a network.

    Args:
        network: any network.
        path: of the part, as in ``named_modules``; not the network itself.

    Returns:
        A link for each name of the path: the first begins at the network, the last ends at the
        part that is meant.

    Raises:
        UnknownNameError: the path names no submodule.
    """
    links, part = [], network
    for name in path.split("."):
        inner = part._modules.get(name)
        if inner is None:
            known = [other for other, _ in network.named_modules() if other]
            raise UnknownNameError("submodule", path, known, _NAMES)
        links.append((part, name, inner))
        part = inner
    return links


def having(network: nn.Module, attribute: str) -> list[nn.Module]:
    """List the parts of a network that have an attribute of their own, not their class's.

    Args:
        network: any network.
        attribute: its name.

    Returns:
        Parts, the network first where it has it; a part with two paths comes twice.
    """
    own = network.__dict__
    marked = [network] if attribute in own else []
    inside = [own["_modules"]]
    for parts in inside:  # grows while it is walked: many times faster than named_modules
        for part in parts.values():
            if part is None:  # a place that was kept free
                continue
            own = part.__dict__
            if attribute in own:
                marked.append(part)
            if own["_modules"]:
                inside.append(own["_modules"])
    return marked


def refuse_stale(network: nn.Module) -> None:
    """Refuse a network of which a forward may leave a part out, or run another in its place.

    Whatever lies around such a part or comes after it would be stale, so all is refused.

    Args:
        network: what is to be read or written.

    Raises:
        CaptureError: a part has a cache or skip hook of diffusers, or another library has
            replaced its forward.
    """
    # every such hook sets a forward on the part; names are only sought where there is an offender
    if any(map(_why, having(network, "forward"))):
        for path, part in network.named_modules():
            reason = _why(part)
            if reason:
                raise CaptureError(reason.format(where=path or "the network"))


def _why(part: nn.Module) -> str:
    """What is wrong with a part that may not run as it is; nothing of one that does."""
    for name in getattr(vars(part).get("_diffusers_hook"), "hooks", ()):
        if name not in HARMLESS:
            return (
                f"every part of a network must be computed at every call for it to be read, but "
                f"{{where}} has the hook {name!r}, which may skip it; remove the cache first"
            )
    if "forward" in vars(part) and _replaced(part):
        return (
            "every part of a network must be computed as it is for it to be read, but the forward "
            "of {where} has been replaced; undo what replaced it first"
        )
    return ""


def refuse_compiled(network: nn.Module, path: str = "") -> list[Link]:
    """Refuse a part whose forward, or that of a part around it, runs what was traced before.

    Args:
        network: what is to be read or written.
        path: of the part; the empty one is the network.

    Returns:
        The way to the part, as ``along`` finds it; nothing for the network.

    Raises:
        UnknownNameError: the path names no submodule.
        CaptureError: one of them is compiled.
    """
    links = along(network, path) if path else []
    parts = [network, *[inner for _, _, inner in links]]
    for part in parts:
        if part._compiled_call_impl is not None or _WRAPPED in part._modules:
            where = ".".join(path.split(".")[: parts.index(part)])
            raise _compiled(part, where or "the network", path or "a network")
        if is_compiled(part) and part is not parts[-1]:
            where = ".".join(path.split(".")[: parts.index(part)])
            raise CaptureError(
                f"{path} must run uncompiled to be read or changed, but it lies inside {where}, "
                f"which compile has compiled; read {where} itself, or load without compile"
            )
    return links


def _compiled(part: nn.Module, where: str, what: str) -> CaptureError:
    wrapped = _WRAPPED in part._modules
    advice = f"call and read its {_WRAPPED}" if wrapped else "read a deepcopy of it, which is not"
    return CaptureError(
        f"{what} must run uncompiled to be read, but {where} is compiled, and what was traced "
        f"knows no taps; {advice}, or read before it is compiled"
    )


def refuse_fused(attention: nn.Module, path: str) -> None:
    """Refuse a projection of an attention in the place of which another one runs.

    Args:
        attention: the part around the one that is meant, whatever it is.
        path: of the part that is meant.

    Raises:
        CaptureError: it is fused with others.
    """
    name = path.rpartition(".")[2]
    if name not in _FUSED or not getattr(attention, "fused_projections", False):
        return
    # diffusers leaves the flag set when it is undone and puts the own processors back
    if type(getattr(attention, "processor", None)).__name__.startswith(_UNFUSED):
        return
    if _FUSED[name] or not getattr(attention, "is_cross_attention", False):
        raise CaptureError(
            f"{path} must run to be read, but fuse_qkv_projections has put another projection in "
            f"its place; call unfuse_qkv_projections first"
        )


def _replaced(part: nn.Module) -> bool:
    """Tell whether a forward was set on the instance; hooks that pass on to its own one do that."""
    own = vars(part)
    if _WRAPPED in part._modules or is_compiled(part):
        return False
    kept = [own["forward"]]
    if "_hf_hook" in own:  # accelerate's offloading
        kept.append(own.get("_old_forward"))
    for innermost in getattr(own.get("_diffusers_hook"), "_fn_refs", [])[:1]:
        kept.append(innermost.original_forward or innermost.forward)
    functions = [getattr(forward, "__func__", None) for forward in kept]
    return type(part).forward not in functions
