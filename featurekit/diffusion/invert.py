"""Walk a clean latent up the noise levels and remember the way."""

import math
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from featurekit.core.errors import ConfigError, NoiseLevelError
from featurekit.core.finite import at_level, check_finite, check_latent
from featurekit.core.types import Predict, Progress, silent
from featurekit.diffusion.backbone import fingerprint_of
from featurekit.diffusion.levels import NoiseSchedule
from featurekit.diffusion.methods.anderson import Settled, extrapolated, repeated
from featurekit.diffusion.methods.descent import descent
from featurekit.diffusion.methods.edict import edict_latents
from featurekit.diffusion.methods.edit_friendly import edit_friendly_latents
from featurekit.diffusion.methods.fireflow import fireflow_latents
from featurekit.diffusion.methods.kinds import (
    ANCHORED,
    PAIRED,
    check_method,
    of_diffusion,
    of_flow,
)
from featurekit.diffusion.methods.midpoint import midpoint_latents
from featurekit.diffusion.trajectory import Trajectory

# iterations a step of the methods that have any, unless the caller says
REFINED: Mapping[str, int] = {"ddim": 0, "residual": 0, "anderson": 3}
# calls of the network a level on the way up, of the methods without iterations
_CALLS: Mapping[str, int] = {"edict": 2, "edit_friendly": 0, "midpoint": 2, "fireflow": 1}
_CALLS_BACK: Mapping[str, int] = {"midpoint": 2}  # where more than 1 a level
_FIRST_CALLS: Mapping[str, int] = {"fireflow": 1}  # before the first level, each way


def invert(  # noqa: PLR0913 - a public name of architecture.md, section 4
    predict: Predict,
    z0: Tensor,
    schedule: NoiseSchedule,
    *,
    method: str = "ddim",
    refine: int | None = None,
    tol: float | None = None,
    keep_residuals: bool | None = None,
    until: int | None = None,
    generator: torch.Generator | None = None,
    progress: Progress = silent,
) -> Trajectory:
    """Find noisy latents from which ``sample`` comes back to ``z0``; docs/inversion.md compares.

    ``ddim`` asks for the noise of a latent at the timestep of the level above, as sampling will;
    ``refine`` repeats the step where it led, ``anderson`` extrapolates that, ``residual`` must keep
    residuals, ``edict`` has two states, ``edit_friendly`` draws each level. On a flow, ``midpoint``
    and ``fireflow`` climb and come back by steps of second order. Gradients flow.

    Args:
        predict: ``(z, t) -> eps``, of a flow ``-> v``; 1 + ``refine`` calls a level, 1 more for
            residuals; edict 2, midpoint 2 each way, fireflow 1 and one more each way.
        z0: clean latent, (b c h w), finite, scaled by the VAE factor; ``edict`` wants float64.
        schedule: levels of the run; sampling must use the same.
        method: one of ``METHODS``, on a flow of ``FLOW_METHODS``.
        refine: iterations a step, 0 or more; None is 3 for ``anderson``, else 0.
        tol: iterate no more once one moves the latent by this rms or less; None does all of them.
        keep_residuals: record what steps back miss; None does, but for ``edict``, which has none.
        until: highest level to reach, 0 to ``schedule.steps``; the default is all.
        generator: on the CPU, for ``edit_friendly`` alone.
        progress: called after each call of ``predict``.

    Returns:
        Latents of levels 0 to ``until``, dtype and device of ``z0``, with what belongs to them.

    Raises:
        UnknownNameError: no such method.
        ConfigError: a setting is out of range, or does not go with the method.
        NoiseLevelError: ``until`` is no level of the schedule.
        ShapeError, NotFiniteError: ``z0`` is not (b c h w), floating and finite, or a step is not.

    Source: Song et al. 2021, arXiv:2010.02502, section 4.3, eps at the target time as in Hertz et
    al. 2022, arXiv:2208.01626; Pan et al. 2023, arXiv:2309.04907; Ju et al. 2023, arXiv:2310.01506.
    """
    check_method(method, schedule)
    repeats = _repeats(method, refine, tol)
    keep = _keeps(method, keep_residuals)
    _check_draws(method, generator)
    check_latent(z0)
    until, calls = _top(schedule, until), _CALLS.get(method, 1 + repeats)
    counted = _Counted(predict, _calls(method, until, calls, keep=keep), progress)
    if method in REFINED:
        settle = partial(extrapolated if method == "anderson" else repeated, times=calls, tol=tol)
        latents, left = _ascend(counted, (z0, schedule, until), settle, kept=repeats > 0)
    else:
        latents, left = _climbed(counted, (z0, schedule, until), method, generator), ()
    arrivals = _arrivals(counted, latents, schedule, method) if keep else None
    counted.finish()
    return Trajectory(latents, schedule, arrivals, fingerprint_of(predict), method, left or None)


