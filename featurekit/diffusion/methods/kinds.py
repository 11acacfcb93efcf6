"""The methods of inversion by name: which are of diffusion, which of flows, and what they keep."""

from featurekit.core.errors import ConfigError, UnknownNameError
from featurekit.diffusion.flow_schedule import FlowSchedule
from featurekit.diffusion.levels import NoiseSchedule
from featurekit.diffusion.noise_schedule import Schedule

METHODS = ("ddim", "anderson", "residual", "edict", "edit_friendly")  # of diffusion
FLOW_METHODS = ("ddim", "anderson", "residual", "edict", "midpoint", "fireflow")
EVERY = tuple(dict.fromkeys((*METHODS, *FLOW_METHODS)))

PAIRED = ("edict",)  # methods whose latent is two states, walked together
ANCHORED = ("residual", "edit_friendly")  # methods that are nothing without their arrivals
SECOND_ORDER = ("midpoint", "fireflow")  # methods with steps of their own, arrivals or not
BOUND = ("ddim", "anderson", "residual", *SECOND_ORDER)  # whose residuals belong to one predictor


def check_method(method: str, schedule: NoiseSchedule) -> None:
    """Refuse a method that a schedule cannot be walked by.

    Args:
        method: what was asked for.
        schedule: levels of the run.

    Raises:
        UnknownNameError: there is no such method.
        ConfigError: it is of flows and the schedule of diffusion, or the other way round.
    """
    if method not in EVERY:
        raise UnknownNameError("inversion method", method, EVERY)
    if method not in METHODS:
        of_flow(schedule, method)
    elif method not in FLOW_METHODS:
        of_diffusion(schedule, method)


def of_diffusion(schedule: NoiseSchedule, method: str) -> Schedule:
    """Take a schedule as diffusion's.

    Args:
        schedule: levels of a run.
        method: what needs it, for the message.

    Returns:
        The same.

    Raises:
        ConfigError: it is another one.
    """
    if isinstance(schedule, Schedule):
        return schedule
    raise ConfigError(
        f"{method} must walk a schedule of diffusion, whose ancestral steps leave room for the "
        f"noise that it keeps, got {schedule!r}; use residual, which comes back to the bit too"
    )


def of_flow(schedule: NoiseSchedule, method: str) -> FlowSchedule:
    """Take a schedule as a flow's.

    Args:
        schedule: levels of a run.
        method: what needs it, for the message.

    Returns:
        The same.

    Raises:
        ConfigError: it is another one.
    """
    if isinstance(schedule, FlowSchedule):
        return schedule
    raise ConfigError(
        f"{method} must walk a schedule of a flow, whose velocity it reads halfway between levels, "
        f"got {schedule!r}; use anderson"
    )
