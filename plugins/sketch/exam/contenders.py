"""Whatever draws the pictures of a data set, and what each reaches on one picture."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import TypeAlias

import torch
from torch import Tensor

from featurekit.measures.perceptual.distances import Perceptual
from featurekit_sketch.datasets.items import Pair
from featurekit_sketch.drawing.xdog import GREY
from featurekit_sketch.exam.dataset_table import PEOPLE
from featurekit_sketch.exam.kept_rows import KeptRows, Record
from featurekit_sketch.metrics.controls import XDOG, Draw, Edges, controls
from featurekit_sketch.metrics.several import Against, against, people

Rows: TypeAlias = dict[str, dict[str, Against]]
"""Figures by row, then style."""


@dataclass(frozen=True, eq=False)
class Contender:
    """One drawer, in one row of the table."""

    row: str
    draw: Draw
    identity: str  # changes whenever its drawings might
    only: str | None = None  # the one style that it is for
    never: str | None = None  # the style that it made the truth of

    def meets(self, style: str) -> bool:
        """Whether it is measured in a style."""
        return style != self.never and self.only in (None, style)

    @torch.no_grad()
    def ink(self, image: Tensor) -> Tensor:
        """Draw a picture; colour becomes grey, as figures are of grey ink.

        Returns:
            (1 1 h w) in [0, 1] on the CPU.
        """
        drawn = self.draw(image).detach().cpu().float()
        if drawn.shape[1] == 1:
            return drawn
        grey = (drawn * drawn.new_tensor(GREY).view(-1, 1, 1)).sum(1, keepdim=True)
        return grey.clamp(0, 1)  # the weights' sum is 1 but for rounding


class Once:
    """Draws a picture once, though it is asked for several times in a row."""

    def __init__(self, draw: Draw) -> None:
        """Begin without any picture.

        Args:
            draw: what takes long.
        """
        self._draw = draw
        self._last: tuple[Tensor, Tensor] | None = None

    def __call__(self, image: Tensor) -> Tensor:
        """Ink of a picture."""
        if self._last is None or self._last[0] is not image:
            self._last = image, self._draw(image)
        return self._last[1]


def control_contenders(edges: Mapping[str, Edges], *, automatic: bool) -> Sequence[Contender]:
    """The rows that learn nothing.

    Args:
        edges: the best edge map of each style, of one at least.
        automatic: whether the truth of the style ``XDoG`` was drawn by it.
    """
    own = XDOG if automatic else None
    first = next(iter(edges.values()))
    found: list[Contender] = []
    for row, draw in controls(first).items():
        if draw is first:
            found += [Contender(row, one, repr(one), only=style) for style, one in edges.items()]
        else:
            found.append(Contender(row, draw, row, never=own if row == XDOG else None))
    return found


@dataclass(frozen=True, eq=False)
class Exam:
    """What every picture is measured by; what is measured already is taken from ``kept``."""

    contenders: Sequence[Contender]
    kept: KeptRows
    lpips: Perceptual | None = None
    lpips_identity: str = ""

    def rows(self, name: str, pair: Pair) -> Rows:
        """Measure every contender on a picture, and the people who drew it against each other.

        Args:
            name: of the picture.
            pair: what was read of it.

        Raises:
            ShapeError: the picture is too small for LPIPS.
            ImageError: a contender drew no ink.
        """
        found: Rows = {}
        content = content_of(pair)
        fresh: dict[str, Record] = {}
        for row, identity, measure in self._measures(pair):
            facts = json.dumps([FORM, content, row, identity, self.lpips_identity])
            key = sha256(facts.encode()).hexdigest()[:20]
            record = self.kept.get(key)
            if record is None:
                record = {"picture": name, "row": row, "figures": measure()}
                fresh[key] = record
            found.setdefault(row, {}).update(record["figures"])
        self.kept.add(fresh)
        return found

    def _measures(self, pair: Pair) -> Iterator[tuple[str, str, Callable[[], dict[str, Against]]]]:
        """For each row its name, what else decides its figures, and what takes them."""
        for one in self.contenders:
            styles = {name: inks for name, inks in pair.drawings.items() if one.meets(name)}
            if styles:
                yield one.row, f"{one.identity} {list(styles)}", partial(self._against, pair, one)
        if any(len(inks) > 1 for inks in pair.drawings.values()):
            yield PEOPLE, "", partial(self._people, pair)

    def _against(self, pair: Pair, one: Contender) -> dict[str, Against]:
        ink = one.ink(pair.image)
        return {
            style: against(ink, drawn, lpips=self.lpips)
            for style, drawn in pair.drawings.items()
            if one.meets(style)
        }

    def _people(self, pair: Pair) -> dict[str, Against]:
        return {
            style: people(drawn, lpips=self.lpips)
            for style, drawn in pair.drawings.items()
            if len(drawn) > 1
        }


FORM = 1  # of the figures; a change of one voids what was kept


def content_of(pair: Pair) -> str:
    """One hash for a picture and its drawings."""
    digest = sha256(_bytes(pair.image))
    for style, drawn in pair.drawings.items():
        digest.update(f"{style} {len(drawn)}".encode())
        for ink in drawn:
            digest.update(_bytes(ink))
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    shape = torch.tensor(tensor.shape)
    return shape.numpy().tobytes() + tensor.contiguous().numpy().tobytes()
