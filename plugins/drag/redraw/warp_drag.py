"""A drag by a plan: the layer is moved in pixels, and the model redraws what that uncovers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from featurekit.core.cache import Slot
from featurekit.core.shapes import expect
from featurekit.core.types import Progress, Stop, silent
from featurekit.diffusion.backbone import Backbone
from featurekit.diffusion.flow_schedule import schedule_of
from featurekit.diffusion.levels import NoiseSchedule
from featurekit.images.coordinates import Window, crop, padded
from featurekit.images.parts import Box
from featurekit_drag.engine.edit import Edit, Made, Seam
from featurekit_drag.engine.masks import check_mask, compose, feathered
from featurekit_drag.engine.request import Request, Stage, untimed
from featurekit_drag.engine.settings import WarpSettings
from featurekit_drag.plan.grid import reached, summed
from featurekit_drag.plan.laying import Laid
from featurekit_drag.plan.warp_plan import Planner, WarpPlan
from featurekit_drag.redraw.comparison import Filled, compared
from featurekit_drag.redraw.frames import frames_of
from featurekit_drag.redraw.hole import Redrawing, most_typical
from featurekit_drag.redraw.patch_fill import over_patches
from featurekit_drag.redraw.remarks import remarks_on, unread_source, unseen_colours
from featurekit_drag.working_size import view_of


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
        self.schedule = self._schedule(backbone.sample_size)
        if self.settings.redraw.strength:
            self.schedule.level_for(self.settings.redraw.strength)

    def _schedule(self, cells: tuple[int, int]) -> NoiseSchedule:
        return schedule_of(self.backbone.noise, self.settings.redraw.steps, cells=cells)

    def schedule_at(self, image: Tensor) -> NoiseSchedule:
        """Noise levels of a redraw of a picture, which of some flows follow its size."""
        rows, columns = view_of(image, self.settings.side_px).work_px
        stride, multiple = self.backbone.stride, self.backbone.multiple
        return self._schedule(
            (padded(rows, multiple) // stride, padded(columns, multiple) // stride)
        )

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
            laid = plan.laid(request.image, self._box(plan))
            progress(1, 1)
        return self.edit(request, planner, plan, laid, stage=stage)

    def edit(
        self, request: Request, planner: Planner, plan: WarpPlan, laid: Laid, *, stage: Stage
    ) -> Edit:
        """Redraw and compose what was planned and laid."""
        filled = self._filled(request, planner, plan, laid, stage)
        best, pictures, box = filled.best, filled.pictures, laid.box
        image = box.laid(pictures[best], request.image)
        every = Made(
            len(pictures), lambda number: box.laid(pictures[number], request.image), {best: image}
        )
        return Edit(
            image=image,
            stop=Stop.DONE,
            frames=frames_of(request, planner, self.settings, image),
            candidates=every if len(every) > 1 else (),
            stages={"warp": box.laid(laid.picture, request.image)},
            remarks=(*remarks_on(plan, self.settings.plan.mode), *filled.remarks),
            facts={
                "kind": plan.kind,
                "layer_found": plan.stands_out,
                "layer_by": "features" if planner.is_known else "colours",
                "uncovered_share": float(laid.hole.sum()) / request.image[0, 0].numel(),
                "chosen": best,
                "hole": dict(filled.facts),
            },
            schedule=self.schedule_at(request.image).told,
        )

    def _box(self, plan: WarpPlan) -> Box:
        """The part that is worked on at full size: what moves, or all that is settled."""
        box, inside = plan.box, Box.around(plan.inside)
        if not self._settles(plan) or inside is None:
            return box
        wide = 1 + self._feather_px(plan)
        return box.with_(inside.grown(wide, wide, plan.size))

    def _settles(self, plan: WarpPlan) -> bool:
        return bool(self.settings.redraw.settle) and plan.kind == "similarity"

    def _feather_px(self, plan: WarpPlan) -> int:
        return round(self.settings.feather_px * view_of(plan.inside, self.settings.side_px).shrink)

    def _filled(
        self, request: Request, planner: Planner, plan: WarpPlan, laid: Laid, stage: Stage
    ) -> Filled:
        """Fill the hole by what the settings ask for, or by what goes better with its ring."""
        asked = self.settings.redraw
        uncovers, settles = bool(laid.hole.any()), self._settles(plan)
        if not (uncovers or settles) or (asked.fill != "patches" and not asked.strength):
            return Filled((laid.picture,), facts={"filled_by": "smooth" if uncovers else "nothing"})
        unseen = uncovers and asked.fill == "auto" and unseen_colours(self.backbone, request)
        if asked.fill == "patches" or unseen:
            patched = self._patched(request, plan, laid, stage)
            return Filled((patched,), 0, unseen or (), {"filled_by": "patches"})
        pictures, best = self._redrawn(request, planner, plan, laid, stage)
        unread = unread_source(self.backbone, asked.attention)
        redrawn = Filled(pictures, best, unread, {"filled_by": "model"})
        view = view_of(request.image, self.settings.side_px)
        if not uncovers or asked.fill == "model" or planner.is_known:
            return redrawn
        patched = self._patched(request, plan, laid, stage)
        found = compared(self.backbone, view, plan, laid, (request.image, pictures[best], patched))
        if found.model_is_better:
            return replace(redrawn, remarks=(found.told, *unread), facts=found.facts)
        return Filled((patched,), 0, (found.told,), found.facts)

    def _patched(self, request: Request, plan: WarpPlan, laid: Laid, stage: Stage) -> Tensor:
        with stage("patches for what was uncovered") as progress:
            patched = over_patches(request.image, plan, laid, seed=request.seed)
            progress(1, 1)
        return patched

    def _redrawn(
        self, request: Request, planner: Planner, plan: WarpPlan, laid: Laid, stage: Stage
    ) -> tuple[Sequence[Tensor], int]:
        """What was laid with its hole redrawn by the model, and the number of the one to take."""
        asked, view = self.settings.redraw, view_of(request.image, self.settings.side_px)
        hole = reached(laid.hole, max(1, round(plan.grid.unit_px))) * laid.box.of(plan.inside)
        pictures: Sequence[Tensor] = (laid.picture,)
        best, draw = 0, self._redrawing(request, planner, view)
        if bool(hole.any()):
            with stage("redraw of what was uncovered") as progress:
                latents = draw(
                    view.take(laid.box.laid(laid.picture, request.image)),
                    view.take_mask(laid.box.carried(hole, Box.whole(plan.size))),
                    strength=asked.strength,
                    candidates=asked.candidates,
                    seed=request.seed,
                    progress=progress,
                )
                drawn = request.in_its_colours(self._decoded(latents, view, progress))
            pictures, best = self._laid_over(laid, plan, hole, view, drawn), most_typical(latents)
        if self._settles(plan):
            with stage("settling") as progress:
                pictures = tuple(
                    self._settled(
                        picture, request, plan, laid, draw, partly(progress, k, len(pictures))
                    )
                    for k, picture in enumerate(pictures)
                )
        return pictures, best

    @staticmethod
    def _laid_over(
        laid: Laid, plan: WarpPlan, hole: Tensor, view: Window, drawn: Tensor
    ) -> Sequence[Tensor]:
        """Lay pictures of the view (n 3 h w) over a hole, softly and under the moved layers."""
        soft = blurred(hole, round(plan.grid.unit_px)).mul_(1 - laid.moved)
        soft *= laid.box.of(plan.inside)
        picture, box = laid.picture, laid.box  # all that is kept of it
        drawn = drawn.to(picture)

        def made(number: int) -> Tensor:
            whole = picture.clone()
            for channel in range(3):  # one at a time: a picture may be large
                found = view.enlarged(drawn[number, channel][None, None], box)
                whole[:, channel, None].lerp_(found, soft)
            return whole.clamp_(-1, 1)

        return Made(len(drawn), made)

    def _redrawing(self, request: Request, planner: Planner, view: Window) -> Redrawing:
        """The model under the picture's prompt, beside the picture's latent."""
        attention, source = self.settings.redraw.attention, planner.latent
        if source is None and attention:
            with torch.no_grad():
                source = self.backbone.encode(view.take(request.image))
        predict = self.backbone.predictor(self.backbone.embed(request.prompt))
        schedule = self.schedule_at(request.image)
        return Redrawing(self.backbone, predict, source if attention else None, schedule, attention)

    def _settled(
        self,
        picture: Tensor,
        request: Request,
        plan: WarpPlan,
        laid: Laid,
        draw: Redrawing,
        progress: Progress,
    ) -> Tensor:
        """Redraw all inside the mask from a low level: edges that were turned or scaled soften."""
        view, box = view_of(request.image, self.settings.side_px), laid.box
        latents = draw(
            view.take(box.laid(picture, request.image)),
            view.take_mask(plan.inside),
            strength=self.settings.redraw.settle,
            candidates=1,
            seed=request.seed + 1,
            progress=progress,
        )
        drawn = request.in_its_colours(self._decoded(latents, view, progress)).to(picture)
        found = view.enlarged(drawn, box)
        soft = feathered(box.of(plan.inside), self._feather_px(plan))
        return compose(found, box.of(request.image), soft).clamp_(-1, 1)

    def _decoded(self, latents: Tensor, view: Window, progress: Progress) -> Tensor:
        """Decode latents to pictures of the view, (n 3 h w).

        One at a time: a decoder holds more of a picture than the network does of its latent.
        """
        pictures = []
        for number, latent in enumerate(torch.split(latents, 1)):
            if number:
                progress(1, 1)
            with torch.no_grad():
                pictures.append(self.backbone.decode(latent))
        return crop(torch.cat(pictures), *view.work_px)


def partly(progress: Progress, number: int, count: int) -> Progress:
    """Tell the progress of one of several equal parts as that of all of them."""
    return lambda done, total: progress(number * total + done, count * total)


def blurred(hole: Tensor, radius: int) -> Tensor:
    """Soften the border of a hole (1 1 h w) by a box of that radius in px, at least 1."""
    radius = max(1, radius)
    for axis in (2, 3):
        hole = summed(hole, radius, axis)
    return hole.div_((2 * radius + 1) ** 2)
