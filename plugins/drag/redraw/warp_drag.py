"""A drag by a plan: the layer is moved in pixels, and the model redraws what that uncovers."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from torch import Tensor

from featurekit.core.cache import Slot
from featurekit.core.shapes import expect
from featurekit.core.types import Progress, Stop, silent
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
    "anchored": "the layer is held on a side of the mask, or on two, and stretched to the target",
    "elastic": "the layer bends between its handles and what holds it",
    "regions": "what was brushed moves",
}


class WarpDrag:
    """Drags by planning a warp and redrawing what it uncovers; nothing is optimised or inverted.

    Pixels that only move keep the picture's full resolution, whatever size the model works at.
    """

    def __init__(
        self,
        backbone: Backbone,
        settings: WarpSettings | None = None,
        planner: Planner | None = None,
    ) -> None:
        """Make it.

        Args:
            backbone: its taps must be maps over the picture.
            settings: by default those of Stable Diffusion 1.x and 2.x.
            planner: of the picture that is edited next, whose features are not read again.
        """
        self.backbone, self._ready = backbone, planner
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

    @property
    def changes_network(self) -> bool:
        """No: between its steps the network is as it was loaded."""
        return False

    def kept(self, request: Request) -> Mapping[str, Slot[Any]]:
        """Nothing is: a plan takes about as long as to look for one."""
        return {}

    def planner(self, request: Request, progress: Progress = silent) -> Planner:
        """Read the features of a request's picture, at the size that the model works at."""
        if self._ready is not None and self._ready.image is request.image:
            return self._ready
        view = view_of(request.image, self.settings.side_px)
        return Planner.of(self.backbone, request, view, self.settings.plan, progress=progress)

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
            planner = self.planner(request, progress)
            plan = planner.plan(request, self.settings.plan)
            laid = plan.laid(request.image)
            progress(1, 1)
        return self.edit(request, planner, plan, laid, stage=stage)

    def edit(
        self, request: Request, planner: Planner, plan: WarpPlan, laid: Laid, *, stage: Stage
    ) -> Edit:
        """Redraw and compose what was planned and laid."""
        filled = self._filled(request, planner, plan, laid, stage)
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

    def _filled(
        self, request: Request, planner: Planner, plan: WarpPlan, laid: Laid, stage: Stage
    ) -> Filled:
        """Fill the hole by what the settings ask for, or by what goes better with its ring."""
        asked = self.settings.redraw
        uncovers, settles = bool(laid.hole.any()), asked.settle and plan.kind == "similarity"
        if not (uncovers or settles) or (asked.fill != "patches" and not asked.strength):
            return Filled((laid.picture,), facts={"filled_by": "smooth" if uncovers else "nothing"})
        if asked.fill == "patches":
            patched = self._patched(request, plan, laid, stage)
            return Filled((patched,), facts={"filled_by": "patches"})
        pictures, best = self._redrawn(request, planner, plan, laid, stage)
        redrawn = Filled(tuple(pictures), best, facts={"filled_by": "model"})
        view = view_of(request.image, self.settings.side_px)
        if not uncovers or asked.fill == "model" or planner.is_known:
            return redrawn
        patched = self._patched(request, plan, laid, stage)
        found = compared(self.backbone, view, plan, laid, (request.image, pictures[best], patched))
        if found.model_is_better:
            return replace(redrawn, remarks=(found.told,), facts=found.facts)
        return Filled((patched,), 0, (found.told,), found.facts)

    def _patched(self, request: Request, plan: WarpPlan, laid: Laid, stage: Stage) -> Tensor:
        with stage("patches for what was uncovered") as progress:
            patched = over_patches(request.image, plan, laid, seed=request.seed)
            progress(1, 1)
        return patched

    def _redrawn(
        self, request: Request, planner: Planner, plan: WarpPlan, laid: Laid, stage: Stage
    ) -> tuple[list[Tensor], int]:
        """Pictures with the hole redrawn by the model, and the number of the one to take."""
        asked, view = self.settings.redraw, view_of(request.image, self.settings.side_px)
        hole = grown(laid.hole, max(1, round(plan.grid.unit_px))) * plan.inside
        opened, settles = bool(hole.any()), asked.settle and plan.kind == "similarity"
        pictures, best = [laid.picture], 0
        if not asked.strength or not (opened or settles):
            return pictures, best
        draw = self._redrawing(request, planner, view)
        if opened:
            with stage("redraw of what was uncovered") as progress:
                latents = draw(
                    view.take(laid.picture),
                    view.take_mask(hole),
                    strength=asked.strength,
                    candidates=asked.candidates,
                    seed=request.seed,
                    progress=progress,
                )
                drawn = self._decoded(latents, view, request, progress)
            soft = blurred(hole, round(plan.grid.unit_px)) * (1 - laid.moved) * plan.inside
            pictures = [soft * one + (1 - soft) * laid.picture for one in torch.split(drawn, 1)]
            best = most_typical(latents)
        if settles:
            with stage("settling") as progress:
                pictures = [
                    self._settled(picture, request, plan, draw, partly(progress, k, len(pictures)))
                    for k, picture in enumerate(pictures)
                ]
        return pictures, best

    def _redrawing(self, request: Request, planner: Planner, view: Window) -> Redrawing:
        """The model under the picture's prompt, beside the picture's latent."""
        attention, source = self.settings.redraw.attention, planner.latent
        if source is None and attention:
            with torch.no_grad():
                source = self.backbone.encode(view.take(request.image))
        predict = self.backbone.predictor(self.backbone.embed(request.prompt))
        return Redrawing(
            self.backbone, predict, source if attention else None, self.schedule, attention
        )

    def _settled(
        self, picture: Tensor, request: Request, plan: WarpPlan, draw: Redrawing, progress: Progress
    ) -> Tensor:
        """Redraw all inside the mask from a low level: edges that were turned or scaled soften."""
        view = view_of(request.image, self.settings.side_px)
        latents = draw(
            view.take(picture),
            view.take_mask(plan.inside),
            strength=self.settings.redraw.settle,
            candidates=1,
            seed=request.seed + 1,
            progress=progress,
        )
        return self._decoded(latents, view, request, progress)

    def _decoded(
        self, latents: Tensor, view: Window, request: Request, progress: Progress
    ) -> Tensor:
        """Decode latents of the view to pictures (n 3 h w) of the request's size.

        One at a time: a decoder holds more of a picture than the network does of its latent.
        """
        rows, columns = view.work_px
        pictures = []
        for number, latent in enumerate(torch.split(latents, 1)):
            if number:
                progress(1, 1)
            with torch.no_grad():
                pictures.append(self.backbone.decode(latent))
        drawn = crop(torch.cat(pictures), rows, columns).to(request.image)
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


def partly(progress: Progress, number: int, count: int) -> Progress:
    """Tell the progress of one of several equal parts as that of all of them."""
    return lambda done, total: progress(number * total + done, count * total)


def blurred(hole: Tensor, radius: int) -> Tensor:
    """Soften the border of a hole (1 1 h w) by a box of that radius in px, at least 1."""
    radius = max(1, radius)
    for side, pad in (((2 * radius + 1, 1), (radius, 0)), ((1, 2 * radius + 1), (0, radius))):
        hole = F.avg_pool2d(hole, side, stride=1, padding=pad)
    return hole


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
