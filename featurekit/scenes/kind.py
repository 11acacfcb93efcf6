"""What a kind of scene is: one record of functions, so that a new kind is one new file."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Generic, TypeVar

from featurekit.scenes.canvas import Canvas
from featurekit.scenes.geometry import Point

P = TypeVar("P")
Range = tuple[float, float]

LONGER = 1.5  # a drag is at most this many times as long as it has to be


@dataclass(frozen=True)
class Mover(Generic[P]):
    """One way to change a scene so that named points travel."""

    name: str
    deforms: bool  # False: an object travels without changing its shape
    reach: float  # the longest drag it can promise inside the trained ranges; unit
    vary: Callable[[P, Random, float], tuple[P, P] | None]
    """``(params, rng, at_least) -> (before, after)``; None if these parameters do not allow it.

    A proposal: whoever asks checks the lengths and whether both fit the kind, or asks again.
    """
    handles: Callable[[P], tuple[Point, ...]]
    """The points of a scene that a drag takes hold of; where they are afterwards is the target."""


@dataclass(frozen=True)
class Kind(Generic[P]):
    """One kind of scene; ``P`` is its frozen dataclass of parameters."""

    name: str
    share: float  # how often a scene of unnamed kind is of this one; 0: held out of training
    sample: Callable[[Random], P]
    fits: Callable[[P], bool]
    """Whether ``sample`` could have given these parameters: every one within its range."""
    backdrop: Callable[[Canvas, P], None]
    """Draws what everything stands before; the foreground mask leaves it out."""
    figure: Callable[[Canvas, P], None]
    """Draws the things the scene is about over the backdrop, from the back to the front."""
    keypoints: Callable[[P], Mapping[str, Point]]
    caption: Callable[[P, Random], str]
    movers: tuple[Mover[P], ...]


def named(
    keypoints: Callable[[P], Mapping[str, Point]], *names: str
) -> Callable[[P], tuple[Point, ...]]:
    """Take hold of a kind's keypoints by their names."""

    def handles(params: P) -> tuple[Point, ...]:
        points = keypoints(params)
        return tuple(points[name] for name in names)

    return handles


def within(value: float, allowed: Range) -> bool:
    """Whether a value lies in a range, its ends included."""
    return allowed[0] <= value <= allowed[1]


def two_values(rng: Random, allowed: Range, at_least: float) -> Range | None:
    """Two values of a range, at least so far apart, in either order; None if it is too narrow."""
    low, high = allowed
    if high - low < at_least:
        return None
    return _placed(rng, allowed, rng.uniform(at_least, high - low))


def two_places(
    rng: Random, across: Range, down: Range, at_least: float
) -> tuple[Point, Point] | None:
    """Two points of a box whose distance is ``at_least`` to ``LONGER`` times that.

    Args:
        rng: where the choice comes from.
        across: the box's range of x, unit.
        down: the box's range of y, unit.
        at_least: shortest distance, unit, above 0.

    Returns:
        Both points, or None if the box is too small.
    """
    width, height = across[1] - across[0], down[1] - down[0]
    if width < 0 or height < 0 or math.hypot(width, height) < at_least:
        return None
    longest = at_least * LONGER
    # First the step along x, such that some step along y completes it; then that step.
    step_x = rng.uniform(_leg(at_least, height), min(width, longest))
    step_y = rng.uniform(_leg(at_least, step_x), min(height, _leg(longest, step_x)))
    x, y = _placed(rng, across, step_x), _placed(rng, down, step_y)
    return (x[0], y[0]), (x[1], y[1])


def _leg(hypotenuse: float, leg: float) -> float:
    """The other leg of a right triangle; 0 if this one is already longer."""
    return math.sqrt(max(0.0, hypotenuse**2 - leg**2))


def _placed(rng: Random, allowed: Range, step: float) -> Range:
    """Two values of a range that differ by ``step``, in either order."""
    start = rng.uniform(allowed[0], allowed[1] - step)
    return (start, start + step) if rng.random() < 0.5 else (start + step, start)
