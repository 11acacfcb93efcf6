"""Ray as what places workers: an actor a device, each with its share of the groups of samples.

What is stored, and that a stopped worker loses a shard at most, is the store's doing. Ray only
starts the processes, tells how far they are and starts a share again whose worker was killed.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from featurekit.core.errors import ConfigError
from featurekit.core.types import Progress, silent
from featurekit.pipeline.engines import Place, Start
from featurekit.scale.ray_address import check_answers
from featurekit.scale.ray_crew import WHAT, Crew, first_cause, from_ray
from featurekit.scale.ray_worker import Work

LOOPBACK = "127.0.0.1"
HERE = "local"  # an address, as Ray has it
_CLUSTER = "ENABLE_RAY_CLUSTER"  # of Ray's constants: whether other machines may come to it
OBJECTS_BYTES = 100_000_000  # of the memory that Ray shares: nothing large goes through it
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
        ConfigError: they do not fit, Ray is not installed, or nothing answers at its address.
    """
    placing = Placing(workers, device)
    _quieten()
    from_ray("init")
    if _address() != HERE:
        check_answers(_address())
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
    with _connected(placing):
        crew = Crew(*_devices(placing))
        try:
            yield crew.finished
        finally:
            crew.dismissed()


@contextmanager
def _connected(placing: Placing) -> Iterator[None]:
    """Ray's cluster, or one of our own for the length of the block."""
    _quieten()
    init = from_ray("init")
    address = _address()
    try:
        if address == HERE:
            start_here(placing.workers)
        else:
            check_answers(address)
            if address.startswith((f"{LOOPBACK}:", "localhost:")):
                _keep_loopback()
            init(address, logging_level="error", log_to_driver=False)
    except ConfigError:
        raise
    except Exception as error:  # Ray raises that itself where a busy machine starts it too slowly
        raise ConfigError(
            f"{WHAT} needs a cluster that takes this process, but {address!r} gave: "
            f"{first_cause(error)}; use the same Ray, Python and token everywhere"
        ) from error
    try:
        yield
    finally:
        from_ray("shutdown")()


def _quieten() -> None:
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)  # read as Ray is imported, and by what it starts


def _address() -> str:
    return os.environ.get("RAY_ADDRESS", "") or HERE


def start_here(workers: int) -> None:
    """Start a cluster of this machine that only this machine reaches, and connect to it.

    Args:
        workers: that it is to have room for; 0 for one a processor.

    Raises:
        ConfigError: this version of Ray listens to the network all the same.
    """
    init = from_ray("init")
    _keep_loopback()
    init(
        HERE,
        num_cpus=workers or None,
        object_store_memory=OBJECTS_BYTES,
        include_dashboard=False,
        logging_level="error",
        log_to_driver=False,
        _node_ip_address=LOOPBACK,
    )
    found = from_ray("get_runtime_context")().gcs_address
    if not found.startswith(f"{LOOPBACK}:"):
        from_ray("shutdown")()
        raise ConfigError(
            f"{WHAT} must not be reached from the network, but this version of Ray listens at "
            f"{found}; install another one, or start a cluster yourself and set RAY_ADDRESS"
        )


def _keep_loopback() -> None:
    """Else Ray takes this machine's address in the network for 127.0.0.1, to listen and to call."""
    constants = sys.modules.get("ray._private.ray_constants")
    if hasattr(constants, _CLUSTER):
        setattr(constants, _CLUSTER, False)


def _devices(placing: Placing) -> tuple[int, dict[str, float]]:
    """How many workers, and what each of them takes of the cluster."""
    there = from_ray("cluster_resources")()
    gpus, cpus = int(there.get("GPU", 0)), int(there.get("CPU", 0))
    on_gpus = placing.device == "cuda" or (placing.device == "auto" and gpus > 0)
    most, word = (gpus, "GPUs") if on_gpus else (cpus, "CPUs")
    count = placing.workers or most
    if not 0 < count <= most:
        raise ConfigError(
            f"workers must be at most as many as the cluster's {word}, got {count} for {most}; "
            f"take fewer, or device=cpu"
        )
    return count, {"num_cpus": 0 if on_gpus else 1, "num_gpus": 1 if on_gpus else 0}
