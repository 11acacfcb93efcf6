"""What the paper's network learns at each iteration: a view of the drawing, a sampled picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn, optim

from featurekit_sketch.losses.sketch_loss import Sampled, SampleView, SketchLoss, Terms
from featurekit_sketch.network.features import Features
from featurekit_sketch.settings import Learning, Weights
from featurekit_sketch.training.framing import Corner, unframed

LOGITS = ".logits"  # how the names of parameters end that weigh layers and timesteps
SETTLED, WHOLE = 0.5, 0.75  # shares of the training where consistency begins, and counts whole

Give = Callable[[int], Features]


@dataclass(frozen=True, eq=False)
class SampleViews:
    """One view of each picture without a drawing."""

    features: Give
    moved: Callable[[int, Tensor], Tensor]  # ink (1 1 h w) of a picture, bent like its view


@dataclass(frozen=True, eq=False)
class Examples:
    """What one style is learnt from; features are asked for by number."""

    views: Give  # of the drawn picture and its views
    losses: Sequence[SketchLoss]  # of each view
    samples: Give  # of pictures without a drawing
    embeddings: Sequence[Tensor]  # of those pictures by CLIP, (1 d) each
    sample_views: SampleViews | None = None  # those pictures; without it consistency is 0
    corners: Sequence[Corner] = ()  # of each view; none: all lie at the top left
    drawings: int = 1  # how many of the first views are the drawn picture as it is

    def chosen(self, iteration: int, iterations: int, seed: int) -> tuple[int, int | None]:
        """Which view and which sample an iteration learns from: samples in order, views by lot."""
        draw = torch.Generator().manual_seed((seed * 1_000_003 + iteration) % (2**63 - 1))
        # the drawing as it is counts as much as all views of it together
        view = iteration % self.drawings
        if float(torch.rand((), generator=draw)) < 0.5:
            view = int(torch.randint(len(self.losses), (), generator=draw))
        if not self.embeddings:
            return view, None
        return view, min(len(self.embeddings) - 1, iteration * len(self.embeddings) // iterations)


@dataclass(frozen=True, eq=False)
class PublishedCourse:
    """A ``Course`` with the paper's sum of losses and Adam."""

    examples: Examples
    learning: Learning
    seed: int

    @property
    def iterations(self) -> int:
        """How many there are in all."""
        return self.learning.iterations

    def optimiser(self, network: nn.Module) -> optim.Optimizer:
        """Adam over all parameters."""
        return optim.Adam(_groups(network, self.learning.mixing), self.learning.learning_rate)

    def rate(self, iteration: int) -> float:
        """Learning rate of an iteration."""
        return rate_at(iteration, self.learning)

    def loss(self, network: nn.Module, iteration: int) -> tuple[Tensor, dict[str, float]]:
        """The loss of an iteration with its graph, and its terms."""
        terms = self._terms(network, iteration)
        return terms.total(weights_at(iteration, self.learning)), terms.as_floats()

    def limit(self, network: nn.Module) -> None:
        """Gradients are taken as they are."""

    def stepped(self, network: nn.Module, iteration: int) -> None:
        """Nothing follows a step."""

    def _terms(self, network: nn.Module, iteration: int) -> Terms:
        view, number = self.examples.chosen(iteration, self.learning.iterations, self.seed)
        loss, features = self.examples.losses[view], self.examples.views(view)
        if number is None:
            return loss(self._fitted(network(features), view), None)
        asked, sample_views = [features, self.examples.samples(number)], self.examples.sample_views
        if sample_views is not None and weights_at(iteration, self.learning).consistency > 0:
            asked.append(sample_views.features(number))
        drawn, other, *views = self._drawn(network, asked)
        sample_view = None
        if sample_views is not None and views:
            sample_view = SampleView(views[0], sample_views.moved(number, other.detach()))
        sample = Sampled(other, self.examples.embeddings[number], sample_view)
        return loss(self._fitted(drawn, view), sample)

    def _fitted(self, drawn: Tensor, view: int) -> Tensor:
        """Without the filling of the frame, which the drawing does not have."""
        corner = self.examples.corners[view] if self.examples.corners else Corner()
        return unframed(drawn, corner, *self.examples.losses[view].size)

    def _drawn(self, network: nn.Module, asked: Sequence[Features]) -> Sequence[Tensor]:
        """Draw pictures, together where they are of one size; (1 1 h w) each."""
        if len({one.image.shape for one in asked}) > 1:
            return [network(one) for one in asked]
        return torch.split(network(Features.together(asked)), 1)


def rate_at(iteration: int, learning: Learning) -> float:
    """Learning rate: as it is, then falling to a twentieth over the last share of the training."""
    left = (learning.iterations - iteration) / max(1.0, learning.cool_down * learning.iterations)
    return learning.learning_rate * min(1.0, max(0.05, left))


def weights_at(iteration: int, learning: Learning) -> Weights:
    """Weights of the loss: consistency counts nothing while drawings are poor, then ever more."""
    share = (iteration / learning.iterations - SETTLED) / (WHOLE - SETTLED)
    weights = learning.weights
    return replace(weights, consistency=weights.consistency * min(1.0, max(0.0, share)))


def _groups(network: nn.Module, mixing: float) -> list[dict[str, Any]]:
    """All parameters, and how fast each is learnt, in learning rates.

    Adam moves every number by about the rate. That is much for a weight of a convolution and
    nothing for a logit, which has to change by 1 before a layer counts three times as much.
    """
    named = list(network.named_parameters())
    logits = [one for name, one in named if name.endswith(LOGITS)]
    others = [one for name, one in named if not name.endswith(LOGITS)]
    groups = ({"params": others, "pace": 1.0}, {"params": logits, "pace": mixing})
    return [group for group in groups if group["params"]]
