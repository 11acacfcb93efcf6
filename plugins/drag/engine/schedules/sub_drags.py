"""A drag in short pieces, each carried out on the noisy latent of what the one before left."""

from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor

from featurekit.core.types import Predict, Progress, Stop
from featurekit.diffusion.noise_schedule import Schedule
from featurekit.diffusion.sample import OnStep, sample
from featurekit.diffusion.steps import ddpm_mean
from featurekit.diffusion.trajectory import Trajectory
from featurekit_drag.engine.loop import Record
from featurekit_drag.engine.parts import Course, DraggedLatent, Drags
from featurekit_drag.engine.settings import SubDrags


@dataclass(frozen=True)
class SubDragged:
    """Carry a square of the noisy latent a little, denoise with the noise that was put in, again.

    Source: Nie et al. 2024, arXiv:2311.01410 (SDE-Drag), section 4.2 and algorithm 2.
    """

    predict: Predict
    schedule: Schedule
    drags: Drags  # in latent cells
    numbers: SubDrags
    editable: Tensor | None  # (1 1 h w), 1 where the latent may change
    generator: torch.Generator

    def __call__(self, course: Course, *, progress: Progress) -> DraggedLatent:
        """Drag the clean latent of the course."""
        clean = course.unmoved.at(0)
        record = Record(course.handles_now, course.keep)
        longest = float((self.drags.targets - self.drags.handles).norm(dim=1).max())
        pieces = max(ceil(longest / self.numbers.length), 1)
        with torch.no_grad():
            for piece in range(pieces):
                path = noised_path(
                    self.predict, clean, self.schedule, until=course.level, generator=self.generator
                )
                carried = self._carried(path.at(course.level), piece / pieces, (piece + 1) / pieces)
                clean = sample(
                    self.predict,
                    carried,
                    self.schedule,
                    start=course.level,
                    trajectory=path,
                    on_step=self._holding(path),
                )
                gaps = course.drags.targets - course.drags.handles
                record.handles = course.drags.handles + gaps * ((piece + 1) / pieces)
                record.note(0, clean)
                progress(piece + 1, pieces)
        return record.result(clean, Stop.DONE, 0)

    def _holding(self, path: Trajectory) -> OnStep:
        return lambda level, z: self._held(z, path.at(level))

    def _held(self, latent: Tensor, stored: Tensor) -> Tensor:
        return latent if self.editable is None else torch.where(self.editable > 0, latent, stored)

    def _carried(self, latent: Tensor, first: float, last: float) -> Tensor:
        """Copy the square at each handle a piece further, and half forget it where it was."""
        moved, keep = latent.clone(), self.numbers.keep
        gaps = self.drags.targets - self.drags.handles
        starts = (self.drags.handles + first * gaps).round().long()
        ends = (self.drags.handles + last * gaps).round().long()
        squares = [
            _overlap(start, end, self.numbers.radius, latent.shape[-2:])
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        ]
        for source, _ in squares:
            drawn = torch.randn(
                latent[source].shape, generator=self.generator, dtype=torch.float64
            ).to(latent)
            moved[source] = keep * latent[source] + (1 - keep**2) ** 0.5 * drawn
        for source, target in squares:
            moved[target] = self.numbers.amplify * latent[source]
        return self._held(moved, latent)


Square = tuple[slice, slice, slice, slice]


def _overlap(
    start: list[int], end: list[int], radius: int, size: tuple[int, ...]
) -> tuple[Square, Square]:
    """The squares around two cells, without what of either lies outside the map."""
    source, target = [], []
    for side, here, there in zip(reversed(size), start, end, strict=True):
        low = max(-radius, -here, -there)
        high = min(radius, side - here, side - there)
        source.append(slice(here + low, here + high))
        target.append(slice(there + low, there + high))
    every = slice(None)
    return (every, every, source[1], source[0]), (every, every, target[1], target[0])


def noised_path(
    predict: Predict, clean: Tensor, schedule: Schedule, *, until: int, generator: torch.Generator
) -> Trajectory:
    """Noise a latent step by step, and keep what the ancestral sampler would have to draw.

    Args:
        predict: ``(z, t) -> eps``.
        clean: latent (1 c h w).
        schedule: levels.
        until: noisiest level.
        generator: on the CPU.

    Returns:
        Trajectory that ``sample`` leads back along exactly.

    Source: Nie et al. 2024, arXiv:2311.01410, section 3.3 (Cycle-SDE).
    """
    latents, arrivals = [clean], []
    for level in range(1, until + 1):
        below, here = schedule.alpha_bars[level - 1], schedule.alpha_bars[level]
        left = here / below
        drawn = torch.randn(clean.shape, generator=generator, dtype=torch.float64).to(clean)
        latents.append(left.sqrt().item() * latents[-1] + (1 - left).sqrt().item() * drawn)
        eps = predict(latents[-1], schedule.timestep(level))
        arrivals.append(ddpm_mean(latents[-1], eps, alpha_bar_from=here, alpha_bar_to=below))
    return Trajectory(tuple(latents), schedule, tuple(arrivals), method="edit_friendly")
