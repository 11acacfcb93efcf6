"""The step down that belongs to each method, for recording residuals and for sampling alike."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from torch import Tensor

from featurekit.core.types import Predict
from featurekit.diffusion.levels import NoiseSchedule
from featurekit.diffusion.methods.edict import edict_down
from featurekit.diffusion.methods.fireflow import FireFlow, velocity_between
from featurekit.diffusion.methods.kinds import of_diffusion, of_flow
from featurekit.diffusion.methods.midpoint import midpoint_step
from featurekit.diffusion.steps import ddpm_mean

Descent: TypeAlias = Callable[[Tensor, int], Tensor]
"""``(z, level)``: from the latent of a level to that of the level below, one after another."""

Above: TypeAlias = tuple[Tensor, Tensor, int]
"""The step before a walk begins: latent, where its step came to, and the level of the latent."""


def descent(
    predict: Predict, schedule: NoiseSchedule, method: str, *, above: Above | None = None
) -> Descent:
    """Choose the step down of a method.

    Args:
        predict: ``(z, t) -> eps``, of a flow ``-> v``.
        schedule: levels of the run.
        method: one of ``EVERY``; those without steps of their own have the schedule's.
        above: the step that led to where the walk begins, if one did.

    Returns:
        Function of a latent and its level; call it level by level.

    Raises:
        ConfigError: the schedule cannot be walked by the method.
    """
    return _DESCENTS.get(method, _plain)(predict, schedule, above)


def _plain(predict: Predict, schedule: NoiseSchedule, above: Above | None) -> Descent:
    def step(z: Tensor, level: int) -> Tensor:
        return schedule.step(z, predict(z, schedule.timestep(level)), level, level - 1)

    return step


def _edict(predict: Predict, schedule: NoiseSchedule, above: Above | None) -> Descent:
    return lambda pair, level: edict_down(predict, pair, schedule, level)


def _ancestral(predict: Predict, schedule: NoiseSchedule, above: Above | None) -> Descent:
    run = of_diffusion(schedule, "edit_friendly")

    def step(z: Tensor, level: int) -> Tensor:
        before, after = run.alpha_bars[level], run.alpha_bars[level - 1]
        eps = predict(z, run.timestep(level))
        return ddpm_mean(z, eps, alpha_bar_from=before, alpha_bar_to=after)

    return step


def _midpoint(predict: Predict, schedule: NoiseSchedule, above: Above | None) -> Descent:
    run = of_flow(schedule, "midpoint")
    return lambda z, level: midpoint_step(predict, z, run, level, level - 1)


def _fireflow(predict: Predict, schedule: NoiseSchedule, above: Above | None) -> Descent:
    run, carried = of_flow(schedule, "fireflow"), None
    if above is not None:
        z, arrival, level = above
        carried = velocity_between(z, arrival, run, (level, level - 1))
    walk = FireFlow(predict, run, carried)
    return lambda z, level: walk.step(z, level, level - 1)


_DESCENTS: Mapping[str, Callable[[Predict, NoiseSchedule, Above | None], Descent]] = {
    "edict": _edict,
    "edit_friendly": _ancestral,
    "midpoint": _midpoint,
    "fireflow": _fireflow,
}
