"""Moves: a scene before and after, the drag that leads from one to the other, and its truth."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from random import Random
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from featurekit.core.errors import ConfigError, UnknownNameError
from featurekit.scenes.geometry import Point
from featurekit.scenes.kind import Kind, Mover
from featurekit.scenes.world import HELD_OUT_SEEDS, TRAINED_KINDS, Scene, generator, known_kind

Drag: TypeAlias = tuple[Point, Point]
"""Handle and target."""

CELL = 4 / 64  # unit; one latent cell of a model with stride 4 at 64 px
THREE_CELLS = 3 * CELL  # as long as a drag should be, so that a model has something to do
TWO_CELLS = 2 * CELL  # movers that cannot reach this far are used only when they are asked for
CHANGED_LEVELS = 8  # grey levels in 255 by which a changed pixel differs, more than
TRIES = 5000  # scenes tried for one move; the rarest mover needs a few hundred


@dataclass(frozen=True)
class Move:
    """One edit with its truth; points are ``(x, y)`` in [0, 1] of the picture's side."""

    name: str  # which mover made it: sun, peak, smile, ...
    kind: str
    before: Scene
    after: Scene
    drags: tuple[Drag, ...]
    deforms: bool  # False: something travels without changing its shape

    def length(self, size: int = 64) -> float:
        """Mean length of the drags in px of a picture of this size."""
        return size * sum(math.dist(*drag) for drag in self.drags) / len(self.drags)

    def drags_px(self, size: int = 64) -> tuple[Drag, ...]:
        """The drags in px of a picture of this size, as plugins take them."""
        return tuple(
            ((a[0] * size, a[1] * size), (b[0] * size, b[1] * size)) for a, b in self.drags
        )

    def changed(self, size: int = 64) -> NDArray[np.bool_]:
        """Which pixels differ between before and after by more than 8 of 255 levels, (h w)."""
        before, after = (np.asarray(s.image(size)).astype(int) for s in (self.before, self.after))
        return np.asarray(abs(before - after).max(axis=-1) > CHANGED_LEVELS)

    def mask(self, size: int = 64, margin_px: int = 2) -> Image.Image:
        """The box in which an editor may change the picture.

        Args:
            size: side of the picture in px.
            margin_px: room around the changed pixels, 0 or more.

        Returns:
            "L" picture, 255 inside, 0 outside: the smallest box with all changed pixels, every
            handle and every target, grown by the margin and cut by the frame.
        """
        rows, columns = np.nonzero(self.changed(size))
        points = [point for drag in self.drags_px(size) for point in drag]
        xs = [*columns.tolist(), *(int(x) for x, _ in points)]
        ys = [*rows.tolist(), *(int(y) for _, y in points)]
        mask = np.zeros((size, size), np.uint8)
        top, left = max(0, min(ys) - margin_px), max(0, min(xs) - margin_px)
        mask[top : max(ys) + margin_px + 1, left : max(xs) + margin_px + 1] = 255
        return Image.fromarray(mask)


def move(
    seed: int,
    kind: str | None = None,
    *,
    name: str | None = None,
    at_least: float | None = None,
    deforms: bool | None = None,
) -> Move:
    """Make the move of a seed.

    Args:
        seed: 0 or more; the same arguments give the same move on every machine.
        kind: one of ``KINDS``; None draws it among those of ``TRAINED_KINDS`` with such a move.
        name: one mover, as in ``Kind.movers``; None draws it.
        at_least: shortest length of every drag, in fractions of the side. None: three latent
            cells of 4 px at 64 px (0.1875) or, where the trained range of the parameters allows
            less, as much as it allows. Unless named, movers that stay below two cells are left
            out: eyes move by 3 px at 64 px. In (0, 1].
        deforms: only moves that change a shape (True) or only translations (False).

    Returns:
        The move; before and after lie within the ranges that scenes are drawn from.

    Raises:
        ConfigError: the seed is negative, a length is out of range, or no mover meets the wishes.
        UnknownNameError: there is no such kind or mover.
    """
    rng = generator(seed)
    asked = [known_kind(each) for each in (TRAINED_KINDS if kind is None else (kind,))]
    able = {k.name: _able(k, name, at_least, deforms) for k in asked}
    kinds = [k for k in asked if able[k.name]]
    if not kinds:
        raise _refusal(asked, name, at_least, deforms)
    chosen = rng.choice(kinds)
    mover = rng.choice(able[chosen.name])
    return _found(chosen, mover, rng, seed, at_least)


