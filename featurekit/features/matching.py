"""Where did a point go? Two judges that share nothing with any optimiser's own tracker.

Both compare at whole-pixel shifts of the point, so an unchanged picture gives exactly no
displacement. Positions and distances are pixels of the input image.
"""

from dataclasses import dataclass
from math import ceil, floor

import torch
from torch import Tensor
from torch.nn import functional

from featurekit.core import fields
from featurekit.core.errors import ConfigError, PointsError
from featurekit.core.precision import double, placed
from featurekit.core.shapes import expect
from featurekit.core.types import FeatureMap
from featurekit.images import coordinates

FLAT_VARIANCE = 1e-8  # per sample, images in [-1, 1]: below it there is nothing to correlate
LEAST_OVERLAP = 0.2  # share of the patch that must lie inside both images; a corner leaves 1/4
TIE = 1e-9  # scores this close are one score; the nearer candidate wins


@dataclass(frozen=True)
class Match:
    """Where a point was found, and how well it fits there."""

    xy: Tensor  # (2,) float64 on the CPU, pixels of the input image
    score: float  # correlation or cosine in [-1, 1]; 0 where there was nothing to compare


def match_patch(
    source: Tensor,
    result: Tensor,
    xy: Tensor,
    *,
    radius_px: int,
    search_px: float,
    around: Tensor | None = None,
) -> Match:
    """Find the patch around a point of one image in another by its pixels.

    Zero-mean normalised cross-correlation over the three channels, each with its own mean;
    pixels outside either image take no part. The best whole-pixel shift is refined by one
    parabola an axis, through correlations in both directions: source patch in result and
    result patch in source. That is symmetric about the true shift where one direction
    alone leans to a side. A flat patch scores 0 everywhere and stays where it is.

    Args:
        source: image that the point belongs to, (1 3 h w) in [-1, 1].
        result: image to search, same sizes.
        xy: the point, (2,) px of ``source``.
        radius_px: the patch has 2 * radius_px + 1 pixels a side, >= 1.
        search_px: largest distance of a candidate from the nearest of ``around``, >= 0.
        around: where to search, (n 2) px; the default is ``xy`` alone.

    Returns:
        Position in ``result`` and its correlation in float64.

    Raises:
        ShapeError: an image is not (1 3 h w), the two differ, or points have other axes.
        PointsError: ``xy`` lies outside the image, or no candidate lies inside it.
        ConfigError: ``radius_px`` or ``search_px`` is too small.

    Source: masked correlation after Padfield 2012, doi:10.1109/TIP.2011.2181402.
    """
    sizes = expect(source, "1 c h w", of="source image", c=3)
    expect(result, "1 c h w", of="result image", c=3, h=sizes["h"], w=sizes["w"])
    if radius_px < 1:
        raise ConfigError(f"radius_px must be at least 1, got {radius_px}")
    xy, around = _points(xy, around)
    _check_inside(xy, (sizes["w"], sizes["h"]))
    points = _lattice(xy, around, search_px, (sizes["w"], sizes["h"]))
    scores = _correlations(source, xy, result, points, radius_px)
    row, column = _best(scores, points, around, search_px)
    found = points[row, column]
    way = found - xy
    forth = _correlations(source, xy, result, _neighbours(found), radius_px, way=way)
    back = _correlations(result, found, source, _neighbours(xy), radius_px, way=-way)
    peak = (forth + back.flip(0, 1)) / 2
    offset = torch.stack((_vertex(peak[1]), _vertex(peak[:, 1])))
    return Match(found + offset, float(scores[row, column].nan_to_num(0.0)))


