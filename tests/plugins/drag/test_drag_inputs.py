"""The subject: a picture with points and mask, or a scene with its truth; wrong ones refused."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from featurekit.backbones import load
from featurekit.backbones.unet.sd import from_config
from featurekit.core.errors import (
    ConfigError,
    FeatureKitWarning,
    ImageError,
    MaskError,
    PointsError,
)
from featurekit.core.types import Job, silent
from featurekit.images.io import load_image
from featurekit.pipeline.config import compose
from featurekit.scenes import held_out_moves, move
from featurekit_drag.inputs import from_move, native_size, subject_of

WIDTH, HEIGHT = 97, 61
POINTS = "plugin.points=[[20, 30, 40.5, 30]]"


@pytest.fixture(scope="module")
def backbone():
    return load("random", device="cpu")


@pytest.fixture
def job(backbone, tmp_path):
    def make(*words):
        cfg = compose(["plugin=drag", "backbone=random", *words])
        return Job(
            backbone=backbone,
            settings=OmegaConf.to_object(cfg.plugin),
            task="edit",
            image=cfg.image,
            prompt=cfg.prompt,
            seed=cfg.seed,
            out=tmp_path,
            stage=lambda name: nullcontext(silent),
        )

    return make


@pytest.fixture
def photo(tmp_path):
    levels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint8)
    path = tmp_path / "me.png"
    Image.fromarray(levels, "RGBA").save(path)
    return path


@pytest.fixture
def mask_file(tmp_path):
    def make(*box, size=(WIDTH, HEIGHT)):
        mask = Image.new("L", size, 0)
        if box:
            mask.paste(255, box)
        mask.save(tmp_path / "mask.png")
        return tmp_path / "mask.png"

    return make


def test_a_picture_is_read_with_its_points_prompt_and_seed(job, photo):
    subject = subject_of(job(f"image={photo}", POINTS, "prompt=a face", "seed=7"))
    request = subject.request
    assert torch.equal(request.image, load_image(photo))
    assert request.points.rows == [[20, 30, 40.5, 30]]
    assert (request.mask, request.prompt, request.seed) == (None, "a face", 7)
    assert (subject.name, subject.truth, subject.changed) == (str(photo), None, None)


def test_a_mask_is_read_at_the_size_of_its_picture(job, photo, mask_file):
    mask = mask_file(10, 20, 50, 45)
    subject = subject_of(job(f"image={photo}", POINTS, f"plugin.mask={mask}"))
    expected = torch.zeros(1, 1, HEIGHT, WIDTH)
    expected[..., 20:45, 10:50] = 1
    assert torch.equal(subject.request.mask, expected)


@pytest.mark.parametrize("words", [[POINTS], ["plugin.mask=m.png"]])
def test_points_or_a_mask_without_a_picture_are_refused(job, words):
    with pytest.raises(ConfigError, match="need the picture they belong to; give image=FILE"):
        subject_of(job(*words))


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ("[]", "at least one drag is needed, got none; give plugin.points="),
        ("[120,80,150,72]", r"four numbers \[x0, y0, x1, y1\], row 1 is 120; give plugin.points="),
        ("[[1,2,3]]", "row 1 has 3"),
        ("[[1,2,9,9],[1,2,3,4,5]]", "row 2 has 5"),
        ("[[a,2,3,4]]", r"row 1 is \['a', 2, 3, 4\]"),
        ("[[1,null,3,4]]", r"row 1 is \[1, None, 3, 4\]"),
        ("[[1,2,3,nan]]", r"must be finite, row 1 is \[1.0, 2.0, 3.0, nan\]"),
        ("[[1,2,3,inf]]", "must be finite"),
        ("[[1,2,98,4]]", r"\(0 to 97, 0 to 61\), the target of row 1 is \(98, 4\)"),
        ("[[1,2,3,4],[1,62,3,4]]", r"the handle of row 2 is \(1, 62\)"),
        ("[[-1,2,3,4]]", r"the handle of row 1 is \(-1, 2\)"),
        ("[[5,6,5,6]]", "at least one drag is needed"),  # that alone is a pin
        ("[[5,6,5.0001,6]]", r"a target must differ from its handle, row 1 has both at \(5, 6\)"),
    ],
)
def test_points_that_are_no_drag_are_refused_in_one_sentence(job, photo, points, message):
    with pytest.raises(PointsError, match=message) as refusal:
        subject_of(job(f"image={photo}", f"plugin.points={points}"))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "words",
    [
        ["plugin.points=[[20,30,40,30]]", "plugin.pins=[[50,40],[20.5,30]]"],
        ["plugin.points=[[20,30,40,30],[20.5,30,20.5,30]]"],
    ],
)
def test_a_pin_that_holds_a_handle_is_refused(job, photo, words):
    with pytest.raises(PointsError, match=r"the one at \(20\.5, 30\) lies on that of drag 1; rem"):
        subject_of(job(f"image={photo}", *words))


@pytest.mark.parametrize("points", ["[[20,30,40,30]]", "[[20.0,30,40,30.0]]"])
def test_whole_numbers_and_fractions_are_both_points(job, photo, points):
    subject = subject_of(job(f"image={photo}", f"plugin.points={points}"))
    assert subject.request.points.rows == [[20, 30, 40, 30]]


def test_a_mask_of_another_size_is_refused_with_both_sizes(job, photo, mask_file):
    mask = mask_file(1, 1, 9, 9, size=(WIDTH, HEIGHT - 1))
    with pytest.raises(MaskError, match="the size of its image, 97x61 px, got 97x60 px"):
        subject_of(job(f"image={photo}", POINTS, f"plugin.mask={mask}"))


def test_an_empty_mask_is_refused(job, photo, mask_file):
    with pytest.raises(MaskError, match="black everywhere, so nothing may move"):
        subject_of(job(f"image={photo}", POINTS, f"plugin.mask={mask_file()}"))


@pytest.mark.parametrize("key", ["image", "plugin.mask"])
def test_a_missing_file_is_refused_by_name(job, photo, key):
    words = {"image": f"image={photo}", key: f"{key}=nowhere.png"}.values()
    with pytest.raises(ImageError, match=r"'nowhere\.png' is no such file"):
        subject_of(job(*words, POINTS))


def test_without_a_picture_the_chosen_held_out_translation_is_dragged(job):
    for scene in (0, 3):
        subject = subject_of(job(f"plugin.scene={scene}", "seed=5"))
        chosen = held_out_moves(4, deforms=False)[scene]
        assert subject.name == f"{chosen.kind}: {chosen.name}"
        assert torch.equal(subject.request.image, load_image(chosen.before.image(64)))
        assert subject.request.prompt == chosen.before.caption()
        assert subject.request.seed == 5


def test_a_prompt_replaces_the_caption_of_the_scene_and_nothing_else(job):
    captioned, prompted = subject_of(job()), subject_of(job("prompt=a red boat"))
    assert prompted.request.prompt == "a red boat"
    assert prompted.request.points.rows == captioned.request.points.rows
    assert torch.equal(prompted.truth, captioned.truth)


@pytest.mark.parametrize("size", [64, 128])
def test_a_move_brings_truth_points_and_mask_in_pixels_of_the_size(size):
    sun = move(1_000_001, "landscape", name="sun")
    subject = from_move(sun, size=size, seed=2)
    request = subject.request
    assert torch.equal(request.image, load_image(sun.before.image(size)))
    assert torch.equal(subject.truth, load_image(sun.after.image(size)))
    assert request.points.rows == [[*handle, *target] for handle, target in sun.drags_px(size)]
    assert torch.equal(request.mask[0, 0] == 1, torch.from_numpy(np.array(sun.mask(size)) > 0))
    differ = (request.image != subject.truth).any(dim=1)
    assert differ.any()
    assert torch.equal(subject.changed[0, 0], torch.from_numpy(sun.changed(size)))
    assert (request.mask[subject.changed] == 1).all()


def test_the_native_size_is_what_the_backbone_was_trained_on(backbone):
    assert native_size(backbone) == 64
    assert native_size(from_config("sd15", device="meta", dtype="float32")) == 512
    assert native_size(from_config("sd21", device="meta", dtype="float32")) == 768


def test_a_mask_that_frees_most_of_the_picture_is_told(job, photo, mask_file):
    words = f"image={photo}", POINTS, f"plugin.mask={mask_file(0, 0, WIDTH, HEIGHT)}"
    with pytest.warns(
        FeatureKitWarning, match=r"lets 100% of the picture move, .* white may change"
    ):
        assert subject_of(job(*words)).request.mask.all()


def test_a_mask_that_frees_half_is_not(job, photo, mask_file):
    mask = mask_file(0, 0, WIDTH * 59 // 100, HEIGHT)
    subject_of(job(f"image={photo}", POINTS, f"plugin.mask={mask}"))
