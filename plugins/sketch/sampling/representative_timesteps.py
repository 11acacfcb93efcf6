"""Which timesteps of a run the sketch network sees, whatever the number of its steps."""

from featurekit.core.errors import ConfigError
from featurekit.diffusion.noise_schedule import Schedule
from featurekit_sketch.settings import ENOUGH

STEPS = 50  # of the run that the numbers below count
# steps whose features stand for all others; 0 is the cleanest. Source: arXiv 2401.04362, its code
REPRESENTATIVE = (0, 3, 8, 12, 16, 21, 25, 28, 32, 35, 39, 43, 47)


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


def timesteps_of(schedule: Schedule) -> tuple[int, ...]:
    """Name the representative train timesteps of a run, rising.

    Args:
        schedule: levels of the run.

    Raises:
        ConfigError: the run has too few steps, as ``levels_of`` finds.
    """
    return tuple(schedule.timestep(level) for level in levels_of(schedule.steps))
