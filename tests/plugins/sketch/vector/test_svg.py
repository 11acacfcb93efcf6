"""Drawings as SVG: no stroke is lost, none is invented, and lines get no wider than they must."""

import math
import re
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch.nn import functional

from featurekit.core.errors import ConfigError
from featurekit.measures.model.lines import drawing_of
from featurekit.scenes import scene
from featurekit.scenes.drawings import STYLES
from featurekit_sketch.vector import svg
from featurekit_sketch.vector.svg import check_tracer, traced

SIDE, FINE = 64, 8
SPACE = "{http://www.w3.org/2000/svg}"


def page(draw):
    """A drawing (1 1 SIDE SIDE) by Pillow, without any grey."""
    sheet = Image.new("L", (SIDE, SIDE), 255)
    draw(ImageDraw.Draw(sheet))
    return torch.tensor(np.asarray(sheet) / 255, dtype=torch.float32)[None, None]


def numbers(text):
    return [float(one) for one in re.findall(r"-?\d+(?:\.\d+)?", text)]


def outlines(d):
    """Polygons of a path of M, L, C and Z."""
    found, points = [], []
    for command, words in re.findall(r"([MLCZ])([^MLCZ]*)", d):
        values = np.array(numbers(words)).reshape(-1, 2)
        if command == "M":
            points = [values[0]]
        elif command == "L":
            points += list(values)
        elif command == "Z":
            found.append(points)
        for a, b, c in values.reshape(-1, 3, 2) if command == "C" else ():
            start = points[-1]
            for t in np.linspace(0, 1, 9)[1:]:
                s = 1 - t
                points.append(s**3 * start + 3 * s * s * t * a + 3 * s * t * t * b + t**3 * c)
    return found


def rasterised(text):
    """Fill the outlines by the even-odd rule: ink (1 1 h w)."""
    root = ElementTree.fromstring(text)
    width, height = int(root.get("width")), int(root.get("height"))
    assert root.get("viewBox") == f"0 0 {width} {height}"
    group = root.find(f"{SPACE}g")
    assert group.get("fill-rule") == "evenodd"
    scale = FINE * numbers(group.get("transform"))[0]
    black = np.zeros((FINE * height, FINE * width), bool)
    for path in group.findall(f"{SPACE}path"):
        inside, move = np.zeros_like(black), np.array(numbers(path.get("transform")))
        for outline in outlines(path.get("d")):
            mask = Image.new("1", black.shape[::-1])
            corners = [tuple((one + move) * scale - 0.5) for one in outline]
            ImageDraw.Draw(mask).polygon(corners, fill=1)
            inside ^= np.asarray(mask)
        black |= inside
    share = black.reshape(height, FINE, width, FINE).mean((1, 3))
    return torch.tensor(1 - share, dtype=torch.float32)[None, None]


def recall_and_precision(text, ink):
    """Shares of line pixels that have one within 1 px in the other drawing."""
    drawn, true = ((one < 0.6).float() for one in (rasterised(text), ink))
    near = [functional.max_pool2d(one, 3, 1, 1) for one in (drawn, true)]
    return [
        float((one * other).sum() / one.sum())
        for one, other in zip((true, drawn), near, strict=True)
    ]


@pytest.mark.parametrize("angle", range(0, 180, 9))
def test_a_line_of_one_pixel_survives_at_any_angle(angle):
    x, y = 28 * math.cos(math.radians(angle)), 28 * math.sin(math.radians(angle))
    ink = page(lambda draw: draw.line((32 - x, 32 - y, 32 + x, 32 + y), fill=0))
    outlined = traced(ink)
    assert recall_and_precision(outlined, ink) == [1, 1]
    assert float((1 - rasterised(outlined)).sum()) < 1.5 * float((1 - ink).sum())


@pytest.mark.parametrize("strength", [0.45, 0.7, 1.0])
def test_a_faint_line_survives(strength):
    ink = 1 - strength * (1 - page(lambda draw: draw.line((8, 10, 55, 40), fill=0)))
    assert recall_and_precision(traced(ink), ink) == [1, 1]


@pytest.mark.parametrize(
    "draw",
    [
        lambda draw: draw.point([(9, 9), (30, 31), (63, 63)], fill=0),
        lambda draw: draw.ellipse((8, 8, 55, 50), outline=0),
        lambda draw: [
            draw.ellipse((32 - r, 32 - r, 32 + r, 32 + r), outline=0) for r in (4, 9, 20)
        ],
        lambda draw: draw.rectangle((0, 0, 63, 63), outline=0),
        lambda draw: [draw.line((x, 4, x, 59), fill=0) for x in range(4, 60, 5)],
        lambda draw: (
            draw.rectangle((10, 10, 50, 50), fill=0),
            draw.line((12, 12, 48, 40), fill=255),
        ),
    ],
    ids=["dots", "circle", "rings", "frame", "hatching", "white line"],
)
def test_dots_circles_and_frames_survive(draw):
    ink = page(draw)
    assert recall_and_precision(traced(ink), ink) == [1, 1]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("kind", ["face", "building", "animal", "flowers"])
def test_every_stroke_of_the_worlds_drawings_survives(style, kind):
    ink = (drawing_of(scene(900_004, kind), style, 128) + 1) / 2
    recall, precision = recall_and_precision(traced(ink), ink)
    assert recall > 0.995
    assert precision > 0.995


def test_a_large_drawing_is_traced_in_less_memory(monkeypatch):
    monkeypatch.setattr(svg, "LARGE_PX", SIDE * SIDE)
    ink = page(lambda draw: draw.line((8, 10, 55, 40), fill=0))
    assert "scale(0.25)" in traced(ink)
    assert recall_and_precision(traced(ink), ink) == [1, 1]


def test_a_hole_stays_white():
    ink = page(lambda draw: draw.ellipse((8, 8, 55, 55), outline=0, width=3))
    assert rasterised(traced(ink))[..., 20:44, 20:44].min() == 1


def test_black_stays_black_and_paper_white():
    assert rasterised(traced(torch.ones(1, 1, 20, 30))).min() == 1
    assert rasterised(traced(torch.zeros(1, 1, 20, 30))).max() == 0


def test_a_drawing_that_is_not_square_keeps_its_size():
    text = traced(page(lambda draw: draw.line((2, 3, 60, 20), fill=0))[..., :40, :])
    assert rasterised(text).shape == (1, 1, 40, SIDE)


def test_ink_that_is_not_finite_is_refused():
    with pytest.raises(ConfigError, match="a drawing to trace must hold finite numbers"):
        traced(torch.full((1, 1, 8, 8), math.nan))


def test_without_the_tracer_the_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "vtracer", None)
    with pytest.raises(ConfigError, match=r"plugin.svg needs .* pip install 'featurekit\[svg\]'"):
        check_tracer()
