"""How diffusers describes a run: the levels in a config, the spacings, and what cannot be inverted.

Everything here mirrors a convention of that library; the arithmetic on levels is in
``noise_schedule.py``.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from featurekit.core.errors import ScheduleError, UnknownNameError
from featurekit.diffusion.beta_schedules import alpha_bars

# classes whose ``clip_sample`` is True unless the config says otherwise
_CLIPPING_CLASSES = ("CogVideoX", "DDIM", "DDPM", "RePaint", "UnCLIP")

DDIM_SPACING = "leading"  # what DDIM's runs have unless told otherwise
_UNSAID = "_use_default_values"  # where a diffusers config lists what nobody has set

_SINGULAR: Mapping[str, str] = {
    "clip_sample": "a clipped estimate cannot be undone, and latents are not confined to [-1, 1]",
    "thresholding": "a thresholded estimate cannot be undone",
    "rescale_betas_zero_snr": "its last level holds no signal, so the path back divides by zero",
}
# with another value the network is told something else than a timestep, or answers otherwise
_PLAIN: Mapping[str, tuple[Any, ...]] = {
    "use_flow_sigmas": (False, None),
    "timestep_type": ("discrete", None),
    "snr_shift_scale": (1, None),
    "variance_type": (
        None, "fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log",
    ),
}  # fmt: skip


class Described(NamedTuple):
    """What a scheduler says about the training of its network, and how it would list a run."""

    alpha_bars: Tensor  # (T,) float64 on the CPU, by train timestep
    final_alpha_bar: float  # level of the clean end
    prediction: str  # what the network answers, by diffusers' name
    spacing: str  # of the timesteps of a run
    steps_offset: int  # added to each timestep of ``leading``
    obstacle: str  # why its runs have no inverse; "" where they have one
    sampler: str  # class of another sampler than DDIM whose spacing it is; else ""


def described(scheduler: Any) -> Described:  # noqa: ANN401 - any scheduler class
    """Read a diffusers scheduler or its config; what is left out is the default of its class.

    The spacing is for a run of DDIM, whatever the class: one that nobody has set is DDIM's own, as
    ``DDIMScheduler.from_config`` takes it.

    Args:
        scheduler: any diffusers scheduler, its ``config``, or the mapping of its JSON file; where
            a mapping names no class, it is read as DDIM's, but for clipping and for the betas,
            which it must say.

    Returns:
        Its own levels, or those that its config means, and what goes with them.

    Raises:
        ScheduleError: it is no scheduler, there are no levels in it, or its network is told or
            answers something else.

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
    name = name.removeprefix("Flax")
    _refuse_other_networks(config, name)
    own = getattr(scheduler, "alphas_cumprod", None)
    levels = alpha_bars(config, name) if own is None else own.detach().cpu().double()
    to_one = config.get("set_alpha_to_one", not name.startswith("PNDM"))
    unsaid = "timestep_spacing" in config.get(_UNSAID, ())
    spacing = None if unsaid else config.get("timestep_spacing")
    return Described(
        levels,
        1.0 if to_one else float(levels[0]),
        str(config.get("prediction_type", "epsilon")),
        str(spacing or DDIM_SPACING),
        _whole(config.get("steps_offset"), "steps_offset"),
        obstacle_to_inversion(config, name),
        "" if name.startswith("DDIM") else name,
    )


def _whole(value: Any, name: str) -> int:  # noqa: ANN401 - what a file says
    """A number that a config may leave out or give as null."""
    if value is None:
        return 0
    if not isinstance(value, int):
        raise ScheduleError(f"{name} must be a whole number, got {value!r}")
    return value


def _refuse_other_networks(config: Mapping[str, Any], class_name: str) -> None:
    """Refuse the scheduler of a network that is told, or answers, something else than here."""
    for setting, allowed in _PLAIN.items():
        if config.get(setting) not in allowed:
            raise ScheduleError(
                f"{setting} must be {allowed[0]}, got {config[setting]!r} in the scheduler"
                f"{f' {class_name}' * bool(class_name)}: its network is told or answers something "
                f"else than the noise at a train timestep"
            )


def clips(config: Mapping[str, Any], class_name: str) -> bool:
    """Tell whether a scheduler clips its estimates.

    Args:
        config: scheduler settings by diffusers' names.
        class_name: diffusers class, "" where unknown; it decides what a missing setting means.

    Returns:
        True if it does, or if its class does unless told otherwise.
    """
    return bool(config.get("clip_sample", class_name.startswith(_CLIPPING_CLASSES)))


def obstacle_to_inversion(config: Mapping[str, Any], class_name: str) -> str:
    """Say why a scheduler's steps have no inverse.

    Args:
        config: scheduler settings by diffusers' names.
        class_name: diffusers class, "" where unknown; it decides what a missing setting means.

    Returns:
        The rule, what was found, what to do: it clips, thresholds, or is rescaled to zero terminal
        signal. "" where it does none of these.
    """
    active = {name: bool(config.get(name)) for name in _SINGULAR}
    active["clip_sample"] = clips(config, class_name)
    for setting, reason in _SINGULAR.items():
        if active[setting]:
            origin = "true" if setting in config else f"unset, which {class_name} reads as true"
            return (
                f"{setting} must be false, got {origin}: {reason}; set {setting} to false in the "
                f"scheduler's config if the network was trained without it"
            )
    return ""


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
            f"{found[-1]}; take fewer steps"
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


class Spaced(NamedTuple):
    """The timesteps of a run, and how they were chosen."""

    timesteps: tuple[int, ...]
    told: str


def spaced(
    total: int, steps: int, spacing: str, offset: int, *, clean_at: int, sampler: str
) -> Spaced:
    """List the timesteps of a run, with DDIM's own spacing where a sampler's cannot be walked.

    Args:
        total: as for ``ddim_timesteps``.
        steps: as for ``ddim_timesteps``.
        spacing: as for ``ddim_timesteps``.
        offset: as for ``ddim_timesteps``.
        clean_at: as for ``ddim_timesteps``.
        sampler: class whose spacing it is; "" is somebody who means it, and is taken at his word.

    Returns:
        Timesteps, noisiest first, and a few words on them.

    Raises:
        UnknownNameError: there is no such spacing.
        ScheduleError: as for ``ddim_timesteps``, and there is no other sampler.
    """
    instead = ""
    try:
        found = ddim_timesteps(total, steps, spacing, offset, clean_at=clean_at)
    except ScheduleError:
        if not sampler or spacing == DDIM_SPACING:
            raise
        found = ddim_timesteps(total, steps, DDIM_SPACING, offset, clean_at=clean_at)
        instead = f", since DDIM cannot walk the {spacing} spacing that is set for {sampler}"
        spacing = DDIM_SPACING
    more = f" with steps_offset {offset}" if spacing == DDIM_SPACING else ""
    return Spaced(found, f"DDIM, {steps} steps, {spacing} spacing{more}{instead}")


def _name(t: int) -> str:
    return str(t) if t >= 0 else "the clean end"
