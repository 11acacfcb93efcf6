"""Give what is read of a network its place in the picture back."""

from math import isqrt

from torch import Tensor

from featurekit.core.errors import CaptureError, ShapeError
from featurekit.core.shapes import expect
from featurekit.core.types import Tap


def as_map(activation: Tensor, tap: Tap, *, size_px: tuple[int, int]) -> Tensor:
    """Turn what a tap gives into a map.

    Args:
        activation: what was captured at the tap: (b c h w), or (b h*w c) of a tap of the form
            ``tokens``, rows of the picture one after another; where its ``place`` says so, first or
            last among the tokens of a text.
        tap: where it was captured.
        size_px: height and width of the padded picture, whole cells of the tap.

    Returns:
        (b c h w), a view.

    Raises:
        CaptureError: the tap is one of words or of an attention map, which have no such form.
        ShapeError: the activation is no whole picture of that size.
    """
    refuse_formless(tap)
    height, width = (size // tap.stride for size in size_px)
    if tap.form == "map":
        expect(activation, "b c h w", of=tap.name, c=tap.channels, h=height, w=width)
        return activation
    expect(activation, "b n c", of=tap.name, c=tap.channels)
    count, found = height * width, activation.shape[1]
    if found != count if tap.place == "all" else found < count:
        least = "" if tap.place == "all" else "at least "
        raise ShapeError(
            f"{tap.name} must have {least}{height} * {width} tokens for a picture of {size_px} px, "
            f"got {found}"
        )
    start = found - count if tap.place == "last" else 0
    return _cells(activation[:, start : start + count], height, width)


def refuse_formless(tap: Tap) -> None:
    """Refuse a tap that has no value for each cell of the picture.

    Args:
        tap: what is to become a map.

    Raises:
        CaptureError: the tap is one of words or of an attention map.
    """
    if is_formless(tap):
        reader = "attention_maps" if tap.form == "heads" else "capture"
        raise CaptureError(
            f"a feature map must have a value for each cell of the picture, {tap.name} is one of "
            f"{tap.form}; read it with {reader}(backbone.{tap.network}, ...) by its address "
            f"{tap.address!r}"
        )


def is_formless(tap: Tap) -> bool:
    """Tell whether a tap has no value for each cell of the picture.

    Args:
        tap: anything that can be read.

    Returns:
        True for what belongs to words and for attention maps.
    """
    return tap.form not in ("map", "tokens")


def gridded(activation: Tensor, size_px: tuple[int, int], *, of: str) -> tuple[Tensor, int]:
    """Lay out what a module gives of which only its path is known, no tap.

    Args:
        activation: (b c h w), or tokens (b n c) in reading order.
        size_px: rows and columns of the padded picture.
        of: the module, for the message.

    Returns:
        The map (b c h w) and its stride in px.

    Raises:
        CaptureError: its cells do not cover the picture in squares.
    """
    height, width = size_px
    if activation.ndim == 4:
        stride = height // max(activation.shape[2], 1)
        cells = (activation.shape[2], activation.shape[3])
    else:
        count = activation.shape[1] if activation.ndim == 3 else 0
        stride = isqrt(height * width // count) if count else 0
        cells = (height // stride, width // stride) if stride else (0, 0)
    fits = stride > 0 and (cells[0] * stride, cells[1] * stride) == size_px
    if activation.ndim == 3 and (not fits or cells[0] * cells[1] != activation.shape[1]):
        fits = False
    if not fits:
        raise CaptureError(
            f"tap {of!r} must give square cells or tokens of the picture of {height} x {width} px "
            f"(rows x columns), got {tuple(activation.shape)}; read it with capture instead"
        )
    return (_cells(activation, *cells) if activation.ndim == 3 else activation), stride


def _cells(tokens: Tensor, height: int, width: int) -> Tensor:
    """Tokens (b h*w c), rows of the picture one after another, as a map (b c h w)."""
    return tokens.transpose(1, 2).reshape(len(tokens), -1, height, width)
