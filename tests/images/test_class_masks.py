"""Masks of classes: palettes, greys and colours are read and written back as they were painted."""

import numpy as np
import pytest
import torch
from icc_profiles import p3_profile
from PIL import Image

from featurekit.core.errors import ImageError, MaskError, ShapeError
from featurekit.images.class_masks import MOST, TINTS, load_classes

LEVELS = np.zeros((10, 12), dtype=np.uint8)
LEVELS[2:5, 3:9] = 128
LEVELS[7:, :] = 255


def saved(tmp_path, picture, name="mask.png"):
    picture.save(tmp_path / name)
    return tmp_path / name


def indexed(indices, colours):
    picture = Image.fromarray(indices)
    picture.putpalette([level for colour in colours for level in colour])
    return picture


def test_each_grey_level_is_a_class(tmp_path):
    found = load_classes(saved(tmp_path, Image.fromarray(LEVELS)), 10, 12)
    assert found.values == (0, 128, 255)
    assert found.colours == ((0, 0, 0), (128, 128, 128), (255, 255, 255))
    assert found.labels.shape == (1, 3, 10, 12)
    assert torch.equal(found.labels[0, 1].bool(), torch.from_numpy(LEVELS == 128))
    assert torch.equal(found.labels.sum(1), torch.ones(1, 10, 12))


def test_each_index_of_a_palette_is_a_class_even_if_two_share_a_colour(tmp_path):
    indices = (LEVELS // 100).astype(np.uint8)
    red = ((0, 0, 0), (200, 0, 0), (200, 0, 0))
    found = load_classes(saved(tmp_path, indexed(indices, red)), 10, 12)
    assert found.values == (0, 1, 2)
    assert found.colours == red


def test_each_flat_colour_is_a_class_numbered_from_the_darkest(tmp_path):
    picture = Image.new("RGB", (12, 10), (250, 240, 0))
    picture.paste((0, 0, 0), (0, 0, 4, 10))
    picture.paste((0, 90, 0), (4, 0, 8, 10))
    found = load_classes(saved(tmp_path, picture), 10, 12)
    assert found.values == (0, 1, 2)
    assert found.colours == ((0, 0, 0), (0, 90, 0), (250, 240, 0))
    assert found.labels[0, 1, 0].tolist() == [0] * 4 + [1] * 4 + [0] * 4


@pytest.mark.parametrize("kind", ["grey", "palette", "colours"])
def test_what_is_written_is_what_was_read(tmp_path, kind):
    grey = Image.fromarray(LEVELS)
    colours = ((0, 0, 0), (9, 8, 7), (60, 200, 30))
    palette = indexed((LEVELS // 100).astype(np.uint8), colours)
    mask = {"grey": grey, "palette": palette, "colours": palette.convert("RGB")}[kind]
    classes = load_classes(saved(tmp_path, mask), 10, 12)
    again = saved(tmp_path, classes.picture(classes.labels), "again.png")
    with Image.open(again) as file:
        assert file.mode == "P"
        assert np.array_equal(np.asarray(file.convert("RGB")), np.asarray(mask.convert("RGB")))
        if kind != "colours":
            assert np.array_equal(np.asarray(file), np.asarray(mask))
    assert load_classes(again, 10, 12).values == classes.values


def test_the_larger_share_of_a_pixel_has_it(tmp_path):
    classes = load_classes(saved(tmp_path, Image.fromarray(LEVELS)), 10, 12)
    shares = torch.tensor([0.2, 0.5, 0.3]).reshape(1, 3, 1, 1).expand(1, 3, 4, 5)
    assert set(np.asarray(classes.picture(shares)).flatten().tolist()) == {128}


def test_black_is_no_thing_and_greys_are_shown_in_colours(tmp_path):
    grey = load_classes(saved(tmp_path, Image.fromarray(LEVELS)), 10, 12)
    assert grey.tints == (None, TINTS[0], TINTS[1])
    colours = ((0, 0, 0), (9, 8, 7), (60, 200, 30))
    palette = indexed((LEVELS // 100).astype(np.uint8), colours)
    assert load_classes(saved(tmp_path, palette), 10, 12).tints == (None, *colours[1:])


# refusals


def test_what_is_no_mask_of_classes_is_refused(tmp_path):
    whole = Image.fromarray(LEVELS)
    with pytest.raises(MaskError, match="the size of its picture, 12x11 px, got 12x10 px"):
        load_classes(saved(tmp_path, whole), 11, 12)
    with pytest.raises(MaskError, match="two classes or more, got 1 in"):
        load_classes(saved(tmp_path, Image.new("L", (12, 10), 7)), 10, 12)
    soft = Image.fromarray(np.arange(120, dtype=np.uint8).reshape(10, 12))
    with pytest.raises(MaskError, match=f"at most {MOST} flat colours, got 120; save it as PNG"):
        load_classes(saved(tmp_path, soft), 10, 12)
    with pytest.raises(ImageError, match=r"mask must be a picture file, but .* is no such file"):
        load_classes(tmp_path / "none.png", 10, 12)
    classes = load_classes(saved(tmp_path, whole), 10, 12)
    with pytest.raises(ShapeError, match="labels must be"):
        classes.picture(torch.zeros(1, 2, 4, 4))


# colours that nobody painted


def two(side=64):
    picture = Image.new("L", (side, side))
    picture.paste(255, (side // 3, side // 5, side * 2 // 3, side * 2 // 3))
    return picture


@pytest.mark.parametrize("quality", [50, 80, 100])
def test_a_jpeg_is_refused_whatever_is_in_it(tmp_path, quality):
    two().save(tmp_path / "m.jpg", quality=quality)
    with pytest.raises(MaskError, match=r"saved without loss, got a JPEG, .*m\.jpg.* as PNG"):
        load_classes(tmp_path / "m.jpg", 64, 64)


@pytest.mark.parametrize("name", ["m.webp", "m.png"])
def test_a_picture_that_was_a_jpeg_or_is_as_lossy_is_refused_by_its_colours(tmp_path, name):
    two().save(tmp_path / "m.jpg", quality=90)
    with Image.open(tmp_path / "m.jpg") as lossy:
        shown = lossy.convert("RGB")
    (shown if name == "m.png" else two().convert("RGB")).save(tmp_path / name)
    with pytest.raises(MaskError, match=r"flat colours, got \d+ in .*, \d+ of them nowhere in 2x2"):
        load_classes(tmp_path / name, 64, 64)


def test_soft_edges_are_refused_by_their_colours(tmp_path):
    soft = two(128).resize((64, 64), Image.Resampling.LANCZOS)
    with pytest.raises(MaskError, match="paint it without soft edges"):
        load_classes(saved(tmp_path, soft), 64, 64)


def test_a_few_thin_classes_among_others_are_classes(tmp_path):
    levels = np.array(two())
    levels[5], levels[:, 60] = 50, 90
    found = load_classes(saved(tmp_path, Image.fromarray(levels)), 64, 64)
    assert found.values == (0, 50, 90, 255)


def test_a_colour_profile_makes_no_class_of_two(tmp_path):
    """Both reds are the same on a screen of sRGB."""
    picture = Image.new("RGB", (16, 16), (255, 0, 0))
    picture.paste((250, 0, 0), (0, 0, 8, 16))
    picture.save(tmp_path / "m.png", icc_profile=p3_profile())
    found = load_classes(tmp_path / "m.png", 16, 16)
    assert found.colours == ((250, 0, 0), (255, 0, 0))
