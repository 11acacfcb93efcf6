"""A cluster of this machine alone, on loopback, and what Ray leaves of it."""

import shutil
import sys
from contextlib import suppress
from pathlib import Path

from featurekit.core.errors import ConfigError
from featurekit.scale.ray_crew import WHAT, from_ray

LOOPBACK = "127.0.0.1"
_CLUSTER = "ENABLE_RAY_CLUSTER"  # of Ray's constants: whether other machines may come to it
OBJECTS_BYTES = 100_000_000  # of the memory that Ray shares: nothing large goes through it
_LATEST = "session_latest"  # Ray's link to the folder of the cluster that was started last


def start_here(cpus: int = 0) -> None:
    """Start a cluster of this machine that only this machine reaches, and connect to it.

    Args:
        cpus: that it is to say it has; 0 for those of the machine.

    Raises:
        ConfigError: this version of Ray listens to the network all the same.
    """
    init = from_ray("init")
    keep_loopback()
    init(
        "local",
        num_cpus=cpus or None,
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


def keep_loopback() -> None:
    """Else Ray takes this machine's address in the network for 127.0.0.1, to listen and to call."""
    constants = sys.modules.get("ray._private.ray_constants")
    if hasattr(constants, _CLUSTER):
        setattr(constants, _CLUSTER, False)


def started_here() -> str:
    """The address of the cluster of this machine that ``ray start`` began last.

    A cluster that some other process has started for itself is not taken, as Ray would.

    Raises:
        ConfigError: there is none.
    """
    services = sys.modules.get("ray._private.services")
    find = getattr(services, "find_bootstrap_address", None)
    found: str | None = None if find is None else find(None)
    if not found:
        raise ConfigError(
            "RAY_ADDRESS=auto must find a cluster that was started on this machine, got none; "
            "start it with ray start --head, or unset RAY_ADDRESS for workers of this command alone"
        )
    return found


def own_folder() -> Path | None:
    """Where the cluster that this process has started keeps its logs; None where there is none."""
    node = getattr(sys.modules.get("ray._private.worker"), "_global_node", None)
    path = getattr(node, "get_session_dir_path", None)
    return None if path is None else Path(path())


def forget(folder: Path) -> None:
    """Remove what Ray leaves of a cluster of ours that has ended, and its link to it.

    Args:
        folder: as of ``own_folder``.
    """
    shutil.rmtree(folder, ignore_errors=True)
    link = folder.parent / _LATEST
    with suppress(OSError):
        if link.is_symlink() and link.readlink().name == folder.name:
            link.unlink()
