"""The pictures without a drawing that one training shares among styles and networks."""

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from featurekit.core.types import Conditioning, Progress
from featurekit.diffusion.backbone import Backbone
from featurekit_sketch.sampling.cdst_sampler import Sample, Sampler
from featurekit_sketch.sampling.prior import Prior
from featurekit_sketch.settings import Sampling

Stages = Callable[[str], AbstractContextManager[Progress]]


@dataclass(frozen=True, eq=False)
class SampledPictures:
    """How they are sampled."""

    backbone: Backbone
    prior: Prior
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
        sampler = Sampler(
            backbone=self.backbone,
            prior=self.prior,
            source=source.states.detach(),
            sampling=self.sampling,
            steps=self.steps,
            seed=self.seed,
            timesteps=self.timesteps,
        )
        with stage("sampling pictures") as progress:
            return sampler(folder, key=self.key(source), progress=progress)

    def key(self, source: Conditioning) -> str:
        """What decides them."""
        prior = sha256()
        for part in (self.prior.mean, self.prior.deviations, self.prior.axes):
            prior.update(part.numpy().tobytes())
        facts = [asdict(self.sampling), self.steps, self.seed, source.fingerprint]
        facts += [self.timesteps] if self.timesteps else []  # version 0.1 had no others
        return condensed(
            [*facts, prior.hexdigest(), dict(self.backbone.weights), self.backbone.name]
        )


def condensed(facts: Sequence[object]) -> str:
    """Sixteen hex digits that stand for some facts."""
    text = json.dumps(facts, sort_keys=True, default=str)
    return sha256(text.encode()).hexdigest()[:16]
