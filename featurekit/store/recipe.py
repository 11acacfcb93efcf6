"""The words of a recipe that makes features smaller: what they mean, what shapes they lead to.

Nothing is computed here, so that a store can be looked after without torch; ``reduction.py`` and
``reduction_steps.py`` compute.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from featurekit.core.errors import ConfigError, ShapeError, UnknownNameError
from featurekit.core.types import Shape

NUMBERS: Mapping[str, str] = {  # dtypes of torch by their words
    "fp32": "float32",
    "fp16": "float16",
    "bf16": "bfloat16",
    "int8": "int8",
}
_WORDS = "pool:CELLS, pca:CHANNELS, random:CHANNELS, random:CHANNELS:SEED, fp32, fp16, bf16, int8"


class Step(Protocol):
    """One way to make the feature (c ...) of one sample smaller; its dtype stays."""

    @property
    def sees(self) -> bool:
        """Whether it is fitted to moments of samples, not only to their number of channels."""

    def keeps(self, shape: Shape) -> dict[str, Shape]:
        """Shapes of what it is fitted to; nothing if samples need not be seen first."""

    def shape(self, shape: Shape) -> Shape:
        """Shape after the step of what has this shape before."""


@dataclass(frozen=True)
class Pool:
    """Mean over squares of cells; at the right and bottom border over what there is of them."""

    cells: int  # side of a square
    sees: ClassVar[bool] = False

    def keeps(self, shape: Shape) -> dict[str, Shape]:
        """Nothing."""
        del shape
        return {}

    def shape(self, shape: Shape) -> Shape:
        """Fewer rows and columns; refuses what is not (c h w)."""
        if len(shape) != 3:
            raise ShapeError(f"pooling needs a feature (c h w), got {shape}; leave pool out")
        return (shape[0], *(math.ceil(size / self.cells) for size in shape[1:]))


@dataclass(frozen=True)
class Pca:
    """Coordinates along the directions in which samples vary most, each tensor with its own."""

    channels: int
    sees: ClassVar[bool] = True

    def keeps(self, shape: Shape) -> dict[str, Shape]:
        """Mean and directions."""
        return {"mean": shape[:1], "axes": (shape[0], self.channels)}

    def shape(self, shape: Shape) -> Shape:
        """Fewer channels."""
        return _projected(shape, self.channels, "pca")


@dataclass(frozen=True)
class Random:
    """Normal random directions, which keep distances in expectation; one set for a tap."""

    channels: int
    seed: int = 0
    sees: ClassVar[bool] = False

    def keeps(self, shape: Shape) -> dict[str, Shape]:
        """Directions."""
        return {"axes": (shape[0], self.channels)}

    def shape(self, shape: Shape) -> Shape:
        """Fewer channels."""
        return _projected(shape, self.channels, "random")


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


def _projected(shape: Shape, channels: int, word: str) -> Shape:
    if len(shape) < 2 or not 1 <= channels <= shape[0]:
        raise ShapeError(
            f"{word}:{channels} needs a feature (c ...) of at least {channels} channels, "
            f"got {shape}; ask for fewer"
        )
    return (channels, *shape[1:])