def match_feature(
    source: FeatureMap,
    result: FeatureMap,
    xy: Tensor,
    *,
    search_px: float | None = None,
    around: Tensor | None = None,
) -> Match:
    """Find a point of one image in another by the feature there.

    The feature is read bilinearly at the point and compared by cosine with the features at
    every whole-pixel shift of it; equal candidates give way to the nearest one. What an image was
    padded with takes no part: neither points nor features come from there.

    Args:
        source: features of the image that the point belongs to, (1 c h w).
        result: features of the image to search, same channels and stride.
        xy: the point, (2,) px.
        search_px: largest distance of a candidate from the nearest of ``around``; None
            searches the whole image.
        around: where to search, (n 2) px; the default is ``xy`` alone.

    Returns:
        Position in the result image and its cosine.

    Raises:
        ShapeError: the maps are not (1 c h w) of one width, or points have other axes.
        ConfigError: the strides differ, or ``search_px`` is negative.
        PointsError: ``xy`` lies outside its image, or no candidate lies inside the other.

    Source: nearest neighbour as in DIFT, Tang et al. 2023, arXiv:2306.03881.
    """
    sizes = expect(source.tensor, "1 c h w", of="source features")
    expect(result.tensor, "1 c h w", of="result features", c=sizes["c"])
    if source.stride != result.stride:
        raise ConfigError(
            f"source and result must have one stride, got {source.stride} and {result.stride} px; "
            f"read the same tap for both"
        )
    xy, around = _points(xy, around)
    reach = float("inf") if search_px is None else search_px
    _check_inside(xy, source.size_px[::-1])
    points = _lattice(xy, around, reach, result.size_px[::-1])
    query = _read(source, xy[None])
    # row by row: a wide map at every pixel of a large image does not fit in memory
    scores = torch.stack(
        [functional.cosine_similarity(_read(result, row), query, dim=-1) for row in points]
    )
    row, column = _best(double(scores), points, around, reach)
    return Match(points[row, column], float(scores[row, column]))


def feature_at(features: FeatureMap, xy: Tensor) -> Tensor:
    """Read the feature at a point of a picture, between the centres of its cells.

    Args:
        features: of one picture, (1 c h w).
        xy: the point, (2,) px of the picture.

    Returns:
        Feature (c,), in the dtype and on the device of the map.

    Raises:
        ShapeError: the map is not (1 c h w), or the point not (2,).
        PointsError: the point lies outside the picture.
    """
    expect(features.tensor, "1 c h w", of="source features")
    xy, _ = _points(xy, None)
    _check_inside(xy, features.size_px[::-1])
    return _read(features, xy[None])[0]


def _points(xy: Tensor, around: Tensor | None) -> tuple[Tensor, Tensor]:
    """The point and the search centres, float64 on the CPU like everything positional here."""
    expect(xy, "2", of="xy")
    xy = xy.detach().cpu().double()
    if around is None:
        return xy, xy[None]
    expect(around, "n 2", of="around")
    return xy, around.detach().cpu().double()


def _check_inside(xy: Tensor, size_px: tuple[int, ...]) -> None:
    """Refuse a point outside its image of so many columns and rows."""
    if not all(0 <= float(xy[axis]) <= size_px[axis] for axis in (0, 1)):
        raise PointsError(
            f"xy must lie inside the image of {size_px[0]} x {size_px[1]} px, got {xy.tolist()}"
        )


def _lattice(xy: Tensor, around: Tensor, search_px: float, size_px: tuple[int, ...]) -> Tensor:
    """Whole-pixel shifts of ``xy`` in the image that a search may reach, (rows columns 2)."""
    if not search_px >= 0:
        raise ConfigError(f"search_px must be 0 or more, got {search_px}")
    lines = []
    for axis in (0, 1):
        here = float(xy[axis])
        low = max(float(around[:, axis].min()) - search_px, 0.0) - here
        high = min(float(around[:, axis].max()) + search_px, float(size_px[axis])) - here
        count = max(floor(high) - ceil(low) + 1, 0)
        lines.append(here + ceil(low) + torch.arange(count, dtype=torch.float64))
    points = torch.stack(torch.meshgrid(*lines, indexing="xy"), dim=-1)
    if not points.numel() or not (_distance(points, around) <= search_px).any():
        raise PointsError(
            f"a whole-pixel shift of xy must lie within search_px of around and inside the image "
            f"of {size_px[0]} x {size_px[1]} px, got around {around.tolist()} and search_px "
            f"{search_px:g}; search wider"
        )
    return points


def _distance(points: Tensor, around: Tensor) -> Tensor:
    """Distance of each lattice point from its nearest search centre, (rows columns) px."""
    gaps = points[:, :, None] - around
    return gaps.square().sum(-1).sqrt().amin(-1)


def _best(scores: Tensor, points: Tensor, around: Tensor, search_px: float) -> tuple[int, int]:
    """Row and column of the best score in reach; among equals, the nearest."""
    distance = _distance(points, around)
    reached = scores.cpu().nan_to_num(-1.0).masked_fill(distance > search_px, -torch.inf)
    tied = reached >= reached.max() - TIE
    index = int(distance.masked_fill(~tied, torch.inf).argmin())
    return divmod(index, scores.shape[1])


