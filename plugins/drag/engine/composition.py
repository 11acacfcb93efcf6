"""From settings to the parts of a drag: the one place that knows which word means which part."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from featurekit.core.types import Conditioning, Predict
from featurekit.diffusion.backbone import Backbone
from featurekit.diffusion.steps import ddim_step, denoised
from featurekit.diffusion.trajectory import Trajectory
from featurekit_drag.engine.motions import motion_of, pace_of
from featurekit_drag.engine.outside.choice import LatentMask, outside_of
from featurekit_drag.engine.parts import (
    Course,
    DraggedLatent,
    Drags,
    Model,
    Readout,
    Schedule,
    Unmoved,
    Variable,
)
from featurekit_drag.engine.paths.unmoved import Redenoised, Stored
from featurekit_drag.engine.schedules.alternating import Alternating
from featurekit_drag.engine.schedules.one_level import OneLevel
from featurekit_drag.engine.schedules.sub_drags import SubDragged
from featurekit_drag.engine.schedules.without_updates import without_updates
from featurekit_drag.engine.settings import DragSettings
from featurekit_drag.engine.unet_features import (
    feature_and_step_reader,
    feature_reader,
    level_of,
)
from featurekit_drag.engine.variables.bottleneck import Bottleneck
from featurekit_drag.engine.variables.encoder_path import encoder_path
from featurekit_drag.engine.variables.latent import LatentVariable
from featurekit_drag.engine.warps.fields import FIELDS
from featurekit_drag.engine.warps.holes import FILLS
from featurekit_drag.engine.warps.latent_warp import Carried, carried


@dataclass(frozen=True)
class Place:
    """Where the drag is in the latent."""

    units: Drags  # of the feature map that supervises
    cells: Drags  # of the latent
    mask: LatentMask | None
    seed: int
    displacement: Tensor | None = None  # (h w 2) in shares of the picture, given from outside


@dataclass(frozen=True)
class Composition:
    """Parts for one backbone, one set of settings and one conditioning."""

    backbone: Backbone
    settings: DragSettings
    conditioning: Conditioning
    predict: Predict

    def model(self, mask: LatentMask | None) -> Model:
        """What a schedule asks of the network."""
        schedule, _ = level_of(self.backbone, self.settings)
        make = VARIABLES[self.settings.variable]

        def variable(level: int, latent: Tensor) -> Variable:
            return make(self, level, latent, mask)

        @torch.no_grad()
        def step(level: int, latent: Tensor) -> Tensor:
            return ddim_step(
                latent,
                self.predict(latent, schedule.timestep(level)),
                alpha_bar_from=schedule.alpha_bars[level],
                alpha_bar_to=schedule.alpha_bars[level - 1],
            )

        return Model(variable, step)

    def unmoved(self, path: Trajectory, model: Model) -> Unmoved:
        """The picture's own latents: stored, or denoised again from the noisiest one."""
        _, level = level_of(self.backbone, self.settings)
        if self.settings.residuals or path.until < level:
            return Stored(path, model.step)
        return Redenoised(path, model.step, level)

    def dragged(
        self, path: Trajectory, place: Place, model: Model, unmoved: Unmoved
    ) -> Callable[..., DraggedLatent]:
        """The schedule with everything that it starts from; wants ``progress``."""
        settings, (_, level) = self.settings, level_of(self.backbone, self.settings)
        carry = self._carried(path, place)
        start = handles = None
        if carry is not None and settings.initialise != "none":
            draws = torch.Generator().manual_seed(place.seed)
            warped = carry.of(path.at(level))
            start = FILLS[settings.latent_fill](warped, carry.holes.to(warped.device), draws)
            handles = place.units.targets
        course = Course(
            model,
            level,
            unmoved,
            place.units,
            start,
            handles,
            keep=settings.animation_frames > 0,
        )
        displacement = place.displacement
        if displacement is None and carry is not None:
            displacement = carry.displacement
        schedule = SCHEDULES[settings.schedule](self, place, displacement)

        def run(**how: object) -> DraggedLatent:
            return schedule(course, **how)  # type: ignore[arg-type]

        return run

    def _carried(self, path: Trajectory, place: Place) -> Carried | None:
        """The field of ``plugin.warp``, where something needs it."""
        settings = self.settings
        wants = settings.rule.supervision == "field" and place.displacement is None
        if settings.initialise == "none" and not wants:
            return None
        latent = path.at(0)
        everywhere = latent.new_ones(1, 1, *latent.shape[-2:])
        editable = everywhere if place.mask is None else place.mask.editable
        return carried(editable, place.cells, FIELDS[settings.warp])

    def reader(self, level: int, mask: LatentMask | None) -> Callable[[Tensor], Readout]:
        """Features, and where change outside costs the latent one step on."""
        make = feature_and_step_reader if mask is not None and mask.is_priced else feature_reader
        return make(self.backbone, self.settings, self.predict, level)

    def cleaner(self, level: int) -> Callable[[Tensor], Tensor]:
        """Latents of a level to the clean latents predicted of them."""
        schedule, _ = level_of(self.backbone, self.settings)

        def clean(latents: Tensor) -> Tensor:
            eps = self.predict(latents, schedule.timestep(level))
            return denoised(latents, eps, alpha_bar=schedule.alpha_bars[level])

        return clean


