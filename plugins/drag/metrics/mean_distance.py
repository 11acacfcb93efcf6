"""Mean distance (MD): where features find the handles in an edit, and how far from the targets.

One field of similarities serves the protocols in use, which differ in where they look: at every
pixel (DragDiffusion), in the mask (DragLoRA's m-MD, DragFlow's MD1), or in two discs (RegionDrag,
Inpaint4Drag). Positions are px of the picture, candidates the centres of its pixels.
"""

from math import sqrt
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from featurekit.core import fields
from featurekit.core.errors import ShapeError
from featurekit.core.shapes import expect
from featurekit.core.types import FeatureMap
from featurekit.images.coordinates import cells_from_px, crop
from featurekit_drag.engine.points import Points

TIE = 1e-9  # cosines so close are one; the nearest to the handle wins
LEAST_RADIUS_PX = 5.0  # of a disc

_Blend: TypeAlias = tuple[Tensor, Tensor, Tensor]


def similarities(source: FeatureMap, edited: FeatureMap, handles: Tensor) -> Tensor:
    """Compare the feature at each handle with the feature at every pixel of an edit.

    The maps are read as if both were enlarged bilinearly to the size of the picture. The enlarged
    map of an edit, gigabytes for 1280 channels at 512 px, is never made: a product with it is the
    enlarged map of products, and the length of a blend of four cells follows from their products.

    Args:
        source: features of the picture before, (1 c h w).
        edited: of the edit, as many channels, of a picture of the same size.
        handles: (n 2) px of the picture.

    Returns:
        Cosines (n H W) of the pixels' centres, float64 on the CPU; 0 where a feature is all zeros.

    Raises:
        ShapeError: the maps do not belong together.
    """
    sizes = expect(source.tensor, "1 c h w", of="source features")
    expect(edited.tensor, "1 c h w", of="features of the edit", c=sizes["c"])
    if source.size_px != edited.size_px or source.stride != edited.stride:
        raise ShapeError(
            f"features of source and edit must be of one size, got {source.size_px} px at stride "
            f"{source.stride} and {edited.size_px} px at stride {edited.stride}"
        )
    xy = cells_from_px(handles.cpu().double(), source.stride)
    wanted = functional.normalize(fields.sample(_cells(source), xy)[0], dim=-1)
    cells = _cells(edited)[0].permute(1, 2, 0)
    y, x = (_blend(size, edited.stride, cells.shape[i]) for i, size in enumerate(edited.size_px))
    products = _enlarged((cells @ wanted.T).permute(2, 0, 1), y, x)
    lengths = _squared_lengths(cells, y, x).sqrt()
    return products / lengths.clamp(min=torch.finfo(lengths.dtype).tiny)


def found(scores: Tensor, handles: Tensor, candidates: Tensor | None = None) -> Tensor:
    """Choose for each handle the most similar pixel, and among equals the nearest to the handle.

    Args:
        scores: (n h w) of ``similarities``.
        handles: (n 2) px.
        candidates: where to look, (n h w) or (1 h w), nonzero; None looks everywhere.

    Returns:
        Centres of pixels, (n 2) px, float64.

    Raises:
        ShapeError: a handle has no candidate.
    """
    height, width = scores.shape[1:]
    open_to = torch.ones_like(scores, dtype=torch.bool)
    if candidates is not None:
        open_to = (candidates != 0).expand_as(scores)
    if not bool(open_to.flatten(1).any(dim=1).all()):
        raise ShapeError("each handle must have a pixel to be found at, and one has none")
    centres = pixel_centres(height, width)
    apart = torch.cdist(handles.double(), centres)
    flat = scores.flatten(1).masked_fill(~open_to.flatten(1), -torch.inf)
    tied = flat >= flat.amax(dim=1, keepdim=True) - TIE
    return centres[apart.masked_fill(~tied, torch.inf).argmin(dim=1)]


