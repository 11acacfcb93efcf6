"""Latent optimisation: motion supervision, an update and point tracking, over and over."""

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
class Readout:
    """What one forward of the network says of a latent."""

    field: Tensor  # feature map (1 c h w), with its graph
    next_latent: Tensor | None  # one DDIM step less noisy; None where the mask term is not asked


@dataclass(frozen=True)
class LatentMask:
    """What of the latent may change, and how the rest is kept."""

    editable: Tensor  # (1 1 h w) at latent resolution, 1 where the latent may change
    freeze: bool  # True: no update outside at all; False: change there costs mask_weight


@dataclass(frozen=True)
class DraggedLatent:
    """An optimised latent, and where its handles were on the way."""

    latent: Tensor
    stop: Stop
    trace: tuple[float, ...]  # loss before each update
    handle_path: tuple[Tensor, ...]  # tracked handles (n 2) in units: at first, then each forward
    latents: tuple[Tensor, ...]  # the latent of every forward


class _Drag:
    """State of one drag: the unmoved features and where the handles are now."""

    def __init__(
        self, read: Callable[[Tensor], Readout], rule: Rule, mask: LatentMask | None
    ) -> None:
        self.read, self.rule, self.mask = read, rule, mask
        self.handle_path: list[Tensor] = []
        self.latents: list[Tensor] = []

    def start(self, z: Tensor, handles: Tensor, targets: Tensor) -> None:
        """Remember the unmoved latent: its templates, its anchors, and where it goes next."""
        self.z0, self.targets = z.detach(), targets
        with torch.no_grad():
            readout = self.read(self.z0)
        self.next_latent0 = readout.next_latent
        self.templates = patches(readout.field, handles, radius=0)[:, 0]
        self.anchors = (
            patches(readout.field, handles, radius=self.rule.patch_radius)
            if self.rule.reference == "initial"
            else None
        )
        self.handle_path.append(handles)

    def loss(self, z: Tensor, update: int) -> Tensor | Stop:
        """One forward: track the points, then supervise their motion."""
        if self.mask is not None and self.mask.freeze:
            z = torch.where(self.mask.editable > 0, z, self.z0)
        readout = self.read(z)
        if not readout.field.isfinite().all():
            return readout.field.sum()  # not finite either: the loop ends as diverged
        self.latents.append(z.detach().clone())  # Adam changes z in place
        if update > 0:
            self.handle_path.append(
                track(
                    readout.field.detach(),
                    self.handle_path[-1],
                    self.templates,
                    radius=self.rule.track_radius,
                )
            )
        handles = self.handle_path[-1]
        if ((self.targets - handles).norm(dim=1) < self.rule.stop_distance).all():
            return Stop.REACHED
        moved = motion_loss(
            readout.field, handles, self.targets, rule=self.rule, anchors=self.anchors
        )
        return moved + self.rule.mask_weight * self._change_outside(readout)

    def _change_outside(self, readout: Readout) -> Tensor:
        if self.mask is None or readout.next_latent is None or self.next_latent0 is None:
            return readout.field.new_zeros(())
        change = (readout.next_latent - self.next_latent0).abs()
        return (change * (1 - self.mask.editable)).sum()


def drag_latent(
    read: Callable[[Tensor], Readout],
    z: Tensor,
    points: tuple[Tensor, Tensor],
    *,
    rule: Rule,
    mask: LatentMask | None = None,
    progress: Progress = silent,
) -> DraggedLatent:
    """Optimise a latent until its features show every handle at its target.

    Each update takes one forward: the same features serve point tracking and motion supervision.
    The forward that finds every handle within ``rule.stop_distance`` ends the loop before any
    update.

    Args:
        read: latent (1 c h w) to features and, for the mask term, the next latent.
        z: the latent to move, not changed in place.
        points: handles and targets in unit coordinates, (n 2) each.
        rule: radii, step, stop distance, reference, mask weight, and Adam's settings.
        mask: None lets everything move.
        progress: called after every update.

    Returns:
        The optimised latent, why the loop ended, losses, and the path of the handles.

    Source: Shi et al. 2024, arXiv:2306.14435, section 3.3; mask term eq. 3 as a sum over the
    latent, as in the published code.
    """
    run = _Drag(read, rule, mask)
    run.start(z, *points)
    limits = Limits(updates=rule.updates, learning_rate=rule.learning_rate)
    moved = optimise(z, run.loss, limits=limits, progress=progress)
    latent = moved.latent
    if mask is not None and mask.freeze:
        latent = torch.where(mask.editable > 0, latent, run.z0)
    return DraggedLatent(
        latent, moved.stop, moved.trace, tuple(run.handle_path), tuple(run.latents)
    )
