"""How much of every pixel an outline or a line covers."""

import cmath
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from featurekit.core.errors import ShapeError
from featurekit.scenes.geometry import Point, ellipse

SUPERSAMPLING = 4  # drawn pixels per pixel and axis of drawings; 8 costs four times as much
SCAN_LINES = 8  # a pixel on which an outline's crossings are found; exact along x
BEND = math.pi / 8  # a round end or joint has corners at most so far apart, in radians
SMALLEST, LARGEST = 8, 2048  # px

Floats: TypeAlias = NDArray[np.float32]
Window: TypeAlias = tuple[slice, slice]  # rows and columns of the picture
Box: TypeAlias = tuple[int, int, int, int]  # left, top, right, bottom in px


@dataclass(frozen=True)
class Stencil:
    """Cover of a window of the picture, which reaches from its first to before its last pixel."""

    left: int
    top: int
    cover: Floats  # (h w) in [0, 1]

    @property
    def window(self) -> Window:
        """Where the cover lies in the picture."""
        height, width = self.cover.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def check_size(size: int) -> int:
    """A picture's side in px, or a refusal."""
    if not SMALLEST <= size <= LARGEST:
        raise ShapeError(f"a scene's size must be {SMALLEST} to {LARGEST} px, got {size}")
    return size


def filled(outline: Sequence[Point], size: int, *, soft: float = 0.0) -> Stencil | None:
    """Cover of a closed outline; None outside the picture.

    Args:
        outline: corners in [0, 1] of the side; may reach beyond the frame.
        size: side of the picture in px.
        soft: sigma of a Gaussian that blurs the rim, in fractions of the side.
    """
    spread = math.ceil(3 * soft * size)
    # What lies just outside the frame is blurred into it, so the frame cuts after the blur.
    box = _box(outline, size, spread, beyond=spread)
    if box is None:
        return None
    cover = _scanned(outline, size, box)
    return _cut(box, size, _blurred(cover, soft * size) if spread else cover)


def drawn(points: Sequence[Point], size: int, *, width: float) -> Stencil | None:
    """Cover of a line with round ends and joints; None outside the picture.

    Args:
        points: at least two, in [0, 1] of the side.
        size: side of the picture in px.
        width: of the line, in fractions of the side; below a pixel the line is as much paler.
    """
    return filled(around(points, width / 2), size)


def around(points: Sequence[Point], reach: float) -> list[Point]:
    """Outline of all within reach of a line.

    It winds twice around what a line covers twice, where it meets itself or turns back sharply:
    that is covered once, but its rim is not antialiased.
    """
    there = [complex(*points[0])]
    there += [complex(*b) for a, b in pairwise(points) if a != b]
    if len(there) == 1:
        return ellipse(points[0], reach, reach)
    # The right side is the left side of the way back, and a round end is a turn by 180 degrees.
    way = [*there, *there[-2::-1]]
    sides = [b - a for a, b in pairwise(way)]
    outline: list[complex] = []
    for corner, before, after in zip(way[1:], sides, [*sides[1:], sides[0]], strict=True):
        outline += [corner + offset for offset in _joint(before, after, reach)]
    return [(point.real, point.imag) for point in outline]


def line(pen: ImageDraw.ImageDraw, points: Sequence[Point], grey: int, width: float) -> None:
    """Draw a line with round ends and joints; points and width in drawn pixels."""
    # PIL knows whole pixels alone, and centres a line on them only if its width is odd.
    reach = max(0, round((width - 1) / 2))
    pixels = [drawn_pixel(point) for point in points]
    pen.line(pixels, fill=grey, width=2 * reach + 1, joint="curve")
    for x, y in (pixels[0], pixels[-1]):
        pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=grey)


def drawn_pixel(point: Point) -> tuple[int, int]:
    """The drawn pixel that a point in drawn pixels lies in."""
    return math.floor(point[0]), math.floor(point[1])


