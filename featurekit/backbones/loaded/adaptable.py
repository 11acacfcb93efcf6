"""Layers of a network that a low-rank update can be for."""

from collections.abc import Collection, Sequence

from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from featurekit.core.errors import BackboneError, ConfigError, UnknownNameError
from featurekit.taps.compiled import is_compiled

DOWN, UP = ".lora_A.weight", ".lora_B.weight"  # peft's own names, so others can read the file


def _adaptable(module: nn.Module) -> list[str]:
    """Paths of the layers that an update can be for, in the order of the network."""
    parts = [(path, part) for path, part in module.named_modules() if path]
    if any(is_compiled(part) for _, part in parts):
        raise BackboneError("a network is fitted and updated uncompiled; load it without compile")
    found = [path for path, part in parts if isinstance(part, BaseTunerLayer)]
    if found:
        raise BackboneError(
            f"the network must carry no adapter yet, found one at {found[0]}; leave its block first"
        )
    return [path for path, part in parts if _takes_an_update(part)]


def _takes_an_update(part: nn.Module) -> bool:
    """Tell whether a layer is linear in all its inputs at once."""
    return isinstance(part, nn.Linear) or (isinstance(part, nn.Conv2d) and part.groups == 1)


def ending_with(module: nn.Module, targets: Sequence[str]) -> list[str]:
    """List layers whose path ends with a target.

    Args:
        module: network.
        targets: ends of module paths.

    Returns:
        Paths, in the order of the network.

    Raises:
        UnknownNameError: a target names no linear or convolution layer.
        BackboneError: the network carries an adapter or is compiled, or a layer's weights have
            fewer than 16 bits.
    """
    known = _adaptable(module)
    for target in targets:
        if not any(f".{path}".endswith(f".{target}") for path in known):
            raise UnknownNameError("linear or convolution layer", target, known)
    paths = [path for path in known if any(f".{path}".endswith(f".{end}") for end in targets)]
    return _precise(module, paths)


def updated_by(module: nn.Module, weights: Collection[str]) -> list[str]:
    """List layers that an update is for; each must exist and have both halves.

    Args:
        module: network.
        weights: names of the halves.

    Returns:
        Paths, in the order of the network.

    Raises:
        ConfigError: half of an update is missing.
        UnknownNameError: the network has no such layer.
        BackboneError: as for ``ending_with``.
    """
    paths = {key.removesuffix(DOWN).removesuffix(UP) for key in weights}
    if not paths or {path + end for path in paths for end in (DOWN, UP)} != set(weights):
        raise ConfigError(
            f"an update must hold PATH{DOWN} and PATH{UP} for each layer, got "
            f"{len(weights)} tensors for {len(paths)} layers: {sorted(weights)[:2]}"
        )
    known = _adaptable(module)
    for path in sorted(paths.difference(known)):
        raise UnknownNameError("linear or convolution layer", path, known)
    return _precise(module, [path for path in known if path in paths])


def _precise(module: nn.Module, paths: Sequence[str]) -> list[str]:
    """The paths, once their weights are such that an update is not lost when it is added."""
    for path in paths:
        dtype = module.get_parameter(f"{path}.weight").dtype
        if not dtype.is_floating_point or dtype.itemsize < 2:
            raise BackboneError(
                f"weights must be floating-point numbers of 16 bits or more to take an update, "
                f"those of {path} are {str(dtype).removeprefix('torch.')}; load the network in "
                f"float32, bfloat16 or float16, or fit no LoRA (lora_steps=0)"
            )
    return list(paths)
