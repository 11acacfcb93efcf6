"""Colour profiles: read as the picture is seen, sRGB to the bit, and results say what they are."""

import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from icc_profiles import (
    P3_XY,
    adobe_profile,
    from_linear,
    grey_profile,
    ink_profile,
    p3_profile,
    seen,
    seen_adobe,
    seen_inks,
    srgb_profile,
)
from PIL import Image, ImageCms

from featurekit.core.errors import FeatureKitWarning
from featurekit.images.io import image_to_pil, load_image, write_image
from featurekit.images.masks import load_mask
from featurekit.images.photo import open_labels, open_photo

LEVELS = np.stack(np.meshgrid(*[np.arange(0, 256, 51)] * 3), -1).reshape(12, 18, 3).astype(np.uint8)


def photo(source):
    return np.asarray(open_photo(source, of="image", background="white")).astype(int)


def saved(tmp_path, picture, profile, name="a.png", **options):
    picture.save(tmp_path / name, icc_profile=profile, **options)
    return tmp_path / name


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
@pytest.mark.parametrize(
    ("profile", "expected"),
    [(p3_profile(), seen(LEVELS, P3_XY)), (adobe_profile(), seen_adobe(LEVELS))],
    ids=["Display P3", "Adobe RGB"],
)
def test_wide_colours_are_read_as_they_are_seen(tmp_path, profile, expected, name):
    options = {"lossless": True} if name == "a.webp" else {}
    path = saved(tmp_path, Image.fromarray(LEVELS), profile, name, **options)
    assert np.abs(photo(path) - expected).max() < 2
    assert np.abs(photo(path) - LEVELS).max() > 30


def test_a_phone_s_jpeg_of_one_colour(tmp_path):
    path = saved(tmp_path, Image.new("RGB", (16, 16), (200, 60, 40)), p3_profile(), "a.jpg")
    expected = seen((200, 60, 40), P3_XY)
    assert np.abs(photo(path)[8, 8] - expected).max() < 3
    assert image_to_pil(load_image(path)).getpixel((8, 8)) == tuple(photo(path)[8, 8])


def test_inks_are_read_by_their_profile(tmp_path):
    inks = np.stack(np.meshgrid(*[[0, 255]] * 4), -1).reshape(2, 8, 4).repeat(8, 0).repeat(8, 1)
    picture = Image.fromarray(inks.astype(np.uint8), mode="CMYK")
    path = saved(tmp_path, picture, ink_profile(), "a.tif")
    found, expected = photo(path), seen_inks(inks)
    assert np.abs(found - expected).max() < 6  # the profile has 8 bits of Lab
    assert np.abs(photo(saved(tmp_path, picture, None, "b.tif")) - expected).max() > 60


def test_inks_of_a_jpeg(tmp_path):
    path = saved(tmp_path, Image.new("CMYK", (16, 16), (0, 200, 90, 10)), ink_profile(), "a.jpg")
    assert np.abs(photo(path)[8, 8] - seen_inks((0, 200, 90, 10))).max() < 8


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2])
@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_grey_pictures_have_grey_profiles(tmp_path, mode, gamma):
    levels = np.arange(0, 256, 2, dtype=np.uint8).reshape(8, 16)
    picture = Image.fromarray(levels).convert("LA" if mode == "LA" else "L")
    if mode == "I;16":
        picture = Image.fromarray(levels.astype(np.uint16) * 257)
    found = photo(saved(tmp_path, picture, grey_profile(gamma)))
    expected = from_linear((levels / 255.0) ** gamma)
    assert np.abs(found - expected[..., None]).max() < 2


def test_a_grey_picture_with_a_profile_of_colours_is_read_by_it(tmp_path):
    levels = np.arange(0, 256, 2, dtype=np.uint8).reshape(8, 16)
    found = photo(saved(tmp_path, Image.fromarray(levels), adobe_profile(), "a.jpg", quality=100))
    expected = seen_adobe(np.repeat(levels[..., None], 3, 2))
    assert np.abs(found - expected).max() < 4


