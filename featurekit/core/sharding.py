"""Which worker takes which samples: by a hash of a sample's id, never its place in a list."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from featurekit.core.errors import ConfigError

RANKS = (  # (rank, number of processes), as launchers put them into the environment
    ("RANK", "WORLD_SIZE"),  # torchrun, accelerate
    ("PMI_RANK", "PMI_SIZE"),  # accelerate under MPICH or Intel MPI
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # accelerate under Open MPI
    ("SLURM_PROCID", "SLURM_NTASKS"),  # srun
)
ARRAY = [f"SLURM_ARRAY_TASK_{word}" for word in ("ID", "COUNT", "MIN", "STEP")]


@dataclass(frozen=True)
class Share:
    """The part of the work that one of several workers does; alone it is all of it."""

    index: int = 0  # 0 to count - 1
    count: int = 1
    told_by: str = field(default="", compare=False)  # setting or variable that says so

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

    @property
    def told(self) -> str:
        """For a person: the share and who says so; empty for one who works alone."""
        if self.count == 1:
            return ""
        return f"share {self} (from {self.told_by})" if self.told_by else f"share {self}"

    def within(self, outer: "Share") -> "Share":
        """Take this part of another's part."""
        names = [one.told_by for one in (outer, self) if one.count > 1 and one.told_by]
        return Share(
            outer.index * self.count + self.index, outer.count * self.count, " and ".join(names)
        )


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
    return Share(int(parts[1]), int(parts[2]), "shard")


def launched_share(environment: Mapping[str, str]) -> Share:
    """Read a share from what torchrun, accelerate, MPI or Slurm put into the environment.

    Args:
        environment: as ``os.environ``.

    Returns:
        The share of the first launcher of ``RANKS`` that left its mark, within that of a Slurm job
        array where there is one; without any, all.

    Raises:
        ConfigError: one of a launcher's variables is missing, they are no share, or the numbers of
            a job array are not evenly spaced.
    """
    return _of_processes(environment).within(_of_array(environment))


def _of_processes(environment: Mapping[str, str]) -> Share:
    for rank, size in RANKS:
        given = [environment.get(name, "") for name in (rank, size)]
        if not any(given):
            continue
        if not all(value.isascii() and value.isdecimal() for value in given):
            raise ConfigError(
                f"{rank} and {size} must both be whole numbers, got {given[0]!r} and {given[1]!r}; "
                f"unset both or give shard=i/n"
            )
        return Share(int(given[0]), int(given[1]), rank)
    return Share()


def _of_array(environment: Mapping[str, str]) -> Share:
    """A task of a job array, whose numbers may begin anywhere and go in steps."""
    given = [environment.get(name, "") for name in ARRAY]
    if not given[0]:
        return Share()
    if not all(value.isascii() and value.isdecimal() for value in given):
        raise ConfigError(
            f"{', '.join(ARRAY)} must all be whole numbers, got {given}; unset them or give "
            f"shard=i/n"
        )
    number, count, first, step = map(int, given)
    place, rest = divmod(number - first, max(step, 1))
    if rest or not 0 <= place < count:
        raise ConfigError(
            f"the numbers of a job array must be evenly spaced, such as 0-{max(count - 1, 0)}, "
            f"got {number} among {count} from {first} in steps of {step}; give shard=i/n"
        )
    return Share(place, count, ARRAY[0])


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
