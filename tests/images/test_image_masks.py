"""Masks of any make are one shape; an empty one and a photograph are refused."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from two_tones import flat_house, landscape, painted, portrait, shape

from featurekit.core.errors import ImageError, MaskError
from featurekit.images.masks import load_mask

SIDE = 96
TRUTH = torch.from_numpy(np.asarray(shape(SIDE)) > 0)


def read(tmp_path, picture, name="m.png", **options):
    picture.save(tmp_path / name, **options)
    return load_mask(tmp_path / name, picture.height, picture.width)


def off(mask, truth=TRUTH):
    """Share of the picture that a mask has otherwise."""
    return float(((mask[0, 0] == 1) != truth).float().mean())


@pytest.mark.parametrize(
    ("name", "picture"), [*painted(SIDE)], ids=lambda one: one if isinstance(one, str) else ""
)
def test_a_mask_of_any_make_is_the_painted_shape(tmp_path, name, picture):
    mask = read(tmp_path, picture)
    assert mask.shape == (1, 1, SIDE, SIDE)
    assert mask.dtype == torch.float32
    assert set(mask.unique().tolist()) == {0, 1}
    exact = not name.startswith(("JPEG", "soft", "red as"))
    assert off(mask) <= (0 if exact else 0.03)


def test_mid_grey_and_what_is_lighter_may_change(tmp_path):
    pixels = np.zeros((8, 10), np.uint8)
    pixels[2, 3], pixels[4, 5], pixels[6, 7] = 255, 128, 127
    assert read(tmp_path, Image.fromarray(pixels)).nonzero()[:, 2:].tolist() == [[2, 3], [4, 5]]


def test_a_colour_is_as_light_as_its_lightest_channel(tmp_path):
    picture = Image.new("RGB", (12, 8))
    for column, colour in enumerate([(0, 0, 255), (128, 0, 0), (127, 127, 127), (0, 140, 60)]):
        picture.paste(colour, (column * 3, 0, column * 3 + 3, 8))
    mask = read(tmp_path, picture)
    assert mask[0, 0, 0].tolist() == [1] * 6 + [0] * 3 + [1] * 3


# transparency


def layer(colour, under=(0, 0, 0)):
    """The shape painted in one colour on a transparent layer."""
    sheet = Image.new("RGBA", (SIDE, SIDE), (*under, 0))
    sheet.paste((*colour, 255), mask=shape(SIDE))
    return sheet


@pytest.mark.parametrize("under", [(0, 0, 0), (255, 255, 255)])
@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (200, 30, 20), (60, 40, 20)])
def test_what_is_painted_on_a_transparent_layer_may_change(tmp_path, colour, under):
    assert off(read(tmp_path, layer(colour, under))) == 0


def test_strokes_without_an_edge_on_a_transparent_layer_reach_to_their_half(tmp_path):
    sheet = layer((0, 0, 0))
    faded = np.array(sheet)
    faded[..., 3] = np.linspace(0, 255, SIDE).astype(np.uint8)
    mask = read(tmp_path, Image.fromarray(faded))
    assert torch.equal(mask[0, 0] == 1, torch.from_numpy(faded[..., 3] >= 128))


def test_white_beside_black_on_a_transparent_layer_is_what_may_change(tmp_path):
    sheet = Image.new("RGBA", (SIDE, SIDE), (255, 255, 255, 0))
    sheet.paste((0, 0, 0, 255), (0, 0, SIDE // 2, SIDE))
    sheet.paste((255, 255, 255, 255), (10, 10, 30, 30))
    mask = read(tmp_path, sheet)
    assert mask.sum() == 400
    assert mask[0, 0, 10:30, 10:30].all()


def test_a_layer_that_hides_all_is_read_as_if_it_had_no_transparency(tmp_path):
    assert off(read(tmp_path, shape(SIDE).convert("RGBA"))) == 0
    assert off(read(tmp_path, shape(SIDE).convert("LA"))) == 0


@pytest.mark.parametrize("name", ["m.webp", "m.tif", "m.png"])
def test_layers_of_other_formats(tmp_path, name):
    options = {"lossless": True} if name == "m.webp" else {}
    assert off(read(tmp_path, layer((0, 0, 0)), name, **options)) == 0


def test_a_palette_with_a_transparent_index(tmp_path):
    sheet = Image.fromarray((np.asarray(shape(SIDE)) > 0).astype(np.uint8))
    sheet.putpalette([255, 255, 255, 0, 0, 0])
    assert off(read(tmp_path, sheet, transparency=0)) == 0


# refusals


def test_a_mask_of_another_size_is_refused_with_both_sizes():
    with pytest.raises(MaskError, match="the size of its image, 10x8 px, got 9x8 px"):
        load_mask(np.full((8, 9), 255, np.uint8), 8, 10)


@pytest.mark.parametrize(
    ("level", "told"),
    [
        (0, "got black everywhere, so nothing may move; paint"),
        (1, r"black everywhere \(its lightest level is 1 of 255\), so"),
        (127, r"black everywhere \(its lightest level is 127 of 255\), so"),
    ],
)
def test_a_dark_mask_is_refused_because_nothing_may_move(level, told):
    with pytest.raises(MaskError, match=told):
        load_mask(np.full((8, 10), level, np.uint8), 8, 10)


def test_an_empty_layer_is_refused_because_nothing_is_painted(tmp_path):
    with pytest.raises(MaskError, match="got nothing painted on a transparent layer, so nothing"):
        read(tmp_path, Image.new("RGBA", (8, 8), (255, 255, 255, 0)))


def test_a_missing_mask_is_called_a_mask(tmp_path):
    with pytest.raises(ImageError, match=r"mask must be a picture file, but .* is no such file"):
        load_mask(tmp_path / "m.png", 8, 8)


@pytest.mark.parametrize("side", [64, 128, 300])
@pytest.mark.parametrize("make", [portrait, landscape])
def test_a_photograph_is_refused_also_with_paint_on_it(tmp_path, make, side):
    photo = make(side)
    with pytest.raises(MaskError, match="this looks like a photograph; paint on a black or trans"):
        read(tmp_path, photo)
    ImageDraw.Draw(photo).ellipse((side * 0.3, side * 0.3, side * 0.6, side * 0.5), fill="red")
    with pytest.raises(MaskError, match="this looks like a photograph"):
        read(tmp_path, photo, "m.jpg")


def test_a_photograph_with_a_hole_in_it_is_refused(tmp_path):
    photo = portrait(128).convert("RGBA")
    photo.paste((0, 0, 0, 0), (40, 40, 70, 80))
    with pytest.raises(MaskError, match="this looks like a photograph"):
        read(tmp_path, photo)


def test_a_picture_in_flat_colours_is_refused_also_with_paint_on_it(tmp_path):
    house = flat_house(SIDE)
    with pytest.raises(MaskError, match="this looks like a picture in colours; paint on a black"):
        read(tmp_path, house)
    ImageDraw.Draw(house).ellipse((20, 20, 60, 50), fill="white")
    with pytest.raises(MaskError, match="this looks like a picture in colours"):
        read(tmp_path, house)


def test_a_palette_of_two_colours_is_a_mask(tmp_path):
    sheet = Image.fromarray((np.asarray(shape(SIDE)) > 0).astype(np.uint8))
    sheet.putpalette([70, 20, 90, 90, 230, 40])
    assert off(read(tmp_path, sheet)) == 0
