"""DragDiffusion as its paper tells it: LoRA, inversion, motion supervision, denoising."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor

from featurekit.backbones.lora import LoraRecipe, applied
from featurekit.core.cache import NO_CACHE, Cache
from featurekit.core.errors import PointsError
from featurekit.core.shapes import expect
from featurekit.core.types import Predict
from featurekit.diffusion.backbone import Backbone
from featurekit.diffusion.sample import sample
from featurekit.diffusion.steps import denoised
from featurekit.diffusion.trajectory import Trajectory
from featurekit.images.coordinates import crop
from featurekit.taps.attention_sharing import self_attention_paths, share_attention
from featurekit_drag.engine.latent_optimisation import DraggedLatent, LatentMask, drag_latent
from featurekit_drag.engine.masks import check_mask, compose, feathered, latent_mask
from featurekit_drag.engine.points import Points, to_px, to_units
from featurekit_drag.engine.preparation import Preparation
from featurekit_drag.engine.request import Request, Stage, untimed
from featurekit_drag.engine.settings import UNITS_PER_CELL, DragSettings
from featurekit_drag.engine.unet_features import feature_and_step_reader, feature_reader, level_of


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
    stages: Mapping[str, Tensor] = field(default_factory=dict)  # pictures on the way, like image


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
            settings: by default the published ones.
            lora: by default the published recipe; ``steps=0`` fits none.
            cache: keeps the LoRA and the inversion of each picture for its next drag.
        """
        self.backbone = backbone
        self.settings = DragSettings() if settings is None else settings
        self.lora = LoraRecipe() if lora is None else lora
        self.schedule, self.level = level_of(backbone, self.settings)
        self.prepare = Preparation(
            backbone, self.lora, self.schedule, self.level, self.settings.guidance, cache
        )

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
        places = self.prepare.places(request)
        lora = self.prepare.fitted(request, conditioning, places.lora, stage)
        adapted = nullcontext() if lora is None else applied(self.backbone.unet, lora)
        with adapted:
            predict = self.backbone.predictor(conditioning, guidance=self.settings.guidance)
            path = self.prepare.inverted(request, predict, places.inversion, stage)
            dragged = self._optimise(request, predict, path, stage)
            image = self._finish(self._denoise(dragged.latent, predict, path, stage), request)
            shown = self._shown(dragged)
            way = self._way(dragged, shown[:-1], predict, path, stage)
        pictures = [*(self._finish(one, request) for one in way), *([image] if shown else [])]
        stride = self.backbone.taps[self.settings.tap].stride
        frames = [
            Frame(picture, to_px(dragged.handle_path[i], stride))
            for i, picture in zip(shown, pictures, strict=True)
        ]
        return Edit(image, dragged, tuple(frames), () if lora is None else lora.losses)

    def _check_lengths(self, points: Points) -> None:
        unit = self.backbone.taps[self.settings.tap].stride / UNITS_PER_CELL
        arrived_px = self.settings.rule.stop_distance * unit
        longest = float(points.lengths.max())
        if longest < arrived_px:
            raise PointsError(
                f"a drag must be at least {arrived_px:g} px long, at which a handle counts as "
                f"arrived; the longest is {longest:.1f} px; lower plugin.stop_distance"
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
        """Forwards, evenly spread from the first to the last, whose latents are shown too."""
        count, last = self.settings.animation_frames, len(dragged.latents) - 1
        if count == 0 or last < 0:
            return []
        return sorted({round(i * last / max(count - 1, 1)) for i in range(count)})

    @torch.no_grad()
    def _denoise(self, latent: Tensor, predict: Predict, path: Trajectory, stage: Stage) -> Tensor:
        """Denoise beside the unmoved latent, whose keys and values the moved one reads."""
        batch = torch.cat([path.at(self.level), latent])
        with stage("denoising") as progress, self._shared(rows=2):
            latents = sample(
                predict,
                batch,
                self.schedule,
                start=self.level,
                on_step=led_by(path) if self.settings.residuals else None,
                progress=progress,
            )
            return self.backbone.decode(latents[1:])

    @torch.no_grad()
    def _way(
        self,
        dragged: DraggedLatent,
        shown: Sequence[int],
        predict: Predict,
        path: Trajectory,
        stage: Stage,
    ) -> tuple[Tensor, ...]:
        """Pictures of latents on the way, by one look at all of them.

        Each is the source's own latent plus what its predicted clean latent differs from that of
        the unmoved one, so a latent that was not moved shows the source.
        """
        if not shown:
            return ()
        batch = torch.cat([path.at(self.level), *(dragged.latents[i] for i in shown)])
        with stage("animation") as progress, self._shared(rows=len(batch)):
            eps = predict(batch, self.schedule.timestep(self.level))
            clean = denoised(batch, eps, alpha_bar=self.schedule.alpha_bars[self.level])
            pictures = self.backbone.decode(path.at(0) + (clean[1:] - clean[:1]))
            progress(1, 1)
        return pictures.chunk(len(pictures))

    def _shared(self, *, rows: int) -> AbstractContextManager[None]:
        unet = self.backbone.unet
        paths = self_attention_paths(unet, self.settings.attention)
        return share_attention(unet, paths, rows=rows)

    def _finish(self, picture: Tensor, request: Request) -> Tensor:
        height, width = request.image.shape[-2:]
        picture = crop(picture, height, width).to(request.image).clamp(-1, 1)
        if request.mask is None or not self.settings.composite:
            return picture
        soft = feathered(request.mask, self.settings.feather_px)
        return compose(picture, request.image, soft)


def led_by(path: Trajectory) -> Callable[[int, Tensor], Tensor]:
    """Lead a batch whose first row is the unmoved latent back along the stored path.

    What that row misses of the stored latent at a level is what DDIM inversion left there; every
    row gets it, so that the first arrives exactly and an edited one without that error.

    Source: Ju et al. 2024, arXiv:2310.01506, who add it to the source row only.
    """
    # the difference first: on the stored path it is 0 to the last bit
    return lambda level, z: path.at(level) + (z - z[:1])
