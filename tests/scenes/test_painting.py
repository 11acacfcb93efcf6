"""Paintings and mattes: what becomes of colours, gradients, prints, light and shadow."""

import math
from random import Random

import numpy as np
import pytest

from featurekit.core.errors import ShapeError, UnknownNameError
from featurekit.scenes.canvas import Ink, Paint, Pattern
from featurekit.scenes.geometry import ellipse, rectangle
from featurekit.scenes.painting import Matte, Painting

RED, BLUE, GREY, WHITE, BLACK = (200, 0, 0), (0, 0, 200), (200,) * 3, (255,) * 3, (0, 0, 0)
EVERYTHING = rectangle(0, 0, 1, 1)
SHARES = {
    "striped": 0.5,
    "checkered": 0.5,
    "dotted": 0.075 * math.pi,
    "wavy": 0.5,
    "tiled": 1 - 0.84**2,
}


def pixels(canvas):
    return np.asarray(canvas.image()).astype(int)


def painted(*marks, size=64):
    canvas = Painting(size)
    for name, *arguments in marks:
        getattr(canvas, name)(*arguments)
    return pixels(canvas)


def test_a_painting_starts_white_and_is_rgb():
    image = Painting(16).image()
    assert (image.mode, image.size) == ("RGB", (16, 16))
    assert (np.asarray(image) == 255).all()


@pytest.mark.parametrize("size", [32, 64, 128])
def test_a_dot_is_seen_where_it_was_painted_to_a_tenth_of_a_pixel(size):
    rng = Random(size)
    rows, columns = np.mgrid[0:size, 0:size] + 0.5
    for _ in range(8):
        at = rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9)
        dark = 255 - painted(("part", ellipse(at, 0.03, 0.03), Paint(BLACK)), size=size)[..., 0]
        x, y = (dark * columns).sum() / dark.sum(), (dark * rows).sum() / dark.sum()
        assert math.dist((x, y), (at[0] * size, at[1] * size)) < 0.1


def test_a_part_with_light_fade_and_print_shifted_by_whole_pixels_gives_the_shifted_picture():
    def part(dx, dy):
        light, origin = (0.41 + dx, 0.4 + dy), (0.403 + dx, 0.402 + dy)
        paint = Paint(RED, BLUE, light, Pattern("wavy", 0.11, origin=origin))
        return painted(("part", ellipse((0.403 + dx, 0.43 + dy), 0.2, 0.17), paint))

    assert abs(part(7 / 64, 9 / 64) - np.roll(part(0, 0), (9, 7), (0, 1))).max() <= 1


def test_a_background_goes_from_the_top_colour_to_the_bottom_one():
    image = painted(("background", RED, BLUE))
    assert (image == image[:, :1]).all()
    assert abs(image[0, 0] - RED).max() <= 2
    assert abs(image[-1, 0] - BLUE).max() <= 2
    assert abs(image[16, 0] - [148, 0, 52]).max() <= 2


def test_a_later_part_covers_an_earlier_one():
    image = painted(("part", EVERYTHING, Paint(RED)), ("part", EVERYTHING, Paint(BLUE)))
    assert (image == BLUE).all()


@pytest.mark.parametrize("ink", Ink)
def test_ink_is_no_matter_of_a_painting(ink):
    canvas = Painting(32)
    canvas.part(EVERYTHING, Paint(RED), ink)
    canvas.stroke([(0, 0.5), (1, 0.5)], BLUE, width=0.1, ink=ink)
    assert (pixels(canvas)[4, 4] == RED).all()
    assert (pixels(canvas)[16, 16] == BLUE).all()


def test_a_fading_part_goes_from_its_colour_at_its_top_to_the_other_at_its_bottom():
    column = painted(("part", rectangle(0, 0.25, 1, 0.75), Paint(RED, BLUE)))[:, 32]
    assert (column[15] == WHITE).all()
    assert abs(column[16] - RED).max() <= 4
    assert abs(column[24] - [150, 0, 50]).max() <= 4
    assert abs(column[47] - BLUE).max() <= 4


