"""Steps that make the feature of a sample smaller: pooling, PCA, random projection."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar, Protocol, TypeAlias

import torch
from torch import Tensor

from featurekit.core import fields
from featurekit.core.errors import ShapeError

Shape: TypeAlias = tuple[int, ...]


class Moments:
    """Mean and spread of the cells of features that are seen one after the other, in float64.

    Source:
        Chan, Golub, LeVeque: Updating Formulae and a Pairwise Algorithm for Computing Sample
        Variances (1979).
    """

    def __init__(self, channels: int) -> None:
        """Begin with nothing seen.

        Args:
            channels: of the features, c.
        """
        self.channels = channels
        self.cells = 0
        self.mean = torch.zeros(channels, dtype=torch.float64)
        self.spread = torch.zeros(0, 0, dtype=torch.float64)  # (c c) once something is seen

    def add(self, feature: Tensor) -> None:
        """See one feature (c ...).

        Raises:
            ShapeError: it has another number of channels than those before.
        """
        if len(feature) != self.channels:
            raise ShapeError(
                f"a tensor must have one number of channels in all samples, got {self.channels} "
                f"and {len(feature)}"
            )
        if not self.cells:
            self.spread = self.spread.new_zeros(self.channels, self.channels)
        flat = feature.double().flatten(1)
        mean = flat.mean(1)
        centred = flat - mean[:, None]
        apart, cells = mean - self.mean, self.cells + flat.shape[1]
        self.spread += centred @ centred.T
        self.spread += torch.outer(apart, apart) * (self.cells * flat.shape[1] / cells)
        self.mean += apart * (flat.shape[1] / cells)
        self.cells = cells


class Step(Protocol):
    """One way to make the feature (c ...) of one sample smaller; its dtype stays."""

    @property
    def sees(self) -> bool:
        """Whether ``fit`` needs the moments of samples, not only their number of channels."""

    def keeps(self, shape: Shape) -> dict[str, Shape]:
        """Shapes of what ``fit`` will keep; nothing if samples need not be seen first."""

    def shape(self, shape: Shape) -> Shape:
        """Shape after the step of what has this shape before."""

    def fit(self, name: str, seen: Moments) -> dict[str, Tensor]:
        """What the step must keep for the tensor of that name, from what was seen of it."""

    def apply(self, feature: Tensor, fitted: Mapping[str, Tensor]) -> Tensor:
        """Reduce a feature with what ``fit`` kept."""


@dataclass(frozen=True)
class Pool:
    """Mean over squares of cells; at the right and bottom border over what there is of them."""

    cells: int  # side of a square
    sees: ClassVar[bool] = False

    def keeps(self, shape: Shape) -> dict[str, Shape]:
        """Nothing."""
        del shape
        return {}

    def shape(self, shape: Shape) -> Shape:
        """Fewer rows and columns; refuses what is not (c h w)."""
        if len(shape) != 3:
            raise ShapeError(f"pooling needs a feature (c h w), got {shape}; leave pool out")
        return (shape[0], *(math.ceil(size / self.cells) for size in shape[1:]))

    def fit(self, name: str, seen: Moments) -> dict[str, Tensor]:
        """Nothing to keep."""
        del name, seen
        return {}

    def apply(self, feature: Tensor, fitted: Mapping[str, Tensor]) -> Tensor:
        """Pool (c h w)."""
        del fitted
        self.shape(tuple(feature.shape))
        return fields.pool(feature[None], self.cells)[0]


@dataclass(frozen=True)
class Pca:
    """Coordinates along the directions in which samples vary most, each tensor with its own."""

    channels: int
    sees: ClassVar[bool] = True

    def keeps(self, shape: Shape) -> dict[str, Shape]:
        """Mean and directions."""
        return {"mean": shape[:1], "axes": (shape[0], self.channels)}

    def shape(self, shape: Shape) -> Shape:
        """Fewer channels."""
        return _projected(shape, self.channels, "pca")

    def fit(self, name: str, seen: Moments) -> dict[str, Tensor]:
        """Mean (c) and directions (c k) of the cells of all samples, computed in float64."""
        del name
        axes = fields.principal_axes(seen.spread, self.channels)
        return {"mean": seen.mean.float(), "axes": axes.float().contiguous()}

    def apply(self, feature: Tensor, fitted: Mapping[str, Tensor]) -> Tensor:
        """Project (c ...)."""
        self.shape(tuple(feature.shape))
        flat = feature.float().flatten(1) - fitted["mean"][:, None]
        return (fitted["axes"].T @ flat).reshape(-1, *feature.shape[1:]).to(feature.dtype)


@dataclass(frozen=True)
class Random:
    """Normal random directions, which keep distances in expectation; one set for a tap."""

    channels: int
    seed: int = 0
    sees: ClassVar[bool] = False

    def keeps(self, shape: Shape) -> dict[str, Shape]:
        """Directions."""
        return {"axes": (shape[0], self.channels)}

    def shape(self, shape: Shape) -> Shape:
        """Fewer channels."""
        return _projected(shape, self.channels, "random")

    def fit(self, name: str, seen: Moments) -> dict[str, Tensor]:
        """Directions (c k), drawn from the seed and the tap's name alone."""
        tap = name.rpartition("/")[0]
        digest = sha256(f"{self.seed} {tap}".encode()).digest()
        seed = int.from_bytes(digest[:7], "big")
        return {"axes": fields.random_axes(seen.channels, self.channels, seed=seed)}

    def apply(self, feature: Tensor, fitted: Mapping[str, Tensor]) -> Tensor:
        """Project (c ...)."""
        self.shape(tuple(feature.shape))
        flat = feature.float().flatten(1)
        return (fitted["axes"].T @ flat).reshape(-1, *feature.shape[1:]).to(feature.dtype)


def _projected(shape: Shape, channels: int, word: str) -> Shape:
    if len(shape) < 2 or not 1 <= channels <= shape[0]:
        raise ShapeError(
            f"{word}:{channels} needs a feature (c ...) of at least {channels} channels, "
            f"got {shape}; ask for fewer"
        )
    return (channels, *shape[1:])
