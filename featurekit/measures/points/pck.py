"""Share of points of one picture that features find in another (PCK), by picture and by box."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot
from pathlib import Path
from string import Formatter
from typing import Any, TypeAlias

import torch
from PIL import Image
from torch import Tensor

from featurekit.core.errors import ConfigError, ImageError, PointsError, UnknownNameError
from featurekit.core.types import Progress, silent
from featurekit.features.recipes import Recipe
from featurekit.measures import held_out
from featurekit.measures.held_out import Measured
from featurekit.measures.points.correspondence import Pair, shared_points
from featurekit.measures.points.pck_sheet import Drawn, Points, pck_sheet
from featurekit.measures.points.point_features import (
    SMALLEST_SIDE,
    Reader,
    nearest,
    network_maps,
    pixel_maps,
)
from featurekit.measures.random_weights import Family, untrained

ALPHA = 0.1
RECIPE = Recipe(("up2",), (101,))
CONTROLS = ("random", "pixels")  # the network with random weights; raw patches
PIXELS_SIDE = 64  # longer side of the pictures whose raw patches are compared, px
SHOWN = 12  # pairs on the sheet, one of a category

Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right, bottom, px."""


@dataclass(frozen=True)
class PointPair:
    """Two pictures with the same points marked in both, at least one."""

    source: Image.Image | Path
    target: Image.Image | Path
    source_xy: Points
    target_xy: Points
    box: Box  # of the target's object
    category: str


@dataclass(frozen=True)
class Matched:
    """Where the points of a pair were found, and what counts as a hit."""

    category: str
    matches: Points  # px of the target picture
    image_hits: tuple[bool, ...]
    box_hits: tuple[bool, ...]
    still_hits: tuple[bool, ...]  # by the box, if every point is said to be where it was


@dataclass(frozen=True)
class Asked:
    """What is compared, and what counts as found."""

    recipe: Recipe = RECIPE  # several taps and timesteps are compared together
    alpha: float = ALPHA  # tolerance, share of a longer side, > 0
    side_px: int | None = None  # longer side that the network sees; None: as it was trained
    seed: int = 0  # of the noises, and the same for every picture
    controls: tuple[str, ...] = ()  # of ``CONTROLS``

    def __post_init__(self) -> None:
        """Refuse what cannot be measured.

        Raises:
            ConfigError: ``alpha`` or ``side_px`` is too small, or the prompt has other words in
                braces than ``{category}``.
            UnknownNameError: there is no such control.
        """
        if not self.alpha > 0:
            raise ConfigError(f"alpha must be above 0, got {self.alpha}")
        if self.side_px is not None and self.side_px < SMALLEST_SIDE:
            raise ConfigError(f"side must be {SMALLEST_SIDE} px or more, got {self.side_px}")
        for name in self.controls:
            if name not in CONTROLS:
                raise UnknownNameError("control", name, CONTROLS)
        self.prompt("thing")

    def prompt(self, category: str) -> str:
        """Say what a picture of a category shows, in the recipe's words.

        Raises:
            ConfigError: the words have something else than ``{category}`` (or ``{}``) in braces.
        """
        template = self.recipe.prompt
        try:
            parts = list(Formatter().parse(template))
        except ValueError:
            parts = [("", template, "", None)]
        if any(name not in (None, "", "category") or spec or kind for _, name, spec, kind in parts):
            raise ConfigError(
                f"a prompt may have {{category}} in braces and nothing else, got {template!r}"
            )
        return template.format(category, category=category)


@torch.no_grad()
def pck(
    backbone: Family,
    pairs: Sequence[PointPair],
    asked: Asked | None = None,
    *,
    progress: Progress = silent,
) -> Measured:
    """Match points between pictures by the nearest feature and count how many are hit.

    A match is the pixel of the target with the most similar feature, by cosine, read bilinearly.
    It is a hit if it lies within ``alpha`` of the longer side of the target picture (``image``) or
    of the box of its object (``box``). Pictures are made smaller or larger beforehand, with both
    sides by the same factor. A pair with a picture that cannot be read is passed over.

    Args:
        backbone: a loaded model.
        pairs: with points that are marked in both pictures, at least one pair.
        asked: what is compared and what counts; None is ``Asked()``.
        progress: called after each pair.

    Returns:
        Figures ``image`` and ``box``, each with ``points`` (share of all points that are hit) and
        ``pairs`` (mean over pairs), overall and by category, and the control ``same_place`` by
        the box; ``controls`` with the same of each; ``skipped`` by picture. The picture ``pck``
        shows the first pair of each category.

    Raises:
        ConfigError: there is no pair.
        ImageError: no pair has two pictures that can be read.
        PointsError: a pair has no point, not equally many in both pictures, or one outside.
        FeatureKitError: as in ``extract``.

    Source: PCK after Yang and Ramanan 2013; tolerances as in Min et al. 2019, arXiv:1908.10543.
    """
    asked = asked or Asked()
    if not pairs:
        raise ConfigError("pck needs a pair of pictures, got none")
    side = held_out.side_px(backbone) if asked.side_px is None else asked.side_px
    readers = _readers(backbone, asked, side)
    found: dict[str, list[Matched]] = {name: [] for name in readers}
    taken, skipped = [], {}
    for done, pair in enumerate(pairs, start=1):
        try:
            matched = {name: _matched(one, pair, asked) for name, one in readers.items()}
        except ImageError as error:
            skipped[_named(pair)] = str(error)
        else:
            taken.append(pair)
            for name, one in matched.items():
                found[name].append(one)
        progress(done, len(pairs))
    if not taken:
        raise ImageError(f"a pair must have two pictures that can be read, but {skipped}")
    figures = {"alpha": asked.alpha, "side_px": side, **_figures(found), "skipped": skipped}
    return Measured(figures, {"pck": pck_sheet(_firsts(taken, found["network"]), figures)})


