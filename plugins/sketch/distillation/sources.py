"""Where the pictures come from that a teacher draws: photographs, the model's own, or the world."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from featurekit.core.errors import ImageError
from featurekit.diffusion.backbone import Backbone
from featurekit.images.io import load_image
from featurekit.measures.held_out import image_of
from featurekit.scale.inputs import pictures_of
from featurekit.scenes import TRAINED_KINDS, scene
from featurekit_sketch.sampling.cdst_sampler import Sample
from featurekit_sketch.working_size import resized, size_of, working_size

SMALLEST_PX = 32  # below, nothing can be told apart
FIRST_SEED = 700_000  # of the world's pictures: for training, and none that a style is learnt from


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures by name, each read when it is its turn."""

    names: Sequence[str]  # all different; the same picture has the same name in the next run
    read: Callable[[str], Tensor]  # (1 3 h w) in [-1, 1]; an ImageError says that it is broken
    key: str = ""  # tells them from others that may have the same names
    unreadable: Mapping[str, str] = field(default_factory=dict)  # reasons, known without reading
    told: str = ""  # of files that are no pictures


def photographs(folder: Path | str, *, side_px: int, columns: Sequence[str] = ()) -> Pictures:
    """The pictures of a folder at the size that a style works at.

    Args:
        folder: of pictures, or one of them; a tar or a parquet file, as ``pictures_of`` has them.
        columns: of a parquet file.
        side_px: of a square picture at that size; others have as many pixels.

    Raises:
        ImageError: there is no such folder, or it has no picture.
        ConfigError: as ``pictures_of``.
    """
    listing = pictures_of(str(folder), columns)
    paths = {path.name: path for path in listing.pictures}
    unreadable = {path.name: reason for path, reason in listing.unreadable.items()}

    def read(name: str) -> Tensor:
        return at_working_size(load_image(paths[name]), side_px)

    return Pictures(tuple(paths), read, str(Path(folder).resolve()), unreadable, listing.told)


def scenes_of_the_world(count: int, *, side_px: int) -> Pictures:
    """Pictures of the world, of the kinds that the embedded model knows, in turns.

    Args:
        count: how many.
        side_px: their side.
    """
    known = {}
    for number in range(count):
        kind = TRAINED_KINDS[number % len(TRAINED_KINDS)]
        known[f"{kind} {FIRST_SEED + number}"] = scene(FIRST_SEED + number, kind)
    return Pictures(tuple(known), lambda name: image_of(known[name], side_px), "world")


def sampled(samples: Sequence[Sample], backbone: Backbone, *, side_px: int, key: str) -> Pictures:
    """Pictures that a model has sampled.

    Args:
        samples: of ``backbone``.
        backbone: that decodes them.
        side_px: of a square picture at the size that a style works at.
        key: what decides them.
    """
    known = {f"sampled {number}": one for number, one in enumerate(samples)}

    def read(name: str) -> Tensor:
        image = backbone.decode(known[name].noising.clean.to(backbone.device))
        return at_working_size(image.detach().float().cpu().clamp(-1, 1), side_px)

    return Pictures(tuple(known), read, key)


def at_working_size(image: Tensor, side_px: int) -> Tensor:
    """A picture (1 3 h w) in [-1, 1] of as many pixels as a square of a side.

    Raises:
        ImageError: it is too small to learn from, or would be too narrow.
    """
    size = working_size(size_of(image), side_px)
    least = min(*size_of(image), *size)
    if least < SMALLEST_PX:
        raise ImageError(
            f"a picture to learn from must have at least {SMALLEST_PX} px a side, also when it has "
            f"as many pixels as a square of {side_px} px, got {least}; give others"
        )
    return resized(image, size)
