"""Photographs are told from drawings and masks: no drawing is ever taken for one."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter
from two_tones import drawn, flat_house, jpeg, landscape, painted, portrait, shape

from featurekit.images.photographs import SMALLEST, is_in_colours, is_photograph


@pytest.mark.parametrize("side", [48, 96, 512])
def test_no_drawing_is_a_photograph(side):
    assert [name for name, sheet in drawn(side) if is_photograph(sheet)] == []


@pytest.mark.parametrize("side", [48, 96, 512])
def test_no_mask_is_a_photograph(side):
    assert [name for name, mask in painted(side) if is_photograph(mask)] == []


@pytest.mark.parametrize("side", [64, 300])
def test_a_gradient_is_no_photograph(side):
    ramp = np.tile(np.linspace(0, 255, side).astype(np.uint8), (side, 1))
    for picture in (Image.fromarray(ramp), jpeg(Image.fromarray(ramp), 60)):
        assert not is_photograph(picture)


def test_flat_colours_are_no_photograph():
    """A map of classes, say."""
    draw = np.random.default_rng(0)
    places = draw.uniform(0, 128, (9, 2))
    rows, columns = np.mgrid[:128, :128]
    nearest = np.hypot(*(np.stack((rows, columns), -1)[:, :, None] - places).T).argmin(0)
    colours = draw.integers(0, 256, (9, 3)).astype(np.uint8)
    assert not is_photograph(Image.fromarray(colours[nearest]))


@pytest.mark.parametrize("side", [48, 96, 200, 512])
@pytest.mark.parametrize("make", [portrait, landscape])
def test_photographs_are_told_in_colour_and_as_jpeg(make, side):
    photo = make(side)
    assert is_photograph(photo)
    assert is_photograph(jpeg(photo, 60))
    assert is_photograph(photo.filter(ImageFilter.GaussianBlur(1)))


@pytest.mark.parametrize("side", [128, 512])
def test_a_grey_portrait_is_told(side):
    assert is_photograph(portrait(side).convert("L"))


def test_nothing_is_said_of_a_picture_of_a_few_pixels():
    assert not is_photograph(portrait(SMALLEST - 1))


# pictures in colours

PAINTS = [(230, 30, 20), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255), (0, 255, 255)]
GROUNDS = [(0, 0, 0), (255, 255, 255), (60, 60, 60), (40, 90, 200)]


@pytest.mark.parametrize("side", [48, 96, 512])
@pytest.mark.parametrize("ground", GROUNDS)
def test_paint_in_one_colour_on_one_ground_is_no_picture(side, ground):
    sheet = shape(side)
    for brush in (sheet, sheet.filter(ImageFilter.GaussianBlur(side / 32))):
        for paint in PAINTS:
            mask = Image.new("RGB", sheet.size, ground)
            mask.paste(paint, mask=brush)
            assert not is_in_colours(mask)
            if ground[0] == ground[2]:
                assert not any(is_in_colours(jpeg(mask, quality)) for quality in (20, 60, 95))


def test_paint_in_many_colours_on_black_is_no_picture():
    mask = Image.new("RGB", (96, 96))
    pen = ImageDraw.Draw(mask)
    for row, paint in enumerate(PAINTS):
        pen.rectangle((20, 16 * row, 70, 16 * row + 14), fill=paint)
    assert not is_in_colours(mask)


def test_of_grey_pictures_and_drawings_nothing_is_said():
    assert not is_in_colours(portrait(128).convert("L"))
    assert [name for name, sheet in drawn(96) if is_in_colours(sheet)] == []


@pytest.mark.parametrize("side", [48, 480])
def test_flat_colours_are_a_picture(side):
    assert is_in_colours(flat_house(side))
    assert is_in_colours(jpeg(flat_house(side), 60))
