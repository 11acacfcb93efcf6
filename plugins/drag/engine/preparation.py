"""What an edit of a picture starts from, kept for the next edit: a LoRA on it, its inversion."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from typing import TypeVar

import torch

from featurekit.backbones.lora import Lora, LoraRecipe, fit_lora
from featurekit.backbones.lora_file import load_lora, save_lora
from featurekit.core.cache import Cache, Slot
from featurekit.core.types import Conditioning, Predict, Progress
from featurekit.diffusion.backbone import Backbone
from featurekit.diffusion.denoising_objective import denoising_objective
from featurekit.diffusion.invert import invert
from featurekit.diffusion.noise_schedule import Schedule
from featurekit.diffusion.trajectory import Trajectory
from featurekit.diffusion.trajectory_file import load_trajectory, save_trajectory
from featurekit.store.picture_reader import weights_of
from featurekit_drag.engine.request import Request, Stage

T = TypeVar("T")

LORA, INVERSION = "LoRA on the image", "inversion"  # stages whose results are kept


@dataclass(frozen=True)
class Places:
    """Where a LoRA on a picture and its inversion are kept."""

    lora: Slot[Lora]
    inversion: Slot[Trajectory]


@dataclass(frozen=True)
class Preparation:
    """Makes both, or takes them from a cache; they do not depend on points and mask."""

    backbone: Backbone
    lora: LoraRecipe
    schedule: Schedule
    until: int  # level whose latent is dragged
    guidance: float
    cache: Cache

    def places(self, request: Request) -> Places:
        """Name where both are kept; to be asked while the network is the backbone's own."""
        subject = self._subject(request)
        fit = {"lora": asdict(self.lora), "seed": request.seed if self.lora.steps else None}
        climb = {
            "schedule": self.schedule.fingerprint,
            "until": self.until,
            "guidance": self.guidance,
        }
        load = partial(load_trajectory, device=self.backbone.device)
        return Places(
            self.cache.slot("lora", {**subject, **fit}, write=save_lora, read=load_lora),
            self.cache.slot(
                "inversion", {**subject, **fit, **climb}, write=save_trajectory, read=load
            ),
        )

    def fitted(
        self, request: Request, conditioning: Conditioning, slot: Slot[Lora], stage: Stage
    ) -> Lora | None:
        """Fit the update that lets the network redraw this picture, or take the kept one."""
        if self.lora.steps == 0:
            return None

        def fit(progress: Progress) -> Lora:
            with torch.no_grad():
                moments = self.backbone.moments(request.image)
            return fit_lora(
                self.backbone.denoiser,
                denoising_objective(self.backbone, moments, conditioning, self.lora.batch),
                recipe=self.lora,
                generator=torch.Generator().manual_seed(request.seed),
                progress=progress,
            )

        return kept(LORA, fit, slot, stage)

    def inverted(
        self, request: Request, predict: Predict, slot: Slot[Trajectory], stage: Stage
    ) -> Trajectory:
        """Invert the picture up to the level that is dragged, or take the kept trajectory."""

        @torch.no_grad()
        def climb(progress: Progress) -> Trajectory:
            if self.until == 0:
                progress(1, 1)
                return Trajectory((self.backbone.encode(request.image),), self.schedule)
            return invert(
                predict,
                self.backbone.encode(request.image),
                self.schedule,
                keep_residuals=False,  # the reference row of the denoising tells them for nothing
                until=self.until,
                progress=progress,
            )

        return kept(INVERSION, climb, slot, stage)

    def _subject(self, request: Request) -> dict[str, object]:
        """What a LoRA and an inversion depend on besides their settings; costs a look at both."""
        if self.cache.folder is None:
            return {}
        return {
            "picture": sha256(
                request.image.detach().float().cpu().contiguous().numpy().tobytes()
            ).hexdigest(),
            "size": list(request.image.shape),
            "prompt": request.prompt,
            "weights": weights_of(self.backbone),
            "dtype": str(self.backbone.dtype),
        }


def kept(name: str, make: Callable[[Progress], T], slot: Slot[T], stage: Stage) -> T:
    """Take what an earlier edit of the picture kept, or make it in a stage and keep it."""
    found = slot.get()
    if found is not None:
        with stage(f"{name}, kept by an earlier edit of this picture"):
            return found
    with stage(name) as progress:
        made = make(progress)
    slot.put(made)
    return made
