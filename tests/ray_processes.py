"""Processes beside a cluster of Ray on loopback: started, ended; the cluster is a fixture."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from buckets import LACKS
from interrupts import hear

HERE = Path(__file__).parent
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="the extra [scale] is missing")


def started(*words, **environment):
    """A script of ``tests``, or with ``-m`` before it a module, started where Ray is kept quiet."""
    script = [words[0]] if words[0] == "-m" else [HERE / words[0]]
    return subprocess.Popen(
        [sys.executable, *map(str, [*script, *words[1:]])],
        env={**os.environ, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0",
             "RAY_memory_monitor_refresh_ms": "0",  # kills where others use the memory up
             "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "ab" * 32,
             "PYTHONPATH": f"{HERE}:{(HERE / words[0]).parent}", **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear,
    )  # fmt: skip


def ended(process, seconds=800):
    """Output and errors of a process that ended well."""
    out, err = process.communicate(timeout=seconds)
    assert process.returncode == 0, err
    return out, err


@pytest.fixture(scope="session")
def cluster(request):
    """A cluster of two workers, for all files of a worker of the tests; its address."""
    if not LACKS:  # workers have the environment of their cluster, keys of a service included
        request.getfixturevalue("bucket_settings")
    head = started("scale/ray_head.py", 2)
    address = head.stdout.readline().strip()
    yield address
    head.communicate(timeout=300)
