"""Learning one style: one drawn picture, pictures without a drawing, and a sketch network."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn, optim

from featurekit.core.errors import ConfigError, TrainingError
from featurekit.core.file_bytes import read_metadata
from featurekit.core.interrupts import tells_how_to_go_on
from featurekit.core.types import Progress, Say, silent, unsaid
from featurekit.images.io import read_tensors, write_tensors
from featurekit_sketch.losses.sketch_loss import Sampled, SampleView, SketchLoss, Terms
from featurekit_sketch.network.features import Features
from featurekit_sketch.settings import NAMED_BEFORE, Learning, Weights
from featurekit_sketch.training.framing import Corner, unframed

SAVE_SECONDS = 10.0  # between checkpoints
FORMAT = "featurekit.sketch-training/1"
LOGITS = ".logits"  # how the names of parameters end that weigh layers and timesteps
SETTLED, WHOLE = 0.5, 0.75  # shares of the training where consistency begins, and counts whole

Give = Callable[[int], Features]
Trace = Sequence[Mapping[str, float]]


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
class FiniteState:
    """A state that gave a finite loss and a finite gradient."""

    state: Mapping[str, Tensor]  # see ``state_of``; copies, which the training does not change
    iterations: int  # that led to it


@dataclass(frozen=True, eq=False)
class Trainer:
    """A training that goes on, bit for bit, from where it was stopped."""

    network: nn.Module
    examples: Examples
    learning: Learning
    seed: int
    path: Path  # of the checkpoint
    key: str  # what a checkpoint must agree with
    say: Say = unsaid  # told where an earlier training is gone on with

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
            TrainingError: the loss, its gradient or a weight is NaN or infinite; the last state
                that had all three finite is kept.
            ConfigError: the checkpoint is another training's.
            OutputError: a checkpoint cannot be written.
            KeyboardInterrupt: after Ctrl-C, with the last good state written and how to go on.
        """
        groups = _groups(self.network, self.learning.mixing)
        optimiser = optim.Adam(groups, self.learning.learning_rate)
        trace = self._resumed(optimiser)
        until = self.learning.iterations if until is None else until
        begun, saved = len(trace), time.monotonic()
        good: FiniteState | None = None
        with tells_how_to_go_on(lambda: self._stopped(good, trace)):
            if begun:
                self.say(f"going on at iteration {begun} of {self.learning.iterations}")
            for iteration in range(begun, until):
                row = self._slope(iteration, optimiser)
                if row is None:
                    raise self._ended(iteration, good, trace)
                # only now is the state known to be good, and only a good one is ever written
                good = self._kept(optimiser, iteration)
                if time.monotonic() - saved > SAVE_SECONDS:
                    self._save(good, trace)
                    saved = time.monotonic()
                _set_rate(optimiser, rate_at(iteration, self.learning))
                optimiser.step()
                trace.append(row)
                progress(iteration + 1, self.learning.iterations)
            if until > begun:
                if self._slope(until - 1, optimiser) is None:  # of the last weights, for the file
                    raise self._ended(until, good, trace)
                self._save(self._kept(optimiser, until), trace)
        return trace

    def _stopped(self, good: FiniteState | None, trace: Trace) -> str:
        """Write the last good state, if this call had one, and say how to go on from it."""
        if good is not None:
            self._save(good, trace)
        if not self.path.exists():
            return ""
        at = len(read_tensors(self.path)["trace"])
        return f"run the same command with out={self.path.parent} to go on from iteration {at}"

    def _slope(self, iteration: int, optimiser: optim.Optimizer) -> dict[str, float] | None:
        """Compute loss and gradient; None if they or the weights are not finite."""
        terms = self._terms(iteration)
        loss = terms.total(weights_at(iteration, self.learning))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        total = float(loss.detach())
        if not math.isfinite(total) or not _is_finite(self.network):
            return None
        return terms.as_floats() | {"total": total}

    def _ended(self, iteration: int, good: FiniteState | None, trace: Trace) -> TrainingError:
        """Write the last good state, if this call had one, and word the error."""
        if good is not None:
            self._save(good, trace)
        kept = "the state before it is that of a new training, so that nothing is kept"
        if self.path.exists():
            kept = f"the state before it is kept in {str(self.path)!r}"
        return TrainingError(
            f"the loss, its gradient and the weights must stay finite, got NaN or infinity at "
            f"iteration {iteration}; {kept}; begin anew with a lower plugin.learning_rate"
        )

    def _terms(self, iteration: int) -> Terms:
        view, number = self.examples.chosen(iteration, self.learning.iterations, self.seed)
        loss, features = self.examples.losses[view], self.examples.views(view)
        if number is None:
            return loss(self._fitted(self.network(features), view), None)
        asked, sample_views = [features, self.examples.samples(number)], self.examples.sample_views
        if sample_views is not None and weights_at(iteration, self.learning).consistency > 0:
            asked.append(sample_views.features(number))
        drawn, other, *views = self._drawn(asked)
        sample_view = None
        if sample_views is not None and views:
            sample_view = SampleView(views[0], sample_views.moved(number, other.detach()))
        sample = Sampled(other, self.examples.embeddings[number], sample_view)
        return loss(self._fitted(drawn, view), sample)

    def _fitted(self, drawn: Tensor, view: int) -> Tensor:
        """Without the filling of the frame, which the drawing does not have."""
        corner = self.examples.corners[view] if self.examples.corners else Corner()
        return unframed(drawn, corner, *self.examples.losses[view].size)

    def _drawn(self, asked: Sequence[Features]) -> Sequence[Tensor]:
        """Draw pictures, together where they are of one size; (1 1 h w) each."""
        if len({one.image.shape for one in asked}) > 1:
            return [self.network(one) for one in asked]
        return torch.split(self.network(Features.together(asked)), 1)

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
        renamed = {before: name for name, before in NAMED_BEFORE.items()}
        names = [renamed.get(name, name) for name in words["terms"].split()]
        return [dict(zip(names, row, strict=True)) for row in trace.tolist()]

    def _kept(self, optimiser: optim.Optimizer, iterations: int) -> FiniteState:
        tensors = state_of(self.network, optimiser)
        return FiniteState({name: one.clone() for name, one in tensors.items()}, iterations)

    def _save(self, kept: FiniteState, trace: Trace) -> None:
        names = list(trace[0]) if trace else []
        rows = [list(row.values()) for row in trace[: kept.iterations]]
        tensors = {**kept.state, "trace": torch.tensor(rows, dtype=torch.float64)}
        words = {"format": FORMAT, "key": self.key, "terms": " ".join(names)}
        write_tensors(tensors, self.path, words)


def rate_at(iteration: int, learning: Learning) -> float:
    """Learning rate: as it is, then falling to a twentieth over the last share of the training."""
    left = (learning.iterations - iteration) / max(1.0, learning.cool_down * learning.iterations)
    return learning.learning_rate * min(1.0, max(0.05, left))


def weights_at(iteration: int, learning: Learning) -> Weights:
    """Weights of the loss: consistency counts nothing while drawings are poor, then ever more."""
    share = (iteration / learning.iterations - SETTLED) / (WHOLE - SETTLED)
    weights = learning.weights
    return replace(weights, consistency=weights.consistency * min(1.0, max(0.0, share)))


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


def _is_finite(network: nn.Module) -> bool:
    """Whether every weight and every gradient is a number whose square is one."""
    weights = list(network.parameters())
    gradients = [one.grad for one in weights if one.grad is not None]
    norms = torch.stack([one.detach().norm() for one in (*weights, *gradients)])
    return math.isfinite(float(norms.norm()))


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


def _set_rate(optimiser: optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate * group["pace"]
