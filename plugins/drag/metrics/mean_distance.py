"""Mean distance (MD): where features find the handles in an edit, and how far from the targets.

One field of similarities serves the protocols in use, which differ in where they look: at every
pixel (DragDiffusion), in the mask (DragLoRA's m-MD, DragFlow's MD1), or in two discs (RegionDrag,
Inpaint4Drag). Positions are px of the picture, candidates the centres of its pixels.
"""

from math import sqrt

import torch
from torch import Tensor
from torch.nn import functional

from featurekit.core import fields
from featurekit.core.errors import ShapeError
from featurekit.core.precision import placed
from featurekit.core.shapes import expect
from featurekit.core.types import FeatureMap
from featurekit.images.coordinates import cells_from_px, crop
from featurekit_drag.engine.points import Points

TIE = 1e-6  # cosines of float32 so close are one; the nearest to the handle wins
LEAST_RADIUS_PX = 5.0  # of a disc


def similarities(source: FeatureMap, edited: FeatureMap, handles: Tensor) -> Tensor:
    """Compare the feature at each handle with the feature at every pixel of an edit.

    The maps are read as if both were enlarged bilinearly to the size of the picture.

    Args:
        source: features of the picture before, (1 c h w).
        edited: of the edit, as many channels, of a picture of the same size.
        handles: (n 2) px of the picture.

    Returns:
        Cosines (n H W) of the pixels' centres, float32 on the CPU.

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
    height, width = edited.size_px
    wanted = functional.normalize(_read(source, handles), dim=-1)
    columns = torch.arange(width, dtype=torch.float64) + 0.5
    rows = []
    for row in range(height):  # a wide map at every pixel of a large picture fits in no memory
        xy = torch.stack([columns, torch.full_like(columns, row + 0.5)], dim=1)
        rows.append((functional.normalize(_read(edited, xy), dim=-1) @ wanted.T).cpu())
    return torch.stack(rows).permute(2, 0, 1)


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


def _read(features: FeatureMap, xy: Tensor) -> Tensor:
    """Features at points in px, (n c), of cells that show the picture and not its padding."""
    cells = placed(cells_from_px(xy, features.stride), features.tensor.device)
    return fields.sample(crop(features.tensor, *features.inside), cells)[0].float()
