"""A handle never goes back: only units that are not farther from its target, if one is like it."""

from torch import Tensor

from featurekit_drag.engine.parts import Drags, Follow
from featurekit_drag.engine.settings import Rule
from featurekit_drag.engine.supervision.motion_supervision import patches
from featurekit_drag.engine.tracking.point_tracking import candidates_of

ROUNDING = 1e-9  # units by which equal distances may differ


def directional(before: Tensor, drags: Drags, rule: Rule) -> Follow:
    """Make a tracker that looks only forward and says nothing where it is not sure.

    Of the units in the window those count that are not farther from the target than the handle is
    now. Where even the nearest of them has a mean L1 to the template above ``rule.revert_above``
    the handle stays where it is.

    Args:
        before: features of the unmoved latent (1 c h w) of this level.
        drags: initial handles, whose features there are the templates, and targets.
        rule: radius and the mean L1 from which on it is not sure; 0 is always sure.

    Source: the candidates and the confidence of DragLoRA (ICML 2025), as its code has them; it
    retries up to three times where this stays.
    """
    templates = patches(before, drags.handles, radius=0)[:, 0]

    def follow(field: Tensor, handles: Tensor) -> Tensor:
        found = handles.clone()
        rows = zip(handles, drags.targets, templates, strict=True)
        for number, (handle, target, template) in enumerate(rows):
            places, distances = candidates_of(field, handle, template, radius=rule.track_radius)
            ahead = (target - places).norm(dim=1) <= (target - handle).norm() + ROUNDING
            distances = distances.where(ahead, distances.new_tensor(float("inf")))
            least = distances.min()
            if rule.revert_above and least / len(template) > rule.revert_above:
                continue
            found[number] = places[(distances == least).nonzero()[0, 0]]
        return found

    return follow
