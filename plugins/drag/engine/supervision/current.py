"""The patch ahead is asked to be the one that is at the handle now."""

from torch import Tensor

from featurekit_drag.engine.parts import Drags, Pull
from featurekit_drag.engine.settings import Rule
from featurekit_drag.engine.supervision.motion_supervision import motion_loss


def current(before: Tensor, drags: Drags, rule: Rule) -> Pull:
    """Make the loss of DragDiffusion, whose reference moves with the handle.

    Args:
        before: features of the unmoved latent (1 c h w), not needed here.
        drags: for the targets.
        rule: radii, step and reduction.

    Source: Shi et al. 2024, arXiv:2306.14435, eq. 3.
    """
    del before
    return lambda field, handles: motion_loss(field, handles, drags.targets, rule=rule)
