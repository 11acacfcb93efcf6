"""Do features find the same part in another scene? Named points, nearest neighbours, controls."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import hypot
from typing import Any, TypeAlias

import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional

from featurekit.backbones.unet.sd import StableDiffusion
from featurekit.core import fields
from featurekit.core.types import Progress, silent
from featurekit.features.extract import extract
from featurekit.images.pictures import contact_sheet
from featurekit.measures.held_out import GROUPS, Measured, image_of, scenes_of, side_px
from featurekit.measures.random_weights import untrained
from featurekit.scenes import KINDS, Scene
from featurekit.scenes.geometry import Point

WITHIN = 0.1  # of the side: how far from the truth a match still counts
HEADLINE = ("face", "landscape")  # the kinds that the best tap and timestep are chosen by
BEST_OF = "+".join(HEADLINE)
TAPS = ("up0", "up1", "up2", "up3")
TIMESTEPS = (51, 101, 201)
ENSEMBLE = 4
PATCHES_PX = (7, 13)  # sides of the raw patches
TRIES = 20  # pairs looked at for each one that has a point in common
TILE_PX = 320
HIT, MISS = (0, 158, 115), (213, 94, 0)  # Okabe and Ito's palette

Pair: TypeAlias = tuple[Scene, Scene]
Fields: TypeAlias = Mapping[str, Tensor]
"""Fields (1 c size size) of a picture by the name of what they show."""
Describe: TypeAlias = Callable[[Scene], Fields]
Similarity: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Queries (n c) and cells (m c) to scores (n m), the largest is the match."""


@dataclass(frozen=True)
class Found:
    """Where the named points of one scene were found in another."""

    sources: tuple[Point, ...]
    matches: tuple[Point, ...]
    truths: tuple[Point, ...]

    @property
    def hits(self) -> tuple[bool, ...]:
        """Whether each match lies within ``WITHIN`` of the truth."""
        return tuple(
            hypot(x - u, y - v) <= WITHIN
            for (x, y), (u, v) in zip(self.matches, self.truths, strict=True)
        )

    def moved(self) -> "Found":
        """The points alone that stand elsewhere in the other scene, by more than ``WITHIN``."""
        rows = zip(self.sources, self.matches, self.truths, strict=True)
        apart = [
            row for row in rows if hypot(row[0][0] - row[2][0], row[0][1] - row[2][1]) > WITHIN
        ]
        sources, matches, truths = zip(*apart, strict=True) if apart else ((), (), ())
        return Found(sources, matches, truths)


@torch.no_grad()
def measure_correspondence(
    backbone: StableDiffusion,
    *,
    pairs: int = 10,
    taps: Sequence[str] = TAPS,
    timesteps: Sequence[int] = TIMESTEPS,
    ensemble: int = ENSEMBLE,
    progress: Progress = silent,
) -> Measured:
    """Match named points between held-out scenes of one kind, beside three controls.

    A point takes part if both scenes have it inside the frame. Its match is the pixel with the
    nearest feature, after bilinear upsampling; there is no search window. The controls are the
    same network with random weights, patches of raw pixels by squared difference, and the same
    position. Of the network, the control and the patches the best choice is named by
    ``BEST_OF`` on these very pairs, so each has the same advantage of choosing.

    Args:
        backbone: a loaded model.
        pairs: of scenes, for each kind.
        taps: which activations of the UNet to try.
        timesteps: at which train timesteps.
        ensemble: noise draws to average features over.
        progress: called after each pair.

    Returns:
        Figures ``points`` (how many, by row), ``network``, ``random`` and ``pixels`` (shares in
        [0, 1] by choice and row), ``position``, ``best`` with the chosen ones, and ``moved``: the
        best choices on those points alone that do not stand where they stood. Rows are the kinds,
        ``BEST_OF``, ``trained`` and ``held_out``. The picture ``correspondence`` shows matches of
        the best choice.
    """
    size = side_px(backbone)
    chosen = [pair for kind in KINDS for pair in paired(kind, pairs)]
    asked = {"taps": list(taps), "timesteps": list(timesteps), "ensemble": ensemble}
    describers = _describers(backbone, size, asked)
    found: dict[str, dict[str, list[Found]]] = {name: {} for name in describers}
    for done, pair in enumerate(chosen):
        for name, (describe, similarity) in describers.items():
            for choice, one in matched(pair, describe, similarity).items():
                found[name].setdefault(choice, []).append(one)
        progress(done + 1, len(chosen))
    kinds = [first.kind for first, _ in chosen]
    shares = {name: _of_choices(kinds, by_choice) for name, by_choice in found.items()}
    best = {name: best_choice(by_choice) for name, by_choice in shares.items()}
    still = [at_same_place(pair) for pair in chosen]
    figures = {
        "within": WITHIN,
        "pairs": pairs,
        "ensemble": ensemble,
        "points": _counts(kinds, still),
        "best": {name: {"choice": best[name], **shares[name][best[name]]} for name in best},
        "position": hit_shares(kinds, still),
        "moved": {name: _of_moved(kinds, found[name][best[name]]) for name in found},
        **shares,
    }
    picture = _drawn(chosen, found["network"][best["network"]], size)
    return Measured(figures, {"correspondence": picture})


