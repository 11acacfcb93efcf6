"""What draws: the network of a style's file, or a student."""

from dataclasses import dataclass
from pathlib import Path

from featurekit.core.errors import ConfigError
from featurekit.core.file_bytes import sha256_of
from featurekit.core.types import Job
from featurekit.diffusion.backbone import Backbone
from featurekit_sketch.config import SketchConfig, tiling_of
from featurekit_sketch.distillation.student_drawer import student_drawer
from featurekit_sketch.drawer import Drawer
from featurekit_sketch.settings import TWO_SCALES, Tiling
from featurekit_sketch.tasks.tiled_sketcher import TiledSketcher
from featurekit_sketch.tasks.unused_settings import check_reading
from featurekit_sketch.training.sketcher import Sketcher
from featurekit_sketch.training.style_file import Style, digest, load_style
from featurekit_sketch.two_scales.drawer import TwoScaleDrawer


@dataclass(frozen=True)
class DrawingFiles:
    """The files that a run draws with: a style, a student of one, or both."""

    style: Path | None
    student: Path | None

    @classmethod
    def of(cls, config: SketchConfig) -> "DrawingFiles":
        """Those that the settings name."""
        names = (config.style, config.student)
        return cls(*(Path(name).expanduser() if name else None for name in names))

    @property
    def paths(self) -> list[Path]:
        """Of those that are given."""
        return [path for path in (self.style, self.student) if path is not None]

    def student_drawer(self) -> Drawer | None:
        """The student, if there is one; it must be of the style, if that is given too.

        Raises:
            ConfigError: one of the files cannot be used, or they do not belong together.
        """
        if self.student is None:
            return None
        if self.style is not None and not self.style.is_file():
            raise ConfigError(
                f"plugin.style must be a file, but there is none at {str(self.style)!r}; leave it "
                f"out, or give the style that the student was distilled from"
            )
        return student_drawer(self.student, style=sha256_of(self.style) if self.style else None)


def drawer_for(job: Job, files: DrawingFiles) -> Drawer:
    """What a job draws with.

    Raises:
        ConfigError: a file cannot be used, is of another backbone, or the two do not belong
            together; or plugin.svg is asked for and what is drawn are no lines.
    """
    config: SketchConfig = job.settings
    student = files.student_drawer()
    if student is not None:
        return student
    style = load_style(files.paths[0], job.backbone.name, digest(job.backbone.weights))
    check_reading(config, style, backbone=job.backbone.name)
    if config.svg and style.ink_channels != 1:
        raise ConfigError(
            "plugin.svg traces drawings of one ink, but the style draws in colours; leave it out"
        )
    return drawer_of(style, job.backbone, tiling_of(config))


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
