"""Masks of classes: palettes, greys and colours are read and written back as they were painted."""

import numpy as np
import pytest
import torch
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
