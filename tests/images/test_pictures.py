"""Pictures: sizes that can be read, marks where they belong, nothing changed that was handed in."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageChops

from featurekit.core.errors import ShapeError
from featurekit.images.marks import HANDLE, TARGET, arrows, handles, marked, rings, targets, trails
from featurekit.images.pictures import (
    animation_frames,
    before_after,
    contact_sheet,
    curve,
    feature_picture,
)

GREY = torch.full((1, 3, 64, 48), 0.0)
MOVES = [(10.5, 20.5, 40.5, 50.5)]


def colour_at(picture, x, y):
    return picture.getpixel((round(x), round(y)))


def near(found, wanted):
    return np.abs(np.subtract(found, wanted)).max() <= 3


# marks


@pytest.mark.parametrize("scale", [1.0, 4.0, 7.5])
def test_handle_and_target_lie_where_the_points_say(scale):
    blank = Image.new("RGB", (round(48 * scale), round(64 * scale)), (128, 128, 128))
    picture = marked(blank, scale, arrows(MOVES))
    x0, y0, x1, y1 = (number * scale - 0.5 for number in MOVES[0])
    assert near(colour_at(picture, x0, y0), HANDLE)
    assert near(colour_at(picture, x1, y1), TARGET)
    assert colour_at(blank, x0, y0) == (128, 128, 128)


def test_marks_without_points_change_nothing():
    blank = Image.new("RGB", (100, 80), (10, 200, 30))
    same = marked(blank, 1.0, arrows([]), rings([]), handles([]), targets([]), trails([]))
    assert ImageChops.difference(blank, same).getbbox() is None


def test_a_ring_leaves_its_middle_open():
    picture = marked(Image.new("RGB", (60, 60), (128, 128, 128)), 1.0, rings([(30, 30)]))
    assert colour_at(picture, 30, 30) == (128, 128, 128)
    assert colour_at(picture, 30, 24) != (128, 128, 128)


def test_a_move_of_no_length_still_shows_its_marks():
    picture = marked(Image.new("RGB", (60, 60)), 1.0, arrows([(30, 30, 30, 30)]))
    assert picture.getbbox() is not None


def test_a_trail_of_one_point_is_a_handle_alone():
    blank = Image.new("RGB", (60, 60))
    alone = marked(blank, 1.0, handles([(30, 30)]))
    trail = marked(blank, 1.0, trails([[(30, 30)]]))
    assert ImageChops.difference(alone, trail).getbbox() is None


# sheets


@pytest.mark.parametrize(("side", "shown"), [(8, 256), (64, 256), (300, 300), (3000, 1024)])
def test_a_picture_is_shown_at_a_size_that_can_be_read(side, shown):
    sheet = contact_sheet({"": [torch.ones(1, 3, side, side)]}, [""])
    assert sheet.width == shown + 40


def test_a_sheet_holds_each_picture_in_its_row_and_column():
    shades = {"first": [-1.0, 0.0], "second": [None, 1.0]}
    rows = {
        name: [s if s is None else torch.full((1, 3, 256, 256), s) for s in row]
        for name, row in shades.items()
    }
    sheet = np.array(contact_sheet(rows, ["left", "right"]))
    columns = [sheet.shape[1] - 20 - 16 - 256 - 128, sheet.shape[1] - 20 - 128]
    lines = [20 + 26 + 128, 20 + 26 + 256 + 16 + 128]
    seen = [[sheet[y, x].tolist() for x in columns] for y in lines]
    assert seen == [[[0] * 3, [128] * 3], [[255] * 3, [255] * 3]]
    assert (sheet[:40, 150:] < 100).any()  # a title
    assert (sheet[:, :100] < 100).any()  # a row's title


def test_pictures_of_several_sizes_fill_a_sheet_without_wide_gaps():
    sizes = {"small": (40, 60), "wide": (256, 384), "high": (700, 500), "strip": (64, 640)}
    rows = {name: [-torch.ones(1, 3, *size)] * 2 for name, size in sizes.items()}
    sheet = np.array(contact_sheet(rows, ["one", "other"]))
    dark = (sheet[:, :, 0] == 0) & (np.arange(sheet.shape[1]) > 100)
    filled = dark.any(axis=1)[40:-20]
    assert filled.mean() > 0.9  # rows end where their pictures do
    starts = np.flatnonzero(np.diff(filled.astype(int), prepend=0) == 1)
    areas = [dark[40 + y + 10].sum() * filled[y : y + 1000].argmin() for y in starts[:-1]]
    assert len(areas) == 3
    assert max(areas) < 1.05 * min(areas)
    assert dark.sum(axis=1)[40:-20].max() < 2.5 * dark.sum(axis=1)[40:-20][filled].min()


def test_an_edit_is_shown_with_as_many_panels_as_there_are_pictures():
    two = before_after(GREY, GREY, MOVES)
    three = before_after(GREY, GREY, MOVES, [(39, 49)], truth=GREY)
    assert three.width - two.width == 4 * 48 + 16
    assert two.height == three.height


def test_a_held_part_is_pale_before_and_plain_after():
    mask = torch.zeros(1, 1, 64, 48)
    mask[..., 32:, :] = 1
    strip = before_after(GREY, GREY, [], mask=mask)
    x, top, bottom = 20 + 170, 20 + 26 + 40, 20 + 26 + 220
    assert colour_at(strip, x, bottom) == (128, 128, 128)
    assert colour_at(strip, x, top)[0] > 180
    assert colour_at(strip, x + 16 + 4 * 48, top) == (128, 128, 128)


def test_a_narrow_picture_cuts_neither_its_title_nor_its_legend_off():
    narrow = torch.zeros(1, 3, 256, 32)
    strip = before_after(narrow, narrow, [], [], mask=torch.ones(1, 1, 256, 32))
    ink = np.asarray(strip).min(axis=2) < 200
    assert ink[:46].any()
    assert ink[-40:].any()
    assert not ink[:, :19].any()
    assert not ink[:, -10:].any()


def test_each_moment_of_the_way_is_a_frame_that_shows_where_the_handle_is():
    ways = [[(10.5, 20.5)], [(20.5, 30.5)], [(40.5, 50.5)]]
    frames = animation_frames([GREY] * 3, MOVES, ways)
    assert len(frames) == 3
    for frame, ((x, y),) in zip(frames, ways, strict=True):
        assert near(colour_at(frame, 4 * x - 0.5, 4 * y - 0.5), HANDLE)
    assert near(colour_at(frames[0], 4 * 40.5 - 0.5, 4 * 50.5 - 0.5), TARGET)


def test_a_curve_is_drawn_in_the_colours_of_the_palette():
    picture = curve(
        {"loss": [3, 2, 1], "other": [1, 1, float("nan")]},
        title="a title", x_label="update", y_label="loss",
    )  # fmt: skip
    colours = {colour for _, colour in picture.getcolors(1 << 20)}
    assert {TARGET, HANDLE} <= colours


def test_a_feature_map_shows_regions_that_differ_in_colours_that_differ():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, 8, 1, 1, generator=generator).repeat(1, 1, 6, 4)
    features[..., 2:] = torch.randn(1, 8, 1, 1, generator=generator)
    features += 0.01 * torch.randn(features.shape, generator=generator)
    picture = feature_picture(features)
    assert picture.size == (4 * 43, 6 * 43)
    left, right = colour_at(picture, 20, 20), colour_at(picture, 150, 20)
    assert np.abs(np.subtract(left, right)).max() > 100


def test_a_constant_feature_map_is_a_picture_too():
    assert feature_picture(torch.ones(1, 8, 4, 4)).size == (256, 256)


def test_a_batch_of_feature_maps_is_no_picture():
    with pytest.raises(ShapeError, match=r"features must be \(b=1 c h w\), got \(2, 8, 4, 4\)"):
        feature_picture(torch.ones(2, 8, 4, 4))
