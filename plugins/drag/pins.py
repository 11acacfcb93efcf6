"""Pins: points of a picture that stay where they are while others are dragged."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from featurekit.core.errors import PointsError
from featurekit_drag.engine.points import Points

NEAR_PX = 1.0  # a pin that is nearer to a handle holds it


def is_pin(row: Any) -> bool:  # noqa: ANN401  # from a person
    """Whether a drag [x0, y0, x1, y1] ends where it begins; what is no drag at all is none."""
    try:
        return len(row) == 4 and list(row[:2]) == list(row[2:])
    except TypeError:
        return False


def read_pins(rows: Sequence[Any], *, height: int, width: int) -> Tensor:
    """Turn rows ``[x, y]`` into pins, (m 2) px of the picture.

    Raises:
        PointsError: a row has not two finite numbers, or lies outside the picture.
    """
    pins = []
    for number, row in enumerate(rows, start=1):
        try:
            x, y = (float(value) for value in row if not isinstance(value, bool))
        except (TypeError, ValueError) as error:
            raise PointsError(
                f"a pin is two numbers [x, y], row {number} is {row!r}; give plugin.pins=[[x,y]]"
            ) from error
        if not (0 <= x <= width and 0 <= y <= height):
            raise PointsError(
                f"pins must lie inside the image (0 to {width}, 0 to {height}), row {number} is "
                f"({x:g}, {y:g})"
            )
        pins.append([x, y])
    return torch.tensor(pins, dtype=torch.float64).reshape(-1, 2)


def check_pins(pins: Tensor, points: Points) -> None:
    """Refuse pins (m 2) that hold what a drag moves.

    Raises:
        PointsError: a pin lies on a handle.
    """
    if not len(pins):
        return
    apart = torch.cdist(pins, points.handles.double())
    for pin, handle in (apart < NEAR_PX).nonzero().tolist():
        x, y = pins[pin].tolist()
        raise PointsError(
            f"a pin must not hold a handle, the one at ({x:g}, {y:g}) lies on that of drag "
            f"{handle + 1}; remove one of them"
        )