def paired(kind: str, count: int) -> list[Pair]:
    """Held-out pairs of a kind that have a named point in common."""
    both = (scenes_of(kind, 2, skip=2 * i) for i in range(TRIES * count))
    shared = ((first, second) for first, second in both if shared_points(first, second))
    return list(islice(shared, count))


def shared_points(first: Scene, second: Scene) -> list[tuple[Point, Point]]:
    """Where both scenes have each named point that lies inside both frames."""
    here, there = first.keypoints(), second.keypoints()
    both = [(here[name], there[name]) for name in here if name in there]
    return [(a, b) for a, b in both if _inside(a) and _inside(b)]


def matched(pair: Pair, describe: Describe, similarity: Similarity) -> dict[str, Found]:
    """Match the shared points of a pair in each field that describes its scenes.

    Args:
        pair: two scenes.
        describe: fields of a scene, all of one size.
        similarity: how features are compared.

    Returns:
        What was found, by the name of the field.
    """
    sources, truths = zip(*shared_points(*pair), strict=True)
    here, there = describe(pair[0]), describe(pair[1])
    return {
        name: Found(sources, _nearest(here[name], there[name], sources, similarity), truths)
        for name in here
    }


def at_same_place(pair: Pair) -> Found:
    """The control that looks at nothing: each point is said to be where it was."""
    sources, truths = zip(*shared_points(*pair), strict=True)
    return Found(sources, sources, truths)


def hit_shares(kinds: Sequence[str], found: Sequence[Found]) -> dict[str, float]:
    """Share of points that were hit, by kind and by group.

    Args:
        kinds: of each pair.
        found: what was found in each pair.
    """
    hits = {row: [hit for one in many for hit in one.hits] for row, many in _rows(kinds, found)}
    return {row: sum(each) / len(each) for row, each in hits.items() if each}


def _of_choices(
    kinds: Sequence[str], by_choice: Mapping[str, Sequence[Found]]
) -> dict[str, dict[str, float]]:
    return {choice: hit_shares(kinds, rows) for choice, rows in by_choice.items()}


def _of_moved(kinds: Sequence[str], found: Sequence[Found]) -> dict[str, float]:
    return hit_shares(kinds, [one.moved() for one in found])


def best_choice(shares: Mapping[str, Mapping[str, float]]) -> str:
    """The choice with the highest share of hits in the row ``BEST_OF``; the first of equals."""
    return max(shares, key=lambda choice: shares[choice][BEST_OF])


def cosine(query: Tensor, cells: Tensor) -> Tensor:
    """Cosine of features, (n c) and (m c) to (n m)."""
    return functional.normalize(query, dim=1) @ functional.normalize(cells, dim=1).T


def closeness(query: Tensor, cells: Tensor) -> Tensor:
    """Negative distance of features, (n c) and (m c) to (n m)."""
    return -torch.cdist(query, cells)