def _calls(method: str, until: int, calls: int, *, keep: bool) -> int:
    """Calls of the network in all, residuals included."""
    back = _CALLS_BACK.get(method, 1) if keep else 0
    first = _FIRST_CALLS.get(method, 0) * (1 + keep) if until else 0
    return until * (calls + back) + first


def _repeats(method: str, refine: int | None, tol: float | None) -> int:
    if method not in REFINED and refine:
        raise ConfigError(
            f"refine must be left out for {method}, which repeats no step, got {refine}"
        )
    found = REFINED.get(method, 0) if refine is None else refine
    if found < 0:
        raise ConfigError(f"refine must be 0 or more fixed-point iterations, got {found}")
    if tol is not None and not (0 < tol < math.inf and found):
        raise ConfigError(
            f"tol must be a positive rms and go with refine of 1 or more, got {tol:g} with "
            f"{found} iterations"
        )
    return found


def _keeps(method: str, keep_residuals: bool | None) -> bool:
    if method in PAIRED and keep_residuals:
        raise ConfigError(
            f"keep_residuals must be left out for {method}, which comes back without, got True"
        )
    if method in ANCHORED and keep_residuals is False:
        raise ConfigError(
            f"keep_residuals must be left out for {method}, which cannot come back without, "
            f"got False"
        )
    return method not in PAIRED if keep_residuals is None else keep_residuals


def _top(schedule: NoiseSchedule, until: int | None) -> int:
    top = schedule.steps if until is None else until
    if not 0 <= top <= schedule.steps:
        raise NoiseLevelError(f"until must be a level from 0 to {schedule.steps}, got {top}")
    return top


def _check_draws(method: str, generator: torch.Generator | None) -> None:
    if (generator is not None) != (method == "edit_friendly"):
        raise ConfigError(
            "a generator must be given to edit_friendly, which draws noise, and to no other "
            f"method, got {'none' if generator is None else 'one'} for {method}"
        )


def _climbed(
    predict: Predict,
    way: tuple[Tensor, NoiseSchedule, int],
    method: str,
    generator: torch.Generator | None,
) -> tuple[Tensor, ...]:
    """Latents of levels 0 to the last, of the methods without iterations."""
    z0, schedule, until = way
    if method == "edict":
        return edict_latents(predict, z0, schedule, until)
    if method == "midpoint":
        return midpoint_latents(predict, z0, of_flow(schedule, method), until)
    if generator is None:
        return fireflow_latents(predict, z0, of_flow(schedule, method), until)
    return edit_friendly_latents(z0, of_diffusion(schedule, method), until, generator)


def _ascend(
    predict: Predict,
    way: tuple[Tensor, NoiseSchedule, int],
    settle: Callable[..., Settled],
    *,
    kept: bool,
) -> tuple[tuple[Tensor, ...], tuple[float, ...]]:
    """Latents of levels 0 to the last; if ``kept``, how far each step's last iteration moved."""
    z0, schedule, until = way
    latents = [z0]
    moved = []
    for level in range(1, until + 1):
        below = latents[-1]
        t = schedule.timestep(level)

        def move(z: Tensor, below: Tensor = below, level: int = level, t: float = t) -> Tensor:
            return schedule.step(below, predict(z, t), level - 1, level)

        settled = settle(move, below)
        check_finite(settled.z, where=at_level(level, t))
        latents.append(settled.z)
        moved.append(settled.moved.amax())
    return tuple(latents), tuple(float(rms) for rms in moved) if kept else ()


def _arrivals(
    predict: Predict, latents: tuple[Tensor, ...], schedule: NoiseSchedule, method: str
) -> tuple[Tensor, ...]:
    """Entry i: where the method's step back from the latent of level i + 1 arrives."""
    step = descent(predict, schedule, method)
    found = []
    for level in range(len(latents) - 1, 0, -1):
        arrival = step(latents[level], level)
        where = at_level(level, schedule.timestep(level))
        check_finite(arrival, of="the step back", where=where)
        found.append(arrival)
    return tuple(reversed(found))


class _Counted:
    """The same predictor, reporting progress after each call."""

    def __init__(self, predict: Predict, total: int, progress: Progress) -> None:
        self._predict, self._total, self._progress = predict, total, progress
        self._done = 0

    def __call__(self, z: Tensor, t: float | Tensor) -> Tensor:
        eps = self._predict(z, t)
        self._done += 1
        self._progress(self._done, self._total)
        return eps

    def finish(self) -> None:
        """Report the whole where iterations ended early."""
        if self._done < self._total:
            self._progress(self._total, self._total)
