"""Drawings: what each style makes of each ink, and that none looks at paint."""

import numpy as np
import pytest

from featurekit.core.errors import ShapeError
from featurekit.scenes.canvas import Ink, Paint, Pattern
from featurekit.scenes.drawings import BROAD, FINE, INSET, INSET_BOX, STYLES, Drawing
from featurekit.scenes.geometry import ellipse, rectangle

RED, BLUE = (200, 0, 0), (0, 0, 200)
BOX = rectangle(0.25, 0.25, 0.75, 0.75)
INSIDE = slice(22, 42)  # of the box at 64 px, well within its lines

every_style = pytest.mark.parametrize("style", STYLES)


def drawing(style, *marks, size=64):
    """Darkness of a drawing of marks, 0 to 1: outlines or lines, each with its ink."""
    canvas = Drawing(STYLES[style](size))
    for name, points, ink in marks:
        if name == "part":
            canvas.part(points, Paint(RED), ink)
        else:
            canvas.stroke(points, RED, width=0.03, ink=ink)
    return 1 - np.asarray(canvas.image()).astype(float)[..., 0] / 255


def box(style, ink, size=64):
    return drawing(style, ("part", BOX, ink), size=size)


def scene(canvas, colours, pattern):
    """All marks there are; what they look like in a picture is the caller's choice."""
    one, other = colours
    canvas.background(one, other, pattern=pattern)
    canvas.glow((0.3, 0.3), radius=0.1, colour=one)
    canvas.shade(rectangle(0.1, 0.1, 0.9, 0.9), other, soft=0.01)
    canvas.part(ellipse((0.5, 0.5), 0.3, 0.2), Paint(one, other, (0.4, 0.4), pattern), Ink.TONE)
    canvas.part(ellipse((0.5, 0.5), 0.1, 0.1), Paint(other, pattern=pattern), Ink.SOLID)
    canvas.edge([(0.1, 0.9), (0.9, 0.9)], one, width=0.05)
    canvas.stroke([(0.1, 0.1), (0.3, 0.2)], other, width=0.05)
    return np.asarray(canvas.image()).astype(int)


@every_style
def test_a_drawing_is_grey_lines_on_white(style):
    image = scene(Drawing(STYLES[style](64)), (RED, BLUE), Pattern("striped", 0.1))
    assert image.shape == (64, 64, 3)
    assert (image == image[..., :1]).all()
    assert image.min() == 0
    assert np.median(image) == 255


@every_style
def test_a_drawing_is_antialiased(style):
    canvas = Drawing(STYLES[style](64))
    canvas.part(ellipse((0.5, 0.5), 0.3, 0.3), Paint(RED))
    assert len(np.unique(np.asarray(canvas.image()))) > 8


@every_style
def test_colours_and_patterns_do_not_change_a_drawing(style):
    images = [
        scene(Drawing(STYLES[style](64)), colours, pattern)
        for colours, pattern in (
            ((RED, BLUE), Pattern("striped", 0.1)),
            (((0, 0, 0), (255, 255, 255)), None),
        )
    ]
    assert (images[0] == images[1]).all()


@every_style
def test_a_drawing_leaves_ground_light_shadow_and_rims_out(style):
    canvas = Drawing(STYLES[style](32))
    canvas.background(BLUE, RED, pattern=Pattern("dotted", 0.2))
    canvas.glow((0.3, 0.3), radius=0.1, colour=RED)
    canvas.shade(rectangle(0.1, 0.1, 0.9, 0.9), BLUE)
    canvas.edge([(0.1, 0.9), (0.9, 0.9)], RED, width=0.05)
    assert (np.asarray(canvas.image()) == 255).all()


@every_style
def test_the_width_of_a_stroke_in_the_picture_is_not_that_in_a_drawing(style):
    sheets = []
    for width in (0.01, 0.1):
        canvas = Drawing(STYLES[style](64))
        canvas.stroke([(0.2, 0.51), (0.8, 0.51)], RED, width=width)
        sheets.append(np.asarray(canvas.image()))
    assert (sheets[0] == sheets[1]).all()
    assert sheets[0].min() == 0


outlining = pytest.mark.parametrize("style", ["brush", "hatching"])


