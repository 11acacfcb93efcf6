"""Walk a clean latent up the noise levels and remember the way."""

from torch import Tensor

from featurekit.errors import ConfigError, NoiseLevelError, UnknownNameError
from featurekit.noise import Schedule
from featurekit.shapes import expect
from featurekit.steps import ddim_step
from featurekit.trajectory import Trajectory
from featurekit.types import Predict, Progress, silent

METHODS = ("ddim",)


def invert(  # noqa: PLR0913 - a public name of architecture.md, section 4
    predict: Predict,
    z0: Tensor,
    schedule: Schedule,
    *,
    method: str = "ddim",
    refine: int = 0,
    keep_residuals: bool = True,
    until: int | None = None,
    conditioning: str = "",
    progress: Progress = silent,
) -> Trajectory:
    """Find the noisy latents from which deterministic sampling comes back to ``z0``.

    The step to level i asks for the noise of the latent it has (level i - 1) at the time
    it goes to (timestep of level i), so the network sees the timesteps that sampling will
    show it. What one such step gets wrong is of first order in its length; ``refine``
    repeats it at the latent it led to, and the residuals record what is still wrong.
    No gradient is stopped here: under a network with trainable weights, wrap the call in
    ``torch.no_grad()`` or every step of it is kept for a backward pass.

    Args:
        predict: ``(z, t) -> eps``; called ``until * (1 + refine)`` times, and ``until``
            times more for residuals.
        z0: clean latent, (b c h w), scaled by the VAE factor.
        schedule: levels of the run; sampling must use the same.
        method: one of ``METHODS``.
        refine: fixed-point iterations a step, 0 or more.
        keep_residuals: also record, for each step back down, what it misses by.
        until: highest level to reach, 0 to ``schedule.steps``; the default is all.
        conditioning: fingerprint of what ``predict`` is conditioned on, kept as provenance.
        progress: called after each call of ``predict``.

    Returns:
        The latents of levels 0 to ``until``, dtype and device of ``z0``, with residuals.

    Raises:
        UnknownNameError: no such method.
        ConfigError: ``refine`` is negative.
        NoiseLevelError: ``until`` is no level of the schedule.
        ShapeError: ``z0`` is not (b c h w).

    Source: Song et al. 2021, arXiv:2010.02502, section 4.3, with eps at the target time as in
    Hertz et al. 2022, arXiv:2208.01626; fixed point: Pan et al. 2023, arXiv:2309.04907;
    residuals: Ju et al. 2023, arXiv:2310.01506.
    """
    if method not in METHODS:
        raise UnknownNameError("inversion method", method, METHODS)
    if refine < 0:
        raise ConfigError(f"refine must be 0 or more fixed-point iterations, got {refine}")
    until = schedule.steps if until is None else until
    if not 0 <= until <= schedule.steps:
        raise NoiseLevelError(f"until must be a level from 0 to {schedule.steps}, got {until}")
    expect(z0, "b c h w", of="latent")
    counted = _counted(predict, until * (1 + refine + keep_residuals), progress)
    latents = _ascend(counted, z0, schedule, until, refine)
    residuals = _misses(counted, latents, schedule) if keep_residuals else None
    return Trajectory(latents, schedule, residuals, conditioning)


def _ascend(
    predict: Predict, z0: Tensor, schedule: Schedule, until: int, refine: int
) -> tuple[Tensor, ...]:
    """Latents of levels 0 to ``until``."""
    latents = [z0]
    for level in range(1, until + 1):
        z = latents[-1]
        for _ in range(1 + refine):
            z = ddim_step(
                latents[-1],
                predict(z, schedule.timestep(level)),
                alpha_bar_from=schedule.alpha_bars[level - 1],
                alpha_bar_to=schedule.alpha_bars[level],
            )
        latents.append(z)
    return tuple(latents)


def _misses(
    predict: Predict, latents: tuple[Tensor, ...], schedule: Schedule
) -> tuple[Tensor, ...]:
    """Entry i: the latent of level i minus where a sampling step from level i + 1 arrives."""
    found = []
    for level in range(len(latents) - 1, 0, -1):
        arrived = ddim_step(
            latents[level],
            predict(latents[level], schedule.timestep(level)),
            alpha_bar_from=schedule.alpha_bars[level],
            alpha_bar_to=schedule.alpha_bars[level - 1],
        )
        found.append(latents[level - 1] - arrived)
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