def _latent(
    parts: Composition, level: int, latent: Tensor, mask: LatentMask | None
) -> LatentVariable:
    return LatentVariable(latent, parts.reader(level, mask), parts.cleaner(level))


def _bottleneck(
    parts: Composition, level: int, latent: Tensor, mask: LatentMask | None
) -> Bottleneck:
    schedule, _ = level_of(parts.backbone, parts.settings)
    unet = parts.backbone.denoiser
    path = encoder_path(unet, lambda: parts.predict(latent, schedule.timestep(level)))
    reader, cleaner = parts.reader(level, mask), parts.cleaner(level)
    return Bottleneck(latent, path.middle.detach(), path, unet, reader, cleaner)


def _one_level(parts: Composition, place: Place, displacement: Tensor | None) -> Schedule:
    rule = parts.settings.rule
    if rule.supervision == "none":
        return without_updates
    motion, outside = motion_of(rule, displacement), outside_of(place.mask, rule.mask_weight)
    return OneLevel(motion, outside, pace_of(rule, is_late=False))


def _alternating(parts: Composition, place: Place, displacement: Tensor | None) -> Schedule:
    rule = parts.settings.rule
    motion, outside = motion_of(rule, displacement), outside_of(place.mask, rule.mask_weight)
    return Alternating(motion, outside, pace_of(rule, is_late=True), parts.settings.levels)


def _sub_drags(parts: Composition, place: Place, displacement: Tensor | None) -> Schedule:
    del displacement
    settings, (schedule, level) = parts.settings, level_of(parts.backbone, parts.settings)
    first, last = settings.guidance, settings.sub_drags.last_guidance
    levels = {schedule.timestep(one): one for one in range(1, level + 1)}

    def rising(z: Tensor, t: float | Tensor) -> Tensor:
        share = 1 - levels[int(t)] / level if level > 1 else 0.0
        guidance = first + (last - first) * share
        predict = parts.backbone.predictor(parts.conditioning, guidance=guidance)
        return predict(z, t)

    return SubDragged(
        rising,
        schedule,
        place.cells,
        settings.sub_drags,
        None if place.mask is None else place.mask.editable,
        torch.Generator().manual_seed(place.seed),
    )


VARIABLES: Mapping[str, Callable[..., Variable]] = {"latent": _latent, "bottleneck": _bottleneck}
SCHEDULES: Mapping[str, Callable[..., Schedule]] = {
    "one_level": _one_level,
    "alternating": _alternating,
    "sub_drags": _sub_drags,
}


def inverted_level(settings: DragSettings, level: int) -> int:
    """Highest level that the inversion has to store: ``sub_drags`` noises by itself."""
    return 0 if settings.schedule == "sub_drags" else level


def stage_of(settings: DragSettings) -> str:
    """What a person is told while the schedule runs."""
    if settings.schedule == "sub_drags":
        return "sub-drags"
    return "latent warp" if settings.rule.supervision == "none" else "motion supervision"
