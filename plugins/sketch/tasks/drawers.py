"""What draws: the network of a style's file, a mix of several, or a student."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from featurekit.core.errors import ConfigError
from featurekit.core.file_bytes import sha256_of
from featurekit.core.types import Job
from featurekit.diffusion.backbone import Backbone
from featurekit_sketch.bundled_styles import FOLDER, NAMES, student_file, style_file
from featurekit_sketch.config import SketchConfig, tiling_of
from featurekit_sketch.distillation.student_drawer import student_drawer
from featurekit_sketch.drawer import Drawer
from featurekit_sketch.settings import TWO_SCALES, Tiling
from featurekit_sketch.tasks.unused_settings import check_reading
from featurekit_sketch.tiling.tiled_sketcher import TiledSketcher
from featurekit_sketch.training.sketcher import Sketcher
from featurekit_sketch.training.style_file import Style, digest, load_style
from featurekit_sketch.two_scales.drawer import TwoScaleDrawer


@dataclass(frozen=True)
class DrawingFiles:
    """The files that a run draws with: a style or several that are mixed, a student, or both."""

    styles: tuple[Path, ...]
    student: Path | None

    @classmethod
    def of(cls, config: SketchConfig) -> "DrawingFiles":
        """Those that the settings name.

        Raises:
            ConfigError: styles are to be mixed, and ``plugin.style`` is no folder.
        """
        student = student_file(config.student) if config.student else None
        if not config.style:
            shipped = config.mix if config.mix and set(config.mix) <= set(NAMES) else ()
            return cls(tuple(FOLDER / f"{name}.safetensors" for name in shipped), student)
        style = style_file(config.style)
        if not config.mix:
            return cls((style,), student)
        if not style.is_dir():
            raise ConfigError(
                f"plugin.mix names styles in a folder, but plugin.style={str(style)!r} is none; "
                f"give the folder of a run with plugin.drawings"
            )
        return cls(tuple(style / f"{name}.safetensors" for name in config.mix), student)

    @property
    def paths(self) -> list[Path]:
        """Of those that are given."""
        return [*self.styles, *([self.student] if self.student else [])]

    def student_drawer(self) -> Drawer | None:
        """The student, if there is one; it must be of the style, if that is given too.

        Raises:
            ConfigError: one of the files cannot be used, or they do not belong together.
        """
        if self.student is None:
            return None
        if len(self.styles) > 1:
            raise ConfigError(
                "plugin.mix mixes styles, and plugin.student has learnt one; leave out one of them"
            )
        for style in self.styles:
            if not style.is_file():
                raise ConfigError(
                    f"plugin.style must be a file, but there is none at {str(style)!r}; leave it "
                    f"out, or give the style that the student was distilled from"
                )
        return student_drawer(
            self.student, style=sha256_of(self.styles[0]) if self.styles else None
        )


def drawer_for(job: Job, files: DrawingFiles) -> Drawer:
    """What a job draws with.

    Raises:
        ConfigError: a file cannot be used, is of another backbone, cannot be mixed with others or
            does not belong to the student; or plugin.svg is asked for and what is drawn are no
            lines.
    """
    config: SketchConfig = job.settings
    student = files.student_drawer()
    if student is not None:
        return student
    styles = []
    for path in files.styles:
        style = load_style(path, job.backbone.name, digest(job.backbone.weights))
        check_reading(config, style, backbone=job.backbone.settings_of)
        if config.svg and style.ink_channels != 1:
            raise ConfigError(
                "plugin.svg traces drawings of one ink, but the style draws in colours; leave it "
                "out"
            )
        styles.append(style)
    if not config.mix:
        return drawer_of(styles[0], job.backbone, tiling_of(config))
    return mixed(styles, list(config.mix.values()), job.backbone)


def drawer_of(style: Style, backbone: Backbone, tiling: Tiling) -> Drawer:
    """Take up a style by the network that has its weights.

    Args:
        style: that was learnt on this backbone.
        backbone: a loaded model.
        tiling: how the published network cuts large pictures.

    Raises:
        ConfigError: the style does not fit the backbone.
    """
    if style.network == TWO_SCALES:
        return TwoScaleDrawer.from_style(style, backbone)
    return TiledSketcher(Sketcher.from_style(style, backbone), tiling)


def mixed(styles: Sequence[Style], shares: Sequence[float], backbone: Backbone) -> Drawer:
    """Draw in several styles at once.

    Args:
        styles: that were learnt on this backbone.
        shares: of each, not negative, of which one is more than 0.
        backbone: a loaded model.

    Raises:
        ConfigError: a style is of the published network, reads pictures otherwise or draws other
            ink.
    """
    for style in styles:
        if style.network != TWO_SCALES:
            raise ConfigError(
                f"styles that are mixed must be of plugin.network=two_scales, got one of "
                f"{style.network}; learn it with that"
            )
    first, *others = [TwoScaleDrawer.from_style(style, backbone) for style in styles]
    return first.mixed(others, shares)
