"""Where did a point go? Two judges that share nothing with any optimiser's own tracker.

Both compare at whole-pixel shifts of the point, so an unchanged picture gives exactly no
displacement. Positions and distances are pixels of the input image.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from featurekit.core.errors import ConfigError, PointsError
from featurekit.core.precision import double
from featurekit.core.shapes import expect
from featurekit.core.types import FeatureMap
from featurekit.features.likeness import best, candidates, correlations, cosines, read


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
    points = candidates(xy, around, search_px, (sizes["w"], sizes["h"]))
    scores = correlations(source, xy, result, points, radius_px)
    row, column = best(scores, points, around, search_px)
    found = points[row, column]
    way = found - xy
    forth = correlations(source, xy, result, _neighbours(found), radius_px, way=way)
    back = correlations(result, found, source, _neighbours(xy), radius_px, way=-way)
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
    points = candidates(xy, around, reach, result.size_px[::-1])
    scores = cosines(source, xy, result, points)
    row, column = best(double(scores), points, around, reach)
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
    return read(features, xy[None])[0]


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
