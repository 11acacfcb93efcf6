"""Settings that a task would not use: refused where they were changed, never ignored."""

from collections.abc import Collection

from featurekit.core.errors import ConfigError
from featurekit.pipeline.config import compose
from featurekit_sketch.config import SketchConfig
from featurekit_sketch.settings import OWN, TWO_SCALES
from featurekit_sketch.training.style_file import Style

# without the settings that experiments and backbones change for all tasks
OF_LEARNING = (
    *("drawing", "drawings", "examples", "ink", "fit", "targets", "scene", "drawing_style"),
    *("tests", "sources"),
    *("prior", "clip_model", "lpips", "l1", "perceptual", "clip", "across", "within"),
)
OF_PUBLISHED = (  # what the network at two scales has no use for
    *("l1", "perceptual", "clip", "across", "within", "lines", "consistency", "clip_model"),
    *("lpips", "contrast", "mixing", "cool_down"),
)
OF_STUDENTS = ("pairs", "student_iterations", "onnx")
OF_EXTRACTING = ("student", "svg")
OF_FILES = ("columns",)  # whose pictures are many
OF_DATA = ("dataset", "edge_model")
ON_DATA = "evaluate on a data set"
USED_ON_DATA = ("tests", "lpips")
UNUSED = {  # settings by the task that does not use them, and which to choose instead
    "train": (
        ("style", "mix", *OF_EXTRACTING, *OF_STUDENTS, *OF_DATA, *OF_FILES),
        "task=extract draws in a style, task=distil learns a student, task=evaluate measures",
    ),
    "init": (
        (
            *(name for name in OF_LEARNING if name != "scene"),
            *("style", "mix", *OF_EXTRACTING, *OF_STUDENTS, *OF_DATA, *OF_FILES),
        ),
        "task=init writes a picture to draw on, task=train learns the drawing",
    ),
    "extract": (
        (*OF_LEARNING, *OF_STUDENTS, *OF_DATA),
        "task=train learns a style, task=distil a student, task=evaluate measures",
    ),
    "distil": (
        tuple(name for name in (*OF_LEARNING, *OF_EXTRACTING, *OF_DATA) if name != "prior"),
        "task=train learns a style, task=extract draws in it",
    ),
    "evaluate": (
        (
            *("style", "mix", "targets", "ink", "fit", "drawing_style", "drawings"),
            *("examples", "sources"),
            *(*OF_EXTRACTING, *OF_STUDENTS, *OF_FILES, "edge_model"),
        ),
        "task=train and task=extract use it, and task=evaluate with plugin.dataset=FOLDER",
    ),
    ON_DATA: (
        (
            *(name for name in OF_LEARNING if name not in USED_ON_DATA),
            *OF_STUDENTS,
            *OF_FILES,
            "svg",
        ),
        "task=train learns a style, plugin.dataset is drawn in one that is learnt",
    ),
}


def check_used(config: SketchConfig, *, task: str, own: bool) -> None:
    """Refuse settings that the task would not use.

    Args:
        config: all settings.
        task: of the run.
        own: whether a picture of the user's own is given.

    Raises:
        ConfigError: a setting is not the default and would change nothing.
    """
    on_data = task == "evaluate" and config.dataset is not None
    names, advice = UNUSED[ON_DATA if on_data else task]
    _refuse(config, names, f"task={task} does not use it; leave it out: {advice}")
    if task == "init" and own:
        _refuse(config, ("scene",), "image is what is drawn on; leave out one of them")
    if task == "train" and own:
        _refuse(
            config,
            ("drawing_style", "scene"),
            "the bundled scenes have it, not a picture of your own; leave out it or image",
        )
    if task == "train" and not (config.drawing or config.drawings or config.examples):
        _refuse(config, ("fit", "ink"), "there is no drawing of your own; give plugin.drawing=FILE")
    if task == "distil" and own:
        _refuse(config, ("pairs",), "all photographs of image are drawn; leave out it or image")
    if config.network == TWO_SCALES:
        why = "plugin.network=two_scales does not use it; leave it out: published does"
        used = USED_ON_DATA if on_data else ()
        _refuse(config, [name for name in OF_PUBLISHED if name not in used], why)


def check_reading(config: SketchConfig, style: Style, *, backbone: str) -> None:
    """Refuse another way of reading pictures than the one that a style was learnt with.

    Args:
        config: all settings.
        style: that is to be drawn in.
        backbone: whose settings are the model's.

    Raises:
        ConfigError: ``plugin.features``, ``plugin.steps`` or ``plugin.timesteps`` was changed, and
            not to the style's.
    """
    own = style.chosen_by == OWN
    wanted = {
        "features": style.features,
        "steps": style.steps,
        "timesteps": list(style.timesteps) if own else style.chosen_by,
    }
    other = [name for name, value in wanted.items() if getattr(config, name) != value]
    if not other:
        return
    usual = compose(["plugin=sketch", f"backbone={backbone}"]).plugin
    for name in other:
        if getattr(config, name) != usual[name]:
            raise ConfigError(
                f"a style must be drawn in as it was learnt, with plugin.{name}={wanted[name]}, "
                f"got {getattr(config, name)}; leave it out, or learn a style with it"
            )


def _refuse(config: SketchConfig, names: Collection[str], why: str) -> None:
    usual = SketchConfig()
    for name in names:
        default, found = getattr(usual, name), getattr(config, name)
        if found != default:
            raise ConfigError(f"plugin.{name} must be left as it is, got {found!r}: {why}")