def _readers(backbone: Family, asked: Asked, side: int) -> dict[str, Reader]:
    """What is compared: the network, and the controls that are asked for."""
    readers = {"network": Reader(network_maps(backbone, asked.recipe, asked.seed), side)}
    if "random" in asked.controls:
        twin = network_maps(untrained(backbone), asked.recipe, asked.seed)
        readers["random"] = Reader(twin, side)
    if "pixels" in asked.controls:
        readers["pixels"] = Reader(pixel_maps, PIXELS_SIDE)
    return readers


def scene_pair(pair: Pair, size: int) -> PointPair:
    """Make a pair of two scenes: their shared named points, and the box of the target's things.

    A point may lie outside the box: the sun of a landscape is none of its things.

    Args:
        pair: two scenes with a named point in common.
        size: side of the pictures, px.
    """
    shared = shared_points(*pair)
    return PointPair(
        source=pair[0].image(size),
        target=pair[1].image(size),
        source_xy=tuple((x * size, y * size) for (x, y), _ in shared),
        target_xy=tuple((x * size, y * size) for _, (x, y) in shared),
        box=pair[1].foreground(size).getbbox() or (0, 0, size, size),
        category=pair[0].kind,
    )


def _matched(reader: Reader, pair: PointPair, asked: Asked) -> Matched:
    prompt = asked.prompt(pair.category)
    here, there = reader(pair.source, prompt), reader(pair.target, prompt)
    _check(pair, here.size_px, there.size_px)
    points = torch.tensor(pair.source_xy, dtype=torch.float64)
    found = nearest(here.at(points * _ratio(here.seen_px, here.size_px)), there)
    matches = found * _ratio(there.size_px, there.seen_px)
    still = points * _ratio(there.size_px, here.size_px)
    truth = torch.tensor(pair.target_xy, dtype=torch.float64)
    left, top, right, bottom = pair.box
    by_image = asked.alpha * max(there.size_px)
    by_box = asked.alpha * max(right - left, bottom - top)
    return Matched(
        category=pair.category,
        matches=tuple((x, y) for x, y in matches.tolist()),
        image_hits=_within(matches, truth, by_image),
        box_hits=_within(matches, truth, by_box),
        still_hits=_within(still, truth, by_box),
    )


def _ratio(to: tuple[int, int], of: tuple[int, int]) -> Tensor:
    return torch.tensor([to[0] / of[0], to[1] / of[1]], dtype=torch.float64)


def _within(a: Tensor, b: Tensor, reach: float) -> tuple[bool, ...]:
    return tuple(hypot(x, y) <= reach for x, y in (a - b).tolist())


def _check(pair: PointPair, source: tuple[int, int], target: tuple[int, int]) -> None:
    if not pair.source_xy or len(pair.source_xy) != len(pair.target_xy):
        raise PointsError(
            f"a pair must have points, equally many in both pictures, got {len(pair.source_xy)} "
            f"and {len(pair.target_xy)} in a pair of {pair.category}"
        )
    for points, (width, height) in ((pair.source_xy, source), (pair.target_xy, target)):
        for x, y in points:
            if not (0 <= x <= width and 0 <= y <= height):
                raise PointsError(
                    f"a point must lie inside its picture of {width} x {height} px, got "
                    f"({x:g}, {y:g}) in a pair of {pair.category}"
                )


def _named(pair: PointPair) -> str:
    """A pair by its files, for a list of what was passed over."""
    return " and ".join(
        one.name if isinstance(one, Path) else "a picture" for one in (pair.source, pair.target)
    )


def _figures(found: Mapping[str, Sequence[Matched]]) -> dict[str, Any]:
    """What a network found, and each control beside it."""
    network = found["network"]
    return {
        "pairs": len(network),
        "points": sum(len(one.matches) for one in network),
        **_by_category(network),
        "controls": {name: _by_category(found[name]) for name in found if name != "network"},
    }


def _by_category(found: Sequence[Matched]) -> dict[str, Any]:
    names = dict.fromkeys(one.category for one in found)
    each = {name: _shares([one for one in found if one.category == name]) for name in names}
    return {**_shares(found), "categories": each}


def _shares(found: Sequence[Matched]) -> dict[str, dict[str, float]]:
    return {
        name: _share([getattr(one, f"{hits}_hits") for one in found])
        for name, hits in (("image", "image"), ("box", "box"), ("same_place", "still"))
    }


def _share(hits: Sequence[tuple[bool, ...]]) -> dict[str, float]:
    means = [sum(one) / len(one) for one in hits]
    every = [hit for one in hits for hit in one]
    return {"points": sum(every) / len(every), "pairs": sum(means) / len(means)}


def _firsts(pairs: Sequence[PointPair], found: Sequence[Matched]) -> list[Drawn]:
    """The first pair of each category, to be shown."""
    firsts: dict[str, Drawn] = {}
    for pair, one in zip(pairs, found, strict=True):
        if one.category not in firsts and len(firsts) < SHOWN:
            firsts[one.category] = Drawn(
                one.category,
                (pair.source, pair.target),
                (pair.source_xy, one.matches, pair.target_xy),
                one.box_hits,
            )
    return list(firsts.values())
