"""Pictures without a drawing, of captions: ever further from the prompt of the drawn one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import torch

from featurekit.core.types import Conditioning, Progress, silent
from featurekit.diffusion.backbone import Backbone
from featurekit_sketch.sampling.captions import Captions
from featurekit_sketch.sampling.cdst import mixed, source_weight
from featurekit_sketch.sampling.cdst_sampler import KeptSamples, Sample, lots_of, seed_of
from featurekit_sketch.sampling.noising_paths import SampledRun, generated_paths
from featurekit_sketch.settings import Sampling

MASK = "mask"  # of the states that are words, in what some networks are told


@dataclass(frozen=True, eq=False)
class CaptionSampler:
    """Samples pictures whose condition fades from the source's text to captions."""

    backbone: Backbone
    captions: Captions
    source: Conditioning  # of the source's text
    sampling: Sampling
    steps: int
    seed: int
    timesteps: tuple[int, ...] = ()  # as ``Sampler`` keeps
    together: ClassVar[int] = 1

    @cached_property
    def is_mixable(self) -> bool:
        """Whether states of two texts stand beside each other one by one, whatever their length."""
        one, other = (self.backbone.embed(text) for text in ("", self.captions.texts[0]))
        return MASK not in one.extra and one.states.shape == other.states.shape

    @torch.no_grad()
    def condition(self, number: int) -> Conditioning:
        """Condition of one sample; the same whatever else is sampled.

        A mix of the source and a caption, as the paper's is. Where states cannot be mixed it is one
        of both by lot, the source with the chance that is its share in the mix.

        Source: Yun et al. 2024, arXiv:2401.04362, condition diffusion sampling for training.
        """
        # the last samples, a share of 1 - fade, have nothing of the source's text
        span = max(1, round(self.sampling.fade * self.sampling.count))
        weight, lots = source_weight(number, span), lots_of(self.seed, number, 0)
        caption, lot = self.captions.draw(lots), float(torch.rand((), generator=lots))
        if weight == 1 or not self.is_mixable:
            return self.source if lot < weight else self.backbone.embed(caption)
        drawn = self.backbone.embed(caption)
        extra = {
            name: mixed(one, drawn.extra[name], weight) for name, one in self.source.extra.items()
        }
        return replace(drawn, states=mixed(self.source.states, drawn.states, weight), extra=extra)

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

    def sampled(self, numbers: Sequence[int]) -> list[Sample]:
        """Sample those of some numbers, one by one."""
        run = SampledRun(self.steps, self.sampling.guidance, self.timesteps)
        found = []
        for number in numbers:
            words = self.condition(number)
            seeds = [seed_of(self.seed, number, 1)]
            (path,) = generated_paths(self.backbone, words, run, seeds=seeds)
            found.append(Sample(path, words.states, words.extra))
        return found
