"""Learning one style: one drawn picture, pictures without a drawing, and a sketch network."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn, optim

from featurekit import grid
from featurekit.errors import ConfigError, TrainingError
from featurekit.io import read_metadata, read_tensors, write_tensors
from featurekit.types import Progress, silent

from .features import Features
from .losses import Sampled, SketchLoss, Terms
from .settings import Learning

SAVE_SECONDS = 10.0  # between checkpoints
FORMAT = "featurekit.sketch-training/1"

Give = Callable[[int], Features]


@dataclass(frozen=True, eq=False)
class Lessons:
    """What one style is learnt from; features are asked for by number."""

    views: Give  # of the drawn picture and its views
    losses: Sequence[SketchLoss]  # of each view
    samples: Give  # of pictures without a drawing
    embeddings: Sequence[Tensor]  # of those pictures by CLIP, (1 d) each

    def chosen(self, iteration: int, iterations: int, seed: int) -> tuple[int, int | None]:
        """Which view and which sample an iteration learns from: samples in order, views by lot."""
        draw = torch.Generator().manual_seed((seed * 1_000_003 + iteration) % (2**63 - 1))
        # the drawing as it is counts as much as all views of it together
        view = 0
        if float(torch.rand((), generator=draw)) < 0.5:
            view = int(torch.randint(len(self.losses), (), generator=draw))
        if not self.embeddings:
            return view, None
        return view, min(len(self.embeddings) - 1, iteration * len(self.embeddings) // iterations)


@dataclass(frozen=True, eq=False)
class Trainer:
    """A training that goes on, bit for bit, from where it was stopped."""

    network: nn.Module
    lessons: Lessons
    learning: Learning
    seed: int
    path: Path  # of the checkpoint
    key: str  # what a checkpoint must agree with

    def __call__(
        self, *, until: int | None = None, progress: Progress = silent
    ) -> list[dict[str, float]]:
        """Train.

        Args:
            until: iteration to stop at, for a later call to go on; the default is all.
            progress: told after each iteration.

        Returns:
            The terms of the loss of every iteration so far, with their ``total``.

        Raises:
            TrainingError: the loss is NaN or infinite; the weights before it are kept.
            ConfigError: the checkpoint is another training's.
            OutputError: a checkpoint cannot be written.
        """
        optimiser = optim.Adam(self.network.parameters(), self.learning.learning_rate)
        trace = self._resumed(optimiser)
        until = self.learning.iterations if until is None else until
        saved = time.monotonic()
        for iteration in range(len(trace), until):
            terms = self._terms(iteration)
            loss = terms.total(self.learning.weights)
            total = float(loss.detach())
            if not math.isfinite(total):
                self._save(optimiser, trace)
                raise TrainingError(
                    f"the loss must stay finite, got NaN or infinity at iteration {iteration}; the "
                    f"state before it is kept in {str(self.path)!r}; "
                    f"begin anew with a lower plugin.learning_rate"
                )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            _set_rate(optimiser, rate_at(iteration, self.learning))
            optimiser.step()
            trace.append(terms.as_floats() | {"total": total})
            if time.monotonic() - saved > SAVE_SECONDS or iteration + 1 == until:
                self._save(optimiser, trace)
                saved = time.monotonic()
            progress(iteration + 1, self.learning.iterations)
        return trace

    def _terms(self, iteration: int) -> Terms:
        view, number = self.lessons.chosen(iteration, self.learning.iterations, self.seed)
        loss, features = self.lessons.losses[view], self.lessons.views(view)
        if number is None:
            return loss(_fitted(self.network(features), loss), None)
        sample = self.lessons.samples(number)
        if sample.image.shape != features.image.shape:
            drawn, other = self.network(features), self.network(sample)
        else:
            drawn, other = self.network(Features.together([features, sample])).split(1)
        return loss(_fitted(drawn, loss), Sampled(other, self.lessons.embeddings[number]))

    def _resumed(self, optimiser: optim.Optimizer) -> list[dict[str, float]]:
        if not self.path.exists():
            return []
        words = read_metadata(self.path)
        if words.get("format") != FORMAT or words.get("key") != self.key:
            raise ConfigError(
                f"out must be a new folder, or one whose training had these settings, but "
                f"{str(self.path)!r} is of another training; choose another out, or delete it"
            )
        tensors = read_tensors(self.path)
        trace = tensors.pop("trace")
        restore(self.network, optimiser, tensors)
        names = words["terms"].split()
        return [dict(zip(names, row, strict=True)) for row in trace.tolist()]

    def _save(self, optimiser: optim.Optimizer, trace: Sequence[Mapping[str, float]]) -> None:
        names = list(trace[0]) if trace else []
        tensors = state_of(self.network, optimiser)
        tensors["trace"] = torch.tensor([list(row.values()) for row in trace], dtype=torch.float64)
        words = {"format": FORMAT, "key": self.key, "terms": " ".join(names)}
        write_tensors(tensors, self.path, words)


def rate_at(iteration: int, learning: Learning) -> float:
    """Learning rate: as it is, then falling to a twentieth over the last share of the training."""
    left = (learning.iterations - iteration) / max(1.0, learning.cool_down * learning.iterations)
    return learning.learning_rate * min(1.0, max(0.05, left))


def state_of(network: nn.Module, optimiser: optim.Optimizer) -> dict[str, Tensor]:
    """Weights, and what Adam remembers of each, by name."""
    found = {f"weight.{name}": one.detach() for name, one in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        for moment, value in optimiser.state.get(parameter, {}).items():
            found[f"adam.{moment}.{name}"] = torch.as_tensor(value)
    return found


def restore(network: nn.Module, optimiser: optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what ``state_of`` gave."""
    network.load_state_dict(
        {name.removeprefix("weight."): t for name, t in tensors.items() if name[:7] == "weight."}
    )
    for name, parameter in network.named_parameters():
        moments = ("exp_avg", "exp_avg_sq", "step")
        kept = {moment: f"adam.{moment}.{name}" for moment in moments}
        if all(key in tensors for key in kept.values()):
            optimiser.state[parameter] = {
                moment: tensors[key].to("cpu" if moment == "step" else parameter.device)
                for moment, key in kept.items()
            }


def _fitted(drawn: Tensor, loss: SketchLoss) -> Tensor:
    """Without the padding that the drawing does not have."""
    return grid.crop(drawn, *loss.size)


def _set_rate(optimiser: optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate
