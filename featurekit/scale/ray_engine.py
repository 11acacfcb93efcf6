"""Ray as what places workers: an actor a device, each with its share of the groups of samples.

What is stored, and that a stopped worker loses a shard at most, is the store's doing. Ray only
starts the processes, tells how far they are and starts a share again whose worker was killed.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from featurekit.core.errors import ConfigError
from featurekit.core.interrupts import terminable
from featurekit.core.types import Progress, silent
from featurekit.pipeline.engines import Place, Start
from featurekit.scale.ray_address import check_answers
from featurekit.scale.ray_crew import WHAT, Crew, first_cause, from_ray
from featurekit.scale.ray_here import (
    LOOPBACK,
    forget,
    keep_loopback,
    own_folder,
    start_here,
    started_here,
)
from featurekit.scale.ray_quiet import quiet_about_deaths
from featurekit.scale.ray_worker import Work
from featurekit.training.loop.workers import cores

HERE, AUTO = "local", "auto"  # addresses, as Ray has them
_QUIET = {  # of a cluster that we start
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@dataclass(frozen=True)
class Placing:
    """Where workers are to be."""

    workers: int = 0  # 0: as many as the cluster has devices
    device: str = "auto"  # of each: auto, cpu or cuda

    def __post_init__(self) -> None:
        """Refuse what Ray decides.

        Raises:
            ConfigError: there are fewer than no workers, or a device is one of several.
        """
        if self.workers < 0:
            raise ConfigError(f"workers must be 0 or more, got {self.workers}")
        if self.device not in ("auto", "cpu", "cuda"):
            raise ConfigError(
                f"device must be auto, cpu or cuda with {WHAT}, which gives each worker one of its "
                f"own, got {self.device!r}"
            )


def engine(workers: int, device: str) -> Start:
    """Make ready to place workers by Ray; none is started yet.

    Args:
        workers: as of ``Placing``.
        device: likewise.

    Returns:
        What starts them, as ``crew_of``.

    Raises:
        ConfigError: they do not fit, this machine has fewer devices, Ray is not installed, or
            nothing answers at its address.
    """
    placing = Placing(workers, device)
    address = _address()
    if address == HERE:
        wanted(placing, gpus=torch.cuda.device_count(), cpus=cores())
    elif address != AUTO:  # before Ray is imported, which takes longer
        check_answers(address)
    _quieten()
    from_ray("init")
    if address == AUTO:
        check_answers(started_here())
    return partial(crew_of, placing)


def placed(work: Work, placing: Placing, *, progress: Progress = silent) -> list[Any]:
    """Start workers, let every one do its share, wait for all of them and end them.

    Args:
        work: a function that every worker can import, or ``functools.partial`` of one.
        placing: where.
        progress: told what all workers have done, of what those that said so have to do.

    Returns:
        What each worker gave, by its share.

    Raises:
        ConfigError: as ``crew_of``.
        OutputError: the workers of a share died time and again.
        FeatureKitError: as ``work`` raises it in any worker; the others are stopped.
    """
    with crew_of(placing) as place:
        return place(work, progress)


@contextmanager
def crew_of(placing: Placing) -> Iterator[Place]:
    """Start workers, which do one work after the other and end with the block.

    Ray is the one of ``RAY_ADDRESS``, else one of this machine that ends with the block, on
    loopback, without its dashboard and without reports to its makers.

    Args:
        placing: where.

    Yields:
        What has them do some work, each its share.

    Raises:
        ConfigError: Ray is not installed, nothing answers at its address, there are fewer devices
            than workers, or a worker cannot begin or has other versions of what computes.
    """
    with _connected():
        crew = Crew(*_devices(placing))
        try:
            yield crew.finished
        finally:
            crew.dismissed()


@contextmanager
def _connected() -> Iterator[None]:
    """Ray's cluster, or one of our own for the length of the block.

    Ray answers SIGTERM with a trace of its own, so that the handler of before is set again.
    """
    _quieten()
    if from_ray("is_initialized")():  # somebody else's, which must not end with the block
        raise ConfigError(
            f"{WHAT} must begin in a process that Ray does not run in yet, but it was begun here; "
            f"call ray.shutdown() before"
        )
    with terminable() as again, quiet_about_deaths():
        try:
            _begin(_address())
            again()
            yield
        finally:
            folder = own_folder() if _address() == HERE else None
            from_ray("shutdown")()
            if folder is not None:
                forget(folder)


def _begin(address: str) -> None:
    """Connect to a cluster, or start one."""
    try:
        if address == HERE:
            start_here()
            return
        address = started_here() if address == AUTO else address
        check_answers(address)
        if address.startswith((f"{LOOPBACK}:", "localhost:")):
            keep_loopback()
        from_ray("init")(address, logging_level="error", log_to_driver=False)
    except ConfigError:
        raise
    except Exception as error:  # Ray raises that itself where a busy machine starts it too slowly
        raise ConfigError(
            f"{WHAT} needs a cluster that takes this process, but {address!r} gave: "
            f"{first_cause(error)}; use the same Ray, Python and token everywhere"
        ) from error


def _quieten() -> None:
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)  # read as Ray is imported, and by what it starts


def _address() -> str:
    return os.environ.get("RAY_ADDRESS", "") or HERE


def _devices(placing: Placing) -> tuple[int, dict[str, float]]:
    """How many workers, and what each of them takes of the cluster.

    Raises:
        ConfigError: as ``wanted``.
    """
    there = from_ray("cluster_resources")()
    gpus, cpus = int(there.get("GPU", 0)), int(there.get("CPU", 0))
    if _address() == HERE:  # Ray counts processors that are not this process's, too
        cpus = min(cpus, cores())
    count, on_gpus = wanted(placing, gpus=gpus, cpus=cpus)
    return count, {"num_cpus": 0 if on_gpus else 1, "num_gpus": 1 if on_gpus else 0}


def wanted(placing: Placing, *, gpus: int, cpus: int) -> tuple[int, bool]:
    """How many workers there will be, and whether each has a GPU: one a device.

    Args:
        placing: what was asked for.
        gpus: that are there.
        cpus: processor cores that are there, each a device where there is no GPU.

    Raises:
        ConfigError: there are fewer devices than workers.
    """
    on_gpus = placing.device == "cuda" or (placing.device == "auto" and gpus > 0)
    most, word = (gpus, "GPUs") if on_gpus else (cpus, "CPUs")
    count = placing.workers or most
    if not 0 < count <= most:
        advice = "take fewer, or device=cpu" if on_gpus else "take fewer"
        raise ConfigError(
            f"workers must be at most as many as there are {word}, got {count} for {most}; {advice}"
        )
    return count, on_gpus
