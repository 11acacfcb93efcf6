"""Steps that make the feature of a sample smaller: pooling, PCA, random projection."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from featurekit import fields
from featurekit.errors import ShapeError

Shape: TypeAlias = tuple[int, ...]


class Step(Protocol):
    """One way to make the feature (c ...) of one sample smaller; its dtype stays."""

    def keeps(self, shape: Shape) -> dict[str, Shape]:
        """Shapes of what ``fit`` will keep; nothing if samples need not be seen first."""

    def shape(self, shape: Shape) -> Shape:
        """Shape after the step of what has this shape before."""

    def fit(self, name: str, samples: Sequence[Tensor]) -> dict[str, Tensor]:
        """What the step must keep for the tensor of that name, from samples (c ...) of it."""

    def apply(self, feature: Tensor, fitted: Mapping[str, Tensor]) -> Tensor:
        """Reduce a feature with what ``fit`` kept."""


@dataclass(frozen=True)
class Pool:
    """Mean over squares of cells; at the right and bottom border over what there is of them."""

    cells: int  # side of a square

    def keeps(self, shape: Shape) -> dict[str, Shape]:
        """Nothing."""
        del shape
        return {}

    def shape(self, shape: Shape) -> Shape:
        """Fewer rows and columns; refuses what is not (c h w)."""
        if len(shape) != 3:
            raise ShapeError(f"pooling needs a feature (c h w), got {shape}; leave pool out")
        return (shape[0], *(math.ceil(size / self.cells) for size in shape[1:]))

    def fit(self, name: str, samples: Sequence[Tensor]) -> dict[str, Tensor]:
        """Nothing to keep."""
        del name, samples
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

    def keeps(self, shape: Shape) -> dict[str, Shape]:
        """Mean and directions."""
        return {"mean": shape[:1], "axes": (shape[0], self.channels)}

    def shape(self, shape: Shape) -> Shape:
        """Fewer channels."""
        return _projected(shape, self.channels, "pca")

    def fit(self, name: str, samples: Sequence[Tensor]) -> dict[str, Tensor]:
        """Mean (c) and directions (c k) of the cells of all samples, computed in float64."""
        del name
        self.shape(tuple(samples[0].shape))
        cells = torch.cat([sample.double().flatten(1) for sample in samples], 1)
        mean = cells.mean(1, keepdim=True)
        spread = (cells - mean) @ (cells - mean).T
        axes = fields.principal_axes(spread, self.channels)
        return {"mean": mean[:, 0].float(), "axes": axes.float().contiguous()}

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

    def keeps(self, shape: Shape) -> dict[str, Shape]:
        """Directions."""
        return {"axes": (shape[0], self.channels)}

    def shape(self, shape: Shape) -> Shape:
        """Fewer channels."""
        return _projected(shape, self.channels, "random")

    def fit(self, name: str, samples: Sequence[Tensor]) -> dict[str, Tensor]:
        """Directions (c k), drawn from the seed and the tap's name alone."""
        self.shape(tuple(samples[0].shape))
        tap = name.rpartition("/")[0]
        digest = sha256(f"{self.seed} {tap}".encode()).digest()
        seed = int.from_bytes(digest[:7], "big")
        return {"axes": fields.random_axes(len(samples[0]), self.channels, seed=seed)}

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
