"""What has been done to a network since it was loaded, found beside the same network fresh."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

_PLAIN = (bool, int, float, str, type(None), torch.dtype)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def first_change(found: nn.Module, fresh: nn.Module) -> str | None:
    """Name the first difference between a network and the same one as its files give it.

    Where it lies does not count, nor what only a training needs.

    Args:
        found: network.
        fresh: the same, loaded anew.

    Returns:
        What differs, in a few words; None where the two compute the same.
    """
    return next(_changes(found, fresh), None)


def _changes(found: nn.Module, fresh: nn.Module) -> Iterator[str]:
    parts, wanted = dict(found.named_modules()), dict(fresh.named_modules())
    for name in parts.keys() ^ wanted.keys():
        yield f"it has other parts, {name} among them"
    for name, part in parts.items():
        where = name or "the whole network"
        if type(part) is not type(wanted[name]):
            yield f"{where} is a {type(part).__name__}"
        if any(getattr(part, kind) for kind in _HOOKS):
            yield f"{where} has hooks"
        said, meant = (_settings(vars(one)) for one in (part, wanted[name]))
        for setting in said.keys() | meant.keys():
            if said.get(setting) != meant.get(setting):
                yield f"{setting} of {where} is {said.get(setting)}"
    yield from _other_numbers(_tensors(found), _tensors(fresh))


def _settings(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Plain attributes, and the class of an attention's processor."""
    kept = {name: value for name, value in attributes.items() if isinstance(value, _PLAIN)}
    kept.pop("name_or_path", None)  # another way to the same folder
    if "processor" in attributes:
        kept["processor"] = type(attributes["processor"]).__name__
    return kept


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def _other_numbers(found: Mapping[str, Tensor], fresh: Mapping[str, Tensor]) -> Iterator[str]:
    for name in found.keys() ^ fresh.keys():
        yield f"{name} is one too many or missing"
    for name, one in found.items():
        meant = fresh[name]
        if one.dtype != meant.dtype or one.shape != meant.shape:
            yield f"{name} is {one.dtype} {tuple(one.shape)}"
        elif not torch.equal(one.detach().cpu(), meant.detach().cpu()):
            yield f"the numbers of {name} are others"
