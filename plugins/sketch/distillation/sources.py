"""Where the pictures come from that a teacher draws: a folder of photographs, or the world."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor
from torch.nn import functional

from featurekit.core.errors import ImageError
from featurekit.images.folders import pictures_in
from featurekit.images.io import load_image
from featurekit.measures.held_out import image_of
from featurekit.scenes import TRAINED_KINDS, scene

SMALLEST_PX = 32  # below, nothing can be told apart
FIRST_SEED = 700_000  # of the world's pictures: for training, and none that a style is learnt from


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures by name, each read when it is its turn."""

    names: Sequence[str]  # all different; the same picture has the same name in the next run
    read: Callable[[str], Tensor]  # (1 3 h w) in [-1, 1]; an ImageError says that it is broken
    unreadable: Mapping[str, str] = field(default_factory=dict)  # reasons, known without reading
    told: str = ""  # of files that are no pictures


def photographs(folder: Path | str, *, sides_px: Sequence[int]) -> Pictures:
    """The pictures of a folder, each the square in its middle at one of some sizes.

    A photograph is made smaller until its shorter side is the size whose turn it is, by its
    place among all names; one that is smaller already keeps its pixels.

    Args:
        folder: of pictures, or one of them.
        sides_px: sizes, at least one; in turns.

    Raises:
        ImageError: there is no such folder, or it has no picture.
    """
    listing = pictures_in(folder)
    paths = {path.name: path for path in listing.pictures}
    sides = dict(zip(paths, _in_turns(sides_px, len(paths)), strict=True))
    unreadable = {path.name: reason for path, reason in listing.unreadable.items()}
    return Pictures(
        tuple(paths),
        lambda name: middle_of(load_image(paths[name]), sides[name]),
        unreadable,
        listing.told,
    )


def scenes_of_the_world(count: int, *, sides_px: Sequence[int]) -> Pictures:
    """Pictures of the world, of the kinds that the embedded model knows, in turns.

    Args:
        count: how many.
        sides_px: their sizes, at least one; in turns from one round of kinds to the next.
    """
    kinds = len(TRAINED_KINDS)
    known = {}
    for number in range(count):
        kind, side = TRAINED_KINDS[number % kinds], sides_px[number // kinds % len(sides_px)]
        known[f"{kind} {FIRST_SEED + number} at {side} px"] = (FIRST_SEED + number, kind, side)

    def read(name: str) -> Tensor:
        seed, kind, side = known[name]
        return image_of(scene(seed, kind), side)

    return Pictures(tuple(known), read)


def middle_of(image: Tensor, side_px: int) -> Tensor:
    """The square in the middle of a picture, made smaller to a side, (1 3 s s) in [-1, 1].

    Args:
        image: (1 3 h w) in [-1, 1].
        side_px: of the result; a smaller picture keeps its pixels.

    Raises:
        ImageError: it is too small to learn from.
    """
    least = min(image.shape[-2:])
    if least < SMALLEST_PX:
        raise ImageError(
            f"a picture to learn from must have at least {SMALLEST_PX} px a side, got {least}; "
            f"give larger ones"
        )
    top, left = ((size - least) // 2 for size in image.shape[-2:])
    square = image[..., top : top + least, left : left + least]
    if least <= side_px:
        return square.contiguous()
    return functional.interpolate(square, (side_px, side_px), mode="bicubic", antialias=True).clamp(
        -1, 1
    )


def _in_turns(sides_px: Sequence[int], count: int) -> list[int]:
    return [sides_px[number % len(sides_px)] for number in range(count)]
