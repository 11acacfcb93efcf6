"""A handle is the unit in its window whose feature is nearest to its own at first."""

from torch import Tensor

from featurekit_drag.engine.parts import Drags, Follow
from featurekit_drag.engine.settings import Rule
from featurekit_drag.engine.supervision.motion_supervision import patches
from featurekit_drag.engine.tracking.point_tracking import track


def nearest(before: Tensor, drags: Drags, rule: Rule) -> Follow:
    """Make the tracker of DragDiffusion.

    Args:
        before: features of the unmoved latent (1 c h w) of this level.
        drags: for the initial handles, whose features there are the templates.
        rule: for the radius.

    Source: Shi et al. 2024, arXiv:2306.14435, eq. 5.
    """
    templates = patches(before, drags.handles, radius=0)[:, 0]
    return lambda field, handles: track(field, handles, templates, radius=rule.track_radius)
