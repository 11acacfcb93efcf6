"""What a flow-matching scheduler of diffusers, or its config, says: each field is judged."""

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

from featurekit.core.errors import ScheduleError, UnknownNameError
from featurekit.diffusion.flows.sigmas import SPACINGS, DynamicShift, Spacing

EULER = "FlowMatchEulerDiscreteScheduler"
SOLVERS = ("DPMSolverMultistepScheduler", "UniPCMultistepScheduler")

_RESPACINGS = {
    "use_karras_sigmas": "karras",
    "use_exponential_sigmas": "exponential",
    "use_beta_sigmas": "beta",
}
READ: Mapping[str, frozenset[str]] = {
    EULER: frozenset(
        {
            "num_train_timesteps", "shift", "use_dynamic_shifting", "base_shift", "max_shift",
            "base_image_seq_len", "max_image_seq_len", "shift_terminal", "time_shift_type",
            "invert_sigmas", "stochastic_sampling", *_RESPACINGS,
        }
    ),
    **dict.fromkeys(
        SOLVERS,
        frozenset(
            {
                "num_train_timesteps", "prediction_type", "use_flow_sigmas", "flow_shift",
                "use_dynamic_shifting", "time_shift_type", "shift_terminal", "final_sigmas_type",
                "thresholding", "variance_type", "use_lu_lambdas", *_RESPACINGS,
            }
        ),
    ),
}  # fmt: skip
"""Settings that decide something here, by class."""

UNREAD: Mapping[str, frozenset[str]] = {
    EULER: frozenset(),
    **dict.fromkeys(
        SOLVERS,
        frozenset(
            {
                # of the table of a diffusion model, which flow sigmas stand in place of
                "beta_start", "beta_end", "beta_schedule", "trained_betas", "timestep_spacing",
                "steps_offset", "rescale_betas_zero_snr", "lambda_min_clipped", "sigma_min",
                "sigma_max",
                # of how that solver steps between levels
                "solver_order", "solver_type", "solver_p", "algorithm_type", "lower_order_final",
                "euler_at_final", "predict_x0", "disable_corrector",
                # of thresholding
                "dynamic_thresholding_ratio", "sample_max_value",
            }
        ),
    ),
}  # fmt: skip
"""Settings that say nothing about the network or the levels of a run, by class."""

_Held: TypeAlias = Mapping[str, tuple[tuple[Any, ...], str]]
"""Allowed values of a setting, and why another one is refused."""

_PLAIN = ((False, None), "such levels are a diffusion model's")
_HELD_OF_SOLVERS: _Held = {
    "prediction_type": (("flow_prediction",), "its network answers no velocity"),
    "use_flow_sigmas": ((True,), "its levels are those of a diffusion model"),
    "final_sigmas_type": (("zero", None), "its runs do not end at the clean latent"),
    "variance_type": ((None,), "its network answers a variance too"),
    "use_lu_lambdas": _PLAIN,
    **dict.fromkeys(_RESPACINGS, _PLAIN),
}
_HELD: Mapping[str, _Held] = {
    EULER: {
        "invert_sigmas": ((False, None), "its network is told the share of signal in the latent"),
    },
    **dict.fromkeys(SOLVERS, _HELD_OF_SOLVERS),
}
_OBSTACLES: Mapping[str, str] = {
    "stochastic_sampling": "steps that draw noise cannot be undone",
    "thresholding": "a thresholded estimate cannot be undone",
}


def is_flow(scheduler: Any) -> bool:  # noqa: ANN401 - any scheduler class
    """Tell whether a scheduler, or its config, is of flow matching.

    Args:
        scheduler: any diffusers scheduler, its ``config``, or the mapping of its JSON file.
    """
    config, name = _named(scheduler)
    return name.startswith("FlowMatch") or bool(config.get("use_flow_sigmas"))


