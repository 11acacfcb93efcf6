"""The world: scenes of several kinds, each a picture, a drawing, a caption and named points."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Any

from PIL import Image

from featurekit.core.errors import ConfigError, UnknownNameError
from featurekit.scenes.drawings import STYLES, Drawing
from featurekit.scenes.geometry import Point
from featurekit.scenes.kind import Kind
from featurekit.scenes.kinds.animals.moves import ANIMAL
from featurekit.scenes.kinds.buildings.moves import BUILDING
from featurekit.scenes.kinds.faces.moves import FACE
from featurekit.scenes.kinds.flowers.moves import FLOWERS
from featurekit.scenes.kinds.landscapes.moves import LANDSCAPE
from featurekit.scenes.kinds.shapes.moves import SHAPES
from featurekit.scenes.kinds.vehicles.moves import VEHICLE
from featurekit.scenes.painting import Matte, Painting

KINDS: Mapping[str, Kind[Any]] = MappingProxyType(
    {kind.name: kind for kind in (FACE, LANDSCAPE, ANIMAL, BUILDING, SHAPES, VEHICLE, FLOWERS)}
)
"""Every kind by its name; a new kind is a new file and its place in this line."""

TRAINED_KINDS = tuple(kind.name for kind in KINDS.values() if kind.share > 0)
"""Kinds that scenes of unnamed kind are of; a model has seen no other."""

HELD_OUT_KINDS = tuple(kind.name for kind in KINDS.values() if kind.share == 0)
"""Kinds that no model is trained on."""

TRAIN_SEEDS = range(1_000_000)
"""Seeds of the scenes that a model may be trained on."""

HELD_OUT_SEEDS = range(1_000_000, 2_000_000)
"""Seeds of the scenes that a model is measured on and must never have been trained on."""


WATCHED = 256
"""How many of the last held-out seeds a training is watched by; reports take others."""


@dataclass(frozen=True)
class Scene:
    """One scene: a kind, its parameters, and the seed they came from."""

    kind: str
    params: Any  # the kind's own frozen dataclass
    seed: int

    def image(self, size: int = 64) -> Image.Image:
        """Paint the scene.

        Args:
            size: side in px, 8 to 2048. The embedded model was trained at 64.

        Returns:
            RGB picture (size x size), the same bytes every time.

        Raises:
            ShapeError: the size is out of range.
        """
        painting, kind = Painting(size), known_kind(self.kind)
        kind.backdrop(painting, self.params)
        kind.figure(painting, self.params)
        return painting.image()

    def foreground(self, size: int = 64) -> Image.Image:
        """Mask what stands before the backdrop: a face with its shoulders, a house with its tree.

        Args:
            size: side in px, 8 to 2048.

        Returns:
            "L" picture (size x size), 255 on the things, 0 on the backdrop.

        Raises:
            ShapeError: the size is out of range.
        """
        matte = Matte(size)
        known_kind(self.kind).figure(matte, self.params)
        return matte.image()

    def drawing(self, size: int = 64, style: str = "brush") -> Image.Image:
        """Draw the scene in black on white, as one hand would.

        Args:
            size: side in px, 8 to 2048.
            style: one of ``STYLES``: brush, hatching, inline.

        Returns:
            RGB picture (size x size), grey where a line is antialiased.

        Raises:
            ShapeError: the size is out of range.
            UnknownNameError: there is no such style.
        """
        if style not in STYLES:
            raise UnknownNameError("drawing style", style, STYLES)
        sheet, kind = Drawing(STYLES[style](size)), known_kind(self.kind)
        kind.backdrop(sheet, self.params)
        kind.figure(sheet, self.params)
        return sheet.image()

    def caption(self, seed: int = 0) -> str:
        """Describe the scene; another seed mentions other details, or in another order."""
        return known_kind(self.kind).caption(self.params, Random(f"caption {self.seed} {seed}"))

    def keypoints(self) -> dict[str, Point]:
        """Named points ``(x, y)`` in [0, 1] of the side; parts that are missing have none."""
        return dict(known_kind(self.kind).keypoints(self.params))


def scene(seed: int, kind: str | None = None) -> Scene:
    """Make the scene of a seed.

    Args:
        seed: 0 or more; the same seed and kind give the same scene on every machine.
        kind: one of ``KINDS``; None draws it among ``TRAINED_KINDS``.

    Returns:
        The scene. It is not rendered yet.

    Raises:
        ConfigError: the seed is negative.
        UnknownNameError: there is no such kind.
    """
    rng = generator(seed)
    chosen = known_kind(kind) if kind is not None else _drawn_kind(rng)
    return Scene(kind=chosen.name, params=chosen.sample(rng), seed=seed)


def held_out_scenes(
    count: int, kinds: Sequence[str] = TRAINED_KINDS, *, skip: int = 0
) -> list[Scene]:
    """Held-out scenes of kinds in turn, from the last seeds: benches take theirs from the first.

    Args:
        count: how many.
        kinds: names of kinds.
        skip: how many to leave to others.

    Raises:
        UnknownNameError: there is no such kind.
    """
    last = HELD_OUT_SEEDS.stop - 1 - skip
    return [scene(last - i, kinds[i % len(kinds)]) for i in range(count)]


def generator(seed: int) -> Random:
    """The random numbers of a seed, refused where two seeds would share them."""
    if seed < 0:
        raise ConfigError(f"a scene's seed must be 0 or more, got {seed}")
    return Random(seed)


def known_kind(name: str) -> Kind[Any]:
    """A kind by its name, UnknownNameError if there is none."""
    if name not in KINDS:
        raise UnknownNameError("kind of scene", name, KINDS)
    return KINDS[name]


def _drawn_kind(rng: Random) -> Kind[Any]:
    kinds = list(KINDS.values())
    return rng.choices(kinds, [kind.share for kind in kinds])[0]
