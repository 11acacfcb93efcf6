"""Walk a latent down from any noise level to clean, plainly or back along an inversion."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from featurekit.core.errors import ConfigError, NoiseLevelError, ScheduleError, ShapeError
from featurekit.core.finite import at_level, check_finite, check_latent
from featurekit.core.types import Predict, Progress, silent
from featurekit.diffusion.backbone import fingerprint_of
from featurekit.diffusion.levels import NoiseSchedule
from featurekit.diffusion.methods.descent import Descent, descent
from featurekit.diffusion.methods.kinds import BOUND, SECOND_ORDER, check_method
from featurekit.diffusion.trajectory import Trajectory

OnStep: TypeAlias = Callable[[int, Tensor], Tensor | None]
"""``(level, z)`` with the latent that has just arrived at ``level``; a tensor replaces it."""

_ALONE = ("ddim", *SECOND_ORDER)  # methods whose steps need no trajectory


def sample(  # noqa: PLR0913 - a public name of architecture.md, section 4
    predict: Predict,
    z: Tensor,
    schedule: NoiseSchedule,
    *,
    start: int | None = None,
    trajectory: Trajectory | None = None,
    method: str | None = None,
    on_step: OnStep | None = None,
    progress: Progress = silent,
) -> Tensor:
    """Carry a latent from a noise level to level 0, plainly or back along an inversion.

    With ``trajectory`` each step is that of its method, and what the inversion's own step missed
    at that level is added back on every row: the inverted latent then returns to its origin,
    and an edited one answers as the plain step would, without that error. A latent of ``edict``
    is a pair: start from ``trajectory.at`` or ``.edited``; ``on_step`` meets pairs. Gradients flow.

    Args:
        predict: ``(z, t) -> eps``, of a flow ``-> v``; called once a level with the timestep of
            that level, twice for a pair and for ``midpoint``, once more in all for ``fireflow``.
        z: latent at level ``start``, (b c h w), scaled by the VAE factor; for a pair (2b c h w).
        schedule: levels of the run.
        start: level of ``z``, 0 to ``schedule.steps``; the default is ``schedule.steps``.
        trajectory: an inversion under the same schedule up to ``start``, with residuals (but
            ``edict``; steps of second order need none); its batch is 1 or that of ``z``. Residuals
            of ``BOUND`` methods belong to what predicted them; others stand another prompt.
        method: steps without a trajectory: ddim (of a flow Euler's), midpoint or fireflow.
        on_step: called after each step with level and latent; may return another to go on with.
        progress: called after each step.

    Returns:
        Latent at level 0, (b c h w), dtype and device of ``z``; the first state of a pair.

    Raises:
        NoiseLevelError: ``start`` is no level of the schedule, or above the trajectory.
        ScheduleError: the trajectory has another schedule, or no residuals.
        ShapeError: ``z`` is not (b c h w) or not floating, or the trajectory does not fit it.
        NotFiniteError: ``z`` holds NaN or infinity, or a step arrives at some; it is named.
        ConfigError: residuals come from another predictor, by both fingerprints, or the method
            is another one, or cannot walk the schedule.

    Source: Song et al. 2021, arXiv:2010.02502, eq. 12 with sigma = 0; the residuals follow
    Ju et al. 2023, arXiv:2310.01506, who add them to the source row only.
    """
    check_latent(z)
    method = _method(method, trajectory, schedule)
    start = _start(start, schedule)
    if trajectory is not None:
        _check_trajectory(trajectory, schedule, start, z)
        _check_fingerprint(trajectory, predict)
    walk = _walk(descent(predict, schedule, method, above=_above(trajectory, start)), trajectory)
    for level in range(start, 0, -1):
        z = walk(z, level)
        if on_step is not None:
            replaced = on_step(level - 1, z)
            z = z if replaced is None else replaced
        check_finite(z, where=_place(schedule, level))
        progress(start - level + 1, start)
    return z if trajectory is None or trajectory.states == 1 else torch.chunk(z, 2)[0]


def _start(start: int | None, schedule: NoiseSchedule) -> int:
    start = schedule.steps if start is None else start
    if not 0 <= start <= schedule.steps:
        raise NoiseLevelError(f"start must be a level from 0 to {schedule.steps}, got {start}")
    return start


def _method(method: str | None, trajectory: Trajectory | None, schedule: NoiseSchedule) -> str:
    """The steps to take: those of the trajectory, or those asked for."""
    if trajectory is not None:
        if method not in (None, trajectory.method):
            raise ConfigError(
                f"method must be left out beside a trajectory, which has its own steps "
                f"({trajectory.method}), got {method!r}"
            )
        return trajectory.method
    method = "ddim" if method is None else method
    check_method(method, schedule)
    if method not in _ALONE:
        raise ConfigError(
            f"method must be one of {', '.join(_ALONE)} without a trajectory, got {method!r}"
        )
    return method


def _above(trajectory: Trajectory | None, start: int) -> tuple[Tensor, Tensor, int] | None:
    """The stored step that leads to where a walk begins."""
    if trajectory is None or trajectory.arrivals is None or start >= trajectory.until:
        return None
    return trajectory.latents[start + 1], trajectory.arrivals[start], start + 1


def _place(schedule: NoiseSchedule, level: int) -> str:
    """Where the step from a level has led."""
    below = None if level == 1 else schedule.timestep(level - 1)
    return f"{at_level(level - 1, below)} after the step from timestep {schedule.timestep(level):g}"


def _check_fingerprint(trajectory: Trajectory, predict: Predict) -> None:
    """Refuse residuals that another conditioning or guidance left."""
    if trajectory.method not in BOUND or trajectory.arrivals is None or not trajectory.fingerprint:
        return
    found = fingerprint_of(predict)
    if found and found != trajectory.fingerprint:
        raise ConfigError(
            f"residuals must be walked with what they were found with, {trajectory.fingerprint}, "
            f"got {found}; invert with this predictor, or use method edict or edit_friendly, "
            f"which stand another one"
        )


def _walk(step: Descent, trajectory: Trajectory | None) -> Descent:
    """Steps told relative to those that a trajectory has stored, if it has."""
    if trajectory is None or trajectory.arrivals is None:
        return step
    latents, arrivals = trajectory.latents, trajectory.arrivals
    # the difference first: on the stored path it is 0 to the last bit
    return lambda z, level: latents[level - 1] + (step(z, level) - arrivals[level - 1])


def _check_trajectory(
    trajectory: Trajectory, schedule: NoiseSchedule, start: int, z: Tensor
) -> None:
    """Refuse a trajectory that does not belong to this run."""
    alone = trajectory.states > 1 or trajectory.method in SECOND_ORDER
    if trajectory.arrivals is None and not alone:
        raise ScheduleError(
            "trajectory must hold residuals to be sampled with, this one has none; "
            "invert with keep_residuals=True"
        )
    if trajectory.schedule.fingerprint != schedule.fingerprint:
        raise ScheduleError(
            f"trajectory must come from the schedule of this run ({schedule.steps} steps), it has "
            f"another one ({trajectory.schedule.steps} steps); pass schedule=trajectory.schedule"
        )
    if trajectory.until < start:
        raise NoiseLevelError(
            f"trajectory must reach the start level {start}, it ends at level {trajectory.until}; "
            f"invert with until={start} or start at {trajectory.until}"
        )
    stored = tuple(trajectory.at(0).shape)
    if trajectory.states > 1 and tuple(z.shape) != stored:
        raise ShapeError(
            f"a latent of {trajectory.method} must be both states of each pair, {stored}, "
            f"got {tuple(z.shape)}; start from trajectory.at or trajectory.edited"
        )
    if stored not in {tuple(z.shape), (1, *z.shape[1:])}:
        raise ShapeError(
            f"residuals must fit the latent {tuple(z.shape)} or its first row alone, "
            f"got {stored}; invert the latents of this batch"
        )
