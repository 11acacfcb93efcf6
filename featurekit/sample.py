"""Walk a latent down the DDIM path, from any noise level to clean."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from featurekit.errors import NoiseLevelError, ScheduleError, ShapeError
from featurekit.noise import Schedule
from featurekit.shapes import expect
from featurekit.steps import ddim_step
from featurekit.trajectory import Trajectory
from featurekit.types import Predict, Progress, silent

OnStep: TypeAlias = Callable[[int, Tensor], Tensor | None]
"""``(level, z)`` with the latent that has just arrived at ``level``; a tensor replaces it."""


def sample(  # noqa: PLR0913 - a public name of architecture.md, section 4
    predict: Predict,
    z: Tensor,
    schedule: Schedule,
    *,
    start: int | None = None,
    trajectory: Trajectory | None = None,
    on_step: OnStep | None = None,
    progress: Progress = silent,
) -> Tensor:
    """Carry a latent from a noise level to level 0 with deterministic DDIM steps.

    With ``trajectory`` the error that its inversion made at each step is added back, on
    every row: the inverted latent then returns to its origin, and an edited one answers
    as plain DDIM would, without that error. Gradients flow if torch's mode lets them.

    Args:
        predict: ``(z, t) -> eps``; called once a level with the timestep of that level.
        z: latent at level ``start``, (b c h w), scaled by the VAE factor.
        schedule: levels of the run.
        start: level of ``z``, 0 to ``schedule.steps``; the default is ``schedule.steps``.
        trajectory: an inversion under the same schedule and conditioning, with residuals
            up to ``start``; its batch is 1 or that of ``z``.
        on_step: called after each step with the new level and latent; may return another
            latent to go on with, e.g. a blend.
        progress: called after each step.

    Returns:
        Latent at level 0, (b c h w), dtype and device of ``z``.

    Raises:
        NoiseLevelError: ``start`` is no level of the schedule, or above the trajectory.
        ScheduleError: the trajectory has another schedule, or no residuals.
        ShapeError: ``z`` is not (b c h w), or the residuals do not fit it.

    Source: Song et al. 2021, arXiv:2010.02502, eq. 12 with sigma = 0; the residuals follow
    Ju et al. 2023, arXiv:2310.01506, who add them to the source row only.
    """
    expect(z, "b c h w", of="latent")
    start = schedule.steps if start is None else start
    if not 0 <= start <= schedule.steps:
        raise NoiseLevelError(f"start must be a level from 0 to {schedule.steps}, got {start}")
    residuals = None if trajectory is None else _residuals(trajectory, schedule, start, z)
    for level in range(start, 0, -1):
        z = ddim_step(
            z,
            predict(z, schedule.timestep(level)),
            alpha_bar_from=schedule.alpha_bars[level],
            alpha_bar_to=schedule.alpha_bars[level - 1],
        )
        if residuals is not None:
            z = z + residuals[level - 1]
        if on_step is not None:
            replaced = on_step(level - 1, z)
            z = z if replaced is None else replaced
        progress(start - level + 1, start)
    return z


def _residuals(
    trajectory: Trajectory, schedule: Schedule, start: int, z: Tensor
) -> tuple[Tensor, ...]:
    """Residuals of the trajectory, once they are known to belong to this run."""
    if trajectory.residuals is None:
        raise ScheduleError(
            "trajectory must hold residuals to be sampled with, this one has none; "
            "invert with keep_residuals=True"
        )
    if trajectory.schedule.timesteps != schedule.timesteps or not torch.equal(
        trajectory.schedule.alpha_bars, schedule.alpha_bars
    ):
        raise ScheduleError(
            f"trajectory must come from the schedule of this run ({schedule.steps} steps), it has "
            f"another one ({trajectory.schedule.steps} steps); pass schedule=trajectory.schedule"
        )
    if trajectory.until < start:
        raise NoiseLevelError(
            f"trajectory must reach the start level {start}, it ends at level {trajectory.until}; "
            f"invert with until={start} or start at {trajectory.until}"
        )
    fitting = {tuple(z.shape), (1, *z.shape[1:])}
    for residual in trajectory.residuals[:start]:
        if tuple(residual.shape) not in fitting:
            raise ShapeError(
                f"residuals must fit the latent {tuple(z.shape)} or its first row alone, "
                f"got {tuple(residual.shape)}; invert the latents of this batch"
            )
    return trajectory.residuals
