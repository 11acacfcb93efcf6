"""From a dragged latent to pictures: denoising beside the unmoved latent, and looks on the way."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from featurekit.core.types import Predict
from featurekit.diffusion.backbone import Backbone
from featurekit.diffusion.noise_schedule import Schedule
from featurekit.diffusion.sample import sample
from featurekit.diffusion.trajectory import Trajectory
from featurekit.taps.attention_sharing import (
    record_attention,
    replay_attention,
    self_attention_paths,
    share_attention,
)
from featurekit_drag.engine.parts import DraggedLatent, Model, Station, Unmoved
from featurekit_drag.engine.request import Stage
from featurekit_drag.engine.settings import DragSettings
from featurekit_drag.engine.variables.bottleneck import put_into


@dataclass(frozen=True)
class Denoising:
    """Denoises what was dragged, and looks at what it was on the way."""

    backbone: Backbone
    settings: DragSettings
    schedule: Schedule
    predict: Predict
    path: Trajectory

    @torch.no_grad()
    def edit(self, dragged: DraggedLatent, unmoved: Unmoved, stage: Stage) -> Tensor:
        """Denoise, by the settings beside the unmoved latent, whose keys and values it reads."""
        settings = self.settings
        beside = "reference" in settings.identity or settings.residuals
        rows = 2 if beside else 1
        references = [unmoved.at(dragged.level)] if beside else []
        batch = torch.cat([*references, dragged.latent])
        levels = range(dragged.level, 0, -1)
        replaced = put_into(self.backbone.denoiser, dragged.bottleneck, rows=rows)
        with stage("denoising") as progress, self._identity(rows, levels), replaced:
            latents = sample(
                self.predict,
                batch,
                self.schedule,
                start=dragged.level,
                on_step=led_by(self.path) if settings.residuals else None,
                progress=progress,
            )
        return self.backbone.decode(latents[-1:])

    @torch.no_grad()
    def way(
        self, shown: Sequence[Station], model: Model, unmoved: Unmoved, stage: Stage
    ) -> tuple[Tensor, ...]:
        """Pictures of what was dragged, by one look at all of a level.

        Each is the source's own latent plus what its predicted clean latent differs from that of
        the unmoved one, so a latent that was not moved shows the source.
        """
        if not shown:
            return ()
        pictures: list[Tensor] = []
        with stage("animation") as progress:
            for level, group in groupby(shown, key=lambda station: station.level):
                values = tuple(station.value for station in group)
                latents = self._clean(level, values, model, unmoved) if level else torch.cat(values)
                pictures += torch.chunk(self.backbone.decode(latents), len(latents))
                progress(len(pictures), len(shown))
        return tuple(pictures)

    def _clean(
        self, level: int, values: tuple[Tensor, ...], model: Model, unmoved: Unmoved
    ) -> Tensor:
        variable = model.variable(level, unmoved.at(level))
        with self._identity(1 + len(values), [level]):
            clean = variable.clean((variable.start, *values))
        return self.path.at(0) + (clean[1:] - clean[:1])

    @contextmanager
    def _identity(self, rows: int, levels: Sequence[int]) -> Iterator[None]:
        """Let a batch read the picture's keys and values, as the settings say."""
        unet, words = self.backbone.denoiser, self.settings.identity
        with ExitStack() as contexts:
            for word, context in self._sources(rows, levels).items():
                if word in words:
                    paths = self_attention_paths(unet, self.settings.attention)
                    contexts.enter_context(context(paths))
            yield

    def _sources(
        self, rows: int, levels: Sequence[int]
    ) -> dict[str, Callable[[Sequence[str]], AbstractContextManager[None]]]:
        unet = self.backbone.denoiser

        def stored(paths: Sequence[str]) -> AbstractContextManager[None]:
            with record_attention(unet, paths) as record:
                for level in levels:  # as the inversion called it
                    self.predict(self.path.at(level - 1), self.schedule.timestep(level))
            return replay_attention(unet, paths, record)

        return {
            "reference": lambda paths: share_attention(unet, paths, rows=rows),
            "stored": stored,
        }


def led_by(path: Trajectory) -> Callable[[int, Tensor], Tensor]:
    """Lead a batch whose first row is the unmoved latent back along the stored path.

    What that row misses of the stored latent at a level is what DDIM inversion left there; every
    row gets it, so that the first arrives exactly and an edited one without that error.

    Source: Ju et al. 2024, arXiv:2310.01506, who add it to the source row only.
    """
    # the difference first: on the stored path it is 0 to the last bit
    return lambda level, z: path.at(level) + (z - z[:1])
