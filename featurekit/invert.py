"""Walk a clean latent up the noise levels and remember the way."""

from collections.abc import Mapping

import torch
from torch import Tensor

from featurekit.anderson import extrapolated, repeated
from featurekit.edict import edict_latents
from featurekit.edit_friendly import edit_friendly_latents
from featurekit.errors import ConfigError, NoiseLevelError, UnknownNameError
from featurekit.noise import Schedule
from featurekit.shapes import expect
from featurekit.steps import ddim_step, ddpm_mean
from featurekit.trajectory import ANCHORED, METHODS, PAIRED, Trajectory
from featurekit.types import Predict, Progress, silent

# iterations a step of the methods that have any, unless the caller says
_REFINED: Mapping[str, int] = {"ddim": 0, "residual": 0, "anderson": 3}
# calls of the network a level on the way up, of the methods without iterations
_CALLS: Mapping[str, int] = {"edict": 2, "edit_friendly": 0}


def invert(  # noqa: PLR0913 - a public name of architecture.md, section 4
    predict: Predict,
    z0: Tensor,
    schedule: Schedule,
    *,
    method: str = "ddim",
    refine: int | None = None,
    keep_residuals: bool | None = None,
    until: int | None = None,
    generator: torch.Generator | None = None,
    conditioning: str = "",
    progress: Progress = silent,
) -> Trajectory:
    """Find noisy latents from which ``sample`` comes back to ``z0``; docs/inversion.md compares.

    ``ddim`` asks, for the step to level i, for the noise of the latent of level i - 1 at the
    timestep of level i, so the network sees the timesteps that sampling will show it; ``refine``
    repeats the step at the latent it led to, ``anderson`` extrapolates these repetitions, and
    ``residual`` is ``ddim`` that must keep residuals. ``edict`` climbs with two states and
    ``edit_friendly`` draws each level anew. No gradient is stopped here.

    Args:
        predict: ``(z, t) -> eps``; 1 + ``refine`` calls a level, 1 more for residuals; edict 2.
        z0: clean latent, (b c h w), scaled by the VAE factor; ``edict`` wants it in float64.
        schedule: levels of the run; sampling must use the same.
        method: one of ``METHODS``.
        refine: iterations a step, 0 or more; None is 3 for ``anderson``, else 0.
        keep_residuals: record what steps back miss; None does, but for ``edict``, which has none.
        until: highest level to reach, 0 to ``schedule.steps``; the default is all.
        generator: on the CPU, for ``edit_friendly`` alone.
        conditioning: fingerprint of what ``predict`` is conditioned on, kept as provenance.
        progress: called after each call of ``predict``.

    Returns:
        The latents of levels 0 to ``until``, dtype and device of ``z0``, with residuals.

    Raises:
        UnknownNameError: no such method.
        ConfigError: ``refine`` is negative, or a setting does not go with the method.
        NoiseLevelError: ``until`` is no level of the schedule.
        ShapeError: ``z0`` is not (b c h w).

    Source: Song et al. 2021, arXiv:2010.02502, section 4.3, eps at the target time as in Hertz et
    al. 2022, arXiv:2208.01626; Pan et al. 2023, arXiv:2309.04907; Ju et al. 2023, arXiv:2310.01506.
    """
    repeats = _repeats(method, refine)
    keep = _keeps(method, keep_residuals)
    _check_draws(method, generator)
    until = _top(schedule, until)
    expect(z0, "b c h w", of="latent")
    calls = _CALLS.get(method, 1 + repeats)
    counted = _counted(predict, until * (calls + keep), progress)
    if generator is not None:
        latents = edit_friendly_latents(z0, schedule, until, generator)
    elif method in PAIRED:
        latents = edict_latents(counted, z0, schedule, until)
    else:
        latents = _ascend(counted, (z0, schedule, until), method=method, times=calls)
    arrivals = _arrivals(counted, latents, schedule, method) if keep else None
    return Trajectory(latents, schedule, arrivals, conditioning, method)


def _repeats(method: str, refine: int | None) -> int:
    if method not in METHODS:
        raise UnknownNameError("inversion method", method, METHODS)
    if method not in _REFINED and refine:
        raise ConfigError(
            f"refine must be left out for {method}, which repeats no step, got {refine}"
        )
    found = _REFINED.get(method, 0) if refine is None else refine
    if found < 0:
        raise ConfigError(f"refine must be 0 or more fixed-point iterations, got {found}")
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


def _top(schedule: Schedule, until: int | None) -> int:
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


def _ascend(
    predict: Predict, way: tuple[Tensor, Schedule, int], *, method: str, times: int
) -> tuple[Tensor, ...]:
    """Latents of levels 0 to the last; each step is asked for ``times`` times."""
    z0, schedule, until = way
    settle = extrapolated if method == "anderson" else repeated
    latents = [z0]
    for level in range(1, until + 1):
        below = latents[-1]

        def move(z: Tensor, below: Tensor = below, level: int = level) -> Tensor:
            return ddim_step(
                below,
                predict(z, schedule.timestep(level)),
                alpha_bar_from=schedule.alpha_bars[level - 1],
                alpha_bar_to=schedule.alpha_bars[level],
            )

        latents.append(settle(move, below, times))
    return tuple(latents)


def _arrivals(
    predict: Predict, latents: tuple[Tensor, ...], schedule: Schedule, method: str
) -> tuple[Tensor, ...]:
    """Entry i: where the method's step back from the latent of level i + 1 arrives."""
    step = ddpm_mean if method == "edit_friendly" else ddim_step
    found = [
        step(
            latents[level],
            predict(latents[level], schedule.timestep(level)),
            alpha_bar_from=schedule.alpha_bars[level],
            alpha_bar_to=schedule.alpha_bars[level - 1],
        )
        for level in range(len(latents) - 1, 0, -1)
    ]
    return tuple(reversed(found))


def _counted(predict: Predict, total: int, progress: Progress) -> Predict:
    """The same predictor, reporting progress after each call."""
    done = 0

    def counting(z: Tensor, t: int | Tensor) -> Tensor:
        nonlocal done
        eps = predict(z, t)
        done += 1
        progress(done, total)
        return eps

    return counting
