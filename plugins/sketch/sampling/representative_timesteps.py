"""Which timesteps of a run the sketch network sees, whatever the number of its steps."""

from collections.abc import Sequence
from hashlib import sha256

import torch
from torch import Tensor

from featurekit.core.errors import ConfigError
from featurekit.diffusion.flow_schedule import schedule_of, whole_timesteps
from featurekit.diffusion.flow_table import FlowTable
from featurekit.diffusion.levels import ForwardProcess, NoiseSchedule
from featurekit.diffusion.noise_schedule import NoiseTable, Schedule
from featurekit_sketch.settings import ENOUGH, Reading

STEPS = 50  # of the run that the numbers below count
# steps whose features stand for all others; 0 is the cleanest. Source: arXiv 2401.04362, its code
REPRESENTATIVE = (0, 3, 8, 12, 16, 21, 25, 28, 32, 35, 39, 43, 47)


COUNT = len(REPRESENTATIVE)


def drawn(timesteps: Sequence[int], clean: Tensor) -> tuple[int, ...]:
    """Draw 13 timesteps for a picture, as the released code does in place of choosing them.

    Args:
        timesteps: to draw from, 13 or more.
        clean: latent of the picture, which decides the lot: the same picture is drawn the same.

    Returns:
        Thirteen of them, rising.
    """
    digest = sha256(clean.detach().float().cpu().contiguous().numpy().tobytes()).digest()
    lots = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    places = torch.randperm(len(timesteps), generator=lots)[:COUNT].sort().values
    return tuple(timesteps[place] for place in places.tolist())


def levels_of(steps: int) -> tuple[int, ...]:
    """Find the levels of a run that lie where the representative ones lie in 50 steps.

    Args:
        steps: timesteps of the run.

    Returns:
        One level, 1 to ``steps``, for each entry of ``REPRESENTATIVE``; rising, so the cleanest
        comes first. The share of the run is rounded to the nearest step, halves upwards.

    Raises:
        ConfigError: two of them would be one level, or one would lie beyond the run.
    """
    levels = tuple((2 * k * steps + STEPS) // (2 * STEPS) + 1 for k in REPRESENTATIVE)
    within = sum(1 <= level <= steps for level in set(levels))
    if within < len(REPRESENTATIVE):
        raise ConfigError(
            f"steps must give each of the {len(REPRESENTATIVE)} representative timesteps a level "
            f"of its own, got {steps} steps, which give {within}; use {ENOUGH} steps or more"
        )
    return levels


def run_of(noise: ForwardProcess, steps: int, size: tuple[int, int] | None = None) -> NoiseSchedule:
    """The levels of a whole path, at whole timesteps and the same for pictures of every size.

    Args:
        noise: levels of the model.
        steps: of the path.
        size: rows and columns of the latents that the model was made for, which a flow's shift
            may follow.
    """
    return whole_timesteps(schedule_of(noise, steps, cells=size), noise.train_timesteps)


def check_timesteps(
    reading: Reading, noise: ForwardProcess, size: tuple[int, int] | None = None
) -> None:
    """Refuse timesteps that were chosen and cannot be read.

    Args:
        reading: how pictures become features.
        noise: levels of the model that is to read them.
        size: rows and columns of the latents that the model was made for.

    Raises:
        ConfigError: the model has no such timestep; or a picture is to be inverted, and the run
            does not pass it.
    """
    last = noise.train_timesteps - (not isinstance(noise, FlowTable))
    missed = [one for one in reading.timesteps if not 0 <= one <= last]
    if missed:
        raise ConfigError(
            f"timesteps that are read must lie in 0 to {last}, those that the model was trained "
            f"with, got {missed[0]}; choose others by plugin.timesteps"
        )
    if reading.timesteps and reading.kind == "inversion":
        levels_at(run_of(noise, reading.steps, size), reading.timesteps)


def levels_at(schedule: NoiseSchedule, timesteps: Sequence[int] = ()) -> tuple[int, ...]:
    """Find the levels of a run that lie at train timesteps, or at the representative ones.

    Args:
        schedule: levels of the run.
        timesteps: that are wanted, rising; none: those that ``levels_of`` finds.

    Raises:
        ConfigError: the run does not pass one of them, or has too few steps.
    """
    if not timesteps:
        return levels_of(schedule.steps)
    passed = {int(schedule.timestep(level)): level for level in range(1, schedule.steps + 1)}
    missed = [one for one in timesteps if one not in passed]
    if missed:
        raise ConfigError(
            f"timesteps that inversion reads must be of the run of {schedule.steps} steps, "
            f"{', '.join(map(str, passed))}, got {missed[0]}; choose of these, or set "
            f"plugin.features=noise"
        )
    return tuple(passed[one] for one in timesteps)


def timesteps_of(schedule: NoiseSchedule) -> tuple[int, ...]:
    """Name the representative train timesteps of a run, rising.

    Args:
        schedule: levels of the run.

    Raises:
        ConfigError: the run has too few steps, as ``levels_of`` finds.
    """
    return tuple(int(schedule.timestep(level)) for level in levels_of(schedule.steps))


def representative(
    noise: ForwardProcess, schedule: NoiseSchedule, *, noised: bool
) -> tuple[int, ...]:
    """Name the timesteps that stand for a run, rising.

    Args:
        noise: levels of the model.
        schedule: levels of the run.
        noised: whether pictures are noised to them; else they are passed on the run itself.

    Returns:
        Those of the run. Of a flow whose pictures are noised, whole thousandths of noise where
        noise stands to signal as at the published timesteps of Stable Diffusion: its own runs lie
        elsewhere with every shift, and a picture would be read at other noise for it.

    Raises:
        ConfigError: the run has too few steps, as ``levels_of`` finds.
    """
    if not (noised and isinstance(noise, FlowTable)):
        return timesteps_of(schedule)
    published = Schedule.ddim(NoiseTable.scaled_linear(), schedule.steps)
    signal_powers = published.alpha_bars[list(levels_of(schedule.steps))]
    share = (1 - signal_powers).sqrt() / (signal_powers.sqrt() + (1 - signal_powers).sqrt())
    return tuple(round(float(one)) for one in noise.train_timesteps * share)
