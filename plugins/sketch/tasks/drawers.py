"""What draws in the style of a file, or in a mix of several."""

from collections.abc import Sequence
from pathlib import Path

from featurekit.core.errors import ConfigError
from featurekit.core.types import Job
from featurekit.diffusion.backbone import Backbone
from featurekit_sketch.config import SketchConfig, tiling_of
from featurekit_sketch.drawer import Drawer
from featurekit_sketch.settings import TWO_SCALES, Tiling
from featurekit_sketch.tasks.tiled_sketcher import TiledSketcher
from featurekit_sketch.tasks.unused_settings import check_reading
from featurekit_sketch.training.sketcher import Sketcher
from featurekit_sketch.training.style_file import Style, digest, load_style
from featurekit_sketch.two_scales.drawer import TwoScaleDrawer


def style_files(config: SketchConfig) -> list[Path]:
    """Files of the styles that are drawn in, in the order of ``plugin.mix``.

    Raises:
        ConfigError: styles are to be mixed, and ``plugin.style`` is no folder.
    """
    where = Path(str(config.style)).expanduser()
    if not config.mix:
        return [where]
    if not where.is_dir():
        raise ConfigError(
            f"plugin.mix names styles in a folder, but plugin.style={str(where)!r} is none; give "
            f"the folder of a run with plugin.drawings"
        )
    return [where / f"{name}.safetensors" for name in config.mix]


def drawer_from(job: Job) -> Drawer:
    """Take up the style that a job names, or mix its styles.

    Raises:
        ConfigError: a style is of another backbone, damaged, or cannot be mixed with others.
    """
    config: SketchConfig = job.settings
    styles = []
    for path in style_files(config):
        style = load_style(path, job.backbone.name, digest(job.backbone.weights))
        check_reading(config, style, backbone=job.backbone.name)
        styles.append(style)
    if not config.mix:
        return drawer_of(styles[0], job.backbone, tiling_of(config))
    return _mixed(styles, list(config.mix.values()), job.backbone)


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


def _mixed(styles: Sequence[Style], shares: Sequence[float], backbone: Backbone) -> Drawer:
    for style in styles:
        if style.network != TWO_SCALES:
            raise ConfigError(
                f"styles that are mixed must be of plugin.network=two_scales, got one of "
                f"{style.network}; learn it with that"
            )
    first, *others = [TwoScaleDrawer.from_style(style, backbone) for style in styles]
    return first.mixed(others, shares)
