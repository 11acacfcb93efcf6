"""How well held-out pictures are sketched, beside what a tuned edge map reaches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from featurekit.measures.held_out import image_of, scenes_of
from featurekit.measures.model.lines import drawing_of, tuned_strength
from featurekit.scenes import KINDS, TRAINED_KINDS, Scene
from featurekit_sketch.metrics.controls import Draw, Edges
from featurekit_sketch.metrics.figures import FIGURES, Row, means, scores

__all__ = ["FIGURES", "Draw", "HeldOutDrawings", "Row", "means", "scores"]


@dataclass(frozen=True, eq=False)
class HeldOutDrawings:
    """Held-out scenes of every kind with their true drawings in one style."""

    drawing_style: str
    size: int
    scenes: Mapping[str, Sequence[Scene]]  # by kind
    strength: float  # gradient at which an edge is a line, tuned on scenes for training

    @classmethod
    def of(cls, drawing_style: str, size: int, *, tests: int) -> "HeldOutDrawings":
        """Take the first held-out scenes of every kind.

        Args:
            drawing_style: one of the world's.
            size: side of the pictures, px.
            tests: scenes of each kind.
        """
        scenes = {kind: scenes_of(kind, tests) for kind in KINDS}
        return cls(drawing_style, size, scenes, _strength(drawing_style, size))

    def images(self, kind: str) -> list[Tensor]:
        """Pictures of a kind, (1 3 size size) each."""
        return [image_of(one, self.size) for one in self.scenes[kind]]

    def truths(self, kind: str) -> Tensor:
        """True drawings of a kind as ink, (n 1 size size)."""
        drawn = torch.cat(
            [drawing_of(one, self.drawing_style, self.size) for one in self.scenes[kind]]
        )
        return (drawn + 1) / 2

    def edges(self, image: Tensor) -> Tensor:
        """The tuned edge map of a picture as ink."""
        return Edges(self.strength)(image)

    def figures(self, drawn: Mapping[str, Tensor]) -> dict[str, Row]:
        """Mean figures by kind of drawn ink (n 1 size size) by kind."""
        return {kind: scores(ink, self.truths(kind)) for kind, ink in drawn.items()}


@cache
def _strength(drawing_style: str, size: int) -> float:
    return tuned_strength(TRAINED_KINDS, drawing_style, size)
