"""The loop of DragDiffusion on any model that can be looked at: supervise, update, track."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from featurekit.core.types import Progress, Stop, silent
from featurekit.diffusion.optimise import Limits, optimise
from featurekit_drag.engine.motion_supervision import motion_loss, patches
from featurekit_drag.engine.point_tracking import track
from featurekit_drag.engine.settings import Rule


@dataclass(frozen=True)
class Glance:
    """What one look at a latent shows."""

    field: Tensor  # feature map (1 c h w), with its graph
    onward: Tensor | None  # the latent one DDIM step less noisy; None where nobody asks


@dataclass(frozen=True)
class Hold:
    """What must stay where it is."""

    editable: Tensor  # (1 1 h w) at latent resolution, 1 where the latent may change
    freeze: bool  # True: no update outside at all; False: change there costs mask_weight


@dataclass(frozen=True)
class Pulled:
    """A moved latent and the way its handles went."""

    latent: Tensor
    stop: Stop
    trace: tuple[float, ...]  # loss before each update
    way: tuple[Tensor, ...]  # tracked handles (n 2) in units: at the start, then at every look
    stations: tuple[Tensor, ...]  # the latent at every look


class _Pull:
    """State of one drag: the unmoved features and where the handles are now."""

    def __init__(self, look: Callable[[Tensor], Glance], rule: Rule, hold: Hold | None) -> None:
        self.look, self.rule, self.hold = look, rule, hold
        self.way: list[Tensor] = []
        self.stations: list[Tensor] = []

    def start(self, z: Tensor, handles: Tensor, targets: Tensor) -> None:
        """Remember the unmoved latent: its templates, anchors and onward latent."""
        self.z0, self.targets = z.detach(), targets
        with torch.no_grad():
            glance = self.look(self.z0)
        self.onward0 = glance.onward
        self.templates = patches(glance.field, handles, radius=0)[:, 0]
        self.anchors = (
            patches(glance.field, handles, radius=self.rule.patch_radius)
            if self.rule.reference == "initial"
            else None
        )
        self.way.append(handles)

    def loss(self, z: Tensor, update: int) -> Tensor | Stop:
        """One look: follow the handles, then ask them onward."""
        if self.hold is not None and self.hold.freeze:
            z = torch.where(self.hold.editable > 0, z, self.z0)
        glance = self.look(z)
        if not glance.field.isfinite().all():
            return glance.field.sum()  # not finite either: the loop ends as diverged
        self.stations.append(z.detach().clone())  # Adam changes z in place
        if update > 0:
            self.way.append(
                track(
                    glance.field.detach(),
                    self.way[-1],
                    self.templates,
                    radius=self.rule.track_radius,
                )
            )
        handles = self.way[-1]
        if ((self.targets - handles).norm(dim=1) < self.rule.stop_distance).all():
            return Stop.REACHED
        moved = motion_loss(
            glance.field, handles, self.targets, rule=self.rule, anchors=self.anchors
        )
        return moved + self.rule.mask_weight * self._change_outside(glance)

    def _change_outside(self, glance: Glance) -> Tensor:
        if self.hold is None or glance.onward is None or self.onward0 is None:
            return glance.field.new_zeros(())
        return ((glance.onward - self.onward0).abs() * (1 - self.hold.editable)).sum()


def pull(
    look: Callable[[Tensor], Glance],
    z: Tensor,
    points: tuple[Tensor, Tensor],
    *,
    rule: Rule,
    hold: Hold | None = None,
    progress: Progress = silent,
) -> Pulled:
    """Optimise a latent until its features show every handle at its target.

    Each update looks once: the same features serve tracking and supervision. The look that
    finds every handle within ``rule.stop_distance`` ends the loop before any update.

    Args:
        look: latent (1 c h w) to features and, where a mask is priced, the onward latent.
        z: the latent to move, not changed in place.
        points: handles and targets in unit coordinates, (n 2) each.
        rule: radii, step, stop distance, reference, mask weight, and Adam's settings.
        hold: mask; None lets everything move.
        progress: called after every update.

    Returns:
        The moved latent, why the loop ended, losses, and the way of the handles.

    Source: Shi et al. 2024, arXiv:2306.14435, section 3.3; mask term eq. 3 as a sum over the
    latent, as in the published code.
    """
    run = _Pull(look, rule, hold)
    run.start(z, *points)
    limits = Limits(updates=rule.updates, learning_rate=rule.learning_rate)
    moved = optimise(z, run.loss, limits=limits, progress=progress)
    latent = moved.latent
    if hold is not None and hold.freeze:
        latent = torch.where(hold.editable > 0, latent, run.z0)
    return Pulled(latent, moved.stop, moved.trace, tuple(run.way), tuple(run.stations))
