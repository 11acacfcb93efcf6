"""A drag by a warp that can be watched while it goes on: its pictures before they are done."""

from collections.abc import Callable
from dataclasses import replace
from typing import Self, TypeAlias

import torch
from torch import Tensor

from featurekit.core.types import Predict
from featurekit.diffusion.flow_table import FlowTable
from featurekit.diffusion.levels import ForwardProcess
from featurekit.images.coordinates import Window, crop
from featurekit_drag.engine.edit import Edit
from featurekit_drag.engine.request import Request, Stage
from featurekit_drag.plan.grid import reached
from featurekit_drag.plan.laying import Laid
from featurekit_drag.plan.warp_plan import Planner, WarpPlan
from featurekit_drag.redraw.hole import Redrawing
from featurekit_drag.redraw.warp_drag import WarpDrag

Look: TypeAlias = Callable[[str, Callable[[], Tensor]], None]
"""Told a word and what makes the picture of that moment, which costs nothing until it is called."""


class Watched(WarpDrag):
    """The same edit to the last bit; whoever looks on is shown the first candidate."""

    _look: Look
    _laid: tuple[WarpPlan, Laid]

    @classmethod
    def by(cls, drag: WarpDrag, look: Look) -> Self:
        """Let somebody look on at a drag."""
        own = cls(drag.backbone, drag.settings, drag._ready)
        own._look = look
        return own

    def edit(
        self, request: Request, planner: Planner, plan: WarpPlan, laid: Laid, *, stage: Stage
    ) -> Edit:
        """Show what was laid, then go on."""
        self._laid = (plan, laid)
        self._look("warp", lambda: laid.box.laid(laid.picture, request.image))
        return super().edit(request, planner, plan, laid, stage=stage)

    def _redrawing(self, request: Request, planner: Planner, view: Window) -> Redrawing:
        own = super()._redrawing(request, planner, view)
        number = 0 if own.source is None else 1  # the first row is the source's
        return replace(own, predict=self._seen(own.predict, request, view, number))

    def _seen(self, predict: Predict, request: Request, view: Window, number: int) -> Predict:
        """Show after each call what the picture would be without the noise that was found."""

        def seen(z: Tensor, timestep: float | Tensor) -> Tensor:
            found = predict(z, timestep)
            latent, noise = z[number : number + 1], found[number : number + 1]
            self._look("redraw", lambda: self._picture(request, view, (latent, noise, timestep)))
            return found

        return seen

    @torch.no_grad()
    def _picture(
        self, request: Request, view: Window, call: tuple[Tensor, Tensor, float | Tensor]
    ) -> Tensor:
        """The picture (1 3 h w) with its hole as the model expects it to become."""
        latent, found, timestep = call
        plan, laid = self._laid
        clean = without_noise(self.backbone.noise, latent, found, timestep)
        drawn = crop(self.backbone.decode(clean), *view.work_px).clamp(-1, 1)
        drawn = request.in_its_colours(drawn)
        hole = reached(laid.hole, max(1, round(plan.grid.unit_px))) * laid.box.of(plan.inside)
        return laid.box.laid(self._laid_over(laid, plan, hole, view, drawn)[0], request.image)


def without_noise(
    noise: ForwardProcess, z: Tensor, found: Tensor, timestep: float | Tensor
) -> Tensor:
    """What is left of a noised latent (1 c h w) once the noise that was found is taken away.

    Args:
        noise: the model's table; of a flow ``found`` is a velocity.
        z: latent.
        found: what the model answered.
        timestep: at which.
    """
    level = noise.level(torch.as_tensor(timestep).reshape(1)).to(z)
    if isinstance(noise, FlowTable):
        return z - level * found
    return (z - (1 - level).sqrt() * found) / level.sqrt()
