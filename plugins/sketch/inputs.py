"""What is learnt from: the user's picture with its drawing, or a bundled scene."""

from dataclasses import dataclass

from torch import Tensor

from featurekit.core.errors import ConfigError, ImageError, UnknownNameError
from featurekit.core.types import Job, Say
from featurekit.images.io import load_image
from featurekit.measures.held_out import image_of, side_px
from featurekit.measures.model.lines import drawing_of
from featurekit.scenes import Scene, scene
from featurekit.scenes.drawings import STYLES
from featurekit_sketch.config import SketchConfig
from featurekit_sketch.drawing.read_drawing import Drawing, fit_drawing, read_drawing

SCENE_KIND = "face"
LARGEST = 4  # sides of the model that a picture to learn from may have
FIRST_SEED = 900_000  # far from the seeds that the shipped networks have seen


@dataclass(frozen=True, eq=False)
class Subject:
    """A drawn picture."""

    image: Tensor  # (1 3 h w) in [-1, 1]
    ink: Tensor  # (1 1 h w) in [0, 1], white paper is 1
    prompt: str  # what it shows
    name: str
    mended: tuple[str, ...] = ()  # what had to be done to the drawing


def subject_of(job: Job) -> Subject:
    """The user's pair if there is one, else the bundled scene ``plugin.scene``.

    Raises:
        ConfigError: a picture without its drawing, or a drawing without its picture.
        UnknownNameError: the world has no such drawing style.
        ImageError: the picture is too large to be learnt from; and see the readers of pictures
            and drawings.

    A person is told where the picture is larger than the model's own, which takes longer.
    """
    config: SketchConfig = job.settings
    image = own_picture(job)
    if image is None:
        return from_scene(bundled(config.scene), config.drawing_style, side_px(job.backbone))
    _check_size(image, side_px(job.backbone), job.say)
    drawing = own_drawing(config, image)
    return Subject(image, drawing.ink, job.prompt, str(job.image), drawing.mended)


def own_picture(job: Job) -> Tensor | None:
    """The user's picture (1 3 h w), if there is one; a backbone is not needed.

    Raises:
        ConfigError: a picture without its drawing, or a drawing without its picture.
        UnknownNameError: neither, and the world has no such drawing style.
        ImageError: the picture cannot be read.
    """
    config: SketchConfig = job.settings
    if (job.image is None) != (config.drawing is None):
        given, missing = ("image", "plugin.drawing") if job.image else ("plugin.drawing", "image")
        raise ConfigError(
            f"a style is learnt from a picture and its drawing, got {given} alone; "
            f"give {missing}=FILE too, or neither to learn from a bundled scene"
        )
    if job.image is None:
        _check_style(config.drawing_style)
        return None
    return load_image(job.image)


def own_drawing(config: SketchConfig, image: Tensor) -> Drawing:
    """The drawing of the user's picture.

    Args:
        config: that names it.
        image: the picture (1 3 h w).

    Raises:
        ImageError: as in ``read_drawing`` and ``fit_drawing``.
    """
    name = str(config.drawing)
    if config.fit:
        return fit_drawing(name, image=image)
    return read_drawing(name, height=image.shape[-2], width=image.shape[-1])


def _check_size(image: Tensor, own: int, say: Say) -> None:
    """A picture that is learnt from is read whole, at every view of it."""
    height, width = image.shape[-2:]
    most = LARGEST * own
    if max(height, width) > most:
        raise ImageError(
            f"a picture to learn from must have at most {most} px a side, {LARGEST} times the "
            f"model's own {own} px, got {width}x{height} px; give a smaller picture and drawing "
            f"(the style then sketches pictures of any size with task=extract)"
        )
    if max(height, width) > own:
        times = height * width / own**2
        say(
            f"the picture has {width}x{height} px, the model's own have {own} px a side: it is "
            f"read whole, and learning takes about {max(times, 1):.1f} times as long as at "
            f"{own} px; a smaller picture and drawing are faster"
        )


def bundled(number: int) -> Scene:
    """A scene to learn from: of the seeds for training, so that every held-out one can be asked."""
    return scene(FIRST_SEED + number, SCENE_KIND)


def from_scene(scene: Scene, drawing_style: str, size: int) -> Subject:
    """A scene of the world with its drawing in one of the world's styles."""
    _check_style(drawing_style)
    ink = (drawing_of(scene, drawing_style, size) + 1) / 2
    return Subject(image_of(scene, size), ink, scene.caption(), f"{scene.kind} {scene.seed}")


def _check_style(name: str) -> None:
    if name not in STYLES:
        raise UnknownNameError("plugin.drawing_style", name, STYLES)
