"""Embedded colour profiles: what a picture's numbers look like, as numbers of sRGB."""

import struct
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from warnings import warn

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

from featurekit.core.errors import FeatureKitWarning

MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}  # of pixels, by colour space
NO_RGB = {"L": "1 L LA", "CMYK": "CMYK", "LAB": "LAB"}  # which pictures such a profile may be of
PROBES = 18  # levels of each channel that are tried
SAME = 1  # levels; a profile that moves none of the probes farther is sRGB, whoever made it
# as screens show it: white is the paper's white, and black stays black
INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION
EXACT = FLAGS | ImageCms.Flags.NOOPTIMIZE  # littlecms' shortcut for one channel is 10 levels off

GAMMA = 0.45455  # of a PNG that is near sRGB, as its gAMA chunk has it
PRIMARIES = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)  # sRGB's, in the order of cHRM
NEAR = 0.005  # how far writers are from both
CICP = b"\x01\x0d\x00\x01"  # sRGB's primaries and curve, RGB, full range (ITU-T H.273)


def to_srgb(picture: Image.Image, *, of: str) -> Image.Image:
    """Convert a picture to sRGB by its ICC profile; without one its numbers are sRGB's already.

    A profile of sRGB, whoever made it, changes no number. One that cannot be used is ignored, and
    a warning says so.

    Args:
        picture: of whole-number pixels of 8 bits, any mode.
        of: what the picture is, for the warning.

    Returns:
        Picture without a profile, any mode but CMYK and LAB if it had a usable one.

    Warns:
        FeatureKitWarning: the profile is damaged, or one for other pictures than this.
    """
    embedded = picture.info.get("icc_profile")
    if not embedded and picture.mode != "LAB":
        return picture
    bare = picture.copy()
    bare.info.pop("icc_profile", None)
    try:
        profile = ImageCms.ImageCmsProfile(
            BytesIO(embedded) if embedded else ImageCms.createProfile("LAB")
        )
        return _converted(bare, profile)
    except (OSError, ValueError, TypeError, ImageCms.PyCMSError) as error:
        warn(
            f"the colour profile of {of} cannot be used ({error}), so its colours are taken for "
            f"sRGB; save the picture as sRGB if they come out wrong",
            FeatureKitWarning,
            stacklevel=2,
        )
        return bare


def check_png(picture: Image.Image, *, of: str) -> None:
    """Warn of a PNG whose chunks tell of other colours than sRGB's; they are not applied.

    Only an ICC profile is. A chunk ``cICP`` goes before ``sRGB``, and that before ``gAMA`` and
    ``cHRM``, as the specification has it.

    Args:
        picture: just opened, not decoded.
        of: what the picture is, for the warning.

    Warns:
        FeatureKitWarning: there is no ICC profile, and the first of these chunks is not sRGB's.

    Source: Portable Network Graphics, third edition, section 4.3.
    """
    info = picture.info
    if picture.format != "PNG" or info.get("icc_profile"):
        return
    cicp = _cicp(picture)
    if cicp is not None:
        told = f"cICP {tuple(cicp)}" if cicp != CICP else ""
    elif "srgb" in info:
        told = ""
    else:
        gamma, primaries = info.get("gamma", GAMMA), info.get("chromaticity", PRIMARIES)
        told = "" if abs(gamma - GAMMA) < NEAR else f"gAMA {gamma:g}"
        if any(abs(a - b) >= NEAR for a, b in zip(primaries, PRIMARIES, strict=False)):
            told = f"{told} cHRM {tuple(primaries)}".strip()
    if told:
        warn(
            f"{of} must be of sRGB or have an ICC profile, but says {told}, which is not applied, "
            f"so its colours are taken for sRGB; save it as sRGB if they come out wrong",
            FeatureKitWarning,
            stacklevel=2,
        )


def srgb_chunk() -> PngImagePlugin.PngInfo:
    """What says in a PNG that its numbers are sRGB's."""
    info = PngImagePlugin.PngInfo()
    info.add(b"sRGB", b"\x01")  # to be shown relative to white
    return info


def _converted(picture: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    space = profile.profile.xcolor_space.strip()
    mode = MODES.get(space)
    if mode is None or not _fits(picture.mode, mode):
        raise ValueError(f"it is of {space} colours, the picture's mode is {picture.mode}")
    flags = EXACT if mode == "L" else FLAGS
    transform = ImageCms.buildTransform(profile, _srgb(), mode, "RGB", INTENT, flags)
    alpha = picture.convert("RGBA").getchannel("A") if picture.has_transparency_data else None
    if mode == "L":
        shown = _by_level(transform, picture.convert("L"))
    elif mode == "RGB" and _is_srgb(transform):
        return picture
    else:
        shown = transform.apply(picture.convert(mode))
        del shown.info["icc_profile"]
    if alpha is not None:
        shown.putalpha(alpha)
    return shown


def _by_level(transform: ImageCms.ImageCmsTransform, picture: Image.Image) -> Image.Image:
    levels = np.arange(256, dtype=np.uint8)
    table = np.asarray(transform.apply(Image.fromarray(levels[None])))[0]
    if np.abs(table.astype(int) - levels[:, None]).max() <= SAME:
        return picture.convert("RGB")
    return Image.fromarray(table[np.asarray(picture)])


def _fits(pixels: str, mode: str) -> bool:
    """Whether a picture may have a profile for ``mode``; grey ones with one of RGB are common."""
    if mode == "RGB":
        return pixels not in ("CMYK", "LAB")
    return pixels in NO_RGB[mode].split()


def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _is_srgb(transform: ImageCms.ImageCmsTransform) -> bool:
    levels = np.linspace(0, 255, PROBES).astype(np.uint8)
    probe = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    seen = np.asarray(transform.apply(Image.fromarray(probe)))
    return bool(np.abs(seen.astype(int) - probe).max() <= SAME)


def _cicp(picture: Image.Image) -> bytes | None:
    """The chunk of a PNG file that Pillow does not read."""
    name = getattr(picture, "filename", None)
    if not name:
        return None
    with suppress(OSError, struct.error), Path(name).open("rb") as file:
        file.seek(8)
        return _chunk(file, b"cICP")
    return None


def _chunk(file: BinaryIO, wanted: bytes) -> bytes | None:
    while True:
        size, name = struct.unpack(">I4s", file.read(8))
        if name == wanted:
            return file.read(size)
        if name in (b"IDAT", b"IEND"):
            return None
        file.seek(size + 4, 1)