def pixel_centres(height: int, width: int) -> Tensor:
    """Centres of all pixels, row by row, (height*width 2) px, float64."""
    y = torch.arange(height, dtype=torch.float64) + 0.5
    x = torch.arange(width, dtype=torch.float64) + 0.5
    return torch.cartesian_prod(y, x).flip(1)


def discs(points: Points, height: int, width: int) -> Tensor:
    """Pixels near the handle or the target of each drag: (n h w) bool.

    Both discs have the length of the drag over the root of 2 for a radius, at least 5 px.

    Source: Visual-AI/RegionDrag, region_utils/evaluator.py, create_mask (Lu et al. 2024,
    arXiv:2407.18247).
    """
    centres = pixel_centres(height, width)
    radius = (points.lengths / sqrt(2)).clamp(min=LEAST_RADIUS_PX)[:, None]
    near = [
        torch.cdist(ends.double(), centres) < radius for ends in (points.handles, points.targets)
    ]
    return (near[0] | near[1]).view(-1, height, width)


def distances_px(places: Tensor, points: Points) -> Tensor:
    """How far each handle was found from its target, (n,) px.

    Source: Shi et al. 2024, arXiv:2306.14435, section 4.2; the mean over all pairs is MD.
    """
    apart: Tensor = torch.linalg.vector_norm(places - points.targets, dim=1)
    return apart


def distances_of_sides(places: Tensor, points: Points, height: int, width: int) -> Tensor:
    """The same in shares of the picture's sides, (n,): x by its width, y by its height.

    Source: as ``discs``; published times 100.
    """
    sides = torch.tensor([width, height], dtype=torch.float64)
    apart: Tensor = torch.linalg.vector_norm((places - points.targets) / sides, dim=1)
    return apart


def _cells(features: FeatureMap) -> Tensor:
    """The cells that show the picture and not its padding, (1 c h w) float64 on the CPU."""
    return crop(features.tensor, *features.inside).detach().cpu().double()


def _blend(size_px: int, stride: int, cells: int) -> tuple[Tensor, Tensor, Tensor]:
    """Along one side, for each pixel: the cells before and after it, the share of the latter."""
    place = (torch.arange(size_px, dtype=torch.float64) + 0.5) / stride - 0.5
    place = place.clamp(0, cells - 1)
    before = place.floor().clamp(max=max(cells - 2, 0)).long()
    return before, (before + 1).clamp(max=cells - 1), place - before


def _enlarged(field: Tensor, y: _Blend, x: _Blend) -> Tensor:
    """A field (n h w) at the pixels (n H W)."""
    (top, bottom, down), (left, right, over) = y, x
    rows = torch.lerp(field[:, top], field[:, bottom], down[:, None])
    return torch.lerp(rows[..., left], rows[..., right], over)


def _squared_lengths(cells: Tensor, y: _Blend, x: _Blend) -> Tensor:
    """Squared lengths of the blends of four cells (h w c) at the pixels, (H W)."""
    corners = [(rows, columns) for rows in (0, 1) for columns in (0, 1)]
    weights = [
        (y[2] if rows else 1 - y[2])[:, None] * (x[2] if columns else 1 - x[2])
        for rows, columns in corners
    ]
    height, width = cells.shape[:2]
    total = torch.zeros(len(y[2]), len(x[2]), dtype=cells.dtype)
    # each pixel lies between the cells of one block of two by two, called by its first cell
    blocks = [cells[_next(height, rows)][:, _next(width, columns)] for rows, columns in corners]
    for i, (one, weight) in enumerate(zip(blocks, weights, strict=True)):
        for j, (other, its) in enumerate(zip(blocks[i:], weights[i:], strict=True)):
            product = (one * other).sum(dim=-1)[y[0]][:, x[0]]
            total += product * weight * its * (1 if j == 0 else 2)
    return total


def _next(size: int, step: int) -> Tensor:
    """Each cell of a side, or the one after it; the last has none."""
    return (torch.arange(size) + step).clamp(max=size - 1)
