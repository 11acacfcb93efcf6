"""Opening a picture that somebody else made: upright, 8-bit RGB, or refused with the reason."""

import struct
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from featurekit.core.errors import FeatureKitWarning, ImageError
from featurekit.images.colour_profiles import check_png, to_srgb
from featurekit.images.packed import NamedFile, PictureFile

Source: TypeAlias = str | PictureFile | Image.Image | NDArray[Any]
"""A picture on disk or within a larger file, in Pillow, or as uint8 (h w) or (h w 3)."""

MAX_PIXELS = 64_000_000  # a 64 megapixel photograph; more is a mistake or a decompression bomb
MIN_SIDE_PX = 8  # one latent cell of a Stable Diffusion VAE
_SECOND_VIEW = "MPO"  # phone photographs carry further views behind the first
DARKEST = 4096  # of 65536: a picture of 16 bits with no higher level holds 12 bits or fewer
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error)  # Pillow's own


Finish: TypeAlias = Callable[[Image.Image, str], Image.Image]


def open_photo(source: Source, *, of: str, background: str) -> Image.Image:
    """Decode a picture completely, in the colours that it is seen in.

    Args:
        source: see ``Source``.
        of: what the picture is, for the messages.
        background: colour that shows through transparency, ``"white"`` or ``"black"``.

    Returns:
        Pillow image in mode RGB, sRGB, turned as its EXIF orientation says.

    Raises:
        ImageError: the source is missing, no file, empty, damaged, animated, larger than 64
            megapixels, smaller than 8 px, of float pixels, or an array of another shape or dtype.

    Warns:
        FeatureKitWarning: see ``colour_profiles``; or a picture of 16 bits uses the lowest 12.
    """

    def finish(picture: Image.Image, of: str) -> Image.Image:
        return _over(to_srgb(_eight_bits(picture, of), of=of), background)

    return _opened(source, of, finish)


def open_layer(source: Source, *, of: str) -> Image.Image:
    """Decode a picture with its transparency.

    Args:
        source: see ``Source``.
        of: what the picture is, for the messages.

    Returns:
        Pillow image in mode RGBA, otherwise as from ``open_photo``.

    Raises:
        ImageError: see ``open_photo``.
    """

    def finish(picture: Image.Image, of: str) -> Image.Image:
        return to_srgb(_eight_bits(picture, of), of=of).convert("RGBA")

    return _opened(source, of, finish)


def open_labels(source: Source, *, of: str) -> Image.Image:
    """Decode a picture whose numbers are names: no colour profile makes one of two.

    Args:
        source: see ``Source``; black shows through transparency.
        of: what the picture is, for the messages.

    Returns:
        Pillow image in mode RGB.

    Raises:
        ImageError: see ``open_photo``.
    """
    return _opened(source, of, lambda picture, of: _over(_eight_bits(picture, of), "black"))


def _opened(source: Source, of: str, finish: Finish) -> Image.Image:
    if isinstance(source, np.ndarray):
        return finish(_checked(_from_array(source, of), of), of)
    if isinstance(source, Image.Image):
        return _decoded(source, of, finish)
    if "://" in str(source):
        raise ImageError(f"{of} must be a file here, got the address {source!r}; download it first")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our limit is lower
            with Image.open(_stream(source, of)) as picture:
                return _decoded(picture, f"{of} {str(source)!r}", finish)
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{of} must be a picture in a known format, but {str(source)!r} is none; "
            f"save it as PNG or JPEG"
        ) from error
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{of} {str(source)!r} must have at most {MAX_PIXELS / 1e6:g} megapixels, "
            f"got far more; make it smaller"
        ) from error
    except _DAMAGE as error:
        raise ImageError(
            f"{of} must be a whole picture, but {str(source)!r} is damaged ({error}); "
            f"fetch or save it again"
        ) from error


