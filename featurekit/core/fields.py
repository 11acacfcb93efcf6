"""Arithmetic on feature fields: read between cells, resize, compare, reduce.

A field is (b c h w). A position is a cell coordinate ``(x, y)``: the centre of cell k is k.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from featurekit.core.errors import ConfigError, PointsError, ShapeError, UnknownNameError
from featurekit.core.precision import double, rounded
from featurekit.core.shapes import expect

ResizeMode = Literal["bilinear", "bicubic", "nearest", "area"]


def sample(field: Tensor, xy: Tensor) -> Tensor:
    """Read a field between its cells, bilinearly; positions outside are moved to the border.

    Differentiable in the field, and in the positions where they are inside. At whole coordinates
    the value of the cell is returned without rounding error.

    Args:
        field: (b c h w).
        xy: cell coordinates, (n 2), x before y, any finite value, on the field's device.

    Returns:
        Values, (b n c), dtype of the field.

    Raises:
        ShapeError: the field has not four axes or is empty, the positions are not (n 2).
        PointsError: a position is not finite.
    """
    _check(field, xy)
    return _read(field, xy)


def sample_refined(field: Tensor, xy: Tensor, *, factor: int) -> Tensor:
    """Read the finer field that bilinear upsampling would give, without building it.

    The result is that of ``interpolate(scale_factor=factor, align_corners=False)`` followed by
    ``sample``: four cells of the fine grid are blended, each read from the coarse one.

    Args:
        field: (b c h w).
        xy: cell coordinates of the fine grid (factor*h, factor*w), (n 2), x before y, any finite
            value; outside means the border.
        factor: fine cells per cell and axis, >= 1.

    Returns:
        Values, (b n c), dtype of the field.

    Raises:
        ConfigError: ``factor`` is below 1.
        ShapeError: the field has not four axes or is empty, the positions are not (n 2).
        PointsError: a position is not finite.

    Source: Shi et al. 2024, arXiv:2306.14435, whose published code upsamples the whole map by 4.
    """
    if factor < 1:
        raise ConfigError(f"factor must be at least 1, got {factor}")
    _check(field, xy)
    height, width = field.shape[-2:]
    x, x_next, right = _neighbours(xy[:, 0], factor * width)
    y, y_next, down = _neighbours(xy[:, 1], factor * height)
    corners = [torch.stack(corner, -1) for corner in ((x, y), (x_next, y), (x, y_next))]
    corners.append(torch.stack((x_next, y_next), -1))
    # fine cell u lies over coarse coordinate (u + .5) / factor - .5
    coarse = (torch.cat(corners).to(xy.dtype) + 0.5) / factor - 0.5
    values = _read(field, coarse).chunk(4, 1)
    return _blend(values, right.to(field.dtype), down.to(field.dtype))


def _check(field: Tensor, xy: Tensor) -> None:
    sizes = expect(field, "b c h w", of="field")
    expect(xy, "n 2", of="positions")
    if sizes["h"] < 1 or sizes["w"] < 1:
        raise ShapeError(f"field must have at least one cell, got {tuple(field.shape)}")
    if not xy.is_floating_point():
        raise PointsError(f"positions must be floating point, got {xy.dtype}; convert them")
    if not bool(xy.isfinite().all()):
        bad = xy[~xy.isfinite().all(1)][0].tolist()
        raise PointsError(f"every position must be finite, got {bad}")


def _read(field: Tensor, xy: Tensor) -> Tensor:
    height, width = field.shape[-2:]
    x, x_next, right = _neighbours(xy[:, 0], width)
    y, y_next, down = _neighbours(xy[:, 1], height)
    flat = field.flatten(2)
    corners = [
        flat.index_select(2, row * width + col) for row in (y, y_next) for col in (x, x_next)
    ]
    values = [corner.transpose(1, 2) for corner in corners]
    return _blend(values, right.to(field.dtype), down.to(field.dtype))


def _neighbours(position: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Cells on both sides of a position clamped to [0, size - 1], and the share of the second."""
    inside = position.clamp(0, size - 1)
    low = inside.floor().clamp(max=max(size - 2, 0))
    index = low.long()
    return index, (index + 1).clamp(max=size - 1), inside - low


def _blend(corners: Sequence[Tensor], right: Tensor, down: Tensor) -> Tensor:
    """Bilinear mean of (b n c) values: top left, top right, bottom left, bottom right."""
    top_left, top_right, bottom_left, bottom_right = corners
    right, down = right[:, None], down[:, None]
    top = (1 - right) * top_left + right * top_right
    bottom = (1 - right) * bottom_left + right * bottom_right
    return (1 - down) * top + down * bottom


def window(centre: Tensor, radius: int, *, spacing: float = 1.0) -> Tensor:
    """List the positions of a square window around a centre, row by row.

    Args:
        centre: position, (2,), x before y.
        radius: positions on each side of the centre, >= 0.
        spacing: distance between neighbours, in the unit of the centre.

    Returns:
        Positions, ((2 radius + 1)^2 2), top row first, left to right within a row.

    Raises:
        ShapeError: the centre is not (2,).
        ConfigError: ``radius`` is negative.
    """
    expect(centre, "2", of="centre")
    if radius < 0:
        raise ConfigError(f"radius must not be negative, got {radius}")
    steps = torch.arange(-radius, radius + 1, device=centre.device, dtype=centre.dtype) * spacing
    dy, dx = torch.meshgrid(steps, steps, indexing="ij")
    return centre + torch.stack((dx, dy), -1).reshape(-1, 2)


