"""Masks as the page brushes them: runs of a raster in, pictures for sessions and commands out."""

import re
from collections import OrderedDict
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from featurekit.core.atomic import make_folder, replacing
from featurekit.core.errors import MaskError, UnknownNameError
from featurekit.images.masks import load_mask

LARGEST_PX = 2048  # of a raster's side
HELD, KEPT = 6, 400  # tensors in memory, files on disk
KEY = re.compile(r"[0-9a-f]{24}\.png")


class Masks:
    """Masks by key. The same mask of pictures of the same size has the same key."""

    def __init__(self, folder: Path) -> None:
        """Take up what the folder holds.

        Raises:
            OutputError: it cannot be written to.
        """
        self._folder = make_folder(folder)
        files = [one for one in self._folder.iterdir() if KEY.fullmatch(one.name)]
        files.sort(key=lambda one: one.stat().st_mtime)
        self._known = OrderedDict((one.stem, one) for one in files)
        self._held: OrderedDict[str, Tensor] = OrderedDict()

    def put(self, runs: bytes, raster: tuple[int, int], size: tuple[int, int]) -> str:
        """Keep a mask.

        Args:
            runs: little-endian uint32: how many pixels of the raster, row by row, are out, in,
                out, in, ...
            raster: its height and width.
            size: height and width of the picture.

        Returns:
            Its key.

        Raises:
            MaskError: the runs do not come to the raster, or nothing is in.
            OutputError: it cannot be written.
        """
        key = sha256(runs + repr((raster, size)).encode()).hexdigest()[:24]
        path = self._folder / f"{key}.png"
        if key not in self._known:
            levels = _enlarged(_painted(runs, raster), size)
            with replacing(path) as temporary:
                Image.fromarray(levels).save(temporary, "PNG", compress_level=1)
        self._known[key] = path
        self._known.move_to_end(key)
        while len(self._known) > KEPT:
            _, oldest = self._known.popitem(last=False)
            oldest.unlink(missing_ok=True)
        return key

    def file(self, key: str) -> Path:
        """The file of a mask, white on black, of the picture's size.

        Raises:
            UnknownNameError: there is none of that key.
        """
        if key not in self._known:
            raise UnknownNameError("mask", key[:40], ())
        return self._known[key]

    def key_of(self, file: str | None) -> str | None:
        """The key of a file that this is the folder of; None of any other."""
        key = Path(file).stem if file else ""
        return key if key in self._known else None

    def tensor(self, key: str, size: tuple[int, int]) -> Tensor:
        """A mask (1 1 h w) of 0 and 1; the same object as long as it is held.

        Args:
            key: of it.
            size: height and width of its picture.

        Raises:
            UnknownNameError: there is none of that key.
            MaskError, ImageError: it belongs to a picture of another size, or was damaged.
        """
        if key not in self._held:
            self._held[key] = load_mask(self.file(key), *size)
        self._held.move_to_end(key)
        while len(self._held) > HELD:
            self._held.popitem(last=False)
        found = self._held[key]
        if found.shape[-2:] != torch.Size(size):
            raise MaskError(
                f"a mask must have the size of its picture, {size[1]}x{size[0]} px, got "
                f"{found.shape[-1]}x{found.shape[-2]} px; brush it again"
            )
        return found

    def runs(self, key: str, raster: tuple[int, int]) -> bytes:
        """A mask as runs of a raster, as ``put`` takes them.

        Raises:
            UnknownNameError: there is none of that key.
        """
        with Image.open(self.file(key)) as file:
            small = file.convert("L").resize(raster[::-1], Image.Resampling.NEAREST)
        return runs_of(np.asarray(small) > 127)


def runs_of(mask: NDArray[np.bool_]) -> bytes:
    """A mask (h w) as runs: how many pixels, row by row, are out, in, out, in, ..."""
    flat = mask.ravel()
    ends = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1, [flat.size]])
    found = np.diff(ends)
    return (np.concatenate([[0], found]) if flat[0] else found).astype("<u4").tobytes()


def _painted(runs: bytes, raster: tuple[int, int]) -> NDArray[np.bool_]:
    height, width = raster
    if len(runs) % 4 or len(runs) > 4 * (height * width + 1):
        raise MaskError(f"a mask must be whole runs of its raster, got {len(runs)} bytes")
    lengths = np.frombuffer(runs, "<u4").astype(np.int64)
    if int(lengths.sum()) != height * width:
        raise MaskError(
            f"the runs of a mask must come to its {width}x{height} px, got {int(lengths.sum())}"
        )
    inside = np.arange(len(lengths)) % 2 == 1
    if not lengths[inside].any():
        raise MaskError("a mask must hold something that may change, got nothing; leave it out")
    return np.repeat(inside, lengths).reshape(height, width)


def _enlarged(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Bring a raster to the size of the picture, (h w) of 0 and 255."""
    small = Image.fromarray(mask.astype(np.uint8) * 255)
    if small.size != size[::-1]:
        small = small.resize(size[::-1], Image.Resampling.BILINEAR)
    levels = np.asarray(small)
    found = np.where(levels > 127, 255, 0).astype(np.uint8)
    if not found.any():
        raise MaskError("a mask must hold something that may change, got less than a pixel")
    return found
