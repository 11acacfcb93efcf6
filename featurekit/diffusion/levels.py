"""Signal levels as numbers: which are any, and how much signal they leave."""

import torch
from torch import Tensor

from featurekit.core.errors import ScheduleError


def snr(alpha_bar: Tensor) -> float:
    """Signal to noise, as powers.

    Args:
        alpha_bar: cumulative signal level, 0-dim, in [0, 1).

    Returns:
        The ratio; 0 where no signal is left.
    """
    return float(alpha_bar / (1 - alpha_bar))


def check_levels(levels: Tensor) -> None:
    """Refuse signal levels that a path cannot be walked on.

    Args:
        levels: alpha_bar, (n,).

    Raises:
        ScheduleError: they are not float64 on the CPU, or leave (0, 1].
    """
    if levels.dtype != torch.float64 or levels.device.type != "cpu":
        raise ScheduleError(
            f"alpha_bars must be float64 on the CPU, got {levels.dtype} on {levels.device}; "
            f"convert with .double().cpu()"
        )
    bad = (~((levels > 0) & (levels <= 1))).nonzero()
    if len(bad):
        i = int(bad[0])
        raise ScheduleError(
            f"every alpha_bar must lie in (0, 1], got {float(levels[i]):.6g} at index {i}; "
            f"a level without signal cannot be inverted"
        )
