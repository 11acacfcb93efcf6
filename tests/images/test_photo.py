"""Opening pictures of others: every common kind comes out upright and in RGB, or is refused."""

import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from featurekit.core.errors import ImageError
from featurekit.images.photo import open_photo

RED, WHITE, BLACK, CLEAR_RED = (255, 0, 0), (255, 255, 255), (0, 0, 0), (255, 0, 0, 0)


def photo(source):
    return open_photo(source, of="image", background="white")


def saved(tmp_path, picture, name="a.png", **options):
    picture.save(tmp_path / name, **options)
    return tmp_path / name


def one_colour(mode, colour, size=(10, 8)):
    return Image.new(mode, size, colour)


def palette(transparent=None):
    picture = one_colour("P", 1)
    picture.putpalette([0, 0, 0, *RED])
    if transparent is not None:
        picture.info["transparency"] = transparent
    return picture


@pytest.mark.parametrize(
    ("picture", "seen"),
    [
        (one_colour("RGB", RED), RED),
        (one_colour("RGBA", (*RED, 255)), RED),
        (one_colour("RGBA", CLEAR_RED), WHITE),
        (one_colour("RGBA", (0, 0, 0, 51)), (204, 204, 204)),
        (one_colour("L", 7), (7, 7, 7)),
        (one_colour("LA", (7, 0)), WHITE),
        (one_colour("1", 1), WHITE),
        (one_colour("1", 0), BLACK),
        (palette(), RED),
        (palette(transparent=1), WHITE),
        (one_colour("I;16", 65535), WHITE),
        (one_colour("I;16", 257 * 100), (100, 100, 100)),
        (one_colour("I;16", 257 * 16), (16, 16, 16)),
    ],
)
def test_a_png_of_any_mode_shows_its_colours(tmp_path, picture, seen):
    path = saved(tmp_path, picture)
    assert set(photo(path).get_flattened_data()) == {seen}


def test_a_true_colour_png_with_one_transparent_colour_shows_white_there(tmp_path):
    path = saved(tmp_path, one_colour("RGB", RED), transparency=RED)
    assert photo(path).getpixel((0, 0)) == WHITE


def test_a_cmyk_jpeg_shows_its_colours(tmp_path):
    path = saved(tmp_path, one_colour("CMYK", (0, 255, 255, 0)), "a.jpg", quality=100)
    assert np.abs(np.subtract(photo(path).getpixel((3, 3)), RED)).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_camera_that_was_turned_gives_an_upright_picture(tmp_path, orientation):
    upright = Image.fromarray(np.arange(8 * 10 * 3, dtype=np.uint8).reshape(8, 10, 3))
    undo = {
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
    }[orientation]  # fmt: skip
    stored = upright if undo is None else upright.transpose(undo)
    exif = Image.Exif()
    exif[0x0112] = orientation
    seen = photo(saved(tmp_path, stored, exif=exif))
    assert np.array_equal(np.array(seen), np.array(upright))


def test_a_picture_in_memory_is_taken_as_it_is():
    pixels = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    assert np.array_equal(np.array(photo(pixels)), pixels)
    assert np.array_equal(np.array(photo(Image.fromarray(pixels))), pixels)
    assert np.array_equal(np.array(photo(pixels[..., 0]))[..., 2], pixels[..., 0])
    assert photo(np.ones((8, 8), dtype=bool)).getpixel((0, 0)) == WHITE
    assert np.array_equal(np.array(photo(pixels[::-1, 1:])), pixels[::-1, 1:])


def test_the_second_view_of_a_phone_photograph_is_left_alone(tmp_path):
    path = tmp_path / "a.jpg"
    one_colour("RGB", BLACK).save(
        path, format="MPO", save_all=True, append_images=[one_colour("RGB", WHITE)]
    )
    with Image.open(path) as stored:
        assert stored.n_frames == 2
    assert photo(path).getpixel((0, 0)) == BLACK


