"""Figures of drawn ink against true ink: likeness, lines, how much is inked and how much is grey.

Conventions, all tested against values by hand. A pixel is a line where its ink is below 0.6 of
white (``DARK``, here in [0, 1]).

| | drawing and truth blank | one of them blank | both have lines |
|---|---|---|---|
| ``f1``, ``f1_exact`` | 1 | 0 | harmonic mean of precision and recall |
| ``pearson`` | 0 | 0 where one is of one tone | correlation of ink over pixels |
| ``grey`` | 0 | of the drawing alone: 0 where it has no ink | see ``_grey`` |
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TypeAlias

from torch import Tensor

from featurekit.core.errors import ImageError
from featurekit.core.metrics import line_f1, pearson, ssim
from featurekit.core.shapes import expect
from featurekit.measures.model.lines import DARK
from featurekit.measures.perceptual.distances import Perceptual

Row: TypeAlias = Mapping[str, float]

TOLERANCE_PX = 1  # of ``f1``; ``f1_exact`` has none
FIGURES = ("ssim", "f1", "f1_exact", "l1", "pearson", "ink", "ink_true", "grey")
"""The figures that need no weights, in the order of tables; ``lpips`` comes after them."""


def figures(drawn: Tensor, truths: Tensor, *, lpips: Perceptual | None = None) -> list[Row]:
    """Measure drawings against their truths, one row for each picture.

    Args:
        drawn: ink (n 1 h w) in [0, 1], white paper is 1; at least 11 px high and wide.
        truths: ink, the same shape.
        lpips: measures ``lpips``, where it is given; then at least 31 px high and wide.

    Returns:
        For each picture ``ssim``, ``f1`` (lines, 1 px of tolerance) and ``f1_exact`` (none), ``l1``
        (mean absolute difference of ink), ``pearson``, ``ink`` and ``ink_true`` (share of pixels
        that are lines, of the drawing and of the truth), ``grey`` (0 for pure black and white) and
        perhaps ``lpips``.

    Raises:
        ShapeError: the two differ in shape, have another one, or are too small.
        ImageError: the ink has numbers that are not in [0, 1].
    """
    sizes = expect(drawn, "n 1 h w", of="drawn ink")
    expect(truths, "n 1 h w", of="true ink", **{axis: sizes[axis] for axis in "nhw"})
    _check_range(drawn, of="drawn ink")
    _check_range(truths, of="true ink")
    pairs = zip(drawn, truths, strict=True)
    return [_figures_of_one(ink[None], truth[None], lpips) for ink, truth in pairs]


def scores(drawn: Tensor, truths: Tensor, *, lpips: Perceptual | None = None) -> Row:
    """Mean figures over drawings; see ``figures``."""
    return mean_row(figures(drawn, truths, lpips=lpips))


def mean_row(rows: Sequence[Row]) -> Row:
    """Average rows that have the same figures, at least one; every row counts alike."""
    return {name: fmean(row[name] for row in rows) for name in rows[0]}


def means(rows: Mapping[str, Row], kinds: Sequence[str]) -> Row:
    """Mean figures over some kinds, at least one; every kind counts alike."""
    return mean_row([rows[kind] for kind in kinds])


def _figures_of_one(ink: Tensor, truth: Tensor, lpips: Perceptual | None) -> Row:
    # one by one: on a CPU SSIM of a batch takes several times as long as that of its pictures
    a, b = 2 * ink - 1, 2 * truth - 1
    found = {
        "ssim": ssim(a, b),
        "f1": line_f1(a, b, tolerance_px=TOLERANCE_PX, threshold=DARK),
        "f1_exact": line_f1(a, b, tolerance_px=0, threshold=DARK),
        "l1": (ink - truth).abs().mean(),
        "pearson": pearson(a, b),
        "ink": _line_share(a),
        "ink_true": _line_share(b),
        "grey": _grey(ink),
    }
    if lpips is not None:
        found["lpips"] = lpips.distance(a.expand(-1, 3, -1, -1), b.expand(-1, 3, -1, -1))
    return {name: float(value) for name, value in found.items()}


def _line_share(image: Tensor) -> Tensor:
    """Share of the pixels of a picture in [-1, 1] that are lines."""
    return (image < DARK).float().mean()


def _grey(ink: Tensor) -> Tensor:
    """How much of the ink is neither black nor white: sum of 4 y (1 - y) / sum of (1 - y).

    Black and white alone give 0, a sheet of mid grey 2, and one of nearly white near to 4; where
    there is no ink at all it is 0.
    """
    left = (1 - ink).sum()
    between = (4 * ink * (1 - ink)).sum()
    return between / left.where(left > 0, 1.0)


def _check_range(ink: Tensor, *, of: str) -> None:
    # negated, so that NaN is refused as well
    if not bool(((ink >= 0) & (ink <= 1)).all()):
        low, high = float(ink.min()), float(ink.max())
        raise ImageError(f"{of} must lie in [0, 1], got {low:.4g} to {high:.4g}; clamp it")
