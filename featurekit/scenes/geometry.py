"""Outlines of the world's parts: points of the unit square, x to the right, y down."""

import math
from typing import TypeAlias

Point: TypeAlias = tuple[float, float]
"""``(x, y)`` in [0, 1] of the picture's side; may lie outside for parts that the frame cuts."""

Outline: TypeAlias = list[Point]
"""Corners in order; whoever draws it decides whether it closes."""


def ellipse(centre: Point, radius_x: float, radius_y: float) -> Outline:
    """Corners of a whole ellipse, 48 of them, the first at its right end."""
    return [_on_ellipse(centre, radius_x, radius_y, 360 * i / 48) for i in range(48)]


def arc(
    centre: Point, radius_x: float, radius_y: float, *, start_deg: float, end_deg: float
) -> Outline:
    """Points of a part of an ellipse, both ends included; angles run clockwise from the right."""
    span = end_deg - start_deg
    angles = (start_deg + span * i / 48 for i in range(49))
    return [_on_ellipse(centre, radius_x, radius_y, angle) for angle in angles]


def curve(start: Point, control: Point, end: Point, *, pieces: int = 16) -> Outline:
    """Points of a quadratic Bezier curve, both ends included."""
    points = []
    for i in range(pieces + 1):
        t = i / pieces
        a, b, c = (1 - t) ** 2, 2 * t * (1 - t), t * t
        x, y = (a * p + b * q + c * r for p, q, r in zip(start, control, end, strict=True))
        points.append((x, y))
    return points


def rectangle(left: float, top: float, right: float, bottom: float) -> Outline:
    """Corners of an upright rectangle, clockwise from the top left."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _on_ellipse(centre: Point, radius_x: float, radius_y: float, angle_deg: float) -> Point:
    angle = math.radians(angle_deg)
    return centre[0] + radius_x * math.cos(angle), centre[1] + radius_y * math.sin(angle)
