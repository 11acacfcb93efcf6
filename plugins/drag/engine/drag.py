"""A drag from picture to picture: LoRA, inversion, dragging, denoising."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from torch import Tensor

from featurekit.backbones.lora import LoraRecipe, applied
from featurekit.core.cache import NO_CACHE, Cache, Slot
from featurekit.core.errors import ConfigError, PointsError, ScheduleError
from featurekit.core.shapes import expect
from featurekit.diffusion.backbone import Backbone
from featurekit.diffusion.trajectory import Trajectory
from featurekit.images.coordinates import cells_from_px, crop, pad
from featurekit_drag.engine.combinations import check_parts
from featurekit_drag.engine.composition import Composition, Place, inverted_level, stage_of
from featurekit_drag.engine.denoising import Denoising
from featurekit_drag.engine.edit import Edit, Frame, Seam
from featurekit_drag.engine.masks import check_mask, compose, feathered, latent_mask
from featurekit_drag.engine.needs_unet import check_unet
from featurekit_drag.engine.outside.choice import LatentMask
from featurekit_drag.engine.parts import DraggedLatent, Drags, Station
from featurekit_drag.engine.points import Points, to_px, to_units
from featurekit_drag.engine.preparation import INVERSION, LORA, Preparation
from featurekit_drag.engine.request import Request, Stage, untimed
from featurekit_drag.engine.settings import UNITS_PER_CELL, DragSettings
from featurekit_drag.engine.unet_features import level_of

Field = Tensor | Callable[[Request], Tensor]
"""Displacement (h w 2) in shares of width and height, NaN in holes; or what makes it."""


class Drag:
    """Drags points of an image with one backbone and one set of settings."""

    def __init__(
        self,
        backbone: Backbone,
        settings: DragSettings | None = None,
        lora: LoraRecipe | None = None,
        cache: Cache = NO_CACHE,
    ) -> None:
        """Make it.

        Args:
            backbone: the model.
            settings: by default those of DragDiffusion's published code.
            lora: by default the published recipe; ``steps=0`` fits none, and so does an
                ``identity`` without ``lora``.
            cache: keeps the LoRA and the inversion of each picture for its next drag.

        Raises:
            BackboneError: the model has a transformer.
            ConfigError, NoiseLevelError: parts make no sense together.
        """
        self.backbone = backbone
        self.settings = DragSettings() if settings is None else settings
        check_unet(backbone)
        check_parts(self.settings)
        recipe = LoraRecipe() if lora is None else lora
        self.lora = recipe if "lora" in self.settings.identity else replace(recipe, steps=0)
        self.schedule, self.level = level_of(backbone, self.settings)
        until = inverted_level(self.settings, self.level)
        self.prepare = Preparation(
            backbone, self.lora, self.schedule, until, self.settings.guidance, cache
        )

    def __call__(
        self,
        request: Request,
        *,
        path: Trajectory | None = None,
        field: Field | None = None,
        stage: Stage = untimed,
    ) -> Edit:
        """Run the stages of the method on one image.

        Args:
            request: the image, its points and mask.
            path: latents of a sampling run that made the image, with the same schedule, guidance
                and prompt, as ``sampled`` keeps them: nothing is inverted then. Needs a recipe
                without steps, since a generated image needs no LoRA.
            field: for ``supervision="field"``: where content comes from; by default the field of
                the settings' ``warp``.
            stage: times the stages.

        Raises:
            ShapeError: image, mask or field have other axes.
            MaskError: a handle lies outside the mask, or the mask is smaller than a cell.
            PointsError: no drag is longer than the distance at which a handle has arrived.
            ScheduleError, ConfigError: the path does not belong to this image or these settings.
            TrainingError: the LoRA fit left the finite numbers.
        """
        size = expect(request.image, "1 3 h w", of="image")
        if request.mask is not None:
            expect(request.mask, "1 1 h w", of="mask", h=size["h"], w=size["w"])
            check_mask(request.mask, request.points)
        self._check_lengths(request.points)
        if path is not None:
            self._check_path(path, request)
        place = self._place(request, field)
        conditioning = self.backbone.embed(request.prompt)
        places = self.prepare.places(request)
        lora = self.prepare.fitted(request, conditioning, places.lora, stage)
        with nullcontext() if lora is None else applied(self.backbone.denoiser, lora):
            predict = self.backbone.predictor(conditioning, guidance=self.settings.guidance)
            if path is None:
                path = self.prepare.inverted(request, predict, places.inversion, stage)
            parts = Composition(self.backbone, self.settings, conditioning, predict)
            model = parts.model(place.mask)
            unmoved = parts.unmoved(path, model)
            drag = parts.dragged(path, place, model, unmoved)
            with stage(stage_of(self.settings)) as progress:
                dragged = drag(progress=progress)
            denoising = Denoising(self.backbone, self.settings, self.schedule, predict, path)
            image = self._finish(denoising.edit(dragged, unmoved, stage), request)
            shown = self._shown(dragged)
            way = denoising.way(shown[:-1], model, unmoved, stage)
        return Edit(
            image,
            dragged.stop,
            dragged.trace,
            self._frames(shown, way, image, request),
            () if lora is None else lora.losses,
            dragged,
        )

    @property
    def seam(self) -> Seam:
        """How its edits are laid into a larger picture."""
        return Seam(self.settings.feather_px, self.settings.composite)

    @property
    def keeps_resolution(self) -> bool:
        """No: every pixel goes through the autoencoder."""
        return False

    @property
    def changes_network(self) -> bool:
        """Yes: a LoRA is merged into it from the inversion on, and attention may be shared."""
        return True

    def kept(self, request: Request) -> Mapping[str, Slot[Any]]:
        """Where a picture's LoRA and inversion are kept, by the stage that makes them."""
        places = self.prepare.places(request)
        return {LORA: places.lora, INVERSION: places.inversion}

    @property
    def _stride(self) -> int:
        return self.backbone.taps[self.settings.tap].stride

    def _check_lengths(self, points: Points) -> None:
        arrived_px = self.settings.rule.stop_distance * self._stride / UNITS_PER_CELL
        longest = float(points.lengths.max())
        if longest < arrived_px:
            raise PointsError(
                f"a drag must be at least {arrived_px:g} px long, at which a handle counts as "
                f"arrived; the longest is {longest:.1f} px; lower plugin.stop_distance"
            )

    def _check_path(self, path: Trajectory, request: Request) -> None:
        if path.schedule.fingerprint != self.schedule.fingerprint or path.until < self.level:
            raise ScheduleError(
                f"a path must hold the latents of this run, {self.schedule.steps} steps up to "
                f"level {self.level}, got {path!r}; sample with the schedule of the drag"
            )
        if self.lora.steps:
            raise ConfigError(
                f"a drag along a sampled path must fit no LoRA, its recipe has {self.lora.steps} "
                f"steps; pass LoraRecipe(steps=0)"
            )
        height, width = pad(request.image, self.backbone.multiple).shape[-2:]
        stride = self.backbone.stride
        channels = self.backbone.latent_channels
        expect(path.at(0), "1 c h w", of="path", c=channels, h=height // stride, w=width // stride)

    def _place(self, request: Request, field: Field | None) -> Place:
        points, settings = request.points, self.settings
        ends, stride = (points.handles, points.targets), self.backbone.stride
        units = Drags(*(to_units(xy, self._stride, snap=settings.snap) for xy in ends))
        cells = Drags(*(cells_from_px(xy, stride) for xy in ends))
        displacement = field if field is None or isinstance(field, Tensor) else field(request)
        if displacement is not None:
            expect(displacement, "h w 2", of="field")
            if settings.rule.supervision != "field":
                raise ConfigError(
                    f"a field must be given with supervision='field', got "
                    f"{settings.rule.supervision!r}"
                )
        mask = self._latent_mask(request.mask)
        return Place(units, cells, mask, request.seed, displacement)

    def _latent_mask(self, mask: Tensor | None) -> LatentMask | None:
        if mask is None:
            return None
        editable = latent_mask(mask, stride=self.backbone.stride, multiple=self.backbone.multiple)
        return LatentMask(editable.to(self.backbone.device), self.settings.outside)

    def _shown(self, dragged: DraggedLatent) -> list[Station]:
        """Forwards, evenly spread from the first to the last, whose latents are shown too."""
        count, last = self.settings.animation_frames, len(dragged.stations) - 1
        if count == 0 or last < 0:
            return []
        chosen = sorted({round(i * last / max(count - 1, 1)) for i in range(count)})
        return [dragged.stations[i] for i in chosen]

    def _frames(
        self, shown: list[Station], way: tuple[Tensor, ...], image: Tensor, request: Request
    ) -> tuple[Frame, ...]:
        pictures = [*(self._finish(one, request) for one in way), *([image] if shown else [])]
        return tuple(
            Frame(picture, to_px(station.handles, self._stride))
            for station, picture in zip(shown, pictures, strict=True)
        )

    def _finish(self, picture: Tensor, request: Request) -> Tensor:
        height, width = request.image.shape[-2:]
        picture = crop(picture, height, width).to(request.image).clamp(-1, 1)
        picture = request.in_its_colours(picture)
        if request.mask is None or not self.settings.composite:
            return picture
        soft = feathered(request.mask, self.settings.feather_px)
        return compose(picture, request.image, soft)