def patches(image: Tensor) -> Fields:
    """The raw pixels around each pixel, for each of ``PATCHES_PX``; the border is repeated."""
    height, width = image.shape[-2:]
    found = {}
    for side in PATCHES_PX:
        padded = functional.pad(image, (side // 2,) * 4, mode="replicate")
        found[f"{side}x{side}"] = functional.unfold(padded, side).reshape(1, -1, height, width)
    return found


def _describers(
    backbone: StableDiffusion, size: int, asked: Mapping[str, Any]
) -> dict[str, tuple[Describe, Similarity]]:
    """What is compared: the network, and the controls that look at pictures."""
    return {
        "network": (_reader(backbone, size, asked), cosine),
        "random": (_reader(untrained(backbone), size, asked), cosine),
        "pixels": (lambda scene: patches(image_of(scene, size)), closeness),
    }


def _reader(backbone: StableDiffusion, size: int, asked: Mapping[str, Any]) -> Describe:
    def describe(scene: Scene) -> Fields:
        image = image_of(scene, size).to(backbone.device)
        maps = extract(backbone, image, prompt=scene.caption(), **asked)
        whole = {}
        for one in maps:
            height, width = (one.stride * cells for cells in one.tensor.shape[-2:])
            field = fields.resize(one.tensor.float(), height, width)
            whole[f"{one.tap} t={one.timestep}"] = field[:, :, :size, :size]
        return whole

    return describe


def _nearest(
    here: Tensor, there: Tensor, points: Sequence[Point], similarity: Similarity
) -> tuple[Point, ...]:
    height, width = there.shape[-2:]
    columns = [min(width - 1, int(x * width)) for x, _ in points]
    rows = [min(height - 1, int(y * height)) for _, y in points]
    scores = similarity(here[0, :, rows, columns].T, there[0].flatten(1).T)
    best = scores.argmax(1).tolist()
    return tuple(((i % width + 0.5) / width, (i // width + 0.5) / height) for i in best)


def _inside(point: Point) -> bool:
    return all(0 < value < 1 for value in point)


def _rows(kinds: Sequence[str], found: Sequence[Found]) -> Iterable[tuple[str, list[Found]]]:
    """Everything found, by the rows of the report."""
    rows = {**{kind: (kind,) for kind in KINDS}, BEST_OF: HEADLINE, **GROUPS}
    for row, members in rows.items():
        yield row, [one for kind, one in zip(kinds, found, strict=True) if kind in members]


def _counts(kinds: Sequence[str], found: Sequence[Found]) -> dict[str, int]:
    return {row: sum(len(one.truths) for one in many) for row, many in _rows(kinds, found)}


def _drawn(pairs: Sequence[Pair], found: Sequence[Found], size: int) -> Image.Image:
    """One pair of each kind, side by side, its points joined: green is a hit, orange a miss."""
    rows = {}
    for (first, second), one in zip(pairs, found, strict=True):
        if first.kind not in rows:
            rows[first.kind] = [_joined(first.image(size), second.image(size), one)]
    return contact_sheet(rows, ("named points and where they were found",))


def _joined(first: Image.Image, second: Image.Image, one: Found) -> Image.Image:
    sheet = Image.new("RGB", (2 * TILE_PX, TILE_PX))
    for place, picture in enumerate((first, second)):
        tile = picture.resize((TILE_PX, TILE_PX), Image.Resampling.NEAREST)
        sheet.paste(tile, (place * TILE_PX, 0))
    pen = ImageDraw.Draw(sheet)
    for (x, y), (u, v), hit in zip(one.sources, one.matches, one.hits, strict=True):
        start, end = (x * TILE_PX, y * TILE_PX), ((1 + u) * TILE_PX, v * TILE_PX)
        colour = HIT if hit else MISS
        pen.line((start, end), fill=colour, width=2)
        for spot in (start, end):
            pen.circle(spot, 4, fill=colour, outline=(255, 255, 255))
    return sheet
