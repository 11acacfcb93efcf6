"""What is learnt from: the user's picture with its drawing, or a bundled scene."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from featurekit.core.errors import ConfigError, ImageError, UnknownNameError
from featurekit.core.types import Job, Say
from featurekit.images.io import load_image
from featurekit.measures.held_out import image_of, side_px
from featurekit.measures.model.lines import drawing_of
from featurekit.scenes import Scene, scene
from featurekit.scenes.drawings import STYLES
from featurekit_sketch.config import SketchConfig
from featurekit_sketch.drawing.read_drawing import fit_drawing, read_drawing
from featurekit_sketch.drawing.read_toned import read_toned
from featurekit_sketch.output_names import free_names
from featurekit_sketch.settings import LINES, TONES, TWO_SCALES
from featurekit_sketch.working_size import size_of, working_size

SCENE_KIND = "face"
STYLE = "style"  # what a style is called where there is one
# names of other results
PARTS = ("pair", "curve", "targets", "sheet", "overlay", "timesteps", "run")
LARGEST = 4  # sides of the model that a picture to learn from may have
FIRST_SEED = 900_000  # far from the seeds that the shipped networks have seen


@dataclass(frozen=True, eq=False)
class Subject:
    """A drawn picture."""

    image: Tensor  # (1 3 h w) in [-1, 1]
    ink: Tensor  # (1 c h w) in [0, 1], white paper is 1; c is 1, and 3 in colour
    prompt: str  # what it shows
    name: str
    mended: tuple[str, ...] = ()  # what had to be done to the drawing
    made_of: str = LINES  # or tones: greys and colours


def lessons_of(job: Job) -> dict[str, list[Subject]]:
    """Drawn pictures by the name of their style: the user's, else the scene ``plugin.scene``.

    Raises:
        ConfigError: a picture without its drawing, a drawing without its picture, or more than
            the network can learn from.
        UnknownNameError: the world has no such drawing style.
        ImageError: a picture is too large to be learnt from; and see the readers of pictures
            and drawings.

    A person is told where a picture is larger than the model's own.
    """
    config: SketchConfig = job.settings
    lessons = own_lessons(job)
    if not lessons:
        one = from_scene(bundled(config.scene), config.drawing_style, scene_px(job))
        return {name: [one] for name in style_names(config)}
    for image in {id(one.image): one.image for pairs in lessons.values() for one in pairs}.values():
        if config.network == TWO_SCALES:
            _tell_size(image, config.side_px, job.say)
        else:
            _check_size(image, side_px(job.backbone), job.say)
    return lessons


def own_lessons(job: Job) -> dict[str, list[Subject]]:
    """The user's drawn pictures by style; empty if there are none. A backbone is not needed.

    Raises:
        ConfigError: as ``lessons_of``.
        UnknownNameError: there are none, and the world has no such drawing style.
        ImageError: a picture or a drawing cannot be read.
    """
    config: SketchConfig = job.settings
    given = drawn_files(config, job.image)
    if not given:
        _check_style(config.drawing_style)
    pictures = {path: load_image(path) for pairs in given.values() for path, _ in pairs}
    lessons: dict[str, list[Subject]] = {}
    for name, pairs in given.items():
        lessons[name] = []
        for picture, drawn in pairs:
            image = pictures[picture]
            subject = drawn_subject(config, drawn, image)
            lessons[name].append(replace(subject, prompt=job.prompt, name=picture))
    return lessons


def drawn_files(config: SketchConfig, image: str | None) -> dict[str, list[tuple[str, str]]]:
    """Pictures and their drawings by style, as they are named; nothing is read.

    Args:
        config: all settings.
        image: of the run.

    Raises:
        ConfigError: a picture without its drawing, a drawing without its picture, examples that
            are no pairs, or more than the network can learn from.
    """
    drawn = [("plugin.drawing", config.drawing), ("plugin.drawings", config.drawings)]
    named = [name for name, value in drawn if value]
    if config.examples and (image is not None or named):
        raise ConfigError(
            f"plugin.examples has pictures and drawings of its own, got "
            f"{named[0] if named else 'image'} as well; leave out one of them"
        )
    if len(named) == 2:
        raise ConfigError(
            "plugin.drawing is one drawing of image and plugin.drawings are several, got both; "
            "leave out one of them"
        )
    if not config.examples and (image is None) == bool(named):
        known, missing = ("image", "plugin.drawing") if image else (named[0], "image")
        raise ConfigError(
            f"a style is learnt from a picture and its drawing, got {known} alone; "
            f"give {missing}=FILE too, or neither to learn from a bundled scene"
        )
    pairs = _pairs(config, image)
    _check_count(config, pairs)
    return pairs


def style_names(config: SketchConfig) -> list[str]:
    """What the styles of a run are called: by their drawings where there are several."""
    if not config.drawings:
        return [STYLE]
    return free_names([Path(drawing) for drawing in config.drawings], taken=PARTS)


def _pairs(config: SketchConfig, image: str | None) -> dict[str, list[tuple[str, str]]]:
    if config.examples:
        for pair in config.examples:
            if not isinstance(pair, list) or len(pair) != 2 or not all(pair):
                raise ConfigError(
                    f"each of plugin.examples must be [picture, drawing], got {pair!r}; "
                    f"give plugin.examples=[[a.png,a_drawn.png],[b.png,b_drawn.png]]"
                )
        return {STYLE: [(str(picture), str(drawing)) for picture, drawing in config.examples]}
    if image is None:
        return {}
    drawings = config.drawings or [str(config.drawing)]
    return {
        name: [(image, drawing)]
        for name, drawing in zip(style_names(config), drawings, strict=True)
    }


def _check_count(config: SketchConfig, pairs: Mapping[str, Sequence[object]]) -> None:
    count = sum(len(one) for one in pairs.values())
    if config.network != TWO_SCALES and count > 1:
        raise ConfigError(
            f"plugin.network={config.network} learns from one drawing, got {count}; "
            f"set plugin.network=two_scales, or give one"
        )


def drawn_subject(config: SketchConfig, drawn: str, image: Tensor) -> Subject:
    """A picture with its drawing, without its prompt and name.

    Args:
        config: says what the drawing is made of, and whether it may be mended.
        drawn: its file.
        image: the picture (1 3 h w) in [-1, 1].

    Raises:
        ImageError: see the readers of drawings.
    """
    height, width = image.shape[-2:]
    if config.ink != LINES:
        ink = read_toned(drawn, height=height, width=width, colour=config.ink == "colour")
        return Subject(image, ink, "", "", made_of=TONES)
    if config.fit:
        drawing = fit_drawing(drawn, image=image)
    else:
        drawing = read_drawing(drawn, height=height, width=width)
    return Subject(image, drawing.ink, "", "", drawing.mended)


def scene_px(job: Job) -> int:
    """Side of bundled scenes, px: the size that a style works at."""
    config: SketchConfig = job.settings
    return config.side_px if config.network == TWO_SCALES else side_px(job.backbone)


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


def _tell_size(image: Tensor, side: int, say: Say) -> None:
    """A picture that is not of the working size is learnt from at that size."""
    size = size_of(image)
    work = working_size(size, side)
    if work != size:
        say(
            f"the picture has {size.width}x{size.height} px: the style is learnt at "
            f"{work.width}x{work.height} px, and draws pictures of any size"
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
