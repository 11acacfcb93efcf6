"""What the steps of a recipe compute: pooling, PCA, random projection."""

from collections.abc import Mapping
from functools import singledispatch
from hashlib import sha256

import torch
from torch import Tensor

from featurekit.core import fields
from featurekit.core.errors import ShapeError
from featurekit.store.recipe import Pca, Pool, Random, Step


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


@singledispatch
def fitted_to(step: Step, name: str, seen: Moments) -> dict[str, Tensor]:
    """Compute what a step must keep.

    Args:
        step: of a recipe.
        name: ``tap/t`` of the tensor.
        seen: what was seen of it.

    Returns:
        Tensors of the shapes that ``step.keeps`` says; nothing for a step that keeps nothing.
    """
    del step, name, seen
    return {}


@fitted_to.register
def _(step: Pca, name: str, seen: Moments) -> dict[str, Tensor]:
    """Mean (c) and directions (c k) of the cells of all samples, computed in float64."""
    del name
    axes = fields.principal_axes(seen.spread, step.channels)
    return {"mean": seen.mean.float(), "axes": axes.float().contiguous()}


@fitted_to.register
def _(step: Random, name: str, seen: Moments) -> dict[str, Tensor]:
    """Directions (c k), drawn from the seed and the tap's name alone."""
    tap = name.rpartition("/")[0]
    digest = sha256(f"{step.seed} {tap}".encode()).digest()
    seed = int.from_bytes(digest[:7], "big")
    return {"axes": fields.random_axes(seen.channels, step.channels, seed=seed)}


@singledispatch
def applied(step: Step, feature: Tensor, fitted: Mapping[str, Tensor]) -> Tensor:
    """Make a feature (c ...) smaller; its dtype stays.

    Args:
        step: of a recipe.
        feature: of one sample.
        fitted: what ``fitted_to`` gave.

    Raises:
        ShapeError: the step cannot take that shape.
    """
    raise NotImplementedError(f"{type(step).__name__} must say what it computes")


@applied.register
def _(step: Pool, feature: Tensor, fitted: Mapping[str, Tensor]) -> Tensor:
    """Pool (c h w)."""
    del fitted
    step.shape(tuple(feature.shape))
    return fields.pool(feature[None], step.cells)[0]


@applied.register
def _(step: Pca, feature: Tensor, fitted: Mapping[str, Tensor]) -> Tensor:
    """Project (c ...) after taking the mean away."""
    step.shape(tuple(feature.shape))
    flat = feature.float().flatten(1) - fitted["mean"][:, None]
    return (fitted["axes"].T @ flat).reshape(-1, *feature.shape[1:]).to(feature.dtype)


@applied.register
def _(step: Random, feature: Tensor, fitted: Mapping[str, Tensor]) -> Tensor:
    """Project (c ...)."""
    step.shape(tuple(feature.shape))
    flat = feature.float().flatten(1)
    return (fitted["axes"].T @ flat).reshape(-1, *feature.shape[1:]).to(feature.dtype)
