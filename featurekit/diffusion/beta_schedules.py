"""The noise that training added step by step, from the words of a diffusers config."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from featurekit.core.errors import ScheduleError

LARGEST_BETA = 0.999  # where a schedule is told by its levels, diffusers caps a step at this
_NEEDED = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule")

# defaults by class, where a config names a class and leaves a setting out
_EARLY: Mapping[str, Any] = {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear"}
_LATENT: Mapping[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "linear"}
_SCALED: Mapping[str, Any] = {**_LATENT, "beta_schedule": "scaled_linear"}
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    **dict.fromkeys(
        [
            "DDIMScheduler",
            "DDIMParallelScheduler",
            "DDIMInverseScheduler",
            "DDPMScheduler",
            "DDPMParallelScheduler",
            "DEISMultistepScheduler",
            "DPMSolverMultistepScheduler",
            "DPMSolverMultistepInverseScheduler",
            "DPMSolverSinglestepScheduler",
            "EulerAncestralDiscreteScheduler",
            "EulerDiscreteScheduler",
            "LMSDiscreteScheduler",
            "PNDMScheduler",
            "RePaintScheduler",
            "SASolverScheduler",
            "UniPCMultistepScheduler",
        ],
        _EARLY,
    ),
    **dict.fromkeys(
        [
            "HeunDiscreteScheduler",
            "KDPM2DiscreteScheduler",
            "KDPM2AncestralDiscreteScheduler",
            "DPMSolverSDEScheduler",
        ],
        _LATENT,
    ),
    **dict.fromkeys(("LCMScheduler", "TCDScheduler"), _SCALED),
}
_TRAIN_TIMESTEPS = 1000  # the default of every class above


def alpha_bars(config: Mapping[str, Any], class_name: str = "") -> Tensor:
    """Compute signal levels from a scheduler's config.

    Args:
        config: needs ``trained_betas``, or ``num_train_timesteps``, ``beta_start``, ``beta_end``
            and ``beta_schedule``: linear, scaled_linear, squaredcos_cap_v2, exp, laplace or
            sigmoid. ``rescale_betas_zero_snr`` takes the signal out of the last one.
        class_name: diffusers class whose defaults stand for what is left out; "" has none.

    Returns:
        Cumulative product of 1 - beta, (T,) float64 on the CPU.

    Raises:
        ScheduleError: a setting is missing or is no number, or the schedule is another one.

    Source: Ho et al. 2020, arXiv:2006.11239, section 2; Nichol and Dhariwal 2021,
    arXiv:2102.09672, eq. 17; Lin et al. 2023, arXiv:2305.08891, algorithm 1.
    """
    levels = (1 - _betas(config, class_name)).cumprod(0)
    return _without_signal_at_the_end(levels) if config.get("rescale_betas_zero_snr") else levels


def _betas(config: Mapping[str, Any], class_name: str) -> Tensor:
    trained = config.get("trained_betas")
    if trained is not None:
        betas = torch.as_tensor(trained, dtype=torch.float64)
        if betas.ndim != 1 or not len(betas):
            raise ScheduleError(
                f"trained_betas must be a list of numbers, got {tuple(betas.shape)}"
            )
        return betas
    unsaid = DEFAULTS.get(class_name, {})
    if unsaid:
        unsaid = {**unsaid, "num_train_timesteps": _TRAIN_TIMESTEPS}
    found = [config.get(name, unsaid.get(name)) for name in _NEEDED]
    missing = [name for name, value in zip(_NEEDED, found, strict=True) if value is None]
    if missing:
        raise ScheduleError(
            f"a config must say {', '.join(_NEEDED)}, got none for {', '.join(missing)}; "
            f"a flow-matching scheduler has no such table"
        )
    total, start, end, kind = found
    if not isinstance(total, int) or total < 1:
        raise ScheduleError(f"num_train_timesteps must be a whole number above 0, got {total!r}")
    if kind not in _KINDS:
        raise ScheduleError(
            f"beta_schedule must be one of {', '.join(_KINDS)}, got {kind!r}; "
            f"pass the scheduler object, which holds its own levels"
        )
    if not (0 < start < 1 and 0 < end < 1):
        raise ScheduleError(f"betas must lie in (0, 1), got {start} to {end}")
    return _KINDS[kind](total, start, end)


def _linear(total: int, start: float, end: float) -> Tensor:
    return torch.linspace(start, end, total, dtype=torch.float64)


def _scaled_linear(total: int, start: float, end: float) -> Tensor:
    return _linear(total, start**0.5, end**0.5) ** 2


def _sigmoid(total: int, start: float, end: float) -> Tensor:
    return _linear(total, -6, 6).sigmoid() * (end - start) + start


def _by_level(level: Callable[[float], float]) -> Callable[[int, float, float], Tensor]:
    """Betas whose levels follow a function of the share of the training's steps."""

    def betas(total: int, start: float, end: float) -> Tensor:
        found = [
            min(1 - level((i + 1) / total) / level(i / total), LARGEST_BETA) for i in range(total)
        ]
        return torch.tensor(found, dtype=torch.float64)

    return betas


def _cosine_level(share: float) -> float:
    return math.cos((share + 0.008) / 1.008 * math.pi / 2) ** 2


def _laplace_level(share: float) -> float:
    inner = math.log(1 - 2 * abs(0.5 - share) + 1e-6)
    snr = math.exp(-0.5 * math.copysign(1, 0.5 - share) * inner)
    return math.sqrt(snr / (1 + snr))


_KINDS: Mapping[str, Callable[[int, float, float], Tensor]] = {
    "linear": _linear,
    "scaled_linear": _scaled_linear,
    "squaredcos_cap_v2": _by_level(_cosine_level),
    "exp": _by_level(lambda share: math.exp(-12 * share)),
    "laplace": _by_level(_laplace_level),
    "sigmoid": _sigmoid,
}


def _without_signal_at_the_end(levels: Tensor) -> Tensor:
    """Shift and stretch the amplitudes of the signal, so that the first stays and the last is 0."""
    amplitudes = levels.sqrt()
    first, last = amplitudes[0], amplitudes[-1]
    return ((amplitudes - last) * first / (first - last)) ** 2
