"""Give the tokens of a transformer their places in the picture back."""

from torch import Tensor

from featurekit.errors import CaptureError, ShapeError
from featurekit.shapes import expect
from featurekit.types import Tap


def as_map(activation: Tensor, tap: Tap, *, size_px: tuple[int, int]) -> Tensor:
    """Turn what a tap gives into a map.

    Args:
        activation: what was captured at the tap: (b c h w), or (b h*w c) of a tap of the form
            ``tokens``, rows of the picture one after another.
        tap: where it was captured.
        size_px: height and width of the padded picture, whole cells of the tap.

    Returns:
        (b c h w), a view.

    Raises:
        CaptureError: the tap is one of words or of an attention map, which have no such form.
        ShapeError: the activation is no whole picture of that size.
    """
    if tap.form not in ("map", "tokens"):
        raise CaptureError(
            f"a feature map must have a value for each cell of the picture, {tap.name} is one of "
            f"{tap.form}; capture it by its address {tap.address!r}"
        )
    height, width = (size // tap.stride for size in size_px)
    if tap.form == "map":
        expect(activation, "b c h w", of=tap.name, c=tap.channels, h=height, w=width)
        return activation
    expect(activation, "b n c", of=tap.name, c=tap.channels)
    if activation.shape[1] != height * width:
        raise ShapeError(
            f"{tap.name} must have {height} * {width} tokens for a picture of {size_px} px, "
            f"got {activation.shape[1]}"
        )
    return activation.transpose(1, 2).reshape(activation.shape[0], -1, height, width)
