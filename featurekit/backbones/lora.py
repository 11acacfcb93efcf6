"""Low-rank adaptation: fit a small update to a network, apply it for one block."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from featurekit.backbones.loaded.untouched import FITTED
from featurekit.backbones.loaded.updates import in_force
from featurekit.core.errors import (
    BackboneError,
    ConfigError,
    ShapeError,
    TrainingError,
    UnknownNameError,
)
from featurekit.core.types import Progress, silent
from featurekit.diffusion.denoising_objective import Objective
from featurekit.taps.compiled import is_compiled

_NAME = "default"  # peft's word for the one adapter; it never outlives a block
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"  # peft's own names, so others can read the file


@dataclass(frozen=True)
class LoraRecipe:
    """How an update is shaped and fitted; the defaults are DragDiffusion's for SD 1.5.

    Source: Shi et al. 2023, arXiv:2306.14435, and its code for ``to_out.0``.
    """

    rank: int = 16  # inner width of every update, >= 1
    alpha: float = 16  # the update is scaled by alpha / rank
    learning_rate: float = 5e-4
    steps: int = 80  # updates; 0 gives the identity
    batch: int = 4  # noise levels per update
    targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")  # ends of module paths

    def __post_init__(self) -> None:
        """Refuse numbers that fit nothing.

        Raises:
            ConfigError: a number is out of its range, or there is no target.
        """
        for name, least in (("rank", 1), ("steps", 0), ("batch", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} must be at least {least}, got {getattr(self, name)}")
        for name in ("alpha", "learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{name} must be positive, got {getattr(self, name)}")
        if not self.targets:
            raise ConfigError("targets must name at least one module, got none")


@dataclass(frozen=True, eq=False)
class Lora:
    """A fitted update, apart from the network that it was fitted on."""

    weights: Mapping[str, Tensor]  # (r in ...) as PATH.lora_A.weight, (out r ...) as .lora_B.weight
    recipe: LoraRecipe
    losses: tuple[float, ...] = ()  # before each update


def fit_lora(
    module: nn.Module,
    objective: Objective,
    *,
    recipe: LoraRecipe,
    generator: torch.Generator,
    progress: Progress = silent,
) -> Lora:
    """Fit a low-rank update of a network to an objective; the network comes back unchanged.

    The update starts as the identity. Its numbers are float32 whatever the network computes in,
    and the network's own weights are frozen while the fit runs.

    Args:
        module: network whose linear or convolution layers are to be updated.
        objective: draws what it needs from the generator it is given, runs the network, and
            returns a 0-dim loss.
        recipe: shape and optimiser of the update.
        generator: the only source of randomness; equal states give equal updates, bit for bit.
        progress: told after each update.

    Returns:
        The update and its losses; the tensors lie on the network's device.

    Raises:
        UnknownNameError: a target names no linear or convolution layer.
        BackboneError: the network carries an adapter already.
        TrainingError: loss or update is not finite, or does not depend on the network.

    Source: Hu et al. 2021, arXiv:2106.09685, section 4.1; AdamW with constant rate.
    """
    paths, losses = _targets(module, recipe.targets), list[float]()
    with _injected(module, paths, recipe) as layers, torch.enable_grad():
        trained: dict[str, Tensor] = {}
        for path, layer in layers.items():
            trained[path + _DOWN], trained[path + _UP] = _initialised(layer, generator)
        # torch's other defaults are the published ones: betas .9 and .999, decay 1e-2, eps 1e-8
        optimiser = torch.optim.AdamW(trained.values(), lr=recipe.learning_rate)
        for step in range(recipe.steps):
            loss = objective(generator)
            losses.append(_checked(loss, step, recipe))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            progress(step + 1, recipe.steps)
        weights = {name: weight.detach().clone() for name, weight in trained.items()}
    if losses and not all(bool(weight.isfinite().all()) for weight in weights.values()):
        raise TrainingError(
            f"the update must stay finite for {recipe.steps} steps, it did not; "
            f"lower learning_rate (now {recipe.learning_rate:g})"
        )
    return Lora(weights=weights, recipe=recipe, losses=tuple(losses))


@in_force
@contextmanager
def applied(module: nn.Module, lora: Lora, strength: float = 1.0) -> Iterator[None]:
    """Run a network with an update while the block lasts.

    The layers compute with a copy of their weights that holds the update, so that a call costs
    what it costs without one; blocks inside each other add up. Afterwards the network holds its
    own weights, which are never written, with the same flags, also after an exception. Inside the
    block none requires a gradient.

    Args:
        module: the network that the update was fitted on, or one of its shape.
        lora: the update; added in float32 at least, then rounded to the dtype of its layer.
        strength: factor of the update; 0 is the network itself, 1 the update as fitted.

    Raises:
        UnknownNameError: the update is for a layer that the network does not have.
        ShapeError: the update is for a layer of another size.
        ConfigError: half of an update is missing, or ``strength`` is not finite.
        BackboneError: the network carries an adapter already, or a layer's weights have fewer
            than 16 bits, in which the update would be lost.

    Source: Hu et al. 2021, arXiv:2106.09685, section 4.1, W + alpha / r B A.
    """
    if not math.isfinite(strength):
        raise ConfigError(f"strength must be finite, got {strength}")
    layers = {path: module.get_submodule(path) for path in _paths(module, lora)}
    own = {path: module.get_parameter(f"{path}.weight") for path in layers}
    merged = {path: _merged(path, own[path], lora, strength) for path in layers}
    with _flags_restored(module):
        module.requires_grad_(False)
        try:
            for path, layer in layers.items():
                layer.weight = nn.Parameter(merged.pop(path), requires_grad=False)
            yield
        finally:
            for path, layer in layers.items():
                layer.weight = own[path]


def _merged(path: str, own: Tensor, lora: Lora, strength: float) -> Tensor:
    """The weights of a layer with the update in them, on its device, of its dtype."""
    rank = lora.recipe.rank
    halves = {
        _DOWN: (rank, *own.shape[1:]),
        _UP: (own.shape[0], rank, *(1 for _ in own.shape[2:])),
    }
    for end, shape in halves.items():
        if lora.weights[path + end].shape != shape:
            raise ShapeError(
                f"the update of {path} must be {shape}, got "
                f"{tuple(lora.weights[path + end].shape)}; it was fitted on another network or rank"
            )
    exact = torch.promote_types(own.dtype, torch.float32)
    down, up = (lora.weights[path + end].detach().to(own.device, exact) for end in halves)
    update = (up.flatten(1) @ down.flatten(1)).reshape(own.shape)
    return (own.detach().to(exact) + strength * lora.recipe.alpha / rank * update).to(own.dtype)


@contextmanager
def _injected(
    module: nn.Module, paths: Sequence[str], recipe: LoraRecipe
) -> Iterator[dict[str, Any]]:
    """Put empty peft layers around some layers; take them off and restore every flag at the end."""
    own = {path: module.get_submodule(path) for path in paths}
    attributes = set(vars(module))
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,  # peft only divides by the rank, so it need not be whole
        target_modules="|".join(re.escape(path) for path in paths),
    )
    with _flags_restored(module):
        try:
            # empty weights: peft would draw from the global random state
            inject_adapter_in_model(config, module, adapter_name=_NAME, low_cpu_mem_usage=True)
            yield {path: module.get_submodule(path) for path in paths}
        finally:
            for path, layer in own.items():
                module.set_submodule(path, layer)
            for name in set(vars(module)) - attributes:  # peft_config, and whatever else it leaves
                delattr(module, name)


@contextmanager
def _flags_restored(module: nn.Module) -> Iterator[None]:
    """Leave every weight asking for a gradient, or not, as it did before the block."""
    flags = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    try:
        yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


def _initialised(layer: Any, generator: torch.Generator) -> list[Tensor]:  # noqa: ANN401
    """Down as peft does (He uniform with slope sqrt 5), up zero: the update is the identity."""
    halves = (layer.lora_A, layer.lora_B)
    weights = [torch.zeros(one[_NAME].weight.shape, device=generator.device) for one in halves]
    nn.init.kaiming_uniform_(weights[0], a=math.sqrt(5), generator=generator)
    for half, weight in zip(halves, weights, strict=True):
        half[_NAME].weight = nn.Parameter(weight.to(layer.get_base_layer().weight.device))
        setattr(half[_NAME].weight, FITTED, True)
    return [layer.lora_A[_NAME].weight, layer.lora_B[_NAME].weight]


def _checked(loss: Tensor, step: int, recipe: LoraRecipe) -> float:
    if not loss.requires_grad:
        raise TrainingError(
            f"the objective must run the network that is fitted, its loss of step {step + 1} "
            f"depends on none of {', '.join(recipe.targets)}"
        )
    value = float(loss.detach())
    if not math.isfinite(value):
        raise TrainingError(
            f"the loss must stay finite, got {value} at step {step + 1} of {recipe.steps}; "
            f"lower learning_rate (now {recipe.learning_rate:g})"
        )
    return value


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


def _targets(module: nn.Module, targets: Sequence[str]) -> list[str]:
    """Layers whose path ends with a target."""
    known = _adaptable(module)
    for target in targets:
        if not any(f".{path}".endswith(f".{target}") for path in known):
            raise UnknownNameError("linear or convolution layer", target, known)
    paths = [path for path in known if any(f".{path}".endswith(f".{end}") for end in targets)]
    return _precise(module, paths)


def _paths(module: nn.Module, lora: Lora) -> list[str]:
    """Layers that an update is for; each must exist and have both halves."""
    paths = {key.removesuffix(_DOWN).removesuffix(_UP) for key in lora.weights}
    if not paths or {path + end for path in paths for end in (_DOWN, _UP)} != set(lora.weights):
        raise ConfigError(
            f"an update must hold PATH{_DOWN} and PATH{_UP} for each layer, got "
            f"{len(lora.weights)} tensors for {len(paths)} layers: {sorted(lora.weights)[:2]}"
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
