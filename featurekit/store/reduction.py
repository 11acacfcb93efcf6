"""Recipes that make features smaller before they are written, down to fewer bits a number."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from featurekit.core.errors import ConfigError, UnknownNameError
from featurekit.store.reduction_steps import Moments, Pca, Pool, Random, Shape, Step

SCALE = ":scale"  # ends the name of the scales that belong to an int8 tensor
NUMBERS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16, "int8": torch.int8}
_WORDS = "pool:CELLS, pca:CHANNELS, random:CHANNELS, random:CHANNELS:SEED, fp32, fp16, bf16, int8"


@dataclass(frozen=True)
class ReductionSteps:
    """Steps in their order, then the numbers to store; none means those of the network."""

    steps: tuple[Step, ...] = ()
    numbers: str | None = None  # a key of NUMBERS

    @property
    def fits(self) -> bool:
        """Whether a step keeps something that a store must hold."""
        return any(step.keeps((1,)) for step in self.steps)

    @property
    def sees(self) -> bool:
        """Whether a step must see more of the samples than their shapes."""
        return any(step.sees for step in self.steps)

    @property
    def passes(self) -> int:
        """How often ``fit`` goes through the samples."""
        return max(int(self.fits), sum(step.sees for step in self.steps))


def parse_recipe(words: Sequence[str]) -> ReductionSteps:
    """Read a recipe.

    Args:
        words: ``pool:2``, ``pca:64``, ``random:64`` or ``random:64:7`` (with a seed), in any number
            and order, then at most one of ``fp32``, ``fp16``, ``bf16``, ``int8``.

    Raises:
        UnknownNameError: there is no step of that name.
        ConfigError: a number is missing or too small, or a dtype is not the last word.
    """
    steps: list[Step] = []
    for place, word in enumerate(words):
        name, *given = word.split(":")
        if name in NUMBERS and not given:
            if place != len(words) - 1:
                raise ConfigError(f"a recipe must end with its dtype, got {word!r} before its end")
            return ReductionSteps(tuple(steps), word)
        steps.append(_step(word, name, given))
    return ReductionSteps(tuple(steps))


def _step(word: str, name: str, given: Sequence[str]) -> Step:
    kinds: dict[str, tuple[Callable[..., Step], int]]
    kinds = {"pool": (Pool, 1), "pca": (Pca, 1), "random": (Random, 2)}
    if name not in kinds:
        raise UnknownNameError("step of a recipe", name, [*kinds, *NUMBERS])
    kind, most = kinds[name]
    numeric = all(number.isascii() and number.isdecimal() for number in given)
    if not (1 <= len(given) <= most and numeric and int(given[0]) >= 1):
        raise ConfigError(f"a step of a recipe must be one of {_WORDS}, got {word!r}")
    return kind(*map(int, given))


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
        feature = self.before(len(self.recipe.steps), name, feature)
        if self.recipe.numbers is None:
            return {name: feature}
        if self.recipe.numbers == "int8":
            return _quantised(name, feature)
        stored = feature.to(NUMBERS[self.recipe.numbers])
        if not bool(stored.isfinite().all()):
            raise ConfigError(
                f"{self.recipe.numbers} must hold every feature, but {name!r} reaches "
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
        if not bool(feature.isfinite().all()):
            raise ConfigError(f"features must be finite, got NaN or infinity in {name!r}")
        for index, step in enumerate(self.recipe.steps[:stop]):
            feature = step.apply(feature, self._kept(name, index, step, feature))
        return feature

    def outline(
        self, name: str, shape: Shape, dtype: torch.dtype
    ) -> dict[str, tuple[Shape, torch.dtype]]:
        """Tell shape and dtype of what ``apply`` gives, without a feature."""
        for step in self.recipe.steps:
            shape = step.shape(shape)
        numbers = dtype if self.recipe.numbers is None else NUMBERS[self.recipe.numbers]
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
            kept = recipe.steps[stop[0]].fit(name, moments)
            reduction.fitted |= {f"{name}:{stop[0]}:{part}": one for part, one in kept.items()}
    return reduction


def _drawn(recipe: ReductionSteps, name: str, shape: Shape) -> dict[str, Tensor]:
    """What the steps keep that need no more than a tensor's shape."""
    fitted: dict[str, Tensor] = {}
    for index, step in enumerate(recipe.steps):
        after = step.shape(shape)
        if not step.sees:
            kept = step.fit(name, Moments(shape[0]))
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


def _quantised(name: str, feature: Tensor) -> dict[str, Tensor]:
    """Whole steps of a channel's largest magnitude over 127; a channel of zeros has scale 0."""
    flat = feature.float().reshape(len(feature), -1)
    scale = flat.abs().amax(1) / 127
    steps = torch.where(scale[:, None] > 0, flat / scale[:, None], torch.zeros_like(flat))
    whole = steps.round().clamp(-127, 127)  # a scale below the normal numbers is imprecise
    return {name: whole.to(torch.int8).reshape(feature.shape), name + SCALE: scale}