def held_out_moves(
    count: int,
    *,
    deforms: bool | None = None,
    at_least: float | None = None,
    kinds: Sequence[str] | None = None,
) -> tuple[Move, ...]:
    """The moves that editors are measured on; frozen, so that figures stay comparable.

    Args:
        count: how many, 1 to a million. The first ones stay the same when there are more.
        deforms: only moves that change a shape (True), only translations (False), or in turn.
        at_least: shortest length of every drag, as for ``move``.
        kinds: names of ``KINDS`` to take in turn; None takes ``TRAINED_KINDS``.

    Returns:
        Moves of each kind in turn, each kind's movers in turn, from ``HELD_OUT_SEEDS``. Kinds
        without such a move are left out: buildings, if ``at_least`` is more than 0.19.

    Raises:
        ConfigError: the count or the length is out of range, or no mover meets the wishes.
        UnknownNameError: there is no such kind.
    """
    if not 1 <= count <= len(HELD_OUT_SEEDS):
        raise ConfigError(f"the number of moves must be 1 to {len(HELD_OUT_SEEDS)}, got {count}")
    asked = [known_kind(name) for name in (TRAINED_KINDS if kinds is None else kinds)]
    able = [(kind, _able(kind, None, at_least, deforms)) for kind in asked]
    turns = [(kind, _in_turn(movers)) for kind, movers in able if movers]
    if not turns:
        raise _refusal(asked, None, at_least, deforms)
    plan = islice(cycle(turns), count)
    return tuple(
        _found(kind, next(movers), generator(seed), seed, at_least)
        for seed, (kind, movers) in zip(HELD_OUT_SEEDS, plan, strict=False)
    )


def _able(
    kind: Kind[Any], name: str | None, at_least: float | None, deforms: bool | None
) -> list[Mover[Any]]:
    """The movers of a kind that can do what is wished."""
    if at_least is not None and not 0 < at_least <= 1:
        raise ConfigError(f"at_least must lie in (0, 1] of the picture's side, got {at_least}")
    needed = at_least if at_least is not None else 0.0 if name is not None else TWO_CELLS
    return [
        mover
        for mover in kind.movers
        if mover.reach >= needed and name in (None, mover.name) and deforms in (None, mover.deforms)
    ]


def _in_turn(movers: list[Mover[Any]]) -> Iterator[Mover[Any]]:
    """Go through movers forever, translations and deformations alternating where there are both."""
    groups = [[m for m in movers if m.deforms is deforms] for deforms in (False, True)]
    turns = [cycle(group) for group in groups if group]
    while True:
        for turn in turns:
            yield next(turn)


def _found(
    kind: Kind[Any], mover: Mover[Any], rng: Random, seed: int, at_least: float | None
) -> Move:
    """The first scene of the random stream that the mover can change as asked."""
    wanted = at_least if at_least is not None else min(THREE_CELLS, mover.reach)
    for _ in range(TRIES):
        pair = mover.vary(kind.sample(rng), rng, wanted)
        if pair is None or not all(map(kind.fits, pair)):
            continue
        drags = tuple(zip(*map(mover.handles, pair), strict=True))
        if min(math.dist(*drag) for drag in drags) < wanted:
            continue
        before, after = (Scene(kind=kind.name, params=params, seed=seed) for params in pair)
        return Move(mover.name, kind.name, before, after, drags, mover.deforms)
    raise ConfigError(
        f"a {mover.name} of length {wanted} must occur in {TRIES} {kind.name} scenes, "
        f"found none for seed {seed}; lower at_least"
    )


def _refusal(
    kinds: Sequence[Kind[Any]], name: str | None, at_least: float | None, deforms: bool | None
) -> Exception:
    movers = [mover for k in kinds for mover in k.movers]
    if name is not None and name not in {mover.name for mover in movers}:
        return UnknownNameError("move", name, (mover.name for mover in movers))
    fitting = [m for m in movers if name in (None, m.name) and deforms in (None, m.deforms)]
    reach = ", ".join(f"{m.name} {m.reach}" for m in fitting) or "none of that name and sort"
    return ConfigError(
        f"a move must lie within a mover's reach, got at_least={at_least}; there are: {reach}"
    )
