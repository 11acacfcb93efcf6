"""Which worker takes which samples: by a hash of a sample's id, never its place in a list."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from featurekit.errors import ConfigError

RANKS = (  # (rank, number of processes), as launchers put them into the environment
    ("RANK", "WORLD_SIZE"),  # torchrun, accelerate
    ("PMI_RANK", "PMI_SIZE"),  # accelerate under MPICH or Intel MPI
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # accelerate under Open MPI
    ("SLURM_PROCID", "SLURM_NTASKS"),  # srun
)


@dataclass(frozen=True)
class Share:
    """The part of the work that one of several workers does; alone it is all of it."""

    index: int = 0  # 0 to count - 1
    count: int = 1

    def __post_init__(self) -> None:
        """Refuse a share that does not exist.

        Raises:
            ConfigError: the index is none of ``count`` workers.
        """
        if not 0 <= self.index < self.count:
            raise ConfigError(
                f"shard must be i/n with i from 0 to n - 1, got {self.index}/{self.count}; "
                f"the first of four is 0/4"
            )

    def owns(self, group: int) -> bool:
        """Tell whether a group of samples is this worker's."""
        return group % self.count == self.index

    def __str__(self) -> str:
        """As it is written: 0/4."""
        return f"{self.index}/{self.count}"


def parse_share(word: str) -> Share:
    """Read a share from a setting.

    Args:
        word: ``i/n``, i from 0 to n - 1.

    Raises:
        ConfigError: it is written in another way, or there is no such share.
    """
    parts = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", word, re.ASCII)
    if parts is None:
        raise ConfigError(f"shard must be written i/n, got {word!r}; the first of four is 0/4")
    return Share(int(parts[1]), int(parts[2]))


def launched_share(environment: Mapping[str, str]) -> Share:
    """Read a share from what torchrun, accelerate, MPI or Slurm put into the environment.

    Args:
        environment: as ``os.environ``.

    Returns:
        The share of the first launcher of ``RANKS`` that left its mark; without any, all.

    Raises:
        ConfigError: one of a launcher's two variables is missing, or they are no share.
    """
    for rank, size in RANKS:
        given = [environment.get(name, "") for name in (rank, size)]
        if not any(given):
            continue
        if not all(value.isascii() and value.isdecimal() for value in given):
            raise ConfigError(
                f"{rank} and {size} must both be whole numbers, got {given[0]!r} and {given[1]!r}; "
                f"unset both or give shard=i/n"
            )
        return Share(int(given[0]), int(given[1]))
    return Share()


def hash_of_id(sample: str) -> str:
    """Hash a sample's id, 64 hexadecimal digits; samples are stored in this order."""
    return sha256(sample.encode("utf-8", "surrogatepass")).hexdigest()


def group_of(sample: str, groups: int) -> int:
    """Find the group that a sample belongs to, whoever works on it.

    Args:
        sample: its id.
        groups: how many there are, >= 1.

    Returns:
        0 to ``groups - 1``.
    """
    return int(hash_of_id(sample)[-12:], 16) % groups
