"""The loss of a sketch network: L1, perceptual, CLIP, directional CLIP, lines, consistency."""

from copy import copy
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.linalg import vector_norm

from featurekit.core.errors import ShapeError
from featurekit.core.shapes import expect
from featurekit.measures.model.lines import DARK, soft_f1
from featurekit.measures.perceptual.distances import Perceptual
from featurekit_sketch.settings import Weights

ROUNDING = 1e-6  # two embeddings nearer than this share of their length are the same
LINE = (DARK + 1) / 2  # ink below it is a line to the measure of lines
FAINT = 0.75  # ink below it may become one: nearer to a line than to white paper
SURE = 8.0  # how steeply ink becomes a line around the threshold, per range of ink


class ImageEncoder(Protocol):
    """The half of CLIP that sees."""

    @property
    def name(self) -> str:
        """Of the model, for records."""

    def encode_image(self, image: Tensor) -> Tensor:
        """Embed pictures (b 3 h w) in [-1, 1], of any length: (b d)."""


@dataclass(frozen=True, eq=False)
class Terms:
    """The terms of the loss, each 0-dim and without its weight."""

    l1: Tensor
    perceptual: Tensor
    clip: Tensor
    across: Tensor
    within: Tensor
    lines: Tensor
    consistency: Tensor

    def total(self, weights: Weights) -> Tensor:
        """Add the terms up, each times its weight; 0-dim."""
        return (
            weights.l1 * self.l1
            + weights.perceptual * self.perceptual
            + weights.clip * self.clip
            + weights.across * self.across
            + weights.within * self.within
            + weights.lines * self.lines
            + weights.consistency * self.consistency
        )

    def as_floats(self) -> dict[str, float]:
        """The terms by name, for a record."""
        return {name: term.item() for name, term in vars(self).items()}


@dataclass(frozen=True, eq=False)
class Sampled:
    """A picture without a drawing: what the network drew of it, and where CLIP sees it."""

    drawn: Tensor  # (1 1 h w), white paper 1, with its graph; any size
    embedding: Tensor  # of the picture, (1 d), from SketchLoss.embed
    view: "SampleView | None" = None  # the picture once more, in other colours and bent


@dataclass(frozen=True, eq=False)
class SampleView:
    """A view of a picture without a drawing."""

    drawn: Tensor  # what the network drew of the view, (1 1 h w), with its graph
    wanted: Tensor  # what it drew of the picture itself, bent like the view; the same shape