def test_a_lit_part_has_its_colour_where_the_light_is_and_the_other_far_from_it():
    image = painted(("part", rectangle(0, 0, 1, 1), Paint(RED, BLUE, (0.25, 0.25))))
    away = np.hypot(*((np.mgrid[0:64, 0:64] + 0.5) / 64 - 0.25)) / 0.75
    assert image[..., 0] == pytest.approx(200 * (1 - away).clip(0, 1), abs=1)
    assert image[..., 2] == pytest.approx(200 * away.clip(0, 1), abs=1)


def test_light_alone_changes_nothing():
    assert (painted(("part", EVERYTHING, Paint(RED, light=(0.2, 0.2)))) == RED).all()


@pytest.mark.parametrize("name", SHARES)
def test_a_pattern_darkens_its_share_of_the_ground_by_its_factor(name):
    canvas = Painting(96)
    canvas.background(GREY, GREY, pattern=Pattern(name, 0.125, 0.6))
    image = pixels(canvas)
    assert image.min() == 120
    assert image.max() == 200
    assert (200 - image[..., 0]).mean() / 80 == pytest.approx(SHARES[name], abs=0.02)


@pytest.mark.parametrize("name", SHARES)
def test_a_pattern_repeats_after_two_of_its_periods_and_not_before_one(name):
    paint = Paint(GREY, pattern=Pattern(name, 0.125, origin=(0.001, 0.002)))
    image = painted(("part", EVERYTHING, paint), size=96)
    assert abs(image - np.roll(image, (24, 24), (0, 1))).max() <= 1
    shifts = [abs(image - np.roll(image, dx, 1)).max() for dx in range(1, 12)]
    assert min(shifts) > 10


@pytest.mark.parametrize("name", SHARES)
def test_the_origin_of_a_pattern_shifts_it(name):
    def print_from(origin):
        paint = Paint(GREY, pattern=Pattern(name, 0.125, origin=origin))
        return painted(("part", EVERYTHING, paint), size=96)

    here, there = print_from((0.001, 0.002)), print_from((0.001 + 5 / 96, 0.002 + 2 / 96))
    assert abs(here - there).max() > 10
    assert abs(there - np.roll(here, (2, 5), (0, 1))).max() <= 1


def test_every_other_row_of_tiles_is_shifted_by_half_a_tile():
    paint = Paint(GREY, pattern=Pattern("tiled", 0.125, origin=(0.001, 0.002)))
    image = painted(("part", EVERYTHING, paint), size=96)
    assert abs(image - np.roll(image, (12, 6), (0, 1))).max() <= 1
    assert abs(image - np.roll(image, (12, 0), (0, 1))).max() > 10


def test_a_part_has_its_pattern_within_its_outline_alone():
    pattern = Pattern("checkered", 0.5, 0.5)
    plain = Paint((200, 100, 40))
    image = painted(("part", rectangle(0.125, 0.125, 0.75, 0.875), plain.printed(pattern)))
    assert (image[16, 16] == [200, 100, 40]).all()
    assert (image[16, 40] == [100, 50, 20]).all()
    assert (image[40, 40] == [200, 100, 40]).all()
    assert (image[4, 20] == WHITE).all()
    assert plain.pattern is None
    assert plain.printed(pattern).printed(None) == plain


def test_an_unknown_pattern_is_refused():
    canvas, pattern = Painting(32), Pattern("plaid", 0.1)
    with pytest.raises(UnknownNameError, match=r"plaid.*striped"):
        canvas.part(EVERYTHING, Paint(RED, pattern=pattern))
    with pytest.raises(UnknownNameError, match=r"plaid.*striped"):
        canvas.background(RED, RED, pattern=pattern)


def test_a_glow_fades_with_the_distance_to_its_centre():
    canvas = Painting(64)
    canvas.background(BLACK, BLACK)
    canvas.glow((0.5, 0.25), radius=0.1, colour=(200, 100, 50))
    down, across = np.mgrid[0:64, 0:64] + 0.5
    share = 0.6 * np.exp(-((across - 32) ** 2 + (down - 16) ** 2) / (2 * 6.4**2))
    assert pixels(canvas) == pytest.approx(share[..., None] * [200, 100, 50], abs=1)


