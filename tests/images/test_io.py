"""Files: images as tensors, rounding, and writers that replace whole files or nothing."""

import os
import resource
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image

from featurekit.core.errors import ConfigError, ImageError, OutputError, ShapeError
from featurekit.core.json_files import write_json
from featurekit.images.io import (
    image_to_pil,
    load_image,
    read_tensors,
    write_gif,
    write_image,
    write_tensors,
)


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)


def test_an_image_is_one_batch_of_rgb_between_minus_one_and_one(noise):
    image = load_image(noise)
    assert image.shape == (1, 3, 9, 12)
    assert image.dtype == torch.float32
    assert image[0, 2, 4, 7].item() == pytest.approx(noise[4, 7, 2] / 127.5 - 1)
    black_white = np.zeros((8, 8), np.uint8)
    black_white[0, 0] = 255
    assert load_image(black_white).unique().tolist() == [-1, 1]


def test_reading_and_writing_are_exact_inverses(noise, tmp_path):
    path = write_image(load_image(noise), tmp_path / "a.png")
    assert np.array_equal(np.array(Image.open(path)), noise)


def test_a_picture_is_rounded_and_not_cut_off():
    levels = torch.tensor([0.0, 0.4, 0.6, 127.4, 127.6, 254.6, 300.0, -20.0])
    image = (levels / 127.5 - 1).expand(1, 3, 8, 8)
    pixels = np.array(image_to_pil(image))[0, :, 0]
    assert pixels.tolist() == [0, 0, 1, 127, 128, 255, 255, 0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_any_float_type_and_an_attached_graph_become_a_picture(dtype):
    image = torch.ones(3, 8, 8, dtype=dtype, requires_grad=True)
    assert image_to_pil(image).getpixel((0, 0)) == (255, 255, 255)


def test_a_picture_of_nan_is_refused():
    with pytest.raises(ImageError, match="must hold finite numbers, got NaN"):
        image_to_pil(torch.full((1, 3, 8, 8), float("nan")))


def test_a_batch_of_two_is_no_picture():
    with pytest.raises(ShapeError, match=r"image must be \(c=3 h w\), got \(2, 3, 8, 8\)"):
        image_to_pil(torch.zeros(2, 3, 8, 8))


# records and tensors


def test_tensors_come_back_by_name_whatever_their_memory(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    tensors = {"up2/261": base.t(), "same": base, "again": base, "half": base.half()}
    back = read_tensors(write_tensors(tensors, tmp_path / "t.safetensors", {"tap": "up2"}))
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize("content", [None, b"", b"no tensors"])
def test_a_file_that_holds_no_tensors_is_refused(tmp_path, content):
    path = tmp_path / "t.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"must be in a whole \.safetensors file, but '.*t\.safe"):
        read_tensors(path)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o007, 0o660), (0o077, 0o600)])
def test_a_file_of_tensors_may_be_read_by_whom_every_other_file_may(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        path = write_tensors({"a": torch.zeros(2)}, tmp_path / "a.safetensors")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == mode


def test_an_animation_keeps_its_frames_and_pace(tmp_path):
    frames = [Image.new("RGB", (20, 16), (shade, 0, 0)) for shade in (0, 100, 200)]
    with Image.open(write_gif(frames, tmp_path / "a.gif", 250)) as back:
        assert (back.n_frames, back.info["duration"], back.info["loop"]) == (3, 250, 0)
        back.seek(2)
        assert back.convert("RGB").getpixel((3, 3)) == (200, 0, 0)


def test_an_animation_without_frames_is_refused(tmp_path):
    with pytest.raises(OutputError, match="at least one frame, got none"):
        write_gif([], tmp_path / "a.gif", 250)


@pytest.mark.parametrize("name", ["a", "a.picture", "a.psd"])
def test_a_picture_needs_an_ending_that_can_be_written(tmp_path, name):
    with pytest.raises(OutputError, match=rf"such as \.png, got '.*{name}'"):
        write_image(torch.zeros(1, 3, 8, 8), tmp_path / name)


# every writer, when writing fails

LARGE = 1 << 14


def large_image(path):
    pixels = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    return write_image(Image.fromarray(pixels), path)


def large_gif(path):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 128, 128, 3), dtype=np.uint8)
    return write_gif([Image.fromarray(frame) for frame in pixels], path, 100)


def large_json(path):
    return write_json({"numbers": list(range(LARGE))}, path)


def large_tensors(path):
    return write_tensors({"zeros": torch.zeros(LARGE)}, path)


WRITERS = [
    (large_image, "a.png"),
    (large_gif, "a.gif"),
    (large_json, "a.json"),
    (large_tensors, "a.safetensors"),
]


@contextmanager
def no_file_above(size):
    """Let the system refuse larger files: the same path through the code as a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(("write", "name"), WRITERS)
def test_a_full_disk_leaves_the_earlier_file_and_no_other(tmp_path, write, name):
    path = tmp_path / name
    path.write_text("earlier")
    with no_file_above(4096), pytest.raises(OutputError, match=r"must be writable to .*too large"):
        write(path)
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("write", "name"), WRITERS)
def test_a_missing_folder_is_one_sentence(tmp_path, write, name):
    path = tmp_path / "no" / name
    with pytest.raises(OutputError, match=f"must be writable to '.*{name}', but") as refusal:
        write(path)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("write", "name"), WRITERS)
def test_a_second_writing_replaces_the_first(tmp_path, write, name):
    path = tmp_path / name
    path.write_text("earlier")
    assert write(path) == path
    assert path.stat().st_size > 4096
    assert list(tmp_path.iterdir()) == [path]