class SketchLoss:
    """Compare what a network draws with one drawing and its picture.

    Gradients reach the drawn sketches only, and not the two networks if they are frozen. Sketches
    of one channel are shown to both networks as grey pictures; what a network draws beyond
    [0, 1] is not clamped.

    Source: Yun et al. 2024, arXiv:2401.04362, but for ``lines`` and ``consistency``; the directions
    are those of Zhu et al. 2022, arXiv:2110.08398, of raw instead of unit embeddings.
    """

    def __init__(
        self, clip: ImageEncoder, perceptual: Perceptual, *, source_image: Tensor, drawing: Tensor
    ) -> None:
        """Embed what does not change.

        Args:
            clip: frozen encoder.
            perceptual: distance of pictures in [-1, 1].
            source_image: the drawn picture, (1 3 h w) in [-1, 1].
            drawing: its drawing, (1 1 h w) in [0, 1], white paper 1.

        Raises:
            ShapeError: another shape, or the two differ in size.
        """
        sizes = expect(drawing, "1 1 h w", of="drawing")
        self._size = {axis: sizes[axis] for axis in "hw"}
        expect(source_image, "1 3 h w", of="source image", **self._size)
        self._clip, self._perceptual = clip, perceptual
        self._hold(drawing.detach())
        self._drawing_seen = self._wanted_seen
        self._image_seen = self.embed(source_image)

    def _hold(self, drawing: Tensor) -> None:
        """Compare sketches of the source with this drawing."""
        self._wanted, self._wanted_seen = drawing, self.embed(_grey(drawing))
        self._lines = (2 * drawing - 1 < DARK).to(drawing.dtype)
        self._distance = self._perceptual.prepared(_grey(drawing))

    def of_view(self, drawing: Tensor) -> "SketchLoss":
        """Ask for another view of the drawing; the directions stay those of the source.

        Args:
            drawing: the view, (1 1 h w) in [0, 1], of the drawing's size.

        Raises:
            ShapeError: another shape.
        """
        expect(drawing, "1 1 h w", of="view of the drawing", **self._size)
        other = copy(self)
        other._hold(drawing.detach())
        return other

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the drawing, px."""
        return self._size["h"], self._size["w"]

    @torch.no_grad()
    def embed(self, image: Tensor) -> Tensor:
        """Embed a picture once, for ``Sampled``.

        Args:
            image: (1 3 h w) in [-1, 1], any size.

        Returns:
            Embedding (1 d) without gradient.

        Raises:
            ShapeError: another shape.
        """
        expect(image, "1 3 h w", of="image")
        return self._clip.encode_image(image)

    def __call__(self, drawn_source: Tensor, sample: Sampled | None) -> Terms:
        """Measure the terms.

        l1 is the mean absolute difference from the drawing; perceptual that distance; lines is
        1 - F1 of its lines with 1 px of tolerance, which thin lines count for although they are a
        small share of all pixels. The others are 1 - cos of two embeddings (clip: drawn and
        drawing) or of two directions (across: from picture to sketch; within: from source to
        sample). Where the wanted direction has no length, as within has for the source's own
        picture, nothing is asked and the term is 0. Where only the drawn one has none, the term
        is 1. Both are without gradient. consistency is 1 - F1 of the lines of the sample's view:
        all that is drawn of the sample, however faintly, is a line there. It is 0 without a view.

        Args:
            drawn_source: what the network drew of the source image, (1 1 h w).
            sample: another picture; None makes across, within and consistency 0.

        Raises:
            ShapeError: the sketch has another size than the drawing, or the sample another shape.
        """
        expect(drawn_source, "1 1 h w", of="sketch of the source", **self._size)
        embedded = self._clip.encode_image(_grey(drawn_source))
        nothing = drawn_source.new_zeros(())
        across, within = (nothing, nothing) if sample is None else self._directions(sample)
        return Terms(
            l1=(drawn_source - self._wanted).abs().mean(),
            perceptual=self._distance(_grey(drawn_source)),
            clip=_cosine_distance(embedded, self._wanted_seen),
            across=across,
            within=within,
            lines=1 - soft_f1(lined(drawn_source), self._lines),
            consistency=nothing if sample is None or sample.view is None else _unlike(sample.view),
        )

    def _directions(self, sample: Sampled) -> tuple[Tensor, Tensor]:
        expect(sample.drawn, "1 1 h w", of="sketch of the sample")
        if sample.embedding.shape != self._image_seen.shape:
            raise ShapeError(
                f"embedding of the sample must be {tuple(self._image_seen.shape)}, "
                f"got {tuple(sample.embedding.shape)}"
            )
        image, sketch = sample.embedding, self._clip.encode_image(_grey(sample.drawn))
        across = _cosine_distance(
            _direction(image, sketch), _direction(self._image_seen, self._drawing_seen)
        )
        within = _cosine_distance(
            _direction(self._drawing_seen, sketch), _direction(self._image_seen, image)
        )
        return across, within


def lined(ink: Tensor) -> Tensor:
    """How surely each pixel is a line to the measure of lines, differentiable.

    The measure knows a threshold and no paler or darker: what is well past it is all line, and
    what is well short of it none. Ink that is in proportion instead, pale lines that the measure
    does not see, would be half a success, and a true drawing with its soft rims none that is whole.

    Args:
        ink: any shape, white paper 1, not bounded.

    Returns:
        The same shape in [0, 1]: 0 on paper, 1 on black, steepest at the threshold.
    """
    white, black = (torch.sigmoid(ink.new_tensor(SURE * (LINE - end))) for end in (1, 0))
    return ((torch.sigmoid(SURE * (LINE - ink)) - white) / (black - white)).clamp(0, 1)


def _unlike(view: SampleView) -> Tensor:
    """How far the lines of a view are from those that its picture has, 0-dim in [0, 1]."""
    sizes = expect(view.drawn, "1 1 h w", of="sketch of the view")
    size = {axis: sizes[axis] for axis in "hw"}
    expect(view.wanted, "1 1 h w", of="sketch that the view should have", **size)
    return 1 - soft_f1(lined(view.drawn), (view.wanted < FAINT).to(view.drawn))


def _grey(sketch: Tensor) -> Tensor:
    """Show a sketch (b 1 h w) in [0, 1] as a picture (b 3 h w) in [-1, 1]."""
    return (2 * sketch - 1).expand(-1, 3, -1, -1)


def _direction(origin: Tensor, end: Tensor) -> Tensor:
    """Direction between embeddings (b d), exactly 0 where only rounding tells them apart."""
    direction = end - origin
    reach = torch.maximum(_length(origin), _length(end))
    return torch.where(
        _length(direction) > ROUNDING * reach, direction, torch.zeros_like(direction)
    )


def _cosine_distance(found: Tensor, wanted: Tensor) -> Tensor:
    """1 - cos of vectors (b d), mean over b; 0 where none is wanted, 1 where none is found."""
    cosine = (_unit(found) * _unit(wanted)).sum(-1)
    return torch.where(_length(wanted)[:, 0] > 0, 1 - cosine, torch.zeros_like(cosine)).mean()


def _unit(vector: Tensor) -> Tensor:
    length = _length(vector)
    return vector / torch.where(length > 0, length, torch.ones_like(length))


def _length(vector: Tensor) -> Tensor:
    # its gradient at 0 is 0, where that of a root of a sum would be NaN
    length: Tensor = vector_norm(vector, dim=-1, keepdim=True)
    return length