def test_transparency_is_kept_beside_a_profile(tmp_path):
    picture = Image.fromarray(LEVELS).convert("RGBA")
    picture.putalpha(
        Image.fromarray(np.where(np.arange(18) < 9, 255, 0)[None].repeat(12, 0).astype(np.uint8))
    )
    found = photo(saved(tmp_path, picture, p3_profile()))
    assert np.abs(found[:, :9] - seen(LEVELS, P3_XY)[:, :9]).max() < 2
    assert (found[:, 9:] == 255).all()


def test_a_palette_has_a_profile_too(tmp_path):
    picture = Image.new("P", (8, 8), 1)
    picture.putpalette([0, 0, 0, 200, 60, 40])
    found = photo(saved(tmp_path, picture, p3_profile()))
    assert np.abs(found[0, 0] - seen((200, 60, 40), P3_XY)).max() < 2


LITTLE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("profile", [LITTLE, srgb_profile()], ids=["littlecms", "a table"])
def test_a_profile_of_srgb_changes_no_number(tmp_path, profile):
    every = np.arange(256 * 3, dtype=np.uint16).reshape(16, 16, 3) % 256
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    for levels in (every.astype(np.uint8), noise):
        assert (photo(saved(tmp_path, Image.fromarray(levels), profile)) == levels).all()


def test_a_colour_space_of_lab_is_read_without_a_profile(tmp_path):
    lab = ImageCms.profileToProfile(
        Image.fromarray(LEVELS), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"),
        outputMode="LAB",
    )  # fmt: skip
    del lab.info["icc_profile"]
    lab.save(tmp_path / "a.tif")
    assert np.abs(photo(tmp_path / "a.tif") - LEVELS).mean() < 3


@pytest.mark.parametrize(
    ("mode", "profile"),
    [
        ("RGB", b"no profile at all"),
        ("RGB", p3_profile()[:200]),
        ("RGB", grey_profile(2.2)),
        ("RGB", ink_profile()),
        ("CMYK", p3_profile()),
    ],
    ids=["words", "cut off", "of grey", "of inks", "of screens"],
)
def test_a_profile_that_cannot_be_used_is_said_and_left_out(tmp_path, mode, profile):
    picture = Image.fromarray(LEVELS).convert(mode)
    plain = photo(saved(tmp_path, picture, None, "plain.tif"))
    with pytest.warns(FeatureKitWarning, match=r"profile of image '.*a\.tif' cannot be used \("):
        found = photo(saved(tmp_path, picture, profile, "a.tif"))
    assert (found == plain).all()


def test_a_pillow_picture_is_read_like_its_file_and_left_as_it_is(tmp_path):
    with Image.open(saved(tmp_path, Image.fromarray(LEVELS), p3_profile())) as opened:
        assert (photo(opened) == photo(tmp_path / "a.png")).all()
        assert (np.asarray(opened) == LEVELS).all()
        assert opened.info["icc_profile"] == p3_profile()


def test_a_profile_moves_the_threshold_of_a_mask_as_it_is_seen(tmp_path):
    """Level 100 of linear light is brighter than mid grey on every screen."""
    picture = Image.new("L", (16, 16), 0)
    picture.paste(100, (0, 0, 4, 16))
    path = saved(tmp_path, picture, grey_profile(1.0))
    assert load_mask(path, 16, 16).mean() == 0.25


def test_labels_are_numbers_and_have_no_colour(tmp_path):
    path = saved(tmp_path, Image.fromarray(LEVELS), adobe_profile())
    assert (np.asarray(open_labels(path, of="mask")) == LEVELS).all()


# chunks of a PNG


def with_chunks(tmp_path, **chunks):
    """A PNG with chunks before its palette and pixels."""
    Image.fromarray(LEVELS).save(tmp_path / "plain.png")
    data = (tmp_path / "plain.png").read_bytes()
    parts = b""
    for name, content in chunks.items():
        named = name.encode() + content
        parts += struct.pack(">I", len(content)) + named + struct.pack(">I", zlib.crc32(named))
    (tmp_path / "a.png").write_bytes(data[:33] + parts + data[33:])  # behind IHDR
    return tmp_path / "a.png"


