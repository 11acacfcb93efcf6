"""What draws in the style of a file."""

from featurekit.diffusion.backbone import Backbone
from featurekit_sketch.drawer import Drawer
from featurekit_sketch.settings import TWO_SCALES, Tiling
from featurekit_sketch.tasks.tiled_sketcher import TiledSketcher
from featurekit_sketch.training.sketcher import Sketcher
from featurekit_sketch.training.style_file import Style
from featurekit_sketch.two_scales.drawer import TwoScaleDrawer


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
