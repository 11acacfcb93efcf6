"""What networks at two scales learn at each iteration, from drawings and from itself."""

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn, optim

from featurekit_sketch.training.framing import Corner, unframed
from featurekit_sketch.two_scales.network import TwoScaleNetwork, logit_in
from featurekit_sketch.two_scales.reading import TwoScaleMaps
from featurekit_sketch.two_scales.self_training import Lesson, SelfTraining

OWN = 0.25  # share of the lessons that are a drawing as it is; the others are its views by lot
DECAY = 1e-2  # of weights
RISING = 0.1  # share of the training in which the rate rises
FIRST, LAST = 1 / 25, 1e-4  # shares of the rate: at the first iteration; then of that, at the end
LONGEST = 1.0  # norm of a gradient
SLOW = 0.98  # share of the mean weights that a step keeps, when there were many

LineLoss = Callable[[Tensor, Tensor], Tensor]


class Taught(nn.Module):
    """Networks that learn side by side, and the moving means of their weights.

    The means together draw what is learnt from: two networks of other first weights and lessons
    err apart, so that each is told less of its own mistakes.

    Source: Tarvainen & Valpola 2017, arXiv:1703.01780 (mean teacher).
    """

    def __init__(self, networks: Sequence[TwoScaleNetwork]) -> None:
        """Begin with the means at the networks' first weights."""
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.means = deepcopy(self.networks).requires_grad_(False).eval()

    @property
    def learners(self) -> list[TwoScaleNetwork]:
        """The networks that learn."""
        return [one for one in self.networks if isinstance(one, TwoScaleNetwork)]

    @torch.no_grad()
    def follow(self, steps: int) -> None:
        """Move the means after a step, the number of steps before it being ``steps``."""
        share = 1 - min(SLOW, 1 - 1 / (steps + 1))
        for kept, new in zip(self.means.parameters(), self.networks.parameters(), strict=True):
            kept.lerp_(new, share)


@dataclass(frozen=True, eq=False)
class DrawnViews:
    """One drawn picture with its views; the first is the picture as it is."""

    maps: Callable[[int], TwoScaleMaps]
    inks: Sequence[Tensor]  # (1 c h w)
    lying: Sequence[Corner]  # where each lies in the frame that its maps are of


@dataclass(frozen=True, eq=False)
class TwoScaleCourse:
    """A ``Course`` of ``Taught`` networks."""

    examples: Sequence[DrawnViews]
    iterations: int
    learning_rate: float
    seed: int
    compare: LineLoss
    self_training: SelfTraining | None = None
    precision: torch.dtype = torch.float32  # of convolutions; weights are float32

    def optimiser(self, network: nn.Module) -> optim.Optimizer:
        """AdamW over what learns."""
        learnt = [one for one in network.parameters() if one.requires_grad]
        return optim.AdamW(
            [{"params": learnt, "pace": 1.0}], self.learning_rate, weight_decay=DECAY
        )

    def rate(self, iteration: int) -> float:
        """One cycle: a rise over the first tenth, then a fall to nothing, both by a cosine."""
        return self.learning_rate * one_cycle(iteration, self.iterations)

    def loss(self, network: nn.Module, iteration: int) -> tuple[Tensor, dict[str, float]]:
        """The loss of a lesson of each network, and of what they teach themselves."""
        taught = _taught(network)
        lots = torch.Generator().manual_seed((self.seed * 1_000_003 + iteration) % (2**63 - 1))
        example = self.examples[iteration % len(self.examples)]
        lesson, share = None, iteration / self.iterations
        if self.self_training is not None:
            lesson = self.self_training.lesson(lambda maps: self._means(taught, maps), share, lots)
        each = [self._losses(one, example, lesson, lots) for one in taught.learners]
        drawn, own = (torch.stack(part) for part in zip(*each, strict=True))
        weight = 0.0 if lesson is None else lesson.weight
        terms = {"drawn": drawn.mean().item(), "own": own.mean().item()}
        return drawn.sum() + weight * own.sum(), terms

    def limit(self, network: nn.Module) -> None:
        """Shorten the gradient of each network that is too long."""
        for one in _taught(network).learners:
            nn.utils.clip_grad_norm_(one.parameters(), LONGEST)

    def stepped(self, network: nn.Module, iteration: int) -> None:
        """The means follow."""
        _taught(network).follow(iteration)

    def _losses(
        self,
        network: TwoScaleNetwork,
        example: DrawnViews,
        lesson: Lesson | None,
        lots: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Of a view of the drawn picture, and of what is asked of a sampled one, 0-dim each."""
        network.train()
        network.lots.manual_seed(int(torch.randint(2**31, (), generator=lots)))
        view = self._view(example, lots)
        given = [example.maps(view)]
        if lesson is not None and lesson.maps.image.shape == given[0].image.shape:
            given.append(lesson.maps)
        logits = logit_in(self.precision, network, TwoScaleMaps.together(given))
        ink = example.inks[view]
        drawn = self.compare(unframed(logits[:1], example.lying[view], *ink.shape[-2:]), ink)
        if lesson is None:
            return drawn, torch.zeros_like(drawn)
        apart = len(given) == 1
        own = logit_in(self.precision, network, lesson.maps) if apart else logits[1:]
        return drawn, lesson.loss(own)

    def _means(self, taught: Taught, maps: TwoScaleMaps) -> Tensor:
        """What the mean networks draw together."""
        return torch.stack([logit_in(self.precision, one, maps) for one in taught.means]).mean(0)

    def _view(self, example: DrawnViews, lots: torch.Generator) -> int:
        if float(torch.rand((), generator=lots)) < OWN:
            return 0
        return int(torch.randint(len(example.inks), (), generator=lots))


def one_cycle(iteration: int, iterations: int) -> float:
    """Share of the rate at an iteration; a training of fewer than 20 rises in one.

    Source: Smith & Topin 2018, arXiv:1708.07120; the shares are torch's ``OneCycleLR``'s.
    """
    rising = max(1.0, RISING * iterations - 1)
    if iteration <= rising:
        return _cosine(FIRST, 1.0, iteration / rising)
    left = max(1.0, iterations - 1 - rising)
    return _cosine(1.0, FIRST * LAST, min(1.0, (iteration - rising) / left))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def _taught(network: nn.Module) -> Taught:
    if not isinstance(network, Taught):
        raise TypeError(f"a course at two scales teaches Taught networks, got {type(network)}")
    return network
