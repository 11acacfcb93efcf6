"""Recipes at work: features made smaller before they are written, down to fewer bits a number."""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from featurekit.core.errors import ConfigError
from featurekit.core.types import Shape
from featurekit.store.recipe import NUMBERS, ReductionSteps, Step
from featurekit.store.reduction_steps import Moments, applied, fitted_to

SCALE = ":scale"  # ends the name of the scales that belong to an int8 tensor


def dtype_of(word: str) -> torch.dtype:
    """Find the dtype of a recipe's last word."""
    dtype: torch.dtype = getattr(torch, NUMBERS[word])
    return dtype


class Reduction:
    """A recipe with what its steps keep of the samples they were fitted to."""

    def __init__(self, recipe: ReductionSteps, fitted: Mapping[str, Tensor]) -> None:
        """Hold both.

        Args:
            recipe: the steps.
            fitted: tensors named ``tap/t:step:part``, from ``fit``; empty if no step needs any.
        """
        self.recipe = recipe
        self.fitted = dict(fitted)

    def apply(self, name: str, feature: Tensor) -> dict[str, Tensor]:
        """Reduce one sample's feature.

        Args:
            name: ``tap/t``.
            feature: (c ...), floating, on the CPU.

        Returns:
            What to store under which names: the tensor, and its scales (c) if it is int8.

        Raises:
            ConfigError: the recipe was not fitted to that name, or the numbers are not finite
                or too large for the dtype.
            ShapeError: a step cannot take that shape.
        """
        numbers = self.recipe.numbers
        if self.recipe.steps or numbers == "int8":  # which may hide what is not finite
            feature = self.before(len(self.recipe.steps), name, feature)
        if numbers == "int8":
            return _quantised(name, feature)
        stored = feature if numbers is None else feature.to(dtype_of(numbers))
        if not _is_finite(stored):
            _refuse_not_finite(name, feature)
            raise ConfigError(
                f"{numbers} must hold every feature, but {name!r} reaches "
                f"{float(feature.abs().max()):.4g}; end the recipe with bf16, fp32 or int8"
            )
        return {name: stored}

    def before(self, stop: int, name: str, feature: Tensor) -> Tensor:
        """Apply the steps before one of them.

        Args:
            stop: place of that step; the number of steps applies all.
            name: ``tap/t``.
            feature: (c ...), floating, on the CPU.

        Raises:
            ConfigError: the recipe was not fitted to that name, or the numbers are not finite.
            ShapeError: a step cannot take that shape.
        """
        _refuse_not_finite(name, feature)
        for index, step in enumerate(self.recipe.steps[:stop]):
            feature = applied(step, feature, self._kept(name, index, step, feature))
        return feature

    def outline(
        self, name: str, shape: Shape, dtype: torch.dtype
    ) -> dict[str, tuple[Shape, torch.dtype]]:
        """Tell shape and dtype of what ``apply`` gives, without a feature."""
        for step in self.recipe.steps:
            shape = step.shape(shape)
        numbers = dtype if self.recipe.numbers is None else dtype_of(self.recipe.numbers)
        made = {name: (shape, numbers)}
        if numbers == torch.int8:
            made[name + SCALE] = (shape[:1], torch.float32)
        return made

    def _kept(self, name: str, index: int, step: Step, feature: Tensor) -> dict[str, Tensor]:
        start = f"{name}:{index}:"
        kept = {
            key.removeprefix(start): tensor
            for key, tensor in self.fitted.items()
            if key.startswith(start)
        }
        if kept.keys() != step.keeps(tuple(feature.shape)).keys():
            raise ConfigError(f"the recipe must be fitted to every tensor, but not to {name!r}")
        return kept


def fit(recipe: ReductionSteps, samples: Iterable[Mapping[str, Tensor]]) -> Reduction:
    """Fit a recipe's steps, each to what the ones before it leave.

    One sample's features are held at a time, besides a mean and a spread (c c) for each tensor.

    Args:
        recipe: the steps.
        samples: features (c ...) by ``tap/t`` of each sample; gone through ``recipe.passes``
            times, so it must be something that can begin anew, such as a list.

    Raises:
        ShapeError: a step cannot take a feature's shape.
    """
    reduction = Reduction(recipe, {})
    known: set[str] = set()
    for turn in range(recipe.passes):
        seen: dict[str, Moments] = {}
        stop = [index for index, step in enumerate(recipe.steps) if step.sees][turn:][:1]
        for sample in samples:
            for name in sample.keys() - known:
                reduction.fitted |= _drawn(recipe, name, tuple(sample[name].shape))
            known |= sample.keys()
            for name, feature in sample.items() if stop else ():
                left = reduction.before(stop[0], name, feature)
                seen.setdefault(name, Moments(len(left))).add(left)
        for name, moments in seen.items():
            kept = fitted_to(recipe.steps[stop[0]], name, moments)
            reduction.fitted |= {f"{name}:{stop[0]}:{part}": one for part, one in kept.items()}
    return reduction


def _drawn(recipe: ReductionSteps, name: str, shape: Shape) -> dict[str, Tensor]:
    """What the steps keep that need no more than a tensor's shape."""
    fitted: dict[str, Tensor] = {}
    for index, step in enumerate(recipe.steps):
        after = step.shape(shape)
        if not step.sees:
            kept = fitted_to(step, name, Moments(shape[0]))
            fitted |= {f"{name}:{index}:{part}": one for part, one in kept.items()}
        shape = after
    return fitted


def restored(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undo int8; every other tensor is given as it is stored.

    Args:
        stored: tensors (c ...) of one sample, int8 ones with their scales (c).

    Returns:
        Tensors by ``tap/t``; those that were int8 are float32.
    """
    return {
        name: tensor.float() * stored[name + SCALE].reshape(-1, *[1] * (tensor.ndim - 1))
        if name + SCALE in stored
        else tensor
        for name, tensor in stored.items()
        if not name.endswith(SCALE)
    }


def _is_finite(feature: Tensor) -> bool:
    """Tell whether every number is finite: one look at each, since a sum passes NaN on.

    A sum that leaves the numbers may be of finite ones, so that their extremes are looked at, too.
    """
    if not feature.numel() or math.isfinite(feature.sum()):
        return True
    least, most = feature.aminmax()
    return math.isfinite(least) and math.isfinite(most)


def _refuse_not_finite(name: str, feature: Tensor) -> None:
    if not _is_finite(feature):
        raise ConfigError(f"features must be finite, got NaN or infinity in {name!r}")


def _quantised(name: str, feature: Tensor) -> dict[str, Tensor]:
    """Whole steps of a channel's largest magnitude over 127; a channel of zeros has scale 0."""
    flat = feature.float().reshape(len(feature), -1)
    scale = flat.abs().amax(1) / 127
    steps = torch.where(scale[:, None] > 0, flat / scale[:, None], torch.zeros_like(flat))
    whole = steps.round().clamp(-127, 127)  # a scale below the normal numbers is imprecise
    return {name: whole.to(torch.int8).reshape(feature.shape), name + SCALE: scale}
