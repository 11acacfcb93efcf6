"""The world: scenes of several kinds, each a picture, a drawing, a caption and named points."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Any

from PIL import Image

from featurekit.errors import ConfigError, UnknownNameError
from featurekit.scenes.canvas import LineDrawing, Painting
from featurekit.scenes.face_moves import FACE
from featurekit.scenes.geometry import Point
from featurekit.scenes.kind import Kind
from featurekit.scenes.landscape_moves import LANDSCAPE
from featurekit.scenes.shape_moves import SHAPES

KINDS: Mapping[str, Kind[Any]] = MappingProxyType(
    {kind.name: kind for kind in (FACE, LANDSCAPE, SHAPES)}
)
"""Every kind by its name; a new kind is a new file and its place in this line."""

TRAIN_SEEDS = range(1_000_000)
"""Seeds of the scenes that a model may be trained on."""

HELD_OUT_SEEDS = range(1_000_000, 2_000_000)
"""Seeds of the scenes that a model is measured on and must never have been trained on."""


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
        painting = Painting(size)
        known_kind(self.kind).draw(painting, self.params)
        return painting.image()

    def drawing(self, size: int = 64) -> Image.Image:
        """Draw the scene's parts in black lines on white, hidden parts left out.

        Args:
            size: side in px, 8 to 2048.

        Returns:
            RGB picture (size x size), grey where a line is antialiased.

        Raises:
            ShapeError: the size is out of range.
        """
        sheet = LineDrawing(size)
        known_kind(self.kind).draw(sheet, self.params)
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
        kind: one of ``KINDS``; None draws it too (faces 40 %, landscapes 35 %, shapes 25 %).

    Returns:
        The scene. It is not rendered yet.

    Raises:
        ConfigError: the seed is negative.
        UnknownNameError: there is no such kind.
    """
    rng = generator(seed)
    chosen = known_kind(kind) if kind is not None else _drawn_kind(rng)
    return Scene(kind=chosen.name, params=chosen.sample(rng), seed=seed)


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
