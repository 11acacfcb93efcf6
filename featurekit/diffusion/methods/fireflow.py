"""FireFlow: midpoint steps that set out with the velocity halfway through the step before."""

from torch import Tensor

from featurekit.core.finite import at_level, check_finite
from featurekit.core.types import Predict
from featurekit.diffusion.flow_schedule import FlowSchedule
from featurekit.diffusion.methods.midpoint import velocity_halfway
from featurekit.diffusion.steps import fitted


class FireFlow:
    """A walk along a flow of second order, with one call of the network a step and one more.

    The velocity halfway through the step before is off by the first power of the step, which moves
    the place halfway by the second and the latent by the third: as little as midpoint steps miss.
    It is taken from where that step came to, so that a walk can be taken up again anywhere.

    Source: Deng et al. 2024 (FireFlow), arXiv:2412.07517, modified midpoint with reused velocity.
    """

    def __init__(
        self, predict: Predict, schedule: FlowSchedule, carried: Tensor | None = None
    ) -> None:
        """Begin a walk.

        Args:
            predict: ``(z, t) -> v``.
            schedule: levels of the run.
            carried: velocity to set out with, (b c h w) or one row; None asks the network for it.
        """
        self._predict, self._schedule, self._carried = predict, schedule, carried

    def step(self, z: Tensor, from_level: int, to_level: int) -> Tensor:
        """Carry a latent to a neighbouring level.

        Args:
            z: latent at ``from_level``, (b c h w).
            from_level: level of ``z``, 0 to n.
            to_level: level to reach, one above or below.

        Returns:
            Latent at ``to_level``, dtype and device of ``z``.

        Raises:
            NoiseLevelError: there is no such level.
            ShapeError: the network answers in another shape.
        """
        schedule, v = self._schedule, self._carried
        if v is None:
            v = self._predict(z, schedule.time(from_level))
        halfway = velocity_halfway(self._predict, z, v, schedule, (from_level, to_level))
        arrival = schedule.step(z, halfway, from_level, to_level)
        self._carried = velocity_between(z, arrival, schedule, (from_level, to_level))
        return arrival


def velocity_between(
    z: Tensor, arrival: Tensor, schedule: FlowSchedule, levels: tuple[int, int]
) -> Tensor:
    """Recover the velocity that carried a latent from one level to another.

    Args:
        z: latent at the first level, (b c h w).
        arrival: where it came to, same shape.
        schedule: levels of the run.
        levels: those that the step led from and to.

    Returns:
        Velocity, (b c h w), dtype and device of ``z``.
    """
    return (arrival - z) / fitted(schedule.sigmas[levels[1]] - schedule.sigmas[levels[0]], z)


def fireflow_latents(
    predict: Predict, z0: Tensor, schedule: FlowSchedule, until: int
) -> tuple[Tensor, ...]:
    """Climb from a clean latent, setting out with its velocity at timestep 0.

    Args:
        predict: ``(z, t) -> v``; called once a level and once more.
        z0: clean latent, (b c h w).
        schedule: levels of the run.
        until: highest level to reach.

    Returns:
        Latents of levels 0 to ``until``, dtype and device of ``z0``.

    Raises:
        NotFiniteError: a step arrives at NaN or infinity; its level is named.
    """
    walk, latents = FireFlow(predict, schedule), [z0]
    for level in range(1, until + 1):
        latents.append(walk.step(latents[-1], level - 1, level))
        check_finite(latents[-1], where=at_level(level, schedule.timestep(level)))
    return tuple(latents)