def _stream(source: str | PictureFile, of: str) -> Path | BytesIO:
    """What Pillow opens: a path, or the bytes of what has none of its own."""
    if isinstance(source, NamedFile):
        _check_file(source.path, of)
        return source.path
    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        _check_file(path, of)
        return path
    try:
        content = source.read_bytes()
    except OSError as error:
        raise ImageError(
            f"{of} must be readable, but {str(source)!r} gave: {error.strerror}; check it"
        ) from error
    if not content:
        raise ImageError(f"{of} must be a picture file, but {str(source)!r} is empty; check it")
    return BytesIO(content)


def _check_file(path: Path, of: str) -> None:
    try:
        found = (
            "no such file"
            if not path.exists()
            else "a folder"
            if path.is_dir()
            else "no ordinary file"
            if not path.is_file()
            else "an empty file"
            if path.stat().st_size == 0
            else None
        )
    except OSError as error:
        found = error.strerror
    if found:
        raise ImageError(f"{of} must be a picture file, but {str(path)!r} is {found}; check it")


def _from_array(array: NDArray[Any], of: str) -> Image.Image:
    if array.dtype == np.bool_ and array.ndim == 2:
        array = array.astype(np.uint8) * 255
    if array.dtype != np.uint8 or not (
        array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    ):
        raise ImageError(
            f"{of} must be a uint8 array (h w) or (h w 3), got {array.dtype} {array.shape}"
        )
    return Image.fromarray(np.ascontiguousarray(array)).convert("RGB")


def _decoded(picture: Image.Image, of: str, finish: Finish) -> Image.Image:
    """Check by the header, then decode, turn and convert."""
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format != _SECOND_VIEW:
        raise ImageError(f"{of} must be one still picture, got {frames} frames; save one of them")
    _checked(picture, of)
    check_png(picture, of=of)
    return finish(ImageOps.exif_transpose(picture), of)


def _checked(picture: Image.Image, of: str) -> Image.Image:
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{of} must have at most {MAX_PIXELS / 1e6:g} megapixels, got {width}x{height} px; "
            f"make it smaller"
        )
    if min(width, height) < MIN_SIDE_PX:
        raise ImageError(
            f"{of} must be at least {MIN_SIDE_PX} px on each side, got {width}x{height} px; "
            f"use a larger picture"
        )
    return picture


def _eight_bits(picture: Image.Image, of: str) -> Image.Image:
    if picture.mode == "F":
        raise ImageError(f"{of} must have whole-number pixels, got float ones; save it as 8 bit")
    return _from_sixteen_bits(picture, of) if picture.mode.startswith("I") else picture


def _over(picture: Image.Image, background: str) -> Image.Image:
    if picture.has_transparency_data:
        coloured = picture.convert("RGBA")
        paper = Image.new("RGBA", coloured.size, background)
        return Image.alpha_composite(paper, coloured).convert("RGB")
    return picture.convert("RGB")


def _from_sixteen_bits(picture: Image.Image, of: str) -> Image.Image:
    """Scale 0..65535 to 0..255; Pillow's own conversion cuts everything above 255 off."""
    levels = np.asarray(picture).astype(np.int64)
    highest = levels.max()
    if levels.min() < 0 or highest > 65535:
        raise ImageError(
            f"{of} must have 8 or 16 bits a pixel, got values {levels.min()} to {highest}; "
            f"save it as 8 bit"
        )
    if 1 < highest < DARKEST:
        bits = max(8, int(highest).bit_length())
        warnings.warn(
            f"{of} has 16 bits a pixel, of which 65535 is white, but no value above {highest}, so "
            f"that it is nearly black; if it holds {bits} bits, multiply by "
            f"{65535 / (2**bits - 1):.4g}",
            FeatureKitWarning,
            stacklevel=2,
        )
    shallow = Image.fromarray(((levels + 128) // 257).astype(np.uint8))
    if "icc_profile" in picture.info:
        shallow.info["icc_profile"] = picture.info["icc_profile"]
    return shallow