def resize(field: Tensor, height: int, width: int, *, mode: ResizeMode = "bilinear") -> Tensor:
    """Stretch a field to another grid that covers the same picture.

    Cells are areas, so corners of the picture stay corners. There is no smoothing before shrinking:
    use ``area`` for that.

    Args:
        field: (b c h w).
        height: rows of the result, >= 1.
        width: columns of the result, >= 1.
        mode: bilinear, bicubic, nearest (the cell under the centre) or area (the mean).

    Returns:
        Field, (b c height width).

    Raises:
        ShapeError: the field has not four axes, or the size is below one cell.
        UnknownNameError: there is no such mode.
    """
    expect(field, "b c h w", of="field")
    if height < 1 or width < 1:
        raise ShapeError(f"the new grid must have at least one cell, got {height} x {width}")
    if mode not in get_args(ResizeMode):
        raise UnknownNameError("resize mode", mode, get_args(ResizeMode))
    aligned = False if mode in ("bilinear", "bicubic") else None
    centred = "nearest-exact" if mode == "nearest" else mode
    size = (height, width)
    resized: Tensor = functional.interpolate(field, size, mode=centred, align_corners=aligned)
    return resized


def pca(field: Tensor, components: int = 3) -> Tensor:
    """Project features on the directions in which they vary most.

    The directions are those of all images of the batch together, so that equal colours mean equal
    features. Each direction points to where its largest loading (the first of equal ones) is
    positive; nothing is random, hence equal fields give equal pictures. Only directions along
    which the features vary equally much are arbitrary. Computed in float64.

    Args:
        field: (b c h w), c >= components.
        components: number of directions, >= 1.

    Returns:
        Centred coordinates along the directions, (b components h w), strongest first, dtype of
        the field, not scaled.

    Raises:
        ShapeError: the field has not four axes, or fewer channels than ``components``.
    """
    sizes = expect(field, "b c h w", of="field")
    if not 1 <= components <= sizes["c"]:
        raise ShapeError(f"components must lie in [1, {sizes['c']}] (channels), got {components}")
    cells = double(field).movedim(1, -1).reshape(-1, sizes["c"])
    cells = cells - cells.mean(0)
    projected = cells @ principal_axes(cells.T @ cells, components)
    shape = (sizes["b"], sizes["h"], sizes["w"], components)
    return rounded(projected.reshape(shape).movedim(-1, 1), field)


def principal_axes(spread: Tensor, components: int) -> Tensor:
    """Find the directions in which centred features vary most.

    Args:
        spread: sum over cells of the products of their channels, (c c), float64.
        components: number of directions, 1 to c.

    Returns:
        Orthonormal directions (c components), strongest first; each points to where its largest
        loading (the first of equal ones) is positive.
    """
    rising: Tensor = torch.linalg.eigh(spread).eigenvectors
    axes = rising.flip(1)[:, :components]
    magnitude = axes.abs()
    # equal loadings differ by rounding, which must not decide the sign
    first = (magnitude > 0.999999 * magnitude.amax(0)).byte().argmax(0, keepdim=True)
    return axes * axes.gather(0, first).sign()


def random_axes(channels: int, kept: int, *, seed: int) -> Tensor:
    """Draw directions on which lengths and angles survive within about 1/sqrt(kept).

    Args:
        channels: of the features, c.
        kept: number of directions, >= 1.
        seed: of the draws, on the CPU.

    Returns:
        Normal directions (c kept), float32, of expected length sqrt(c/kept).

    Source: Johnson and Lindenstrauss 1984, doi:10.1090/conm/026/737400.
    """
    generator = torch.Generator().manual_seed(seed)
    axes: Tensor = torch.randn(channels, kept, generator=generator) / kept**0.5
    return axes


def pool(field: Tensor, cells: int) -> Tensor:
    """Take the mean of each square of cells; at the right and bottom of what there is of it.

    Args:
        field: (b c h w).
        cells: side of a square, >= 1.

    Returns:
        (b c ceil(h/cells) ceil(w/cells)).
    """
    pooled: Tensor = functional.avg_pool2d(field, cells, ceil_mode=True, count_include_pad=False)
    return pooled


def nearest(query: Tensor, field: Tensor) -> tuple[Tensor, Tensor]:
    """Find the cell whose feature points most nearly where the query points.

    Args:
        query: feature, (c,).
        field: (1 c h w).

    Returns:
        Cell (x, y), (2,) float32, the first in reading order among equals; its cosine similarity,
        0-dim, in [-1, 1] (0 where one of the features is zero).

    Raises:
        ShapeError: the query is not (c,), or the field is not (1 c h w) with the same c.
    """
    channels = expect(query, "c", of="query")["c"]
    sizes = expect(field, "1 c h w", of="field", c=channels)
    scores = functional.cosine_similarity(query[:, None], field[0].flatten(1), dim=0)
    best = scores.argmax()
    cell = torch.stack((best % sizes["w"], best // sizes["w"]))
    return cell.to(torch.float32), scores[best]
