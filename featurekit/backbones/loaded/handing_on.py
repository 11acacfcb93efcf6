"""A backbone in another place: pickled by how it was loaded, copied with all that it is now."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any, TypeVar

from torch import nn

from featurekit.core.errors import BackboneError
from featurekit.taps.parts import having

Made = tuple[Callable[..., Any], Mapping[str, Any]]  # a function, and what it was called with
AnyBackbone = TypeVar("AnyBackbone")


def recipe_of(backbone: Any, origin: Made | None) -> Made:  # noqa: ANN401 - a family's class
    """Say how a backbone is loaded again, if that gives the same one.

    Args:
        backbone: of any family.
        origin: what made it.

    Returns:
        ``origin``.

    Raises:
        BackboneError: nobody said what made it, or something has been changed since.
    """
    if origin is None:
        raise BackboneError(
            f"a backbone is pickled by how it was loaded, which {backbone.name!r} does not know; "
            f"load it with load_backbone"
        )
    for name in _networks(backbone):
        hooked = _hooked(getattr(backbone, name))
        if hooked is not None:
            raise BackboneError(
                f"a backbone that is pickled must be as it was loaded, but {hooked} of the {name} "
                f"has a hook, which would stay behind; put it on where the backbone is unpickled"
            )
        if backbone.changed(name):
            raise BackboneError(
                f"a backbone that is pickled must be as it was loaded, but the {name} of "
                f"{backbone.name!r} has been changed since; make the change where it is "
                f"unpickled, or save the changed model as a diffusers folder and load that"
            )
    return origin


def made(make: Callable[..., Any], given: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """Load a backbone as another one was loaded; what a pickled one is read with.

    Args:
        make: function of a family.
        given: its arguments.

    Returns:
        The backbone.
    """
    return make(**given)


def copied(backbone: AnyBackbone, memo: dict[int, Any]) -> AnyBackbone:
    """Copy a backbone with its networks as they are now, changes included.

    Args:
        backbone: of any family.
        memo: what ``deepcopy`` has copied already.

    Returns:
        One that shares nothing which can be changed.

    Raises:
        BackboneError: hooks of diffusers cast or offload a network.
    """
    for name in _networks(backbone):
        if having(getattr(backbone, name), "_diffusers_hook"):
            raise BackboneError(
                f"a backbone is copied with its networks, but hooks of diffusers cast, offload or "
                f"cache the {name}, and they belong to that one alone; load another one"
            )
    rest = ("tokenizer", "prompts", "pipeline")  # a pipeline takes the copied networks
    parts = (*_networks(backbone), *(one for one in vars(backbone) if one.startswith(rest)))
    fresh = {name: deepcopy(getattr(backbone, name), memo) for name in parts}
    memo[id(backbone)] = found = replace(backbone, **fresh)  # type: ignore[type-var]
    return found


def _networks(backbone: object) -> list[str]:
    return [name for name, one in vars(backbone).items() if isinstance(one, nn.Module)]


def _hooked(network: nn.Module) -> str | None:
    """Name the first part of a network with a hook, which may change what it answers."""
    for path, part in network.named_modules():
        if part._forward_hooks or part._forward_pre_hooks:
            return path or "the whole"
    return None
