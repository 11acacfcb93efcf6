"""The pictures without a drawing that one training shares among styles and networks."""

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from featurekit.core.types import Conditioning, Progress
from featurekit.diffusion.backbone import Backbone
from featurekit_sketch.sampling.caption_sampler import CaptionSampler
from featurekit_sketch.sampling.captions import Captions
from featurekit_sketch.sampling.cdst_sampler import Sample, Sampler
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
        source = self.backbone.embed(prompt)
        given = (self.sampling, self.steps, self.seed, self.timesteps)
        sampler: Sampler | CaptionSampler
        if isinstance(self.prior, Captions):
            sampler = CaptionSampler(self.backbone, self.prior, source, *given)
        else:
            sampler = Sampler(self.backbone, self.prior, source.states.detach(), *given)
        with stage("sampling pictures") as progress:
            return sampler(folder, key=self.key(source), progress=progress)

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
