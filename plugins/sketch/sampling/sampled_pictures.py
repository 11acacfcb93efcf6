"""The pictures without a drawing that one training shares among styles and networks."""

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from featurekit.core.sharding import Share
from featurekit.core.types import Conditioning, Progress
from featurekit.diffusion.backbone import Backbone
from featurekit_sketch.sampling.caption_sampler import CaptionSampler
from featurekit_sketch.sampling.captions import Captions
from featurekit_sketch.sampling.cdst_sampler import KeptSamples, Sample, Sampler, Samples
from featurekit_sketch.sampling.prior import Prior
from featurekit_sketch.settings import Sampling

Stages = Callable[[str], AbstractContextManager[Progress]]


@dataclass(frozen=True, eq=False)
class SampledPictures:
    """How they are sampled."""

    backbone: Backbone
    prior: Prior | Captions
    sampling: Sampling
    steps: int
    seed: int
    timesteps: tuple[int, ...] = ()  # as ``Sampler`` keeps

    def __call__(self, prompt: str, folder: Path, stage: Stages) -> tuple[Sample, ...]:
        """Sample them now, or read those of an earlier run.

        Args:
            prompt: what the drawn picture shows.
            folder: for a file each.
            stage: for the progress.
        """
        kept, sampler = self._kept(prompt, folder)
        with stage("sampling pictures") as progress:
            return kept.filled(sampler, progress=progress)

    def fill(self, prompt: str, folder: Path, *, share: Share, progress: Progress) -> None:
        """Sample a share of them, which are read later.

        Args:
            prompt: as above.
            folder: likewise.
            share: whose they are.
            progress: told the number of its samples that there are.
        """
        kept, sampler = self._kept(prompt, folder)
        kept.fill(sampler, share=share, progress=progress)

    def _kept(self, prompt: str, folder: Path) -> tuple[KeptSamples, Samples]:
        """Where they lie, and what makes them."""
        source = self.backbone.embed(prompt)
        given = (self.sampling, self.steps, self.seed, self.timesteps)
        kept = KeptSamples(folder, self.sampling.count, self.key(source))
        if isinstance(self.prior, Captions):
            return kept, CaptionSampler(self.backbone, self.prior, source, *given)
        return kept, Sampler(self.backbone, self.prior, source.states.detach(), *given)

    def key(self, source: Conditioning) -> str:
        """What decides them."""
        facts = [asdict(self.sampling), self.steps, self.seed, source.fingerprint]
        facts += [self.timesteps] if self.timesteps else []  # version 0.1 had no others
        return condensed(
            [*facts, self.prior.digest, dict(self.backbone.weights), self.backbone.name]
        )


def condensed(facts: Sequence[object]) -> str:
    """Sixteen hex digits that stand for some facts."""
    text = json.dumps(facts, sort_keys=True, default=str)
    return sha256(text.encode()).hexdigest()[:16]