SRGB_POINTS = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
WIDE_POINTS = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)


@pytest.mark.parametrize(
    "chunks",
    [
        {"gAMA": struct.pack(">I", 45455)},
        {"gAMA": struct.pack(">I", 45455), "cHRM": struct.pack(">8I", *SRGB_POINTS)},
        {"sRGB": b"\0", "gAMA": struct.pack(">I", 100000)},
        {"cICP": bytes([1, 13, 0, 1]), "gAMA": struct.pack(">I", 100000)},
    ],
    ids=["gamma", "gamma and primaries", "sRGB goes first", "cICP goes first"],
)
def test_chunks_that_say_srgb_change_nothing(tmp_path, chunks):
    assert (photo(with_chunks(tmp_path, **chunks)) == LEVELS).all()


@pytest.mark.parametrize(
    ("chunks", "told"),
    [
        ({"gAMA": struct.pack(">I", 100000)}, r"says gAMA 1, which is not applied"),
        ({"cHRM": struct.pack(">8I", *WIDE_POINTS)}, r"says cHRM \(0\.3127, 0\.329, 0\.68"),
        ({"cICP": bytes([9, 16, 0, 1]), "sRGB": b"\0"}, r"says cICP \(9, 16, 0, 1\)"),
    ],
)
def test_chunks_that_say_otherwise_are_told_and_not_applied(tmp_path, chunks, told):
    path = with_chunks(tmp_path, **chunks)
    with pytest.warns(FeatureKitWarning, match=told):
        assert (photo(path) == LEVELS).all()


def test_a_profile_is_applied_whatever_the_chunks_say(tmp_path):
    path = with_chunks(tmp_path, gAMA=struct.pack(">I", 100000))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Image.open(path) as opened:
            opened.info["icc_profile"] = p3_profile()
            assert np.abs(photo(opened) - seen(LEVELS, P3_XY)).max() < 2


# 16 bits


@pytest.mark.parametrize(("highest", "factor"), [(4095, "16"), (1023, "64.06"), (255, "257")])
def test_few_bits_in_sixteen_are_told(tmp_path, highest, factor):
    Image.fromarray(np.full((8, 8), highest, np.uint16)).save(tmp_path / "a.png")
    with pytest.warns(FeatureKitWarning, match=f"no value above {highest}, .* by {factor}"):
        assert (photo(tmp_path / "a.png") == round(highest / 257)).all()


def test_sixteen_bits_that_are_used_are_not_told(tmp_path):
    Image.fromarray(np.full((8, 8), 4096, np.uint16)).save(tmp_path / "a.png")
    assert (photo(tmp_path / "a.png") == 16).all()


# what is written


def test_a_written_png_says_that_its_colours_are_srgb(tmp_path):
    path = write_image(torch.zeros(1, 3, 8, 8), tmp_path / "a.png")
    data = path.read_bytes()
    assert b"\0\0\0\x01sRGB" in data
    assert b"iCCP" not in data
    with Image.open(path) as opened:
        assert opened.info["srgb"] == 1


def test_a_picture_that_is_read_by_its_profile_is_written_without_it(tmp_path):
    image = open_photo(
        saved(tmp_path, Image.fromarray(LEVELS), p3_profile()), of="image", background="white"
    )
    data = write_image(image, tmp_path / "b.png").read_bytes()
    assert (b"sRGB" in data, b"iCCP" in data) == (True, False)
    assert (photo(tmp_path / "b.png") == np.asarray(image)).all()


def test_a_picture_with_a_profile_of_its_own_is_written_with_it(tmp_path):
    picture = Image.fromarray(LEVELS)
    picture.info["icc_profile"] = p3_profile()
    data = write_image(picture, tmp_path / "a.png").read_bytes()
    assert (b"sRGB" in data, b"iCCP" in data) == (False, True)
