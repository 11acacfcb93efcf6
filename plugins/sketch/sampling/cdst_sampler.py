"""Pictures without a drawing: sampled once, ever further from the drawn one, and kept on disk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from featurekit.core.atomic import make_folder
from featurekit.core.errors import ConfigError
from featurekit.core.file_bytes import read_metadata
from featurekit.core.sharding import Share
from featurekit.core.types import Conditioning, Progress, silent
from featurekit.diffusion.backbone import Backbone
from featurekit.images.io import read_tensors, write_tensors
from featurekit_sketch.sampling.cdst import mixed, source_weight
from featurekit_sketch.sampling.noising_paths import NoisingPath, SampledRun, generated_paths
from featurekit_sketch.sampling.prior import Prior
from featurekit_sketch.settings import Sampling

TOGETHER = 8  # trajectories that are sampled in one batch; always the same ones
EXTRA = "extra."  # before the names of what a network is told beside states, in a file
ALL = Share()


@dataclass(frozen=True, eq=False)
class Sample:
    """One sampled picture: its latents at the timesteps that are read, and its condition."""

    noising: NoisingPath
    states: Tensor  # (1 n d)
    extra: Mapping[str, Tensor] = field(default_factory=dict)  # what a network is told beside them

    @property
    def words(self) -> Conditioning:
        """Its condition, without the text that it may be of."""
        return Conditioning(self.states, "", self.extra)


@dataclass(frozen=True, eq=False)
class Sampler:
    """Samples pictures whose condition fades from the source's text to the prior.

    A batch of which one sample is missing is sampled as a whole: in another batch a sample would be
    rounded otherwise, and a run that was stopped would end elsewhere.
    """

    backbone: Backbone
    prior: Prior
    source: Tensor  # (1 n d) states of the source's text
    sampling: Sampling
    steps: int
    seed: int
    timesteps: tuple[int, ...] = ()  # that latents are kept at; none: the representative ones

    def condition(self, number: int) -> Tensor:
        """Condition of one sample, (1 n d); the same whatever else is sampled.

        Source: Yun et al. 2024, arXiv:2401.04362, condition diffusion sampling for training.
        """
        # the last samples, a share of 1 - fade, have nothing of the source's text
        span = max(1, round(self.sampling.fade * self.sampling.count))
        drawn = self.prior.draw(lots_of(self.seed, number, 0)).to(self.source)
        return mixed(self.source, drawn, source_weight(number, span))

    def __call__(
        self, folder: Path, *, key: str, progress: Progress = silent
    ) -> tuple[Sample, ...]:
        """Sample all pictures; those that the folder holds from an earlier run are read.

        Args:
            folder: for one file per sample; made if it does not exist.
            key: what decides the samples; files of another key are made anew.
            progress: told the number of samples there are.

        Returns:
            Samples in order.
        """
        return KeptSamples(folder, self.sampling.count, key).filled(self, progress=progress)

    @property
    def together(self) -> int:
        """How many are sampled at once."""
        return TOGETHER

    def sampled(self, numbers: Sequence[int]) -> list[Sample]:
        """Sample those of some numbers."""
        states = torch.cat([self.condition(i) for i in numbers])
        paths = generated_paths(
            self.backbone,
            states,
            SampledRun(self.steps, self.sampling.guidance, self.timesteps),
            seeds=[seed_of(self.seed, i, 1) for i in numbers],
        )
        return [Sample(noising, own[None]) for noising, own in zip(paths, states, strict=True)]


@dataclass(frozen=True)
class KeptSamples:
    """A folder with one file for each sample."""

    folder: Path
    count: int
    key: str  # what decides the samples; files of another key are made anew

    def fill(self, sampler: "Samples", *, share: Share = ALL, progress: Progress = silent) -> None:
        """Make what is missing of a share.

        Args:
            sampler: makes those of some numbers.
            share: whose batches they are.
            progress: told the number of samples of the share that there are.

        Raises:
            OutputError: a file cannot be written; those before it stay.
        """
        make_folder(self.folder)
        firsts = range(0, self.count, sampler.together)
        batches = [
            range(start, min(self.count, start + sampler.together))
            for index, start in enumerate(firsts)
            if share.owns(index)
        ]
        missing = {i for batch in batches for i in batch if not _is_kept(self._path(i), self.key)}
        total = sum(map(len, batches))
        progress(total - len(missing), total)
        for batch in batches:
            if missing.isdisjoint(batch):
                continue
            for i, sample in zip(batch, sampler.sampled(batch), strict=True):
                if i in missing:
                    _write(sample, self._path(i), self.key)
            missing -= set(batch)
            progress(total - len(missing), total)

    def filled(self, sampler: "Samples", *, progress: Progress = silent) -> tuple[Sample, ...]:
        """Make what is missing, and read all, in order."""
        self.fill(sampler, progress=progress)
        return self.read()

    def read(self) -> tuple[Sample, ...]:
        """Read all, in order; they must be there."""
        return tuple(_read(self._path(i)) for i in range(self.count))

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:04d}.safetensors"


class Samples(Protocol):
    """What makes samples."""

    @property
    def together(self) -> int:
        """How many it is asked for at once, always the same ones."""
        ...

    def sampled(self, numbers: Sequence[int]) -> Sequence[Sample]:
        """Make those of some numbers."""
        ...


def _is_kept(path: Path, key: str) -> bool:
    try:
        return path.exists() and read_metadata(path).get("key") == key
    except ConfigError:  # it was cut; it is made anew
        return False


def _write(sample: Sample, path: Path, key: str) -> None:
    tensors = {
        "latents": sample.noising.latents,
        "clean": sample.noising.clean,
        "states": sample.states,
        **{f"{EXTRA}{name}": one for name, one in sample.extra.items()},
    }
    tensors["timesteps"] = torch.tensor(sample.noising.timesteps)
    write_tensors(tensors, path, {"key": key})


def _read(path: Path) -> Sample:
    tensors = read_tensors(path)
    timesteps = tuple(tensors["timesteps"].tolist())
    noising = NoisingPath(tensors["latents"], timesteps, tensors["clean"])
    extra = {
        name.removeprefix(EXTRA): one for name, one in tensors.items() if name.startswith(EXTRA)
    }
    return Sample(noising, tensors["states"], extra)


def seed_of(*numbers: int) -> int:
    """One seed of several numbers."""
    seed = 0
    for number in numbers:
        seed = (seed * 1_000_003 + number + 1) % (2**63 - 1)
    return seed


def lots_of(*numbers: int) -> torch.Generator:
    """What decides by lot, on the CPU, for several numbers."""
    return torch.Generator().manual_seed(seed_of(*numbers))
