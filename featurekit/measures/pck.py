"""Share of points of one picture that features find in another (PCK), by picture and by box."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot
from pathlib import Path
from typing import TypeAlias

import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional

from featurekit import fields, grid
from featurekit.backbone import Backbone
from featurekit.errors import ConfigError, PointsError
from featurekit.extract import extract
from featurekit.io import load_image
from featurekit.measures import held_out
from featurekit.measures.correspondence import HIT, MISS, Pair, shared_points
from featurekit.measures.held_out import Measured
from featurekit.photo import open_photo
from featurekit.pictures import contact_sheet
from featurekit.recipes import Recipe
from featurekit.types import FeatureMap, Progress, silent

ALPHA = 0.1
RECIPE = Recipe(("up2",), (101,))
AT_ONCE = 4096  # pixels of the target that are compared at a time
REMEMBERED = 64  # pictures whose features are kept for the next pair
TILE_PX = 320
SHOWN = 12  # pairs on the sheet, one of a category

Points: TypeAlias = tuple[tuple[float, float], ...]
"""(x, y) in px of the picture they belong to."""
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


@torch.no_grad()
def pck(
    backbone: Backbone,
    pairs: Sequence[PointPair],
    alpha: float = ALPHA,
    *,
    recipe: Recipe = RECIPE,
    side_px: int | None = None,
    progress: Progress = silent,
) -> Measured:
    """Match points between pictures by the nearest feature and count how many are hit.

    A match is the pixel of the target with the most similar feature, by cosine, read bilinearly.
    It is a hit if it lies within ``alpha`` of the longer side of the target picture (``image``) or
    of the box of its object (``box``). Pictures are made smaller or larger beforehand, with both
    sides by the same factor.

    Args:
        backbone: a loaded model.
        pairs: with points that are marked in both pictures, at least one pair.
        alpha: tolerance, > 0.
        recipe: which features; those of several taps and timesteps are compared together.
        side_px: longer side of the pictures as the network sees them; None is what the model
            was trained on.
        progress: called after each pair.

    Returns:
        Figures ``image`` and ``box``, each with ``points`` (share of all points that are hit) and
        ``pairs`` (mean over pairs), overall and by category, and the control ``same_place`` by
        the box. The picture ``pck`` shows the first pair of each category.

    Raises:
        ConfigError: there is no pair, or ``alpha`` or ``side_px`` is too small.
        PointsError: a pair has no point, not equally many in both pictures, or one outside.
        FeatureKitError: as in ``load_image`` and ``extract``.

    Source: PCK after Yang and Ramanan 2013; tolerances as in Min et al. 2019, arXiv:1908.10543.
    """
    side = held_out.side_px(backbone) if side_px is None else side_px
    if not pairs or not alpha > 0 or side < 8:
        raise ConfigError(
            f"pck needs a pair, alpha above 0 and side_px of 8 or more, got {len(pairs)} pairs, "
            f"alpha {alpha} and side_px {side}"
        )
    reader = _Reader(backbone, recipe, side)
    found = []
    for done, pair in enumerate(pairs, start=1):
        found.append(_matched(reader, pair, alpha))
        progress(done, len(pairs))
    categories = list(dict.fromkeys(one.category for one in found))
    figures = {
        "alpha": alpha,
        "side_px": side,
        "pairs": len(pairs),
        "points": sum(len(one.matches) for one in found),
        **_shares(found),
        "categories": {
            name: _shares([one for one in found if one.category == name]) for name in categories
        },
    }
    return Measured(figures, {"pck": _drawn(pairs, found)})


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


@dataclass(frozen=True, eq=False)
class _Seen:
    """A picture as the network sees it."""

    maps: tuple[FeatureMap, ...]
    size_px: tuple[int, int]  # width and height of the picture itself
    seen_px: tuple[int, int]  # as the network sees it

    def at(self, xy: Tensor) -> Tensor:
        """Features at points (n 2), px of what the network sees: each map of length 1, (n c)."""
        parts = []
        for one in self.maps:
            cells = grid.cells_from_px(xy, one.stride).to(one.tensor.device)
            parts.append(functional.normalize(fields.sample(one.tensor, cells)[0].float(), dim=1))
        return torch.cat(parts, dim=1)


class _Reader:
    """Reads pictures, those of files once for pairs that follow each other."""

    def __init__(self, backbone: Backbone, recipe: Recipe, side: int) -> None:
        self._backbone, self._recipe, self._side = backbone, recipe, side
        self._kept: OrderedDict[Path, _Seen] = OrderedDict()

    def __call__(self, picture: Image.Image | Path) -> _Seen:
        if not isinstance(picture, Path):
            return self._read(picture)
        if picture not in self._kept:
            self._kept[picture] = self._read(picture)
        self._kept.move_to_end(picture)
        while len(self._kept) > REMEMBERED:
            self._kept.popitem(last=False)
        return self._kept[picture]

    def _read(self, picture: Image.Image | Path) -> _Seen:
        photo = open_photo(picture, of="image", background="white")
        factor = self._side / max(photo.size)
        size = (max(8, round(photo.width * factor)), max(8, round(photo.height * factor)))
        resized = photo if size == photo.size else photo.resize(size, Image.Resampling.LANCZOS)
        maps = extract(
            self._backbone,
            load_image(resized).to(self._backbone.device),
            taps=self._recipe.taps,
            timesteps=self._recipe.timesteps,
            ensemble=self._recipe.ensemble,
        )
        return _Seen(tuple(maps), photo.size, size)


def _matched(reader: _Reader, pair: PointPair, alpha: float) -> Matched:
    here, there = reader(pair.source), reader(pair.target)
    _check(pair, here.size_px, there.size_px)
    asked = torch.tensor(pair.source_xy, dtype=torch.float64)
    found = _nearest(here.at(asked * _ratio(here.seen_px, here.size_px)), there)
    matches = found * _ratio(there.size_px, there.seen_px)
    still = asked * _ratio(there.size_px, here.size_px)
    truth = torch.tensor(pair.target_xy, dtype=torch.float64)
    left, top, right, bottom = pair.box
    by_image, by_box = alpha * max(there.size_px), alpha * max(right - left, bottom - top)
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


def _nearest(queries: Tensor, there: _Seen) -> Tensor:
    """Centres of the pixels with the most similar features, (n 2), px of what is seen."""
    width, height = there.seen_px
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    centres = torch.stack((x, y), dim=-1).reshape(-1, 2).double() + 0.5
    scores = [queries @ there.at(some).T for some in torch.split(centres, AT_ONCE)]
    return centres[torch.cat(scores, dim=1).argmax(1).cpu()]


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


def _shares(found: Sequence[Matched]) -> dict[str, dict[str, float]]:
    return {
        name: _share([getattr(one, f"{hits}_hits") for one in found])
        for name, hits in (("image", "image"), ("box", "box"), ("same_place", "still"))
    }


def _share(hits: Sequence[tuple[bool, ...]]) -> dict[str, float]:
    means = [sum(one) / len(one) for one in hits]
    every = [hit for one in hits for hit in one]
    return {"points": sum(every) / len(every), "pairs": sum(means) / len(means)}


def _drawn(pairs: Sequence[PointPair], found: Sequence[Matched]) -> Image.Image:
    """The first pair of each category, its points joined: green is a hit by the box."""
    rows: dict[str, list[Image.Image | None]] = {}
    for pair, one in zip(pairs, found, strict=True):
        if one.category not in rows and len(rows) < SHOWN:
            rows[one.category] = [_joined(pair, one)]
    return contact_sheet(rows, ("points and where they were found",))


def _joined(pair: PointPair, found: Matched) -> Image.Image:
    sheet, ends = Image.new("RGB", (2 * TILE_PX, TILE_PX), "white"), []
    sides = ((pair.source, pair.source_xy), (pair.target, found.matches))
    for place, (source, points) in enumerate(sides):
        photo = open_photo(source, of="image", background="white")
        scale = TILE_PX / max(photo.size)
        size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
        sheet.paste(photo.resize(size, Image.Resampling.LANCZOS), (place * TILE_PX, 0))
        ends.append([(place * TILE_PX + x * scale, y * scale) for x, y in points])
    pen = ImageDraw.Draw(sheet)
    for start, end, hit in zip(*ends, found.box_hits, strict=True):
        colour = HIT if hit else MISS
        pen.line((start, end), fill=colour, width=2)
        for spot in (start, end):
            pen.circle(spot, 4, fill=colour, outline=(255, 255, 255))
    return sheet