def described(scheduler: Any, family: str) -> dict[str, Any]:  # noqa: ANN401
    """Read a flow-matching scheduler or its config as the fields of a ``FlowTable``.

    Args:
        scheduler: a FlowMatchEulerDiscrete, DPMSolverMultistep or UniPCMultistep scheduler, its
            ``config``, or the mapping of its JSON file; one that names no class is the first.
        family: whose stock pipeline asks for the levels, of ``SPACINGS``.

    Returns:
        Value by field.

    Raises:
        UnknownNameError: there is no such family.
        ScheduleError: it is another scheduler, or a setting is refused; it is named.

    Source: diffusers 0.42, class by class.
    """
    if family not in SPACINGS:
        raise UnknownNameError("family of flows", family, SPACINGS)
    config, name = _named(scheduler)
    name = name or EULER
    if name not in READ:
        raise ScheduleError(
            f"a flow's scheduler must be one of {', '.join(READ)}, got {name}; take the scheduler "
            f"that the model was published with"
        )
    for setting, (allowed, why) in _HELD[name].items():
        if config.get(setting) not in allowed:
            raise ScheduleError(
                f"{setting} must be {allowed[0]} in the {name} of a flow, got "
                f"{config.get(setting)!r}: {why}"
            )
    spacing = SPACINGS[family]
    shift = "shift" if name == EULER else "flow_shift"
    static = _number(config, shift, 1.0)
    return {
        "train_timesteps": _whole(config, "num_train_timesteps", 1000),
        "shift": float(getattr(scheduler, "shift", static)),  # set_shift is not in the config
        "end_shift": static,
        "dynamic": _dynamic(config, spacing),
        "terminal": _number(config, "shift_terminal", 0.0) or None,
        "respacing": _respacing(config),
        "spacing": spacing,
        "solver": "" if name == EULER else name,
        "obstacle": _obstacle(config),
        "remark": _remark(config, name),
    }


def _named(scheduler: Any) -> tuple[Mapping[str, Any], str]:  # noqa: ANN401
    config = scheduler if isinstance(scheduler, Mapping) else getattr(scheduler, "config", None)
    if not isinstance(config, Mapping):
        raise ScheduleError(
            f"a scheduler must be a diffusers scheduler or a mapping, "
            f"got {type(scheduler).__name__}; pass pipe.scheduler or its config"
        )
    plain = config is scheduler
    return config, str(config.get("_class_name", "")) if plain else type(scheduler).__name__


def _number(config: Mapping[str, Any], setting: str, unsaid: float) -> float:
    found = config.get(setting, unsaid)
    found = unsaid if found is None else found
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        raise ScheduleError(f"{setting} must be a finite number, got {found!r}")
    return float(found)


def _whole(config: Mapping[str, Any], setting: str, unsaid: int) -> int:
    found = config.get(setting, unsaid)
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        raise ScheduleError(f"{setting} must be a whole number above 0, got {found!r}")
    return found


def _dynamic(config: Mapping[str, Any], spacing: Spacing) -> DynamicShift | None:
    if not config.get("use_dynamic_shifting"):
        return None
    kind = config.get("time_shift_type", "exponential")
    if kind not in ("exponential", "linear"):
        raise ScheduleError(f"time_shift_type must be exponential or linear, got {kind!r}")
    return DynamicShift(
        kind,
        _number(config, "base_shift", 0.5),
        _number(config, "max_shift", spacing.max_shift),
        _whole(config, "base_image_seq_len", 256),
        _whole(config, "max_image_seq_len", 4096),
    )


def _respacing(config: Mapping[str, Any]) -> str:
    asked = [kind for setting, kind in _RESPACINGS.items() if config.get(setting)]
    if len(asked) > 1:
        raise ScheduleError(f"one of {', '.join(_RESPACINGS)} may be true, got {', '.join(asked)}")
    return asked[0] if asked else ""


def _obstacle(config: Mapping[str, Any]) -> str:
    for setting, reason in _OBSTACLES.items():
        if config.get(setting):
            return (
                f"{setting} must be false, got true: {reason}; set {setting} to false in the "
                f"scheduler's config"
            )
    return ""


def _remark(config: Mapping[str, Any], name: str) -> str:
    """What a config says beyond its class, which diffusers leaves out too."""
    known = READ[name] | UNREAD[name]
    more = sorted(key for key in config if key not in known and not key.startswith("_"))
    return f"left out of the scheduler: {', '.join(more)}" if more else ""