def _joint(before: complex, after: complex, reach: float) -> list[complex]:
    """The left rim of a line where its one side ends and the next begins, at 0."""
    first, last = reach * 1j * before / abs(before), reach * 1j * after / abs(after)
    turn = cmath.phase(after / before)
    if turn > math.pi - 1e-6:
        turn -= 2 * math.pi
    if turn < 0:
        bends = math.ceil(-turn / BEND)
        return [first * cmath.rect(1, turn * i / bends) for i in range(bends + 1)]
    if reach * math.tan(turn / 2) <= min(abs(before), abs(after)):
        return [(first + last) / (1 + math.cos(turn))]  # where both rims meet
    return [first, 0, last]


def _box(points: Sequence[Point], size: int, spare: int, *, beyond: int = 0) -> Box | None:
    """What holds all points with some px to spare, cut some px beyond the frame."""
    xs, ys = zip(*points, strict=True)
    left = max(-beyond, math.floor(min(xs) * size) - spare)
    top = max(-beyond, math.floor(min(ys) * size) - spare)
    right = min(size + beyond, math.ceil(max(xs) * size) + spare)
    bottom = min(size + beyond, math.ceil(max(ys) * size) + spare)
    seen = right > max(left, 0) and bottom > max(top, 0) and left < size and top < size
    return (left, top, right, bottom) if seen else None


def _scanned(outline: Sequence[Point], size: int, box: Box) -> Floats:
    """Cover of a closed outline in a box: how often it winds around every bit of a scan line."""
    left, top, right, bottom = box
    width, rows = right - left, (bottom - top) * SCAN_LINES
    x, y = np.array([*outline, outline[0]], np.float64).T * size
    x, y = x - left, (y - top) * SCAN_LINES - 0.5  # scan line i of the box lies at y = i
    ends = np.minimum(np.maximum(np.ceil(y), 0), rows).astype(np.intp)
    lines = ends[1:] - ends[:-1]  # that a side crosses, negative where it goes up
    counts = np.abs(lines)
    rises = y[1:] - y[:-1]
    slopes = (x[1:] - x[:-1]) / (rises + (rises == 0))
    side = np.repeat(np.arange(len(counts)), counts)
    first = np.minimum(ends[:-1], ends[1:])
    row = np.arange(len(side)) + (first + counts - counts.cumsum())[side]
    crossing = (x[:-1] - y[:-1] * slopes)[side] + row * slopes[side]
    crossing = np.minimum(np.maximum(crossing, 0), width)
    column = crossing.astype(np.intp)
    beside = crossing - column  # share of the crossed pixel that lies left of the crossing
    turn = (np.sign(lines) / SCAN_LINES)[side]
    passed = turn * beside
    pitch = width + 2  # a crossing on the right rim counts in columns that are cut off below
    place, places = row // SCAN_LINES * pitch + column, (bottom - top) * pitch
    turns = np.bincount(place, turn - passed, places)
    turns += np.bincount(place + 1, passed, places)
    winding = turns.reshape(bottom - top, pitch)
    # In place: what a window of 100 px takes in copies, the system would map and clear every time.
    np.minimum(np.abs(winding.cumsum(1, out=winding), out=winding), 1, out=winding)
    return winding[:, :width].astype(np.float32)


def _blurred(cover: Floats, sigma_px: float) -> Floats:
    sheet = Image.fromarray((cover * 255 + 0.5).astype(np.uint8))
    soft: Floats = np.asarray(sheet.filter(ImageFilter.GaussianBlur(sigma_px)), np.float32)
    return soft * np.float32(1 / 255)


def _cut(box: Box, size: int, cover: Floats) -> Stencil:
    left, top, right, bottom = box
    rows = slice(max(0, -top), min(bottom, size) - top)
    columns = slice(max(0, -left), min(right, size) - left)
    return Stencil(max(left, 0), max(top, 0), cover[rows, columns])