@pytest.mark.parametrize("size", [64, 128])
@outlining
def test_an_outline_is_fine_and_its_inside_is_white(style, size):
    across = box(style, Ink.DETAIL, size)[size // 2]
    assert across[: size // 2].sum() == pytest.approx(FINE * size, abs=0.25)
    assert across[size // 2 :].sum() == pytest.approx(FINE * size, abs=0.25)
    assert across[size // 3 : 2 * size // 3].max() == 0


@outlining
def test_an_outline_lies_where_its_part_ends(style):
    off = []
    for shift in np.arange(16) / 1024:  # through a whole pixel
        part = ("part", [(x + shift, y + shift) for x, y in BOX], Ink.DETAIL)
        dark, centres = drawing(style, part), np.arange(32) + 0.5
        left, upper = dark[32, :32], dark[:32, 32]
        off.append([(line * centres).sum() / line.sum() for line in (left, upper)])
        off[-1] -= (0.25 + shift) * 64
    assert abs(np.array(off)).max() < 0.25
    assert np.mean(off, 0) == pytest.approx([0, 0], abs=0.07)


@every_style
def test_a_corner_is_drawn_like_the_other_three(style):
    dark = box(style, Ink.DETAIL)
    corners = [
        dark[rows, columns].sum()
        for rows in (slice(10, 22), slice(42, 54))
        for columns in (slice(10, 22), slice(42, 54))
    ]
    assert min(corners) > 2
    assert max(corners) - min(corners) < 1


@pytest.mark.parametrize(
    ("style", "ink", "side"),
    [
        ("brush", Ink.SOLID, 32),
        ("brush", Ink.TONE, 32),
        ("hatching", Ink.SOLID, 32 + FINE * 64),  # half of a fine line lies outside
    ],
)
def test_solid_is_black_and_so_is_what_a_brush_shades(style, ink, side):
    dark = box(style, ink)
    assert dark[17:47, 17:47].min() == 1
    assert dark.sum() == pytest.approx(side**2, rel=0.03)


@every_style
def test_a_part_without_ink_leaves_no_line(style):
    assert box(style, Ink.NONE).max() == 0


def test_a_brush_blackens_the_lower_right_side_of_things_and_of_nothing_else():
    dark = box("brush", Ink.CONTOUR)
    assert dark[20:47, 45:47].min() == 1
    assert dark[45:47, 20:47].min() == 1
    assert dark[18:42, 18:42].max() == 0
    assert box("brush", Ink.DETAIL)[18:46, 18:46].max() == 0


def test_a_brush_leaves_a_white_rim_around_what_it_draws():
    across = ("stroke", [(0.0, 0.5), (1.0, 0.5)], Ink.DETAIL)
    row = drawing("brush", across, ("part", BOX, Ink.CONTOUR))[32]
    assert row[2:12].min() > 0.4
    assert row[14] < 0.05
    assert drawing("hatching", across, ("part", BOX, Ink.CONTOUR))[32, 14] > 0.4


@pytest.mark.parametrize("ink", [ink for ink in Ink if ink is not Ink.NONE])
def test_an_inline_keeps_inside_the_rim_of_its_part(ink):
    dark = box("inline", ink)
    low, high = (64 * INSET_BOX * (2 * share - 1) for share in INSET)  # px inside the rim
    row, centres = dark[32, :32], np.arange(32) + 0.5
    assert row.sum() == pytest.approx(high - low, abs=0.3)
    assert (row * centres).sum() / row.sum() - 16 == pytest.approx((low + high) / 2, abs=0.25)
    assert row[:17].max() == 0
    assert row[20:].max() == 0
    outside = np.ones_like(dark, bool)
    outside[17:47, 17:47] = False
    assert dark[outside].max() == 0


@pytest.mark.parametrize(("ink", "rising"), [(Ink.TONE, True), (Ink.CONTOUR, False)])
def test_hatching_runs_one_way_on_things_and_the_other_on_tones_and_leaves_most_white(ink, rising):
    dark = box("hatching", ink)[INSIDE, INSIDE]
    up = abs(dark[1:, :-1] - dark[:-1, 1:]).mean()
    down = abs(dark[1:, 1:] - dark[:-1, :-1]).mean()
    assert 0.05 < dark.mean() < 0.35
    assert bool(up < down / 5) is rising
    assert bool(down < up / 5) is not rising


@pytest.mark.parametrize("ink", [Ink.TONE, Ink.CONTOUR])
def test_hatching_ends_at_the_rim_of_its_part(ink):
    dark = box("hatching", ink)
    assert dark[17:47, 17:47].any()
    dark[15:49, 15:49] = 0
    assert not dark.any()


def test_hatchings_of_two_parts_lie_on_one_grid():
    halves = rectangle(0.25, 0.25, 0.5, 0.75), rectangle(0.5, 0.25, 0.75, 0.75)
    both = drawing("hatching", *(("part", half, Ink.TONE) for half in halves))
    whole = box("hatching", Ink.TONE)
    assert (both[INSIDE, 22:30] == whole[INSIDE, 22:30]).all()
    assert (both[INSIDE, 34:42] == whole[INSIDE, 34:42]).all()


@pytest.mark.parametrize(
    ("style", "ink", "width"),
    [
        ("brush", Ink.CONTOUR, BROAD),
        *(("brush", ink, FINE) for ink in Ink if ink is not Ink.CONTOUR),
        ("hatching", Ink.CONTOUR, FINE),
        ("inline", Ink.CONTOUR, FINE),
    ],
)
def test_a_stroke_is_as_wide_as_its_style_and_ink_say(style, ink, width):
    dark = drawing(style, ("stroke", [(0.1, 0.51), (0.9, 0.51)], ink), size=128)
    assert dark[:, 64].sum() == pytest.approx(width * 128, abs=0.25)


@every_style
@pytest.mark.parametrize("ink", Ink)
def test_a_part_hides_what_is_behind_it_and_not_what_is_before_it(style, ink):
    across, part = ("stroke", [(0.0, 0.5), (1.0, 0.5)], Ink.DETAIL), ("part", BOX, ink)
    behind = drawing(style, across, part)
    assert (behind[INSIDE, INSIDE] == box(style, ink)[INSIDE, INSIDE]).all()
    assert behind[32, 2:12].min() > 0.4
    assert drawing(style, part, across)[32, INSIDE].min() > 0.4


def test_no_two_styles_draw_a_scene_alike():
    images = [
        scene(Drawing(hand(64)), (RED, BLUE), Pattern("striped", 0.1)) for hand in STYLES.values()
    ]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert abs(images[one] - images[other]).mean() > 3


@every_style
@pytest.mark.parametrize("size", [0, 7, 2049])
def test_a_size_out_of_range_is_refused(style, size):
    with pytest.raises(ShapeError, match=rf"size must be 8 to 2048 px, got {size}"):
        STYLES[style](size)
