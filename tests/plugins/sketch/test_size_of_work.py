"""The working size: as many pixels for every picture, in its proportions, with all its lines."""

from math import cos, pi, sin

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from scipy.ndimage import label

from featurekit.images.io import load_image
from featurekit.scenes import scene
from featurekit.scenes.drawings import STYLES
from featurekit_sketch.working_size import (
    THIN,
    Size,
    resized,
    resized_ink,
    size_of,
    working_size,
)

EXTREME = [(2000, 20), (20, 2000), (1, 4000), (4000, 1), (1, 1), (3, 2)]
USUAL = [(64, 64), (512, 512), (480, 640), (97, 33), (2000, 3000), (31, 30)]


def noise(height, width, channels=3):
    lots = torch.Generator().manual_seed(0)
    return 2 * torch.rand(1, channels, height, width, generator=lots) - 1


def line(side, degrees, thick=1):
    """A black line through the middle of a white sheet, and its ends (x, y)."""
    paper = Image.new("L", (side, side), 255)
    reach = 0.42 * side
    middle, away = side / 2, (reach * cos(degrees * pi / 180), reach * sin(degrees * pi / 180))
    ends = [(middle - away[0], middle - away[1]), (middle + away[0], middle + away[1])]
    ImageDraw.Draw(paper).line(ends, fill=0, width=thick)
    return torch.from_numpy(np.asarray(paper) / 255.0).float()[None, None], ends


@pytest.mark.parametrize("side", [32, 128, 512])
@pytest.mark.parametrize("size", USUAL)
def test_every_picture_has_as_many_pixels_in_its_proportions(size, side):
    found = working_size(Size(*size), side)
    assert found.height * found.width == pytest.approx(side**2, rel=0.03)
    assert found.height / found.width == pytest.approx(size[0] / size[1], rel=0.05)


@pytest.mark.parametrize("size", EXTREME)
def test_a_picture_of_extreme_proportions_has_at_least_a_pixel_on_each_side(size):
    found = working_size(Size(*size), 64)
    assert min(found) >= 1
    assert found.height * found.width == pytest.approx(64**2, rel=0.6)
    assert resized(noise(*size), found).shape[-2:] == found
    assert resized_ink(noise(*size, channels=1).abs(), found).shape[-2:] == found
    assert working_size(Size(size[1], size[0]), 64) == (found.width, found.height)


def test_a_strip_keeps_its_proportions():
    assert working_size(Size(2000, 20), 64) == (640, 6)


def test_the_working_size_of_the_working_size_is_itself():
    found = working_size(Size(480, 640), 128)
    assert working_size(found, 128) == found


def test_what_has_the_size_is_left_as_it_is():
    image, ink = noise(20, 30), noise(20, 30, 1).abs()
    assert resized(image, Size(20, 30)) is image
    assert resized_ink(ink, Size(20, 30)) is ink
    assert size_of(image) == (20, 30)


def test_a_smaller_picture_is_the_mean_of_its_pixels():
    image = noise(24, 40)
    small = resized(image, Size(6, 10))
    assert torch.allclose(small, torch.nn.functional.avg_pool2d(image, 4), atol=1e-6)


def test_a_larger_picture_stays_in_its_range():
    hard = noise(12, 20).sign()
    assert resized(hard, Size(30, 50)).abs().max() <= 1
    ink = resized_ink((hard[:, :1] + 1) / 2, Size(30, 50))
    assert ink.min() >= 0
    assert ink.max() <= 1


@pytest.mark.parametrize("side", [128, 64, 50, 37])
@pytest.mark.parametrize("degrees", range(0, 180, 13))
def test_no_slanted_line_of_a_pixel_is_lost(degrees, side):
    ink, ((left, top), (right, bottom)) = line(256, degrees)
    dark = 1 - resized_ink(ink, Size(side, side))[0, 0]
    assert label(dark.numpy() > THIN - 1e-3, np.ones((3, 3)))[1] == 1  # one whole line
    for part in torch.linspace(0.02, 0.98, 60).tolist():
        x, y = left + part * (right - left), top + part * (bottom - top)
        at = int(y * side / 256), int(x * side / 256)
        near = dark[max(0, at[0] - 1) : at[0] + 2, max(0, at[1] - 1) : at[1] + 2]
        assert near.max() >= THIN - 1e-3


@pytest.mark.parametrize("phase", range(4))
def test_a_thin_upright_line_is_a_pixel_wide(phase):
    ink = torch.ones(1, 1, 64, 64)
    ink[..., 20 + phase] = 0
    dark = 1 - resized_ink(ink, Size(16, 16))[0, 0]
    assert dark.sum(1).tolist() == pytest.approx([THIN] * 16)


def test_a_pale_line_stays_pale():
    ink = torch.ones(1, 1, 64, 64)
    ink[..., 21] = 0.5
    dark = 1 - resized_ink(ink, Size(16, 16))[0, 0]
    assert float(dark.max()) == pytest.approx(0.5 * THIN)


@pytest.mark.parametrize("style", sorted(STYLES))
@pytest.mark.parametrize("side", [200, 256, 512])
def test_a_drawing_has_as_much_ink_as_before(style, side):
    """What is learnt is how much ink there is: strokes of more than a pixel must not grow."""
    before, after = [], []
    for seed in range(3):
        ink = (load_image(scene(900_000 + seed, "face").drawing(side, style))[:, :1] + 1) / 2
        before.append(float(1 - ink.mean()))
        after.append(float(1 - resized_ink(ink, Size(128, 128)).mean()))
    assert sum(after) == pytest.approx(sum(before), rel=0.03)


def test_the_rim_of_a_mass_is_as_dark_as_it_is_covered():
    ink = torch.ones(1, 1, 64, 64)
    ink[..., 16:33] = 0  # a quarter of the ninth cell
    dark = 1 - resized_ink(ink, Size(16, 16))[0, 0, 8]
    assert dark[4:8].tolist() == [1] * 4
    assert float(dark[8]) == pytest.approx(0.25)


def test_colours_are_kept_apart():
    ink = torch.ones(1, 3, 64, 64)
    ink[:, 1, :, 21] = 0
    found = resized_ink(ink, Size(16, 16))
    assert found[:, 0].min() == found[:, 2].min() == 1
    assert float(found[:, 1].min()) == pytest.approx(1 - THIN)
