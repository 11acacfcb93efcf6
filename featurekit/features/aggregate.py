"""Fuse feature maps of one image into one field on one grid.

Maps of several taps have unrelated channels: they can be put side by side, not averaged. Maps of
one tap at several timesteps share their channels and can be either.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from featurekit.core import fields
from featurekit.core.errors import ConfigError, ShapeError
from featurekit.core.shapes import expect
from featurekit.core.types import FeatureMap


def concatenated(
    maps: Sequence[FeatureMap],
    *,
    weights: Sequence[float] | None = None,
    components: int | None = None,
    size: tuple[int, int] | None = None,
) -> Tensor:
    """Put maps side by side so that cosine similarity is the weighted mean of theirs.

    Each map is reduced, stretched to the grid and normalised in each cell; its weight enters
    as a square root, since a cosine multiplies two features.

    Args:
        maps: features of the same images, (b c h w) each, any taps and timesteps.
        weights: how much each map counts, >= 0; the default is equally.
        components: principal components to keep of each map first (over its whole batch, so
            images to be compared belong in one batch); None keeps all channels.
        size: rows and columns of the result; the default is the finest of the maps.

    Returns:
        Field (b C h w), C the sum of channels; unit length in each cell where no map is zero.

    Raises:
        ConfigError: there is no map, or the weights are not one number >= 0 a map.
        ShapeError: the maps differ in batch, or do not cover one image.

    Source: normalised concatenation as in Zhang et al. 2023, arXiv:2305.15347.
    """
    shares = _shares(maps, weights)
    height, width = _finest(maps) if size is None else size
    parts = []
    for one, share in zip(maps, shares, strict=True):
        tensor = one.tensor if components is None else fields.pca(one.tensor, components)
        parts.append(share**0.5 * _unit(fields.resize(tensor, height, width)))
    return torch.cat(parts, dim=1)


def averaged(
    maps: Sequence[FeatureMap],
    *,
    weights: Sequence[float] | None = None,
    size: tuple[int, int] | None = None,
) -> Tensor:
    """Average maps of one tap over timesteps, each normalised so that none outshouts the rest.

    Args:
        maps: features of the same images, (b c h w) each, one tap.
        weights: how much each map counts, >= 0; the default is equally.
        size: rows and columns of the result; the default is that of the maps.

    Returns:
        Field (b c h w), at most unit length in each cell.

    Raises:
        ConfigError: there is no map, the maps are of several taps, or the weights are not
            one number >= 0 a map.
        ShapeError: the maps differ in batch, or do not cover one image.
    """
    shares = _shares(maps, weights)
    taps = tuple(dict.fromkeys(one.tap for one in maps))
    if len(taps) > 1:
        raise ConfigError(
            f"maps to be averaged must come from one tap, got {', '.join(taps)}; their channels "
            f"mean different things, so use concatenated"
        )
    height, width = _finest(maps) if size is None else size
    mean = torch.zeros_like(fields.resize(maps[0].tensor, height, width))
    for one, share in zip(maps, shares, strict=True):
        mean = mean + share * _unit(fields.resize(one.tensor, height, width))
    return mean


def _shares(maps: Sequence[FeatureMap], weights: Sequence[float] | None) -> list[float]:
    """Weights that sum to 1, once the maps are known to belong together."""
    if not maps:
        raise ConfigError("maps must hold at least one feature map, got none")
    weights = [1.0] * len(maps) if weights is None else weights
    if len(weights) != len(maps) or min(weights) < 0 or not 0 < sum(weights) < float("inf"):
        raise ConfigError(
            f"weights must be one number >= 0 for each of {len(maps)} maps and not all 0, "
            f"got {list(weights)}"
        )
    first = maps[0]
    sizes = expect(first.tensor, "b c h w", of=f"map {first.tap}")
    covered = (sizes["h"] * first.stride, sizes["w"] * first.stride)
    for one in maps[1:]:
        found = expect(one.tensor, "b c h w", of=f"map {one.tap}", b=sizes["b"])
        covers = (found["h"] * one.stride, found["w"] * one.stride)
        if covers != covered:
            raise ShapeError(
                f"maps must cover one image, got {first.tap} over {covered} and {one.tap} over "
                f"{covers} px (rows, columns)"
            )
    return [weight / sum(weights) for weight in weights]


def _finest(maps: Sequence[FeatureMap]) -> tuple[int, int]:
    """Rows and columns of the map with the most."""
    height, width = max(one.tensor.shape[2:] for one in maps)
    return height, width


def _unit(field: Tensor) -> Tensor:
    """Length 1 in each cell; a zero feature stays zero."""
    return functional.normalize(field, dim=1)
