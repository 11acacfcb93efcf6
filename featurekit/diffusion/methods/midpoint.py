"""Steps of second order along a flow: the velocity is read again halfway."""

from torch import Tensor

from featurekit.core.finite import at_level, check_finite
from featurekit.core.types import Predict
from featurekit.diffusion.flow_schedule import FlowSchedule
from featurekit.diffusion.flow_steps import flow_step


def midpoint_step(
    predict: Predict, z: Tensor, schedule: FlowSchedule, from_level: int, to_level: int
) -> Tensor:
    """Carry a latent to a neighbouring level, up or down, with two calls of the network.

    RF-Solver expands the velocity to first order in time, ``z + h v + h^2/2 v'``, and takes ``v'``
    as the difference quotient to the latent half an Euler step on, ``(v_half - v) / (h/2)``. The
    two ``v`` cancel: what is left is the explicit midpoint rule ``z + h v_half``.

    Args:
        predict: ``(z, t) -> v``; called twice.
        z: latent at ``from_level``, (b c h w).
        schedule: levels of the run.
        from_level: level of ``z``, 0 to n.
        to_level: level to reach, one above or below.

    Returns:
        Latent at ``to_level``, dtype and device of ``z``; off by the third power of the step.

    Raises:
        NoiseLevelError: there is no such level.
        ShapeError: the network answers in another shape.

    Source: Wang et al. 2024 (RF-Solver), arXiv:2411.04746, second-order Taylor expansion.
    """
    v = predict(z, schedule.time(from_level))
    halfway = velocity_halfway(predict, z, v, schedule, (from_level, to_level))
    return schedule.step(z, halfway, from_level, to_level)


def velocity_halfway(
    predict: Predict, z: Tensor, v: Tensor, schedule: FlowSchedule, levels: tuple[int, int]
) -> Tensor:
    """Read the velocity where half an Euler step leads.

    Args:
        predict: ``(z, t) -> v``; called once.
        z: latent at the first level, (b c h w).
        v: velocity to set out with, same shape and dtype, or one row of it.
        schedule: levels of the run.
        levels: those that the step leads from and to.

    Returns:
        Velocity, (b c h w).

    Raises:
        NoiseLevelError: there is no such level.
        ShapeError: ``v`` has another shape.
    """
    t, sigma = schedule.halfway(*levels)
    before = schedule.sigmas[levels[0]]
    return predict(flow_step(z, v.expand_as(z), sigma_from=before, sigma_to=sigma), t)


def midpoint_latents(
    predict: Predict, z0: Tensor, schedule: FlowSchedule, until: int
) -> tuple[Tensor, ...]:
    """Climb from a clean latent by the same rule that leads back, from timestep 0 on.

    Args:
        predict: ``(z, t) -> v``; called twice a level.
        z0: clean latent, (b c h w).
        schedule: levels of the run.
        until: highest level to reach.

    Returns:
        Latents of levels 0 to ``until``, dtype and device of ``z0``.

    Raises:
        NotFiniteError: a step arrives at NaN or infinity; its level is named.
    """
    latents = [z0]
    for level in range(1, until + 1):
        latents.append(midpoint_step(predict, latents[-1], schedule, level - 1, level))
        check_finite(latents[-1], where=at_level(level, schedule.timestep(level)))
    return tuple(latents)
