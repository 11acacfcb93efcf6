"""DragDiffusion as its paper tells it: LoRA, inversion, motion supervision, denoising."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from featurekit.backbones.lora import LoraRecipe, applied, fit_lora
from featurekit.core.errors import PointsError
from featurekit.core.shapes import expect
from featurekit.core.types import Conditioning, Predict, Progress, silent
from featurekit.diffusion.backbone import Backbone
from featurekit.diffusion.denoising_objective import denoising_objective
from featurekit.diffusion.invert import invert
from featurekit.diffusion.sample import sample
from featurekit.diffusion.trajectory import Trajectory
from featurekit.images.coordinates import crop
from featurekit.taps.attention_sharing import self_attention_paths, share_attention
from featurekit_drag.engine.latent_optimisation import DraggedLatent, LatentMask, drag_latent
from featurekit_drag.engine.masks import check_mask, compose, feathered, latent_mask
from featurekit_drag.engine.points import Points, to_px, to_units
from featurekit_drag.engine.settings import UNITS_PER_CELL, DragSettings
from featurekit_drag.engine.unet_features import feature_and_step_reader, feature_reader, level_of

Stage = Callable[[str], AbstractContextManager[Progress]]


def untimed(name: str) -> AbstractContextManager[Progress]:
    """Run a stage without a clock or a bar."""
    return nullcontext(silent)


@dataclass(frozen=True)
class Request:
    """What is to be done to which image."""

    image: Tensor  # (1 3 h w) in [-1, 1]
    points: Points
    mask: Tensor | None = None  # (1 1 h w), 1 where the image may change; None: everywhere
    prompt: str = ""
    seed: int = 0


@dataclass(frozen=True)
class Frame:
    """The edit as it would be if the drag had ended after some update."""

    image: Tensor  # (1 3 h w) in [-1, 1], size of the input
    handles: Tensor  # (n 2) where the tracker saw the handles, px of the input image


@dataclass(frozen=True)
class Edit:
    """What came of it."""

    image: Tensor  # (1 3 h w) in [-1, 1], size of the input
    dragged: DraggedLatent
    frames: tuple[Frame, ...]  # of the animation, the last is the end; empty unless asked for
    lora_losses: tuple[float, ...]


class Drag:
    """Drags points of an image with one backbone and one set of settings."""

    def __init__(
        self,
        backbone: Backbone,
        settings: DragSettings | None = None,
        lora: LoraRecipe | None = None,
    ) -> None:
        """Settings and LoRA recipe default to the published ones; ``lora.steps=0`` fits none."""
        self.backbone = backbone
        self.settings = DragSettings() if settings is None else settings
        self.lora = LoraRecipe() if lora is None else lora
        self.schedule, self.level = level_of(backbone, self.settings)

    def __call__(self, request: Request, *, stage: Stage = untimed) -> Edit:
        """Run the four stages of the method on one image.

        Raises:
            ShapeError: image or mask have other axes.
            MaskError: a handle lies outside the mask, or the mask is smaller than a cell.
            PointsError: no drag is longer than the distance at which a handle has arrived.
            TrainingError: the LoRA fit left the finite numbers.
        """
        size = expect(request.image, "1 3 h w", of="image")
        if request.mask is not None:
            expect(request.mask, "1 1 h w", of="mask", h=size["h"], w=size["w"])
            check_mask(request.mask, request.points)
        self._check_lengths(request.points)
        conditioning = self.backbone.embed(request.prompt)
        losses, adapted = self._identity(request, conditioning, stage)
        with adapted:
            predict = self.backbone.predictor(conditioning, guidance=self.settings.guidance)
            path = self._invert(request.image, predict, stage)
            dragged = self._optimise(request, predict, path, stage)
            shown = self._shown(dragged)
            rows = torch.cat([*(dragged.latents[i] for i in shown[:-1]), dragged.latent])
            decoded = self._denoise(rows, predict, path, stage)
        pictures = [self._finish(picture, request) for picture in decoded.chunk(len(decoded))]
        stride = self.backbone.taps[self.settings.tap].stride
        frames = [
            Frame(picture, to_px(dragged.handle_path[i], stride))
            for i, picture in zip(shown, pictures, strict=bool(shown))
        ]
        return Edit(pictures[-1], dragged, tuple(frames), losses)

    def _check_lengths(self, points: Points) -> None:
        unit = self.backbone.taps[self.settings.tap].stride / UNITS_PER_CELL
        arrived_px = self.settings.rule.stop_distance * unit
        longest = float(points.lengths.max())
        if longest < arrived_px:
            raise PointsError(
                f"a drag must be at least {arrived_px:g} px long, at which a handle counts as "
                f"arrived; the longest is {longest:.1f} px; lower plugin.stop_distance"
            )

    def _identity(
        self, request: Request, conditioning: Conditioning, stage: Stage
    ) -> tuple[tuple[float, ...], AbstractContextManager[None]]:
        if self.lora.steps == 0:
            return (), nullcontext()
        with stage("LoRA on the image") as progress:
            with torch.no_grad():
                moments = self.backbone.moments(request.image)
            lora = fit_lora(
                self.backbone.unet,
                denoising_objective(self.backbone, moments, conditioning, self.lora.batch),
                recipe=self.lora,
                generator=torch.Generator().manual_seed(request.seed),
                progress=progress,
            )
        return lora.losses, applied(self.backbone.unet, lora)

    @torch.no_grad()
    def _invert(self, image: Tensor, predict: Predict, stage: Stage) -> Trajectory:
        with stage("inversion") as progress:
            return invert(
                predict,
                self.backbone.encode(image),
                self.schedule,
                keep_residuals=self.settings.residuals,
                until=self.level,
                progress=progress,
            )

    def _optimise(
        self, request: Request, predict: Predict, path: Trajectory, stage: Stage
    ) -> DraggedLatent:
        stride = self.backbone.taps[self.settings.tap].stride
        points = (
            to_units(request.points.handles, stride, snap=self.settings.snap),
            to_units(request.points.targets, stride, snap=self.settings.snap),
        )
        mask = self._latent_mask(request.mask)
        priced = mask is not None and not mask.freeze  # change outside is a term of the loss
        reader = feature_and_step_reader if priced else feature_reader
        with stage("motion supervision") as progress:
            return drag_latent(
                reader(self.backbone, self.settings, predict),
                path.at(self.level),
                points,
                rule=self.settings.rule,
                mask=mask,
                progress=progress,
            )

    def _latent_mask(self, mask: Tensor | None) -> LatentMask | None:
        if mask is None:
            return None
        editable = latent_mask(mask, stride=self.backbone.stride, multiple=self.backbone.multiple)
        return LatentMask(editable.to(self.backbone.device), freeze=self.settings.freeze_outside)

    def _shown(self, dragged: DraggedLatent) -> list[int]:
        """Forwards, evenly spread from the first to the last, whose latents are denoised too."""
        count, last = self.settings.animation_frames, len(dragged.latents) - 1
        if count == 0 or last < 0:
            return []
        return sorted({round(i * last / max(count - 1, 1)) for i in range(count)})

    @torch.no_grad()
    def _denoise(self, rows: Tensor, predict: Predict, path: Trajectory, stage: Stage) -> Tensor:
        """Denoise beside the unmoved latent, whose keys and values every row reads."""
        batch = torch.cat([path.at(self.level), rows])
        unet = self.backbone.unet
        paths = self_attention_paths(unet, self.settings.attention)
        with stage("denoising") as progress, share_attention(unet, paths, rows=len(batch)):
            latents = sample(
                predict,
                batch,
                self.schedule,
                start=self.level,
                trajectory=path if self.settings.residuals else None,
                progress=progress,
            )
            return self.backbone.decode(latents[1:])

    def _finish(self, picture: Tensor, request: Request) -> Tensor:
        height, width = request.image.shape[-2:]
        picture = crop(picture, height, width).to(request.image).clamp(-1, 1)
        if request.mask is None or not self.settings.composite:
            return picture
        soft = feathered(request.mask, self.settings.feather_px)
        return compose(picture, request.image, soft)