def huge_png(path, side):
    """A PNG whose header promises side x side pixels and whose body holds none."""

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    )


def missing(path):
    return None


def a_folder(path):
    path.mkdir()


def no_bytes(path):
    path.touch()


def words(path):
    path.write_text("this is no picture " * 20)


def truncated(path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, format="PNG")
    path.write_bytes(path.read_bytes()[:2000])


def truncated_jpeg(path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, format="JPEG")
    path.write_bytes(path.read_bytes()[:1500])


def broken_checksum(path):
    one_colour("RGB", RED, (64, 64)).save(path, format="PNG")
    data = bytearray(path.read_bytes())
    data[-20] ^= 0xFF
    path.write_bytes(bytes(data))


def animated(path):
    frames = [one_colour("RGB", colour) for colour in (RED, WHITE, BLACK)]
    frames[0].save(path, format="GIF", save_all=True, append_images=frames[1:])


def several_pages(path):
    pages = [one_colour("RGB", colour) for colour in (RED, WHITE)]
    pages[0].save(path, format="TIFF", save_all=True, append_images=pages[1:])


def float_pixels(path):
    Image.fromarray(np.zeros((8, 8), dtype=np.float32)).save(path, format="TIFF")


def wide_integers(path):
    Image.fromarray(np.full((8, 8), 1 << 20, dtype=np.int32)).save(path, format="TIFF")


def too_small(path):
    one_colour("RGB", RED, (100, 7)).save(path, format="PNG")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (missing, "is no such file; check it"),
        (a_folder, "is a folder; check it"),
        (no_bytes, "is an empty file; check it"),
        (words, "is none; save it as PNG or JPEG"),
        (truncated, "is damaged .* fetch or save it again"),
        (truncated_jpeg, "is damaged .* fetch or save it again"),
        (broken_checksum, "is damaged .* fetch or save it again"),
        (animated, "one still picture, got 3 frames; save one of them"),
        (several_pages, "one still picture, got 2 frames; save one of them"),
        (float_pixels, "got float ones; save it as 8 bit"),
        (wide_integers, "got values 1048576 to 1048576; save it as 8 bit"),
        (too_small, "at least 8 px on each side, got 100x7 px; use a larger picture"),
        (lambda path: huge_png(path, 8001), "at most 64 megapixels, got 8001x8001 px; make it sma"),
        (lambda path: huge_png(path, 10_000), "at most 64 megapixels, got 10000x10000 px"),
        (lambda path: huge_png(path, 50_000), "at most 64 megapixels, got far more; make it smal"),
    ],
)
def test_a_file_that_is_no_still_picture_is_refused_in_one_sentence(tmp_path, make, message):
    path = tmp_path / "a.png"
    make(path)
    with pytest.raises(ImageError, match=message) as refusal:
        photo(path)
    assert re.search(rf"^image .*{re.escape(str(path))}", str(refusal.value))
    assert "\n" not in str(refusal.value)


def test_an_address_is_to_be_downloaded_first():
    with pytest.raises(ImageError, match=r"a file here, got the address 'https://a\.b/c'; down"):
        photo("https://a.b/c")


def test_a_device_is_no_picture():
    with pytest.raises(ImageError, match="'/dev/zero' is no ordinary file"):
        photo("/dev/zero")


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.zeros((8, 8, 3), np.float32), r"float32 \(8, 8, 3\)"),
        (np.zeros((8, 8, 4), np.uint8), r"uint8 \(8, 8, 4\)"),
        (np.zeros((3, 8, 8), np.uint8), r"uint8 \(3, 8, 8\)"),
        (np.zeros(8, np.uint8), r"uint8 \(8,\)"),
        (np.zeros((4, 8), np.uint8), "at least 8 px on each side, got 8x4 px"),
    ],
)
def test_an_array_of_another_kind_is_refused(array, found):
    with pytest.raises(ImageError, match=f"got {found}|{found}"):
        photo(array)
