"""Trajectories as files: safetensors with the schedule inside and its hash beside it."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from featurekit.core.errors import ConfigError, FeatureKitError
from featurekit.core.file_bytes import read_metadata
from featurekit.diffusion.flow_schedule import FlowSchedule
from featurekit.diffusion.levels import NoiseSchedule
from featurekit.diffusion.noise_schedule import Schedule
from featurekit.diffusion.trajectory import Trajectory
from featurekit.images.io import read_tensors, write_tensors

FORMAT = "featurekit.trajectory"
VERSION = "2"  # of the file and of what its methods' steps compute

_NEEDED = frozenset({"latents", "timesteps"})
_LEVELS = ("alpha_bars", "sigmas")  # of diffusion, of a flow: a file has one of them


def save_trajectory(trajectory: Trajectory, path: Path | str) -> Path:
    """Write a trajectory as one file, replaced as a whole.

    Args:
        trajectory: any method's; tensors keep their dtype.
        path: target, by custom named ``.safetensors``; its folder must exist.

    Returns:
        The path.

    Raises:
        OutputError: the file cannot be written.
    """
    schedule = trajectory.schedule
    tensors = {"latents": torch.stack(trajectory.latents), **_levels_of(schedule)}
    if trajectory.arrivals:
        tensors["arrivals"] = torch.stack(trajectory.arrivals)
    if trajectory.fixed_point_rms:
        tensors["fixed_point_rms"] = torch.tensor(trajectory.fixed_point_rms, dtype=torch.float64)
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "method": trajectory.method,
        "fingerprint": trajectory.fingerprint,
        "schedule": schedule.fingerprint,
        "residuals": "none" if trajectory.arrivals is None else "kept",
    }
    return write_tensors(tensors, path, metadata)


def load_trajectory(path: Path | str, *, device: torch.device | str = "cpu") -> Trajectory:
    """Read a trajectory that ``save_trajectory`` wrote.

    Args:
        path: the file.
        device: where the latents go; levels stay on the CPU.

    Returns:
        Trajectory, equal to the saved one to the last bit.

    Raises:
        ConfigError: the file is missing, truncated, of another kind or version, or its parts do
            not belong together.
    """
    metadata = read_metadata(path)
    _check_kind(metadata, path)
    tensors = read_tensors(path)
    missing = _NEEDED - set(tensors)
    if not tensors.keys() & set(_LEVELS):
        missing |= {_LEVELS[0]}
    if missing:
        raise ConfigError(f"{_opening(path)}, but it has no {', '.join(sorted(missing))}")
    try:
        return _assembled(tensors, metadata, device)
    except FeatureKitError as error:
        raise ConfigError(f"{_opening(path)}, but {error}") from error


def _check_kind(metadata: Mapping[str, str], path: Path | str) -> None:
    found = metadata.get("format")
    if found != FORMAT:
        kind = "names no format" if found is None else f"is of format {found!r}"
        raise ConfigError(f"{_opening(path)}, but it {kind}; give a file that was saved as one")
    if metadata.get("version") != VERSION:
        raise ConfigError(
            f"a trajectory must be of version {VERSION}, but {str(path)!r} is of "
            f"{metadata.get('version')!r}; invert the picture again"
        )


def _assembled(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str], device: torch.device | str
) -> Trajectory:
    schedule = _schedule(tensors)
    if schedule.fingerprint != metadata.get("schedule"):
        raise ConfigError("its schedule is not the one that its hash was taken of")
    kept = _levels(tensors["arrivals"], device) if "arrivals" in tensors else ()
    return Trajectory(
        _levels(tensors["latents"], device),
        schedule,
        None if metadata.get("residuals") == "none" else kept,
        metadata.get("fingerprint", ""),
        metadata.get("method", ""),
        tuple(tensors["fixed_point_rms"].tolist()) if "fixed_point_rms" in tensors else None,
    )


def _levels_of(schedule: NoiseSchedule) -> dict[str, Tensor]:
    """Levels and timesteps: whole ones of diffusion, real ones of a flow."""
    if isinstance(schedule, FlowSchedule):
        timesteps = torch.tensor(schedule.timesteps, dtype=torch.float64)
        return {"sigmas": schedule.sigmas, "timesteps": timesteps}
    if isinstance(schedule, Schedule):
        return {"alpha_bars": schedule.alpha_bars, "timesteps": torch.tensor(schedule.timesteps)}
    raise ConfigError(f"a trajectory must be of a Schedule or a FlowSchedule, got {schedule!r}")


def _schedule(tensors: Mapping[str, Tensor]) -> NoiseSchedule:
    timesteps = tensors["timesteps"].flatten().tolist()
    if "sigmas" in tensors:
        return FlowSchedule(tuple(map(float, timesteps)), tensors["sigmas"])
    return Schedule(tuple(map(int, timesteps)), tensors["alpha_bars"])


def _levels(stacked: Tensor, device: torch.device | str) -> tuple[Tensor, ...]:
    # copies: kernels may round by where a tensor lies in memory, and a file lays them anywhere
    return tuple(level.to(device, copy=True) for level in torch.unbind(stacked))


def _opening(path: Path | str) -> str:
    return f"a trajectory must be a whole file of save_trajectory, got {str(path)!r}"
