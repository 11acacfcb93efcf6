"""Drawings with greys or colours: a wash, a painting, coloured pencils."""

import numpy as np
import torch
from torch import Tensor

from featurekit.core.errors import ImageError
from featurekit.images.photo import Source, open_photo

WHITE = 255
LEAST = 0.02  # share of the range that the tones of a drawing must spread over


def read_toned(source: Source, *, height: int, width: int, colour: bool) -> Tensor:
    """Read a drawing as it is; it is neither inverted nor moved.

    Args:
        source: file, Pillow image or uint8 array; white shows through transparency.
        height: rows of the picture that was drawn, px.
        width: columns, likewise.
        colour: whether its colours are kept; else it is read in grey.

    Returns:
        Ink, (1 3 h w) in colour or (1 1 h w), in [0, 1], white paper is 1.

    Raises:
        ImageError: it cannot be read, has another size, or is of one tone.
    """
    sheet = open_photo(source, of="drawing", background="white").convert("RGB" if colour else "L")
    if sheet.size != (width, height):
        raise ImageError(
            f"a drawing must have the size of its picture, {width}x{height} px, got "
            f"{sheet.width}x{sheet.height} px; draw on the picture, or export it at that size"
        )
    levels = np.array(sheet, dtype=np.float32).reshape(height, width, -1) / WHITE
    if float(levels.max() - levels.min()) < LEAST:
        raise ImageError(
            "a drawing must have tones that differ, got a sheet of one tone; check that it is the "
            "right file"
        )
    return torch.from_numpy(levels).movedim(2, 0)[None].contiguous()
