"""The patch ahead is asked to be the one at the initial handle of the unmoved features."""

from torch import Tensor

from featurekit_drag.engine.parts import Drags, Pull
from featurekit_drag.engine.settings import Rule
from featurekit_drag.engine.supervision.motion_supervision import motion_loss, patches


def anchored(before: Tensor, drags: Drags, rule: Rule) -> Pull:
    """Make the loss of information-preserving supervision: errors do not add up on the way.

    Args:
        before: features of the unmoved latent (1 c h w) of this level.
        drags: initial handles, and targets.
        rule: radii, step and reduction.

    Source: Zhang et al. 2025, arXiv:2404.07206, section 3.3 (GoodDrag).
    """
    anchors = patches(before, drags.handles, radius=rule.patch_radius)
    return lambda field, handles: motion_loss(
        field, handles, drags.targets, rule=rule, anchors=anchors
    )
