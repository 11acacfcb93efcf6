"""Laying a plan: the moved layer over the ground, and the hole that it leaves."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from torch import Tensor

from featurekit.images.parts import Box, enlarged
from featurekit.scenes.harmonic import fill
from featurekit_drag.plan.grid import Grid, grown, read_at, share_around

SHARPER = 1.6  # slope of alpha where it was read between units, which softens it
OPAQUE = 0.999  # alpha above which no ground is seen
PRESENT = 0.15  # alpha of a unit that the layer leaves behind
RIM = 1  # units inside the mask's rim over which a layer fades that would be cut off there
SPILL = 2  # units around the layer that it colours
FITTED_PX = 4  # px per unit at most, at which alpha is fitted to the picture
BAND_PX = 9_000_000  # px laid at once: planes so large go back to the system when freed
STILL = 0.25  # units: what moves less stays


@dataclass(frozen=True)
class Moved:
    """One layer of a plan and where its content goes."""

    alpha: Tensor  # (1 1 h w) on the grid
    back: Tensor  # (h w 2) in units, see fields.py


@dataclass(frozen=True)
class Laid:
    """A part of a picture with its layers moved, before anything is redrawn."""

    box: Box  # the part; outside of it the picture is as it was
    picture: Tensor  # (1 3 H W) in [-1, 1]; the hole is filled smoothly
    moved: Tensor  # (1 1 H W) in [0, 1]: how much of a pixel the moved layers cover
    hole: Tensor  # (1 1 H W): 1 where the ground was uncovered
    left: Tensor  # (1 1 H W): 1 where layers were that have moved, uncovered or not
    smooth: Tensor  # (1 3 h w) what the layers lie over where they were, see ``smooth_under``
    size: tuple[int, int]  # height and width of the whole picture

    def over(self, places: tuple[Tensor, Tensor], ground: Tensor) -> Tensor:
        """Lay the layers over another ground where they were.

        Args:
            places: rows and columns of some pixels of the part, (n,) each.
            ground: their colours, (3 n).

        Returns:
            (1 3 H W).
        """
        y, x = places
        share = (1 - self.moved[0, 0, y, x]) * self.left[0, 0, y, x]
        picture = self.picture.clone()
        for number, colours in enumerate(ground):  # of which one at a time is held at full size
            before = enlarged(self.smooth[:, number, None], self.size, self.box)[0, 0, y, x]
            picture[0, number, y, x] += share * (colours - before)
        return picture


def lay(
    image: Tensor,
    layers: tuple[Moved, ...],
    inside: Tensor,
    grid: Grid,
    *,
    copy: bool,
    box: Box | None = None,
) -> Laid:
    """Move layers of a picture at its full resolution.

    Args:
        image: (1 3 H W) in [-1, 1].
        layers: later ones lie over earlier ones.
        inside: (1 1 H W), 1 where the picture may change.
        grid: of the layers.
        copy: leave the layers where they were, too; nothing is uncovered.
        box: the part in which the layers lie, before and after; None: the whole picture.
    """
    size = (image.shape[-2], image.shape[-1])
    box = Box.whole(size) if box is None else box
    left = torch.zeros_like(inside) if copy else left_by(layers, inside, grid)
    smooth = smooth_under(image, left, grid)
    alphas = [refined(one.alpha, image, grid, box) for one in layers]
    corner, left = torch.tensor([box.left, box.top]), box.of(left).clone()
    laid, covered = image.new_empty(1, 3, *box.size), torch.empty_like(left)
    for band in box.bands(BAND_PX):
        seen, own = band.of(inside), band.of(image)
        here = band.relative_to(box)
        picture = torch.where(here.of(left) > 0, enlarged(smooth, size, band), own)
        may, clear = _may(inside, grid, band), torch.ones_like(seen)
        for alpha, one in zip(alphas, layers, strict=True):
            back = at_full_size(one.back, grid, size, band)
            moved = sharpened(read_at(alpha, back - corner)).mul_(may)
            content = read_at(image, back, mode="bicubic").clamp_(-1, 1)
            picture, clear = torch.lerp(picture, content, moved), clear.mul_(1 - moved)
        here.of(laid).copy_(torch.where(seen > 0, picture, own).clamp_(-1, 1))
        here.of(covered).copy_(clear.neg_().add_(1))
    return Laid(box, laid, covered, left * (covered < OPAQUE), left, smooth, size)


def at_full_size(back: Tensor, grid: Grid, size: tuple[int, int], box: Box | None = None) -> Tensor:
    """Carry a backward map from units to px of the picture, of a box of it, (H W 2)."""
    box = Box.whole(size) if box is None else box
    if size == (grid.height, grid.width) and grid.unit_px == 1:
        whole = box == Box.whole(size)
        return back if whole else back[box.top : box.bottom, box.left : box.right]
    finer = enlarged((back - grid.centres).permute(2, 0, 1)[None], size, box) * grid.unit_px
    finer[0, 0].add_(torch.arange(box.left, box.right) + 0.5)
    finer[0, 1].add_(torch.arange(box.top, box.bottom)[:, None] + 0.5)
    return finer[0].permute(1, 2, 0)


def refined(alpha: Tensor, image: Tensor, grid: Grid, box: Box | None = None) -> Tensor:
    """Carry alpha from units to pixels of a box along the edges of the picture, (1 1 H W).

    Texture may look like an edge, so a pixel keeps within what lies a unit around it.

    Source: He, Sun and Tang 2013, "Guided Image Filtering", with the colours as guide; where a
    unit has many pixels it is fitted at fewer (He and Sun 2015, arXiv:1505.00996).
    """
    size = (image.shape[-2], image.shape[-1])
    box = Box.whole(size) if box is None else box
    if size == alpha.shape[-2:]:
        return box.of(alpha)
    unit, fitted = min(grid.unit_px, FITTED_PX), size
    guide = image
    if grid.unit_px > FITTED_PX:
        fitted = (grid.height * FITTED_PX, grid.width * FITTED_PX)
        guide = F.interpolate(image, size=fitted, mode="area")
    field = F.interpolate(alpha, size=fitted, mode="bilinear")
    slope, offset = guided(field, guide, radius=max(1, round(2 * unit)), softness=4e-3)
    along_edges = enlarged(offset, size, box).clone()
    for channel in range(3):  # of which one at a time is held at full size
        along_edges += enlarged(slope[:, channel, None], size, box) * box.of(image)[:, channel]
    least, most = (enlarged(one, size, box) for one in (1 - grown(1 - alpha, 1), grown(alpha, 1)))
    return along_edges.clamp_(least, most)


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


def _may(inside: Tensor, grid: Grid, box: Box) -> Tensor:
    """A box of a mask (1 1 H W) that rises from its rim inwards; not at the frame."""
    width_px = round(RIM * grid.unit_px) - RIM
    if width_px < 1:
        return box.of(inside)
    wide = box.grown(width_px, width_px, (inside.shape[-2], inside.shape[-1]))
    share = box.relative_to(wide).of(share_around(wide.of(inside), width_px))
    return ((share - 0.5) * 2).clamp_(0, 1).mul_(box.of(inside))


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
    """Fill a hole (1 1 H W) of a picture (1 3 H W) as smoothly as its surroundings allow."""
    size = (image.shape[-2], image.shape[-1])
    smooth = enlarged(smooth_under(image, hole, grid), size, Box.whole(size))
    return torch.where(hole > 0, smooth, image)


def smooth_under(image: Tensor, hole: Tensor, grid: Grid) -> Tensor:
    """The smooth fill of a hole, to be enlarged; solved on the grid, which is enough.

    Returns:
        (1 3 h w), of the grid; where there is nothing to fill, or to fill from, the image itself.
    """
    if not bool(hole.any()) or bool((hole > 0).all()):
        return image
    if image.shape[-2:] == (grid.height, grid.width):
        return fill(image, hole)
    coarse = (F.adaptive_max_pool2d(hole, (grid.height, grid.width)) > 0).to(image)
    return image if bool((coarse > 0).all()) else fill(grid.shrunk(image), coarse)
