"""What is learnt from: a picture that is too large is refused, one that takes long is told of."""

import re
from dataclasses import replace

import pytest
from omegaconf import OmegaConf
from PIL import Image

import featurekit as fk
from featurekit.core.errors import ImageError
from featurekit.core.types import Job
from featurekit.measures.held_out import side_px
from featurekit_sketch.inputs import subject_of


@pytest.fixture(scope="module")
def backbone():
    return fk.load_backbone("random", device="cpu")


@pytest.fixture
def job(backbone, tmp_path):
    """Make the job of a pair of some size; the picture is half dark."""

    def make(width, height):
        image, ink = Image.new("L", (width, height), 255), Image.new("L", (width, height), 255)
        image.paste(0, (0, 0, width // 2, height))
        ink.paste(0, (width // 2, 0, width // 2 + 2, height))
        image.save(tmp_path / "image.png")
        ink.save(tmp_path / "ink.png")
        words = ["plugin=sketch", f"plugin.drawing={tmp_path / 'ink.png'}"]
        settings = OmegaConf.to_object(fk.compose(words).plugin)
        picture = str(tmp_path / "image.png")
        return Job(backbone, settings, "train", picture, "", 0, tmp_path, stage=None)

    return make


@pytest.mark.parametrize("size", [(64, 64), (32, 64), (40, 24)])
def test_a_picture_of_the_models_size_is_taken_without_a_word(job, backbone, size):
    assert side_px(backbone) == 64
    assert subject_of(job(*size)).image.shape[-2:] == size[::-1]


@pytest.mark.parametrize(("size", "times"), [((65, 30), "1.0"), ((30, 256), "1.9")])
def test_a_larger_picture_is_taken_with_a_word_on_its_cost(job, size, times):
    told = rf"{size[0]}x{size[1]} px, the model.s own have 64 px .* about {times} times as long"
    said = []
    asked = replace(job(*size), say=said.append)
    assert subject_of(asked).image.shape[-2:] == size[::-1]
    assert re.search(told, *said)


@pytest.mark.parametrize("size", [(257, 40), (40, 257), (900, 900)])
def test_a_picture_of_more_than_four_sides_of_the_model_is_refused(job, size):
    told = rf"at most 256 px a side, 4 times .* own 64 px, got {size[0]}x{size[1]} px; give a sm"
    with pytest.raises(ImageError, match=told):
        subject_of(job(*size))