def _neighbours(xy: Tensor) -> Tensor:
    """The point and the eight a pixel away, (3 3 2)."""
    steps = torch.arange(-1, 2, dtype=torch.float64)
    return xy + torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)


def _vertex(three: Tensor) -> Tensor:
    """Where a parabola through the values at -1, 0, 1 has its top, within half a pixel."""
    before, here, after = three.cpu().unbind()
    bend = before - 2 * here + after
    if not bend < 0:  # flat, a valley or unknown: there is no top to move to
        return torch.zeros((), dtype=torch.float64)
    return ((before - after) / (2 * bend)).clamp(-0.5, 0.5)


def _read(features: FeatureMap, xy: Tensor) -> Tensor:
    """Features at points in pixels, (n c), of cells that show the image and not its padding."""
    cells = placed(coordinates.cells_from_px(xy, features.stride), features.tensor.device)
    return fields.sample(coordinates.crop(features.tensor, *features.inside), cells)[0]


def _window(
    image: Tensor, corner: Tensor, rows: int, columns: int, way: Tensor
) -> tuple[Tensor, Tensor]:
    """Pixels (3 1 rows columns) from a corner on, and whether they and their way end inside."""
    x = corner[0] + torch.arange(columns, dtype=torch.float64)
    y = corner[1] + torch.arange(rows, dtype=torch.float64)
    xy = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    size = torch.tensor([image.shape[3], image.shape[2]])
    inside = ((xy >= 0) & (xy <= size) & (xy + way >= 0) & (xy + way <= size)).all(-1)
    pixels = double(image)
    seen = inside.to(pixels.device, torch.float64)
    cells = coordinates.cells_from_px(xy.reshape(-1, 2), 1).to(pixels.device)
    values = fields.sample(pixels, cells)[0]
    return values.T.reshape(3, 1, rows, columns) * seen, seen[None, None]


def _correlations(
    source: Tensor,
    xy: Tensor,
    result: Tensor,
    points: Tensor,
    radius_px: int,
    *,
    way: Tensor | None = None,
) -> Tensor:
    """Correlation of the patch of ``source`` at ``xy`` with ``result`` at lattice points.

    NaN where too few pixels lie in both images, 0 where one of the two patches is flat. With
    ``way`` only pixels take part that the images show both before and after that move, so
    that a border does not weigh on one side of it.
    """
    way = torch.zeros(2, dtype=torch.float64) if way is None else way
    side = 2 * radius_px + 1
    patch, seen = _window(source, xy - radius_px, side, side, way)
    (rows, columns), corner = points.shape[:2], points[0, 0] - radius_px
    area, valid = _window(result, corner, rows + side - 1, columns + side - 1, -way)
    # sums over the pixels that count in both; the axes are (channel 1 rows columns)
    count = _slid(valid, seen).round().clamp(min=1)
    sum_a, sum_aa = _slid(area, seen), _slid(area.square(), seen)
    sum_p, sum_pp = _slid(valid, patch), _slid(valid, patch.square())
    covariance = ((_slid(area, patch) - sum_a * sum_p / count) / count).sum(0)[0]
    variance_a = ((sum_aa - sum_a.square() / count) / count).sum(0)[0]
    variance_p = ((sum_pp - sum_p.square() / count) / count).sum(0)[0]
    flat = torch.minimum(variance_a, variance_p) < FLAT_VARIANCE
    product = variance_a.clamp(min=FLAT_VARIANCE) * variance_p.clamp(min=FLAT_VARIANCE)
    score = (covariance / product.sqrt()).masked_fill(flat, 0.0)
    return score.masked_fill(count[0, 0] < LEAST_OVERLAP * side**2, torch.nan)


def _slid(field: Tensor, kernel: Tensor) -> Tensor:
    """Sums of products with a kernel laid at every place of a field; channels broadcast."""
    (rows, columns), side = field.shape[-2:], kernel.shape[-1]
    if rows - side < 3:  # the neighbours of a peak: summed one by one, so that symmetry is exact
        places = field.unfold(2, side, 1).unfold(3, side, 1)
        return (places * kernel[:, :, None, None]).sum((-2, -1))
    # a float64 convolution lays out side**2 copies of the field: gigabytes for 512 px
    spectrum = torch.fft.rfft2(field) * torch.fft.rfft2(kernel, s=(rows, columns)).conj()
    sums: Tensor = torch.fft.irfft2(spectrum, s=(rows, columns))
    return sums[..., : rows - side + 1, : columns - side + 1]
