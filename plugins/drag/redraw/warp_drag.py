"""A drag by a plan: the layer is moved in pixels, and the model redraws what that uncovers."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from torch import Tensor

from featurekit.core.cache import Slot
from featurekit.core.shapes import expect
from featurekit.core.types import Stop
from featurekit.diffusion.backbone import Backbone
from featurekit.diffusion.noise_schedule import Schedule
from featurekit.images.coordinates import Window, crop
from featurekit_drag.engine.edit import Edit, Frame, Seam
from featurekit_drag.engine.masks import check_mask, compose, feathered
from featurekit_drag.engine.request import Request, Stage, untimed
from featurekit_drag.engine.settings import WarpSettings
from featurekit_drag.plan.grid import grown
from featurekit_drag.plan.laying import Laid
from featurekit_drag.plan.warp_plan import Planner, WarpPlan
from featurekit_drag.redraw.comparison import Filled, compared
from featurekit_drag.redraw.hole import Redrawing, most_typical
from featurekit_drag.redraw.patch_fill import over_patches

KINDS = {
    "move": "the layer under the handle moves as a whole",
    "similarity": "the layer under the handles turns and scales",
    "anchored": "the layer is held on one side of the mask and stretched to the target",
    "elastic": "the layer bends between its handles and what holds it",
    "regions": "what was brushed moves",
}


class WarpDrag:
    """Drags by planning a warp and redrawing what it uncovers; nothing is optimised or inverted.

    Pixels that only move keep the picture's full resolution, whatever size the model works at.
    """

    def __init__(self, backbone: Backbone, settings: WarpSettings | None = None) -> None:
        """Make it with a backbone whose taps are maps over the picture."""
        self.backbone = backbone
        self.settings = WarpSettings() if settings is None else settings
        self.schedule = Schedule.ddim(backbone.noise, steps=self.settings.redraw.steps)
        if self.settings.redraw.strength:
            self.schedule.level_for(self.settings.redraw.strength)

    @property
    def seam(self) -> Seam:
        """How its edits are laid into a larger picture."""
        return Seam(self.settings.feather_px, composite=True)

    @property
    def keeps_resolution(self) -> bool:
        """Yes: only what is redrawn goes through the autoencoder."""
        return True

    def kept(self, request: Request) -> Mapping[str, Slot[Any]]:
        """Nothing is: a plan takes about as long as to look for one."""
        return {}

    def planner(self, request: Request) -> Planner:
        """Read the features of a request's picture, at the size that the model works at."""
        view = view_of(request.image, self.settings.side_px)
        return Planner.of(self.backbone, request, view, self.settings.plan)

    def __call__(self, request: Request, *, stage: Stage = untimed) -> Edit:
        """Plan, lay, redraw, compose.

        Raises:
            ShapeError: image or mask have other axes.
            MaskError: a handle lies outside the mask.
        """
        size = expect(request.image, "1 3 h w", of="image")
        if request.mask is not None:
            expect(request.mask, "1 1 h w", of="mask", h=size["h"], w=size["w"])
            if not request.regions:
                check_mask(request.mask, request.points)
        with stage("plan of the warp") as progress:
            planner = self.planner(request)
            progress(1, 2)
            plan = planner.plan(request, self.settings.plan)
            laid = plan.laid(request.image)
            progress(2, 2)
        return self.edit(request, planner, plan, laid, stage=stage)

    def edit(
        self, request: Request, planner: Planner, plan: WarpPlan, laid: Laid, *, stage: Stage
    ) -> Edit:
        """Redraw and compose what was planned and laid."""
        filled = self._filled(request, plan, laid, stage)
        best, pictures = filled.best, filled.pictures
        finished = tuple(self._finished(one, request, plan) for one in pictures)
        return Edit(
            image=finished[best],
            stop=Stop.DONE,
            frames=self._frames(request, planner, finished[best]),
            candidates=finished if len(finished) > 1 else (),
            stages={"warp": self._finished(laid.picture, request, plan)},
            remarks=(*remarks_on(plan, self.settings.plan.mode), *filled.remarks),
            facts={
                "kind": plan.kind,
                "layer_found": plan.stands_out,
                "layer_by": "features" if planner.is_known else "colours",
                "uncovered_share": float(laid.hole.mean()),
                "chosen": best,
                "hole": dict(filled.facts),
            },
        )

    def _filled(self, request: Request, plan: WarpPlan, laid: Laid, stage: Stage) -> Filled:
        """Fill the hole by what the settings ask for, or by what goes better with its ring."""
        asked = self.settings.redraw
        if not bool(laid.hole.any()):
            return Filled((laid.picture,), facts={"filled_by": "nothing"})
        if asked.hole != "fill" and not asked.strength:
            return Filled((laid.picture,), facts={"filled_by": "smooth"})
        if asked.hole == "model":
            pictures, best = self._redrawn(request, plan, laid, stage)
            return Filled(tuple(pictures), best, facts={"filled_by": "model"})
        with stage("patches for what was uncovered") as progress:
            patched = over_patches(request.image, plan, laid, seed=request.seed)
            progress(1, 1)
        if asked.hole == "fill":
            return Filled((patched,), facts={"filled_by": "fill"})
        pictures, best = self._redrawn(request, plan, laid, stage)
        view = view_of(request.image, self.settings.side_px)
        found = compared(self.backbone, view, plan, laid, (request.image, pictures[best], patched))
        if found.model_is_better:
            return Filled(tuple(pictures), best, (found.told,), found.facts)
        return Filled((patched,), 0, (found.told,), found.facts)

    def _redrawn(
        self, request: Request, plan: WarpPlan, laid: Laid, stage: Stage
    ) -> tuple[list[Tensor], int]:
        """Pictures with the hole redrawn by the model, and the number of the one to take."""
        asked, view = self.settings.redraw, view_of(request.image, self.settings.side_px)
        hole = grown(laid.hole, max(1, round(plan.grid.unit_px))) * plan.inside
        with torch.no_grad():
            source = self.backbone.encode(view.take(request.image))
        predict = self.backbone.predictor(self.backbone.embed(request.prompt))
        draw = Redrawing(self.backbone, predict, source, self.schedule, asked.attention)
        with stage("redraw of what was uncovered") as progress:
            latents = draw(
                view.take(laid.picture),
                view.take_mask(hole),
                strength=asked.strength,
                candidates=asked.candidates,
                seed=request.seed,
                progress=progress,
            )
            drawn = self._decoded(latents, view, request)
        soft = blurred(hole, round(plan.grid.unit_px)) * (1 - laid.moved) * plan.inside
        pictures = [soft * one + (1 - soft) * laid.picture for one in drawn.split(1)]
        if asked.settle and plan.kind == "similarity":
            with stage("settling") as progress:
                for number, picture in enumerate(pictures):
                    pictures[number] = self._settled(picture, request, plan, draw, view)
                    progress(number + 1, len(pictures))
        return pictures, most_typical(latents)

    def _settled(
        self, picture: Tensor, request: Request, plan: WarpPlan, draw: Redrawing, view: Window
    ) -> Tensor:
        """Redraw all inside the mask from a low level: edges that were turned or scaled soften."""
        latents = draw(
            view.take(picture),
            view.take_mask(plan.inside),
            strength=self.settings.redraw.settle,
            candidates=1,
            seed=request.seed + 1,
        )
        return self._decoded(latents, view, request)

    def _decoded(self, latents: Tensor, view: Window, request: Request) -> Tensor:
        """Decode latents of the view to pictures (n 3 h w) of the request's size."""
        rows, columns = view.work_px
        with torch.no_grad():
            drawn = self.backbone.decode(latents)
        drawn = crop(drawn, rows, columns).to(request.image)
        blank = request.image.expand(len(drawn), -1, -1, -1)
        return view.put(drawn, blank, torch.ones_like(request.image[:, :1]))

    def _finished(self, picture: Tensor, request: Request, plan: WarpPlan) -> Tensor:
        width = round(self.settings.feather_px * view_of(picture, self.settings.side_px).shrink)
        return compose(picture.clamp(-1, 1), request.image, feathered(plan.inside, width))

    def _frames(self, request: Request, planner: Planner, image: Tensor) -> tuple[Frame, ...]:
        """The warp of the first parts of the drag, then the edit."""
        count, frames = self.settings.animation_frames, []
        for share in (k / count for k in range(1, count)):
            part = request.up_to(share)
            plan = planner.plan(part, self.settings.plan)
            picture = self._finished(plan.laid(request.image).picture, request, plan)
            frames.append(Frame(picture, part.points.targets))
        return (*frames, Frame(image, request.points.targets)) if count else ()


def view_of(image: Tensor, side_px: int) -> Window:
    """The whole of a picture (1 3 h w) at the size that the model works at.

    Args:
        image: of any size.
        side_px: of the longer side of the view; 0, or more than the picture has: as it is.
    """
    height, width = image.shape[-2:]
    longest = max(height, width)
    return Window(0, 0, width, height, longest / min(side_px or longest, longest))


def blurred(hole: Tensor, radius: int) -> Tensor:
    """Soften the border of a hole (1 1 h w) by a box of that radius in px, at least 1."""
    radius = max(1, radius)
    soft: Tensor = F.avg_pool2d(hole, 2 * radius + 1, stride=1, padding=radius)
    return soft


def remarks_on(plan: WarpPlan, mode: str) -> tuple[str, ...]:
    """Say what the plan does, and what to change where it is not what was meant."""
    if not plan.stands_out:
        return (
            "nothing stands out under the handle, so all that may change moves; draw plugin.mask "
            "around one thing, or brush the thing itself with plugin.regions",
        )
    told = KINDS[plan.kind]
    if mode == "auto" and plan.kind != "regions":
        told += (
            "; plugin.mode=" + ("reshape" if plan.kind == "move" else "move") + " asks otherwise"
        )
    return (told,)
