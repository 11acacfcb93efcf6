"""Learning one style: one drawn picture, pictures without a drawing, and a sketch network."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn, optim

from featurekit.core.errors import ConfigError, TrainingError
from featurekit.core.file_bytes import read_metadata
from featurekit.core.interrupts import tells_how_to_go_on
from featurekit.core.types import Progress, Say, silent, unsaid
from featurekit.images.io import read_tensors, write_tensors
from featurekit_sketch.settings import NAMED_BEFORE
from featurekit_sketch.watching import Heard, unheard

SAVE_SECONDS = 10.0  # between checkpoints
FORMAT = "featurekit.sketch-training/1"

Trace = Sequence[Mapping[str, float]]


class Course(Protocol):
    """What is learnt at each iteration, and how."""

    @property
    def iterations(self) -> int:
        """How many there are in all."""

    def optimiser(self, network: nn.Module) -> optim.Optimizer:
        """A new optimiser; each of its groups says its ``pace``, in learning rates."""

    def rate(self, iteration: int) -> float:
        """Learning rate of an iteration."""

    def loss(self, network: nn.Module, iteration: int) -> tuple[Tensor, dict[str, float]]:
        """The loss of an iteration, 0-dim with its graph, and its terms by name.

        It depends on its arguments alone, so that a training can go on from any iteration.
        """

    def limit(self, network: nn.Module) -> None:
        """Shorten the gradient, if it is to be."""

    def stepped(self, network: nn.Module, iteration: int) -> None:
        """What follows a step of the optimiser."""


@dataclass(frozen=True, eq=False)
class FiniteState:
    """A state that gave a finite loss and a finite gradient."""

    state: Mapping[str, Tensor]  # see ``state_of``; copies, which the training does not change
    iterations: int  # that led to it


@dataclass(frozen=True, eq=False)
class Trainer:
    """A training that goes on, bit for bit, from where it was stopped."""

    network: nn.Module
    course: Course
    path: Path  # of the checkpoint
    key: str  # what a checkpoint must agree with
    say: Say = unsaid  # told where an earlier training is gone on with
    heard: Heard = unheard  # told after each iteration, before the progress

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
        optimiser = self.course.optimiser(self.network)
        trace = self._resumed(optimiser)
        until = self.course.iterations if until is None else until
        begun, saved = len(trace), time.monotonic()
        good: FiniteState | None = None
        with tells_how_to_go_on(lambda: self._stopped(good, trace)):
            if begun:
                self.say(f"going on at iteration {begun} of {self.course.iterations}")
            for iteration in range(begun, until):
                row = self._slope(iteration, optimiser)
                if row is None:
                    raise self._ended(iteration, good, trace)
                # only now is the state known to be good, and only a good one is ever written
                good = self._kept(optimiser, iteration)
                if time.monotonic() - saved > SAVE_SECONDS:
                    self._save(good, trace)
                    saved = time.monotonic()
                _set_rate(optimiser, self.course.rate(iteration))
                self.course.limit(self.network)
                optimiser.step()
                self.course.stepped(self.network, iteration)
                trace.append(row)
                self.heard(iteration + 1, row)
                progress(iteration + 1, self.course.iterations)
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
        loss, terms = self.course.loss(self.network, iteration)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        total = float(loss.detach())
        if not math.isfinite(total) or not _is_finite(self.network):
            return None
        return terms | {"total": total}

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
        words["iterations"] = str(kept.iterations)
        write_tensors(tensors, self.path, words)


def iterations_in(path: Path) -> int:
    """How many iterations led to a checkpoint; 0 where there is none that says so."""
    try:
        found = read_metadata(path).get("iterations", "")
    except ConfigError:
        return 0
    return int(found) if found.isdecimal() else 0


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


def _set_rate(optimiser: optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate * group["pace"]
