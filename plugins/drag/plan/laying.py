"""Laying a plan: the moved layer over the ground, and the hole that it leaves."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from torch import Tensor

from featurekit.scenes.harmonic import fill
from featurekit_drag.plan.grid import Grid, grown, read_at

SHARPER = 1.6  # slope of alpha where it was read between units, which softens it
OPAQUE = 0.999  # alpha above which no ground is seen
PRESENT = 0.15  # alpha of a unit that the layer leaves behind
RIM = 1  # units inside the mask's rim over which a layer fades that would be cut off there
SPILL = 2  # units around the layer that it colours
FITTED_PX = 4  # px per unit at most, at which alpha is fitted to the picture
STILL = 0.25  # units: what moves less stays


@dataclass(frozen=True)
class Moved:
    """One layer of a plan and where its content goes."""

    alpha: Tensor  # (1 1 h w) on the grid
    back: Tensor  # (h w 2) in units, see fields.py


@dataclass(frozen=True)
class Laid:
    """A picture with its layers moved, before anything is redrawn."""

    picture: Tensor  # (1 3 H W) in [-1, 1]; the hole is filled smoothly
    moved: Tensor  # (1 1 H W) in [0, 1]: how much of a pixel the moved layers cover
    hole: Tensor  # (1 1 H W): 1 where the ground was uncovered
    left: Tensor  # (1 1 H W): 1 where layers were that have moved, uncovered or not
    ground: Tensor  # (1 3 H W) what the layers lie over, filled smoothly where they were

    def over(self, ground: Tensor) -> Tensor:
        """Lay the layers over another ground (1 3 H W), which may differ where they were."""
        return self.picture + (1 - self.moved) * (ground - self.ground) * self.left


def lay(
    image: Tensor, layers: tuple[Moved, ...], inside: Tensor, grid: Grid, *, copy: bool
) -> Laid:
    """Move layers of a picture at its full resolution.

    Args:
        image: (1 3 H W) in [-1, 1].
        layers: later ones lie over earlier ones.
        inside: (1 1 H W), 1 where the picture may change.
        grid: of the layers.
        copy: leave the layers where they were, too; nothing is uncovered.
    """
    size = (image.shape[-2], image.shape[-1])
    backs = [at_full_size(one.back, grid, size) for one in layers]
    alphas = [refined(one.alpha, image, grid) for one in layers]
    may = inside * _rim_softened(inside, round(RIM * grid.unit_px) - RIM)
    moved = [sharpened(read_at(a, b)) * may for a, b in zip(alphas, backs, strict=True)]
    covered = 1 - torch.stack([1 - one for one in moved]).prod(dim=0)
    left = torch.zeros_like(inside) if copy else left_by(layers, inside, grid)
    ground = picture = filled(image, left, grid)
    for alpha, back in zip(moved, backs, strict=True):
        content = read_at(image, back, mode="bicubic").clamp(-1, 1)
        picture = picture * (1 - alpha) + content * alpha
    hole = left * (covered < OPAQUE)
    return Laid(torch.where(inside > 0, picture, image), covered, hole, left, ground)


def at_full_size(back: Tensor, grid: Grid, size: tuple[int, int]) -> Tensor:
    """Carry a backward map from units to px of the picture, (H W 2)."""
    if size == (grid.height, grid.width) and grid.unit_px == 1:
        return back
    shift = (back - grid.centres).permute(2, 0, 1)[None]
    height, width = size
    finer = F.interpolate(shift, size=size, mode="bilinear")[0].permute(1, 2, 0)
    return Grid(height, width, 1.0).centres + finer * grid.unit_px


def refined(alpha: Tensor, image: Tensor, grid: Grid) -> Tensor:
    """Carry alpha from units to pixels along the edges of the picture, (1 1 H W).

    Texture may look like an edge, so a pixel keeps within what lies a unit around it.

    Source: He, Sun and Tang 2013, "Guided Image Filtering", with the colours as guide; where a
    unit has many pixels it is fitted at fewer (He and Sun 2015, arXiv:1505.00996).
    """
    size = image.shape[-2:]
    if size == alpha.shape[-2:]:
        return alpha
    unit, fitted = min(grid.unit_px, FITTED_PX), size
    guide = image
    if grid.unit_px > FITTED_PX:
        fitted = torch.Size([grid.height * FITTED_PX, grid.width * FITTED_PX])
        guide = F.interpolate(image, size=fitted, mode="area")
    field = F.interpolate(alpha, size=fitted, mode="bilinear")
    slope, offset = guided(field, guide, radius=max(1, round(2 * unit)), softness=4e-3)
    if fitted != size:
        slope, offset = (F.interpolate(one, size=size, mode="bilinear") for one in (slope, offset))
    along_edges = (slope * image).sum(dim=1, keepdim=True) + offset
    least, most = (
        F.interpolate(one, size=size, mode="bilinear")
        for one in (1 - grown(1 - alpha, 1), grown(alpha, 1))
    )
    return along_edges.clamp(least, most)


def guided(field: Tensor, guide: Tensor, *, radius: int, softness: float) -> tuple[Tensor, Tensor]:
    """Fit the field (1 1 h w) by linear functions of the guide (1 3 h w) in every window.

    Returns:
        Slope (1 3 h w) and offset (1 1 h w), the means over all windows that hold a pixel.
    """

    def mean(one: Tensor) -> Tensor:
        return boxed(one, radius)

    centre, level = mean(guide), mean(field)
    crossed = mean(guide * field) - centre * level
    pairs = (guide[:, :, None] * guide[:, None]).flatten(1, 2)
    spread = mean(pairs) - (centre[:, :, None] * centre[:, None]).flatten(1, 2)
    matrix = spread.view(3, 3, -1).permute(2, 0, 1) + softness * torch.eye(3)
    slope = torch.linalg.solve(matrix, crossed.flatten(2)[0].T[..., None])[..., 0]
    slope = slope.T.view_as(guide)
    offset = level - (slope * centre).sum(dim=1, keepdim=True)
    return mean(slope), mean(offset)


def boxed(field: Tensor, radius: int) -> Tensor:
    """Average a field (b c h w) over a square of that radius, as far as it lies in the frame."""
    for side, pad in (((2 * radius + 1, 1), (radius, 0)), ((1, 2 * radius + 1), (0, radius))):
        field = F.avg_pool2d(field, side, stride=1, padding=pad, count_include_pad=False)
    return field


def sharpened(alpha: Tensor) -> Tensor:
    """Undo what reading alpha between its units softened."""
    return ((alpha - 0.5) * SHARPER + 0.5).clamp(0, 1)


def _rim_softened(inside: Tensor, width_px: int) -> Tensor:
    """A mask (1 1 H W) that rises from its rim inwards; not at the frame, where nothing is seen."""
    if width_px < 1:
        return inside
    return ((boxed(inside, width_px) - 0.5) * 2).clamp(0, 1)


def left_by(layers: tuple[Moved, ...], inside: Tensor, grid: Grid) -> Tensor:
    """Where a layer was that has moved, (1 1 H W) of 0 and 1."""
    left = torch.zeros(1, 1, grid.height, grid.width)
    for one in layers:
        moves = (one.back - grid.centres).norm(dim=-1) >= STILL
        left = torch.maximum(left, surrounded(one.alpha) * moves)
    return uncovered(left, inside)


def surrounded(alpha: Tensor) -> Tensor:
    """A layer (1 1 h w) with the units around it that it colours, 0 and 1."""
    return grown(alpha > PRESENT, SPILL)


def uncovered(left: Tensor, inside: Tensor) -> Tensor:
    """Carry what layers leave (1 1 h w) to the size of a mask (1 1 H W), as far as it goes."""
    if left.shape != inside.shape:
        left = F.interpolate(left, size=inside.shape[-2:], mode="nearest-exact")
    return ((left > 0) & (inside > 0)).to(inside)


def filled(image: Tensor, hole: Tensor, grid: Grid) -> Tensor:
    """Fill a hole as smoothly as its surroundings allow; solved on the grid, which is enough."""
    if not bool(hole.any()) or bool((hole > 0).all()):
        return image
    size = image.shape[-2:]
    if size == (grid.height, grid.width):
        return fill(image, hole)
    coarse = (F.adaptive_max_pool2d(hole, (grid.height, grid.width)) > 0).to(image)
    if bool((coarse > 0).all()):
        return image
    smooth = F.interpolate(fill(grid.shrunk(image), coarse), size=size, mode="bilinear")
    return torch.where(hole > 0, smooth, image)
