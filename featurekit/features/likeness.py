"""How like a point of one image every candidate place of another is, by pixels and by features.

Candidates are whole-pixel shifts of the point, so an unchanged picture has the point itself among
them. Positions and distances are pixels of the input image.
"""

from math import ceil, floor

import torch
from torch import Tensor
from torch.nn import functional

from featurekit.core import fields
from featurekit.core.errors import ConfigError, PointsError
from featurekit.core.precision import double, placed
from featurekit.core.types import FeatureMap
from featurekit.images import coordinates

FLAT_VARIANCE = 1e-8  # per sample, images in [-1, 1]: below it there is nothing to correlate
LEAST_OVERLAP = 0.2  # share of the patch that must lie inside both images; a corner leaves 1/4
TIE = 1e-9  # scores this close are one score; the nearer candidate wins


def candidates(xy: Tensor, around: Tensor, search_px: float, size_px: tuple[int, ...]) -> Tensor:
    """Whole-pixel shifts of a point in the image that a search may reach.

    Args:
        xy: the point, (2,) px.
        around: where to search, (n 2) px.
        search_px: largest distance of a candidate from the nearest of ``around``, >= 0.
        size_px: columns and rows of the image.

    Returns:
        A box of places, (rows columns 2) px; its corners may lie farther off than ``search_px``.

    Raises:
        ConfigError: ``search_px`` is negative.
        PointsError: no candidate lies inside the image.
    """
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
    if not points.numel() or not (distance(points, around) <= search_px).any():
        raise PointsError(
            f"a whole-pixel shift of xy must lie within search_px of around and inside the image "
            f"of {size_px[0]} x {size_px[1]} px, got around {around.tolist()} and search_px "
            f"{search_px:g}; search wider"
        )
    return points


def distance(points: Tensor, around: Tensor) -> Tensor:
    """Distance of each lattice point from its nearest search centre, (rows columns) px."""
    gaps = points[:, :, None] - around
    return gaps.square().sum(-1).sqrt().amin(-1)


def best(scores: Tensor, points: Tensor, around: Tensor, search_px: float) -> tuple[int, int]:
    """Row and column of the best score in reach; among equals, the nearest.

    Args:
        scores: of the candidates, (rows columns); NaN is the worst.
        points: the candidates, (rows columns 2) px.
        around: where to search, (n 2) px.
        search_px: largest distance of a candidate from the nearest of ``around``.
    """
    apart = distance(points, around)
    reached = scores.cpu().nan_to_num(-1.0).masked_fill(apart > search_px, -torch.inf)
    tied = reached >= reached.max() - TIE
    index = int(apart.masked_fill(~tied, torch.inf).argmin())
    return divmod(index, scores.shape[1])


def read(features: FeatureMap, xy: Tensor) -> Tensor:
    """Features at points in pixels, (n c), of cells that show the image and not its padding."""
    cells = placed(coordinates.cells_from_px(xy, features.stride), features.tensor.device)
    return fields.sample(coordinates.crop(features.tensor, *features.inside), cells)[0]


def cosines(source: FeatureMap, xy: Tensor, result: FeatureMap, points: Tensor) -> Tensor:
    """Cosine of the feature at a point of one image with another's at candidate places.

    Args:
        source: features of the image that the point belongs to, (1 c h w).
        xy: the point, (2,) px.
        result: features of the other image, same channels and stride.
        points: candidates, (rows columns 2) px.

    Returns:
        Cosines in [-1, 1], (rows columns).
    """
    query = read(source, xy[None])
    # row by row: a wide map at every pixel of a large image does not fit in memory
    return torch.stack(
        [functional.cosine_similarity(read(result, row), query, dim=-1) for row in points]
    )


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


def correlations(
    source: Tensor,
    xy: Tensor,
    result: Tensor,
    points: Tensor,
    radius_px: int,
    *,
    way: Tensor | None = None,
) -> Tensor:
    """Correlation of the patch around a point of one image with another at candidate places.

    Args:
        source: image that the point belongs to, (1 3 h w) in [-1, 1].
        xy: the point, (2,) px of ``source``.
        result: image to compare with, same sizes.
        points: candidates, (rows columns 2) px, a pixel apart.
        radius_px: the patch has 2 * radius_px + 1 pixels a side.
        way: only pixels take part that the images show both before and after that move, so that
            a border does not weigh on one side of it; None is no move.

    Returns:
        Zero-mean normalised cross-correlation over the three channels, (rows columns): NaN where
        too few pixels lie in both images, 0 where one of the two patches is flat.

    Source: masked correlation after Padfield 2012, doi:10.1109/TIP.2011.2181402.
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
