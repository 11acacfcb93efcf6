"""Looking on while something is learnt or drawn; whoever looks on changes no result."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

Draw: TypeAlias = Callable[[Tensor], Tensor]
"""A picture (1 3 h w) in [-1, 1] to its ink (1 c h w) in [0, 1], white paper is 1."""

Heard: TypeAlias = Callable[[int, Mapping[str, float]], None]
"""Told after an iteration: how many are done, and the terms of its loss."""


@dataclass(frozen=True, eq=False)
class Glimpse:
    """A training after one of its iterations."""

    done: int  # iterations so far
    of: int  # in all
    loss: float  # of the latest one
    draw: Draw  # how a picture is drawn now; it takes time, and only until the next iteration


def unseen(glimpse: Glimpse) -> None:
    """Look at no training."""


def unheard(done: int, terms: Mapping[str, float]) -> None:
    """Tell of iterations to nobody."""


def untold(name: str, ink: Tensor) -> None:
    """Show drawings to nobody."""


@dataclass(frozen=True)
class Watcher:
    """Who looks on at a task."""

    learning: Callable[[Glimpse], None] = unseen
    drawn: Callable[[str, Tensor], None] = untold  # a picture's file name, and its ink (1 c h w)


ALONE = Watcher()
