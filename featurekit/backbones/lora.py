"""Low-rank adaptation: fit a small update to a network, apply it for one block."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn

from featurekit.backbones.loaded.adaptable import DOWN, UP, ending_with, updated_by
from featurekit.backbones.loaded.untouched import FITTED
from featurekit.backbones.loaded.updates import in_force
from featurekit.backbones.lora_progress import EVERY, Fit, go_on, keep
from featurekit.core.errors import (
    ConfigError,
    ShapeError,
    TrainingError,
)
from featurekit.core.types import Progress, silent
from featurekit.diffusion.denoising_objective import Objective

_NAME = "default"  # peft's word for the one adapter; it never outlives a block


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
    kept: Path | None = None,
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
        kept: file from which the same fit goes on to the bit; it is gone when the fit is done.

    Returns:
        The update and its losses; the tensors lie on the network's device.

    Raises:
        UnknownNameError: a target names no linear or convolution layer.
        BackboneError: the network carries an adapter already.
        ConfigError: what was kept is damaged, or of another fit.
        TrainingError: loss or update is not finite, or does not depend on the network.

    Source: Hu et al. 2021, arXiv:2106.09685, section 4.1; AdamW with constant rate.
    """
    paths, losses = ending_with(module, recipe.targets), list[float]()
    with _injected(module, paths, recipe) as layers, torch.enable_grad():
        trained: dict[str, Tensor] = {}
        for path, layer in layers.items():
            trained[path + DOWN], trained[path + UP] = _initialised(layer, generator)
        # torch's other defaults are the published ones: betas .9 and .999, decay 1e-2, eps 1e-8
        optimiser = torch.optim.AdamW(trained.values(), lr=recipe.learning_rate)
        go_on(fit := Fit(trained, optimiser, generator, losses), kept, asdict(recipe))
        for step in range(len(losses), recipe.steps):
            loss = objective(generator)
            losses.append(_checked(loss, step, recipe))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            if (step + 1) % EVERY == 0:
                keep(fit, kept, asdict(recipe))
            progress(step + 1, recipe.steps)
        weights = {name: weight.detach().clone() for name, weight in trained.items()}
    if losses and not all(bool(weight.isfinite().all()) for weight in weights.values()):
        raise TrainingError(
            f"the update must stay finite for {recipe.steps} steps, it did not; "
            f"lower learning_rate (now {recipe.learning_rate:g})"
        )
    if kept is not None:
        kept.unlink(missing_ok=True)
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
    layers = {path: module.get_submodule(path) for path in updated_by(module, lora.weights)}
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
        DOWN: (rank, *own.shape[1:]),
        UP: (own.shape[0], rank, *(1 for _ in own.shape[2:])),
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
