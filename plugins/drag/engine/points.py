"""Handles and targets: reading rows, checking them against the image, and the unit grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from featurekit.core.errors import PointsError
from featurekit.images.coordinates import cells_from_px, px_from_cells
from featurekit_drag.engine.settings import UNITS_PER_CELL

NEAR_PX = 1e-3  # a target nearer than this is its handle


@dataclass(frozen=True)
class Points:
    """Where each handle is and where it should go, (n 2) as (x, y) px of the input image."""

    handles: Tensor
    targets: Tensor

    @property
    def lengths(self) -> Tensor:
        """Distance asked of each handle, (n,) px."""
        lengths: Tensor = torch.linalg.vector_norm(self.targets - self.handles, dim=1)
        return lengths

    @property
    def rows(self) -> list[list[float]]:
        """Rows ``[x0, y0, x1, y1]``, as they are read."""
        table: list[list[float]] = torch.cat([self.handles, self.targets], dim=1).tolist()
        return table


def read_points(rows: Sequence[Any], *, height: int, width: int) -> Points:
    """Turn rows ``[x0, y0, x1, y1]`` into handles and targets that lie inside the image.

    Args:
        rows: handle then target of each drag, four numbers, px of the input image; whatever a
            person wrote, hence untyped.
        height: of the image, px.
        width: of the image, px.

    Raises:
        PointsError: no row, a row without four finite numbers, a point outside the image, a
            target equal to its handle, or two rows with one handle.
    """
    if not rows:
        raise PointsError(
            "at least one drag is needed, got none; give plugin.points=[[x0,y0,x1,y1]]"
        )
    table = torch.tensor(
        [_numbers(row, number) for number, row in enumerate(rows, start=1)], dtype=torch.float64
    )
    for number, row in enumerate(table, start=1):
        _check_row(row, number, height, width)
    handles = {tuple(row[:2].tolist()) for row in table}
    if len(handles) < len(table):
        raise PointsError("each drag needs a handle of its own, two rows share one; remove one")
    return Points(table[:, :2], table[:, 2:])


def _numbers(row: Any, number: int) -> list[float]:  # noqa: ANN401  # from a person
    try:
        if any(isinstance(value, bool) for value in row):
            raise TypeError("true and false are no coordinates")
        numbers = [float(value) for value in row]
    except (TypeError, ValueError) as error:
        raise PointsError(
            f"a drag is four numbers [x0, y0, x1, y1], row {number} is {row!r}; "
            f"give plugin.points=[[x0,y0,x1,y1]]"
        ) from error
    if len(numbers) != 4:
        raise PointsError(
            f"a drag is four numbers [x0, y0, x1, y1], row {number} has {len(numbers)}"
        )
    return numbers


def _check_row(row: Tensor, number: int, height: int, width: int) -> None:
    if not row.isfinite().all():
        raise PointsError(f"points must be finite, row {number} is {row.tolist()}")
    for name, (x, y) in (("handle", row[:2].tolist()), ("target", row[2:].tolist())):
        if not (0 <= x <= width and 0 <= y <= height):
            raise PointsError(
                f"points must lie inside the image (0 to {width}, 0 to {height}), "
                f"the {name} of row {number} is ({x:g}, {y:g})"
            )
    if (row[2:] - row[:2]).norm() < NEAR_PX:
        raise PointsError(
            f"a target must differ from its handle, row {number} has both at "
            f"({row[0]:g}, {row[1]:g}); move the target or remove the row"
        )


def to_units(xy_px: Tensor, stride: int, *, snap: bool) -> Tensor:
    """Carry image points onto the unit grid of a feature map with that stride.

    Args:
        xy_px: (n 2) px of the input image.
        stride: px of the input image per feature cell.
        snap: round to whole units as the published code does (it divides by the unit and
            rounds, without the half-pixel shift); otherwise the fraction is kept.

    Returns:
        Points in unit coordinates (n 2): the centre of unit k is k.
    """
    unit = stride / UNITS_PER_CELL
    return (xy_px / unit).round() if snap else cells_from_px(xy_px, unit)


def to_px(xy_units: Tensor, stride: int) -> Tensor:
    """Carry unit coordinates back to px of the input image."""
    return px_from_cells(xy_units, stride / UNITS_PER_CELL)
