"""EDICT: two coupled states whose steps have an exact inverse, whatever the network answers."""

import torch
from torch import Tensor

from featurekit.core.finite import at_level, check_finite
from featurekit.core.types import Predict
from featurekit.diffusion.levels import NoiseSchedule

MIX = 0.93  # share of its own that a state keeps in a mixing; the paper's p
MIX_STEPS = 50  # the paper's run; a longer one mixes less a step, as much in all


def mixing(steps: int) -> float:
    """Share of its own that a state keeps, in each of the two mixings of a step.

    The way up magnifies the difference of the states by its inverse square a step: by 1400 over
    the paper's 50 steps, but by 10^63 over 1000 if it stayed as it is.

    Args:
        steps: steps of the whole run, 1 or more.

    Returns:
        Share in (0, 1).

    Source: Wallace et al. 2023, arXiv:2211.12446, for 0.93 at 50 steps.
    """
    return float(MIX ** min(1.0, MIX_STEPS / steps))


def edict_down(predict: Predict, pair: Tensor, schedule: NoiseSchedule, level: int) -> Tensor:
    """Denoise a pair by one level: each state steps by the other's noise, then they mix.

    Args:
        predict: ``(z, t) -> eps``; called twice, each time with one state's rows.
        pair: states at ``level``, (2b c h w), partners last.
        schedule: levels of the run.
        level: level of the pair, 1 to n.

    Returns:
        Pair at ``level - 1``, (2b c h w).

    Raises:
        NoiseLevelError: there is no such level.
        ShapeError: the network answers in another shape.

    Source: Wallace et al. 2023, arXiv:2211.12446, the denoising step.
    """
    x, y = torch.chunk(pair, 2)
    t = schedule.timestep(level)
    x = schedule.step(x, predict(y, t), level, level - 1)
    y = schedule.step(y, predict(x, t), level, level - 1)
    share = mixing(schedule.steps)
    x = share * x + (1 - share) * y
    y = share * y + (1 - share) * x
    return torch.cat([x, y])


def edict_up(predict: Predict, pair: Tensor, schedule: NoiseSchedule, level: int) -> Tensor:
    """Undo ``edict_down``: the same lines solved backwards, last one first.

    Unmixing magnifies the difference of the states, rounding included; the way down shrinks it
    alike. Latents in float64 keep all of it, those in float32 come back to about 1e-6.

    Args:
        predict: ``(z, t) -> eps``; called twice, each time with one state's rows.
        pair: states at ``level - 1``, (2b c h w), partners last.
        schedule: levels of the run.
        level: level to reach, 1 to n.

    Returns:
        Pair at ``level``, (2b c h w).

    Raises:
        NoiseLevelError: there is no such level.
        ShapeError: the network answers in another shape.

    Source: Wallace et al. 2023, arXiv:2211.12446, the inversion step.
    """
    x, y = torch.chunk(pair, 2)
    t = schedule.timestep(level)
    share = mixing(schedule.steps)
    y = (y - (1 - share) * x) / share
    x = (x - (1 - share) * y) / share
    y = schedule.step(y, predict(x, t), level - 1, level)
    x = schedule.step(x, predict(y, t), level - 1, level)
    return torch.cat([x, y])


def edict_latents(
    predict: Predict, z0: Tensor, schedule: NoiseSchedule, until: int
) -> tuple[Tensor, ...]:
    """Climb with a pair whose states both start as the clean latent.

    Args:
        predict: ``(z, t) -> eps``; called twice a level.
        z0: clean latent, (b c h w).
        schedule: levels of the run.
        until: highest level to reach.

    Returns:
        Pairs of levels 0 to ``until``, each (2b c h w).

    Raises:
        NotFiniteError: a step arrives at NaN or infinity; its level is named.
    """
    pairs = [torch.cat([z0, z0])]
    for level in range(1, until + 1):
        pairs.append(edict_up(predict, pairs[-1], schedule, level))
        check_finite(pairs[-1], of="pair", where=at_level(level, schedule.timestep(level)))
    return tuple(pairs)
