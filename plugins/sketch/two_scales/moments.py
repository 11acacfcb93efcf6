"""Mean and deviation of each channel of the maps, over pictures that a style is learnt from."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from featurekit_sketch.two_scales.reading import TwoScaleMaps

LEAST = 1e-3  # deviation that a channel is divided by at least
CELLS = 16  # along each side that are counted of a map, about


@dataclass(frozen=True, eq=False)
class Moments:
    """Of one map, (1 c 1 1) each."""

    mean: Tensor
    deviation: Tensor


def moments_of(read: Sequence[TwoScaleMaps]) -> dict[str, Moments]:
    """Measure each channel over some pictures.

    Args:
        read: maps of at least one picture.

    Returns:
        float32 moments by the map's name.
    """
    found = {}
    for name in read[0].maps:
        cells = torch.cat([_cells(one.maps[name]) for one in read], 1)
        mean, deviation = cells.mean(1), cells.std(1, correction=0).clamp(min=LEAST)
        found[name] = Moments(mean[None, :, None, None], deviation[None, :, None, None])
    return found


def _cells(one: Tensor) -> Tensor:
    """Every channel at some of its cells, (c n)."""
    down, across = (max(1, side // CELLS) for side in one.shape[-2:])
    return one[:, :, ::down, ::across].float().movedim(1, 0).flatten(1)
