"""How diffusers describes a run: the levels in a config, the spacings, and what cannot be inverted.

Everything here mirrors a convention of that library; the arithmetic on levels is in
``noise_schedule.py``.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from featurekit.core.errors import ScheduleError, UnknownNameError

# classes whose ``clip_sample`` is True unless the config says otherwise
_CLIPPING_CLASSES = ("CogVideoX", "DDIM", "DDPM", "RePaint", "UnCLIP")

_DDIM_SPACING = "leading"  # what DDIM's runs have unless told otherwise
_UNSAID = "_use_default_values"  # where a diffusers config lists what nobody has set

_SINGULAR: Mapping[str, str] = {
    "clip_sample": "a clipped estimate cannot be undone, and latents are not confined to [-1, 1]",
    "thresholding": "a thresholded estimate cannot be undone",
    "rescale_betas_zero_snr": "its last level holds no signal, so the path back divides by zero",
}


class Described(NamedTuple):
    """What a scheduler says about the training of its network, and how it would list a run."""

    alpha_bars: Tensor  # (T,) float64 on the CPU, by train timestep
    final_alpha_bar: float  # level of the clean end
    prediction: str  # what the network answers, by diffusers' name
    spacing: str  # of the timesteps of a run
    steps_offset: int  # added to each timestep of ``leading``


def described(scheduler: Any) -> Described:  # noqa: ANN401 - any scheduler class
    """Read a diffusers scheduler or its config; what is left out is the default of its class.

    The spacing is for a run of DDIM, whatever the class: one that nobody has set is DDIM's own, as
    ``DDIMScheduler.from_config`` takes it.

    Args:
        scheduler: any diffusers scheduler, its ``config``, or the mapping of its JSON file; where
            a mapping names no class, it is read as DDIM's, but for clipping.

    Returns:
        Its own levels, or those that its config means, and what goes with them.

    Raises:
        ScheduleError: it is no scheduler, it clips or thresholds, or there are no levels in it.

    Source: the defaults of diffusers 0.42, class by class.
    """
    config = scheduler if isinstance(scheduler, Mapping) else getattr(scheduler, "config", None)
    if not isinstance(config, Mapping):
        raise ScheduleError(
            f"a scheduler must be a diffusers scheduler or a mapping, "
            f"got {type(scheduler).__name__}; pass pipe.scheduler or its config"
        )
    plain = config is scheduler
    name = str(config.get("_class_name", "")) if plain else type(scheduler).__name__
    refuse_uninvertible(config, name)
    own = getattr(scheduler, "alphas_cumprod", None)
    levels = alpha_bars(config) if own is None else own.detach().cpu().double()
    to_one = config.get("set_alpha_to_one", not name.startswith("PNDM"))
    unsaid = "timestep_spacing" in config.get(_UNSAID, ())
    spacing = _DDIM_SPACING if unsaid else config.get("timestep_spacing", _DDIM_SPACING)
    return Described(
        levels,
        1.0 if to_one else float(levels[0]),
        str(config.get("prediction_type", "epsilon")),
        str(spacing),
        int(config.get("steps_offset", 0)),
    )


def refuse_uninvertible(config: Mapping[str, Any], class_name: str) -> None:
    """Refuse a scheduler whose steps have no inverse.

    Args:
        config: scheduler settings by diffusers' names.
        class_name: diffusers class, "" where unknown; it decides what a missing setting means.

    Raises:
        ScheduleError: it clips, thresholds, or is rescaled to zero terminal signal.
    """
    implied = {"clip_sample": class_name.startswith(_CLIPPING_CLASSES)}
    for setting, reason in _SINGULAR.items():
        if config.get(setting, implied.get(setting, False)):
            origin = "true" if setting in config else f"unset, which {class_name} reads as true"
            raise ScheduleError(
                f"{setting} must be false, got {origin}: {reason}; "
                f"set {setting}=False if the network was trained without it"
            )


def alpha_bars(config: Mapping[str, Any]) -> Tensor:
    """Compute signal levels from a scheduler's config.

    Args:
        config: needs ``trained_betas``, or ``num_train_timesteps``, ``beta_start``, ``beta_end``
            and ``beta_schedule`` (linear or scaled_linear).

    Returns:
        Cumulative product of 1 - beta, (T,) float64 on the CPU.

    Raises:
        ScheduleError: a setting is missing, or the schedule is another one.

    Source: Ho et al. 2020, arXiv:2006.11239, section 2.
    """
    trained = config.get("trained_betas")
    if trained is not None:
        betas = torch.as_tensor(trained, dtype=torch.float64)
        return (1 - betas).cumprod(0)
    names = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule")
    missing = [name for name in names if config.get(name) is None]
    if missing:
        raise ScheduleError(
            f"a config must say {', '.join(names)}, got none for {', '.join(missing)}; "
            f"a flow-matching scheduler has no such table"
        )
    total, start, end, kind = (config[name] for name in names)
    power = {"linear": 1, "scaled_linear": 2}.get(kind)
    if power is None:
        raise ScheduleError(
            f"beta_schedule must be linear or scaled_linear, got {kind!r}; "
            f"pass the scheduler object, which holds its own levels"
        )
    if not (0 < start < 1 and 0 < end < 1):
        raise ScheduleError(f"betas must lie in (0, 1), got {start} to {end}")
    roots = torch.linspace(start ** (1 / power), end ** (1 / power), total, dtype=torch.float64)
    return (1 - roots**power).cumprod(0)


def _leading(total: int, steps: int, offset: int) -> list[int]:
    return [i * (total // steps) + offset for i in reversed(range(steps))]


def _trailing(total: int, steps: int, offset: int) -> list[int]:
    return [round(total - i * total / steps) - 1 for i in range(steps)]


def _linspace(total: int, steps: int, offset: int) -> list[int]:
    stride = (total - 1) / max(steps - 1, 1)
    return [round(i * stride) for i in reversed(range(steps))]


_SPACINGS: Mapping[str, Callable[[int, int, int], list[int]]] = {
    "leading": _leading,
    "trailing": _trailing,
    "linspace": _linspace,
}


def ddim_timesteps(
    total: int, steps: int, spacing: str, offset: int, *, clean_at: int = -1
) -> tuple[int, ...]:
    """List the timesteps of a run, provided that diffusers' DDIM step follows the same list.

    diffusers' step does not go to the next entry of its list but to ``t - total // steps``, and to
    the clean end once that is negative. A list that it does not follow is refused: a path along
    it would be another path than diffusers walks.

    Args:
        total: length T of the table.
        steps: number of timesteps n, 1 to T.
        spacing: ``leading``, ``trailing`` or ``linspace``.
        offset: added to each timestep of ``leading``; the others ignore it, as in diffusers.
        clean_at: highest timestep that has the level of the clean end: 0 where the clean end is
            the level of t = 0 (``set_alpha_to_one`` false), -1 where no timestep has it.

    Returns:
        n timesteps, noisiest first.

    Raises:
        UnknownNameError: there is no such spacing.
        ScheduleError: ``steps`` is out of range, a timestep lies outside the table, or the list
            and the step disagree.

    Source: Song et al. 2021, arXiv:2010.02502, section 4.2; spacings as named by Lin et al. 2023,
    arXiv:2305.08891, table 2.
    """
    if spacing not in _SPACINGS:
        raise UnknownNameError("spacing", spacing, _SPACINGS)
    if not 1 <= steps <= total:
        raise ScheduleError(f"steps must lie in [1, {total}], got {steps}")
    found = tuple(_SPACINGS[spacing](total, steps, offset))
    said = f"{spacing} spacing of {steps} steps over {total} with steps_offset {offset}"
    if not 0 <= found[-1] <= found[0] < total:
        raise ScheduleError(
            f"every timestep must lie in [0, {total - 1}], but {said} runs from {found[0]} to "
            f"{found[-1]}; take fewer steps or another steps_offset"
        )
    stride = total // steps
    for t, listed in zip(found, (*found[1:], -1), strict=True):
        stepped = t - stride
        if stepped != listed and not (listed < 0 and stepped <= clean_at):
            raise ScheduleError(
                f"the step from a timestep must lead to the next one, but {said} lists "
                f"{_name(listed)} after {t} and diffusers' step goes to {_name(stepped)}; "
                f"use spacing='leading', or 'trailing' with steps that divide {total}"
            )
    return found


def _name(t: int) -> str:
    return str(t) if t >= 0 else "the clean end"
