"""Axis checks at public borders."""

from torch import Tensor

from featurekit.core.errors import ShapeError


def expect(tensor: Tensor, axes: str, *, of: str, **sizes: int) -> dict[str, int]:
    """Check that a tensor has the named axes and return their sizes.

    Args:
        tensor: any tensor.
        axes: names in einops words, e.g. ``"b c h w"``; a digit is a fixed size.
        of: what the tensor is, for the message.
        **sizes: axes whose size is known, e.g. ``c=4``.

    Returns:
        Size by axis name.

    Raises:
        ShapeError: the rank or a known size differs.
    """
    names = axes.split()
    found = tuple(tensor.shape)
    fixed = {name: int(name) for name in names if name.isdigit()} | sizes
    wanted = " ".join(f"{n}={fixed[n]}" if n in sizes else n for n in names)
    fits = len(names) == len(found) and all(
        fixed.get(name, size) == size for name, size in zip(names, found, strict=True)
    )
    if not fits:
        raise ShapeError(f"{of} must be ({wanted}), got {found}")
    return dict(zip(names, found, strict=True))
