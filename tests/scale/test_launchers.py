"""Workers as torchrun, accelerate and Slurm start them: real processes, one store."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_features import SAMPLES, contents, stored

from featurekit.core.sharding import Share
from featurekit.core.types import silent

pytestmark = pytest.mark.timeout(900)  # a busy machine is slow
CHILD = Path(__file__).with_name("launched_child.py")
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
ACCELERATE = [  # by the launcher of GPUs, which asks for none: that of CPUs is mpirun
    *("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"),
    *("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"),
    *("--main_process_port", "0"),
]
UNSET = ("RANK", "WORLD_SIZE", "RAY_ADDRESS", "SLURM_PROCID", "SLURM_NTASKS")


def started(words, variables=()):
    clean = {name: value for name, value in os.environ.items() if name not in UNSET}
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        env={**clean, "OMP_NUM_THREADS": "1", **dict(variables)},
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(processes):
    for process in processes:
        _, err = process.communicate(timeout=800)
        assert process.returncode == 0, err


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    folder = tmp_path_factory.mktemp("launched") / "one"
    stored(folder, Share(), silent)
    return folder


def torchrun(folder):
    return [started([*TORCHRUN, CHILD, folder])]


def accelerate(folder):
    return [started([*ACCELERATE, CHILD, folder])]


def srun(folder):
    """What ``srun --ntasks=2`` starts, each task with its number."""
    return [
        started([CHILD, folder], {"SLURM_PROCID": str(rank), "SLURM_NTASKS": "2"})
        for rank in range(2)
    ]


def array(folder):
    """What ``sbatch --array=5-7:2`` starts without srun."""
    shared = {"SLURM_ARRAY_TASK_COUNT": "2", "SLURM_ARRAY_TASK_MIN": "5",
              "SLURM_ARRAY_TASK_STEP": "2"}  # fmt: skip
    return [
        started([CHILD, folder], {**shared, "SLURM_ARRAY_TASK_ID": number}) for number in ("5", "7")
    ]


@pytest.mark.parametrize("launch", [torchrun, accelerate, srun, array])
def test_the_processes_of_a_launcher_share_one_store_out(launch, one, tmp_path):
    folder = tmp_path / "s"
    ended(launch(folder))
    shares = [int((tmp_path / f"s.{rank}-of-2").read_text()) for rank in range(2)]
    assert sum(shares) == len(SAMPLES)
    assert min(shares) > 0
    assert contents(folder) == contents(one)
