"""What is learnt from: pairs by style; what is too large is refused, or told of."""

import re
from dataclasses import replace

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

import featurekit as fk
from featurekit.core.errors import ConfigError, ImageError
from featurekit.core.types import Job
from featurekit.measures.held_out import side_px
from featurekit_sketch.config import SketchConfig
from featurekit_sketch.inputs import drawn_files, lessons_of

PUBLISHED = "plugin.network=published"


def only(job):
    """The one drawn picture of the one style."""
    ((subject,),) = lessons_of(job).values()
    return subject


@pytest.fixture(scope="module")
def backbone():
    return fk.load_backbone("random", device="cpu")


@pytest.fixture
def job(backbone, tmp_path):
    """Make the job of a pair of some size; the picture is half dark."""

    def make(width, height, *extra):
        image, ink = Image.new("L", (width, height), 255), Image.new("L", (width, height), 255)
        image.paste(0, (0, 0, width // 2, height))
        ink.paste(0, (width // 2, 0, width // 2 + 2, height))
        image.save(tmp_path / "image.png")
        ink.save(tmp_path / "ink.png")
        words = ["plugin=sketch", f"plugin.drawing={tmp_path / 'ink.png'}", *extra]
        settings = OmegaConf.to_object(fk.compose(words).plugin)
        picture = str(tmp_path / "image.png")
        return Job(backbone, settings, "train", picture, "", 0, tmp_path, stage=None)

    return make


@pytest.mark.parametrize("size", [(64, 64), (32, 64), (40, 24)])
def test_a_picture_of_the_models_size_is_taken_without_a_word(job, backbone, size):
    assert side_px(backbone) == 64
    assert only(job(*size, PUBLISHED)).image.shape[-2:] == size[::-1]


@pytest.mark.parametrize(("size", "times"), [((65, 30), "1.0"), ((30, 256), "1.9")])
def test_a_larger_picture_is_taken_with_a_word_on_its_cost(job, size, times):
    told = rf"{size[0]}x{size[1]} px, the model.s own have 64 px .* about {times} times as long"
    said = []
    asked = replace(job(*size, PUBLISHED), say=said.append)
    assert only(asked).image.shape[-2:] == size[::-1]
    assert re.search(told, *said)


@pytest.mark.parametrize("size", [(257, 40), (40, 257), (900, 900)])
def test_a_picture_of_more_than_four_sides_of_the_model_is_refused(job, size):
    told = rf"at most 256 px a side, 4 times .* own 64 px, got {size[0]}x{size[1]} px; give a sm"
    with pytest.raises(ImageError, match=told):
        lessons_of(job(*size, PUBLISHED))


@pytest.mark.parametrize(("size", "work"), [((640, 160), "256x64"), ((900, 900), "128x128")])
def test_at_two_scales_a_picture_of_any_size_is_taken_and_the_working_size_said(job, size, work):
    said = []
    asked = replace(job(*size), say=said.append)
    assert only(asked).image.shape[-2:] == size[::-1]
    (line,) = said
    assert f"{size[0]}x{size[1]} px: the style is learnt at {work} px" in line


def test_several_drawings_of_one_picture_are_styles_that_share_it(job, tmp_path):
    asked = job(64, 64)
    ink = asked.settings.drawing
    other = tmp_path / "other.png"
    Image.open(ink).rotate(180).save(other)
    settings = replace(asked.settings, drawing=None, drawings=[ink, str(other)])
    lessons = lessons_of(replace(asked, settings=settings))
    assert list(lessons) == ["ink", "other"]
    (first,), (second,) = lessons.values()
    assert first.image is second.image
    assert not torch.equal(first.ink, second.ink)


def test_examples_are_drawn_pictures_of_one_style_of_any_sizes(job, tmp_path):
    asked = job(64, 64)
    pairs = []
    for name, size in (("a", (64, 64)), ("b", (96, 48))):
        for kind in ("image", "ink"):
            Image.open(tmp_path / f"{kind}.png").resize(size).save(tmp_path / f"{name}_{kind}.png")
        pairs.append([str(tmp_path / f"{name}_{kind}.png") for kind in ("image", "ink")])
    settings = replace(asked.settings, drawing=None, examples=pairs)
    lessons = lessons_of(replace(asked, image=None, settings=settings))
    (subjects,) = lessons.values()
    assert [one.image.shape[-2:] for one in subjects] == [(64, 64), (48, 96)]


@pytest.mark.parametrize(
    ("image", "changes", "told"),
    [
        ("a.png", {"examples": [["a", "b"]]}, "plugin.examples has .* of its own, got image as w"),
        (None, {"examples": [["a"]]}, r"must be \[picture, drawing\], got \['a'\]; give plugin"),
        (None, {"examples": [["a", ""]]}, r"must be \[picture, drawing\], got \['a', ''\]"),
        (None, {"examples": ["a.png"]}, r"must be \[picture, drawing\], got 'a.png'"),
        ("a.png", {"drawing": "b", "drawings": ["c"]}, "several, got both; leave out one"),
        ("a.png", {}, "got image alone; give plugin.drawing=FILE too"),
        (None, {"drawing": "b"}, "got plugin.drawing alone; give image=FILE too"),
        (None, {"drawings": ["b", "c"]}, "got plugin.drawings alone; give image=FILE too"),
        (
            *("a.png", {"drawings": ["b", "c"], "network": "published"}),
            "learns from one drawing, got 2; set plugin.network=two_scales, or give one",
        ),
    ],
)
def test_what_is_no_drawn_picture_is_refused_before_anything_is_read(image, changes, told):
    settings = replace(SketchConfig(network="two_scales"), **changes)
    with pytest.raises(ConfigError, match=told):
        drawn_files(settings, image)