@pytest.mark.parametrize("opacity", [0.0, 0.25, 1.0])
def test_a_shade_is_as_opaque_as_it_says(opacity):
    canvas = Painting(32)
    canvas.background(GREY, GREY)
    canvas.shade(rectangle(0.25, 0.25, 0.75, 0.75), (0, 40, 200), opacity=opacity)
    expected = np.array(GREY) * (1 - opacity) + np.array((0, 40, 200)) * opacity
    assert pixels(canvas)[16, 16] == pytest.approx(expected, abs=0.51)
    assert (pixels(canvas)[4, 4] == GREY).all()


def test_a_soft_shade_has_no_edge():
    steps = []
    for soft in (0.0, 0.03):
        canvas = Painting(64)
        canvas.shade(ellipse((0.5, 0.5), 0.2, 0.2), BLACK, soft=soft, opacity=0.5)
        steps.append(abs(np.diff(pixels(canvas)[32, :, 0])).max())
    assert steps[0] > 90
    assert steps[1] < 40


@pytest.mark.parametrize("mark", ["stroke", "edge"])
@pytest.mark.parametrize("width", [0.025, 0.1])
def test_a_line_is_as_wide_as_it_says(mark, width):
    canvas = Painting(100)
    getattr(canvas, mark)([(0.2, 0.5), (0.8, 0.5)], (0, 0, 0), width=width)
    assert (255 - pixels(canvas)[:, 50, 0]).sum() / 255 == pytest.approx(100 * width, abs=0.1)


def test_marks_outside_the_picture_leave_no_trace():
    outside = rectangle(1.1, 1.1, 1.3, 1.3)
    for canvas, blank in ((Painting(16), 255), (Matte(16), 0)):
        canvas.part(outside, Paint(RED, BLUE, pattern=Pattern("dotted", 0.1)))
        canvas.shade(outside, RED, soft=0.01)
        canvas.stroke(outside, RED, width=0.05)
        canvas.edge(outside, RED, width=0.05)
        assert (pixels(canvas) == blank).all()


def test_a_matte_is_the_union_of_parts_strokes_and_edges():
    canvas = Matte(64)
    assert (pixels(canvas) == 0).all()
    canvas.part(rectangle(0.125, 0.125, 0.5, 0.5), Paint(WHITE))
    canvas.part(rectangle(0.25, 0.25, 0.625, 0.625), Paint(RED), Ink.NONE)
    canvas.stroke([(0.125, 0.75), (0.875, 0.75)], RED, width=4 / 64)
    canvas.edge([(0.75, 0.125), (0.75, 0.5)], RED, width=4 / 64)
    covered = np.zeros((64, 64), bool)
    covered[8:32, 8:32] = covered[16:40, 16:40] = True
    covered[46:50, 8:56] = covered[8:32, 46:50] = True
    mask = pixels(canvas)
    assert canvas.image().mode == "L"
    assert (mask[covered] == 255).all()
    # What is left are the four round ends.
    assert mask[~covered].sum() / 255 == pytest.approx(4 * math.pi * 2, rel=0.1)


def test_a_matte_blends_what_two_parts_cover_of_a_pixel():
    canvas = Matte(16)
    half = rectangle(0, 0, 1, 4.5 / 16)
    canvas.part(half, Paint(RED))
    assert (pixels(canvas)[4] == 128).all()
    canvas.part(half, Paint(RED))
    assert (pixels(canvas)[4] == 191).all()


def test_a_matte_ignores_background_light_and_shadow():
    canvas = Matte(32)
    canvas.background(RED, BLUE, pattern=Pattern("dotted", 0.1))
    canvas.glow((0.5, 0.5), radius=0.2, colour=WHITE)
    canvas.shade(rectangle(0.1, 0.1, 0.9, 0.9), BLACK, soft=0.01)
    assert (pixels(canvas) == 0).all()


@pytest.mark.parametrize("canvas", [Painting, Matte])
@pytest.mark.parametrize("size", [0, 7, 2049])
def test_a_size_out_of_range_is_refused(canvas, size):
    with pytest.raises(ShapeError, match=rf"size must be 8 to 2048 px, got {size}"):
        canvas(size)
