"""A canvas: what a painting and a line drawing make of the same parts."""

import numpy as np
import pytest

from featurekit.errors import ShapeError
from featurekit.scenes.canvas import LineDrawing, Painting
from featurekit.scenes.geometry import ellipse, rectangle

RED, BLUE, WHITE = (200, 0, 0), (0, 0, 200), (255, 255, 255)


def pixels(canvas):
    return np.asarray(canvas.image()).astype(int)


def test_a_part_covers_just_its_area():
    canvas = Painting(64)
    canvas.part(rectangle(0.25, 0.25, 0.75, 0.5), RED)
    covered = (255 - pixels(canvas)[..., 2]).sum() / 255
    # PIL includes the corners' own pixels: up to one drawn pixel (a quarter) more on two sides.
    assert 32 * 16 <= covered <= 32.3 * 16.3


def test_a_fading_part_goes_from_its_colour_at_the_top_to_the_other_at_the_bottom():
    canvas = Painting(64)
    canvas.part(rectangle(0, 0, 1, 1), RED, fade=BLUE)
    column = pixels(canvas)[:, 32]
    assert abs(column[0] - RED).max() <= 2
    assert abs(column[-1] - BLUE).max() <= 2
    assert abs(column[32] - [100, 0, 100]).max() <= 2


def test_a_lit_part_has_its_colour_where_the_light_is():
    canvas = Painting(64)
    canvas.part(ellipse((0.5, 0.5), 0.4, 0.4), RED, fade=BLUE, light=(0.4, 0.3))
    reds = pixels(canvas)[..., 0] * (pixels(canvas)[..., 1] < 5)
    y, x = np.unravel_index(reds.argmax(), reds.shape)
    assert abs(x + 0.5 - 0.4 * 64) <= 1
    assert abs(y + 0.5 - 0.3 * 64) <= 1


def test_a_part_outside_the_picture_leaves_no_trace():
    canvas = Painting(16)
    canvas.part(rectangle(1.1, 1.1, 1.3, 1.3), RED, fade=BLUE)
    assert (pixels(canvas) == 255).all()


@pytest.mark.parametrize(
    ("texture", "shaded"), [("striped", 0.5), ("checkered", 0.5), ("dotted", 0.06 * np.pi)]
)
def test_a_texture_darkens_its_share_of_the_ground(texture, shaded):
    canvas = Painting(96)
    canvas.background((200, 200, 200), (200, 200, 200), texture=texture)
    darkest = pixels(canvas).min()
    share = (200 - pixels(canvas)[..., 0]).mean() / (200 - darkest)
    assert darkest < 160
    assert share == pytest.approx(shaded, abs=0.01)


def test_a_glow_fades_with_the_distance_to_its_centre():
    canvas = Painting(64)
    canvas.background((0, 0, 0), (0, 0, 0))
    canvas.glow((0.5, 0.5), radius=0.1, colour=(200, 200, 200))
    row = pixels(canvas)[32, 32:, 0]
    assert row[0] == pytest.approx(0.6 * 200, abs=2)
    assert row[6] == pytest.approx(0.6 * 200 * np.exp(-0.5), abs=4)
    assert (np.diff(row) <= 0).all()


def test_a_stroke_is_as_wide_as_it_says():
    canvas = Painting(100)
    canvas.stroke([(0.2, 0.5), (0.8, 0.5)], (0, 0, 0), width=0.1)
    thickness = (255 - pixels(canvas)[:, 50, 0]).sum() / 255
    assert thickness == pytest.approx(10, abs=0.3)


def draw_something(canvas):
    canvas.background(BLUE, RED, texture="striped")
    canvas.glow((0.3, 0.3), radius=0.1, colour=RED)
    canvas.shade(rectangle(0.1, 0.1, 0.9, 0.9), BLUE, fade=RED)
    canvas.part(ellipse((0.5, 0.5), 0.3, 0.2), RED, fade=BLUE)
    canvas.edge([(0.1, 0.9), (0.9, 0.9)], RED, width=0.05)
    canvas.stroke([(0.1, 0.1), (0.3, 0.2)], RED, width=0.05)


def test_a_drawing_is_grey_lines_on_white():
    canvas = LineDrawing(64)
    draw_something(canvas)
    image = pixels(canvas)
    assert (image[..., 0] == image[..., 1]).all()
    assert (image[..., 0] == image[..., 2]).all()
    assert image.min() == 0
    assert np.median(image) == 255


def test_a_drawing_is_antialiased():
    canvas = LineDrawing(64)
    canvas.part(ellipse((0.5, 0.5), 0.3, 0.3), RED)
    assert len(np.unique(pixels(canvas))) > 8


def test_a_drawing_leaves_light_shadow_and_rims_out():
    canvas = LineDrawing(32)
    canvas.background(BLUE, RED, texture="dotted")
    canvas.glow((0.3, 0.3), radius=0.1, colour=RED)
    canvas.shade(rectangle(0.1, 0.1, 0.9, 0.9), BLUE)
    canvas.edge([(0.1, 0.9), (0.9, 0.9)], RED, width=0.05)
    assert (pixels(canvas) == 255).all()


def test_a_part_of_a_drawing_hides_what_it_is_drawn_over():
    canvas = LineDrawing(64)
    canvas.stroke([(0.0, 0.5), (1.0, 0.5)], RED)
    canvas.part(rectangle(0.25, 0.25, 0.75, 0.75), RED)
    row = pixels(canvas)[32, :, 0]
    assert (row[20:44] == 255).all()
    assert row[4] < 100


def test_every_line_of_a_drawing_has_the_same_width():
    sheets = []
    for width in (0.01, 0.1):
        canvas = LineDrawing(64)
        canvas.stroke([(0.2, 0.5), (0.8, 0.5)], RED, width=width)
        sheets.append(pixels(canvas))
    assert (sheets[0] == sheets[1]).all()


@pytest.mark.parametrize("canvas", [Painting, LineDrawing])
@pytest.mark.parametrize("size", [0, 7, 2049])
def test_a_size_out_of_range_is_refused(canvas, size):
    with pytest.raises(ShapeError, match=rf"size must be 8 to 2048 px, got {size}"):
        canvas(size)
