"""Learning a student from pairs; a training that goes on, bit for bit, from where it stopped."""

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn, optim
from torch.nn import functional

from featurekit.core.errors import ConfigError, TrainingError
from featurekit.core.file_bytes import read_metadata
from featurekit.core.interrupts import tells_how_to_go_on
from featurekit.core.precision import has_fast_bfloat16
from featurekit.core.sharding import hash_of_id
from featurekit.core.types import Progress, Say, silent, unsaid
from featurekit.images.io import read_tensors, write_tensors
from featurekit.measures.model.lines import soft_f1
from featurekit_sketch.distillation.lessons import batch_of
from featurekit_sketch.distillation.pair_shards import Pairs
from featurekit_sketch.distillation.student import Student
from featurekit_sketch.distillation.student_drawer import StudentDrawer
from featurekit_sketch.distillation.watching import FIGURES, balanced, watch
from featurekit_sketch.network.first_weights import first_weights
from featurekit_sketch.watching import Glimpse, unseen

FORMAT = "featurekit.student-training/1"
SAVE_SECONDS = 10.0  # between checkpoints
WATCHED = 16  # pairs kept aside that the curve is measured on
LOOKS = 20  # points of the curve
ASIDE = 0.1  # share of the pairs that is kept aside
SHARP = 1.5  # of the chances that F1 is taken of
LINE = 0.4  # ink of a pixel that is a line
WARM_UP, COLD = 0.1, 25.0  # share in which the rate rises, from a 25th (Smith and Topin 2018)
LOSSES = ("loss", "cross_entropy", "lines")


@dataclass(frozen=True)
class StudentLearning:
    """How a student is learnt."""

    iterations: int = 1600
    learning_rate: float = 3e-3
    decay: float = 1e-2
    batch: int = 4
    side_px: int = 128
    average: float = 0.995  # of the weights that are kept, by iteration


@dataclass(frozen=True, eq=False)
class Learnt:
    """A student and how it came about."""

    student: Student  # average of the weights, balanced, in evaluation
    losses: Sequence[Mapping[str, float]]  # of every iteration
    curve: Sequence[Mapping[str, float]]  # of the average on pairs kept aside


@dataclass(eq=False)
class _State:
    """All that an iteration changes."""

    student: Student
    average: Student
    optimiser: optim.AdamW
    losses: list[list[float]] = field(default_factory=list)
    curve: list[list[float]] = field(default_factory=list)

    def tensors(self) -> dict[str, Tensor]:
        """Copies of everything, by name."""
        found = {f"student.{name}": one for name, one in self.student.state_dict().items()}
        found |= {f"average.{name}": one for name, one in self.average.state_dict().items()}
        for name, parameter in self.student.named_parameters():
            for moment, value in self.optimiser.state.get(parameter, {}).items():
                found[f"adam.{moment}.{name}"] = torch.as_tensor(value)
        found["losses"] = torch.tensor(self.losses, dtype=torch.float64)
        found["curve"] = torch.tensor(self.curve, dtype=torch.float64)
        return {name: one.detach().clone() for name, one in found.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what ``tensors`` gave."""
        for network, prefix in ((self.student, "student."), (self.average, "average.")):
            network.load_state_dict(
                {n.removeprefix(prefix): one for n, one in tensors.items() if n.startswith(prefix)}
            )
        for name, parameter in self.student.named_parameters():
            kept = {m: f"adam.{m}.{name}" for m in ("step", "exp_avg", "exp_avg_sq")}
            if all(key in tensors for key in kept.values()):
                self.optimiser.state[parameter] = {m: tensors[key] for m, key in kept.items()}
        self.losses = tensors["losses"].tolist()
        self.curve = tensors["curve"].tolist()


@dataclass(frozen=True, eq=False)
class StudentTraining:
    """A training of one student."""

    pairs: Pairs
    learning: StudentLearning
    seed: int
    path: Path  # of the checkpoint
    key: str  # what a checkpoint must agree with
    say: Say = unsaid
    watch: Callable[[Glimpse], None] = unseen

    def __call__(self, *, until: int | None = None, progress: Progress = silent) -> Learnt:
        """Train.

        Args:
            until: iteration to stop at, for a later call to go on; the default is all.
            progress: told after each iteration.

        Raises:
            TrainingError: a loss or a gradient is NaN or infinite; the last checkpoint stays.
            ConfigError: the checkpoint is another training's, or there are fewer than two pairs.
            OutputError: a checkpoint cannot be written.
            KeyboardInterrupt: after Ctrl-C, with the last whole iteration written and how to go on.
        """
        state = self._begun()
        learnt_from, watched = apart(self.pairs.names)
        until = self.learning.iterations if until is None else until
        begun, saved = len(state.losses), time.monotonic()
        whole = state.tensors()
        with tells_how_to_go_on(lambda: self._stopped(whole)):
            if begun:
                self.say(f"going on at iteration {begun} of {self.learning.iterations}")
            for iteration in range(begun, until):
                state.losses.append(self._learn(state, iteration, learnt_from))
                if self._is_looked_at(iteration + 1):
                    figures = watch(state.average, self.pairs.only(watched))
                    state.curve.append([iteration + 1, *figures])
                whole = state.tensors()  # between two of these nothing is half changed
                if time.monotonic() - saved > SAVE_SECONDS:
                    self._save(whole)
                    saved = time.monotonic()
                self._shown(state)
                progress(iteration + 1, self.learning.iterations)
            if until > begun:
                self._save(whole)
        return Learnt(
            balanced(state.average, self.pairs.only(watched)).requires_grad_(False),
            [dict(zip(LOSSES, row, strict=True)) for row in state.losses],
            [dict(zip(("iteration", *FIGURES), row, strict=True)) for row in state.curve],
        )

    def _begun(self) -> _State:
        with first_weights(self.seed):
            student = Student()
        average = copy.deepcopy(student).eval().requires_grad_(False)
        student = student.to(memory_format=torch.channels_last)  # half the time, in bfloat16
        rate, decay = self.learning.learning_rate, self.learning.decay
        state = _State(
            student, average, optim.AdamW(student.parameters(), rate, weight_decay=decay)
        )
        if not self.path.exists():
            return state
        words = read_metadata(self.path)
        if words.get("format") != FORMAT or words.get("key") != self.key:
            raise ConfigError(
                f"out must be a new folder, or one whose student had these settings and pairs, but "
                f"{str(self.path)!r} is of another training; choose another out, or delete it"
            )
        state.restore(read_tensors(self.path))
        return state

    def _learn(self, state: _State, iteration: int, names: Sequence[str]) -> list[float]:
        """One step; what is left to chance depends on the seed and the iteration alone."""
        draw = torch.Generator().manual_seed((self.seed * 1_000_003 + iteration) % (2**63 - 1))
        chosen = torch.randint(len(names), (self.learning.batch,), generator=draw).tolist()
        pairs = [self.pairs[names[number]] for number in chosen]
        pictures, ink = batch_of(pairs, self.learning.side_px, draw)
        state.student.train()
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        fast = has_fast_bfloat16(pictures.device)
        with torch.autocast(pictures.device.type, torch.bfloat16, enabled=fast):
            logit = state.student(pictures)
        entropy, lines = losses_of(logit.float(), ink)
        loss = entropy + lines
        state.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = float(nn.utils.clip_grad_norm_(state.student.parameters(), 1.0))
        row = [float(one.detach()) for one in (loss, entropy, lines)]
        if not (math.isfinite(norm) and math.isfinite(row[0])):
            raise TrainingError(
                f"the loss of the student and its gradient must stay finite, got NaN or infinity "
                f"at iteration {iteration}; the state of the last checkpoint is kept; begin anew "
                f"with a lower learning rate"
            )
        for group in state.optimiser.param_groups:
            group["lr"] = rate_at(iteration, self.learning)
        state.optimiser.step()
        keep_average(
            state.average,
            state.student,
            min(self.learning.average, (1 + iteration) / (10 + iteration)),
        )
        return row

    def _shown(self, state: _State) -> None:
        """Let who looks on see the average, which draws better than the latest weights."""
        to_logit = torch.no_grad()(state.average.forward)
        draw = StudentDrawer(to_logit, self.learning.side_px, "by a student that learns")
        done, of = len(state.losses), self.learning.iterations
        self.watch(Glimpse(done, of, state.losses[-1][0], draw))

    def _is_looked_at(self, done: int) -> bool:
        every = max(1, self.learning.iterations // LOOKS)
        return done % every == 0 or done == self.learning.iterations

    def _stopped(self, whole: Mapping[str, Tensor]) -> str:
        self._save(whole)
        return (
            f"run the same command with out={self.path.parent} to go on from iteration "
            f"{len(whole['losses'])}"
        )

    def _save(self, whole: Mapping[str, Tensor]) -> None:
        write_tensors(whole, self.path, {"format": FORMAT, "key": self.key})


def losses_of(logit: Tensor, ink: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy, and 1 - F1 of lines, of logits of ink and a teacher's ink, (n 1 h w) both.

    Cross-entropy makes strokes crisp, F1 with a pixel of tolerance keeps thin lines that are a
    pixel uncertain. The teacher's greys are chances.
    """
    truth = 1 - ink
    entropy = functional.binary_cross_entropy_with_logits(logit, truth)
    return entropy, 1 - soft_f1(torch.sigmoid(SHARP * logit), (truth > LINE).float())


def rate_at(iteration: int, learning: StudentLearning) -> float:
    """Rate of one cycle: a cosine up from a 25th, and a cosine down to nothing."""
    share = iteration / learning.iterations
    if share < WARM_UP:
        low = 1 / COLD
        rise = low + (1 - low) * (1 - math.cos(math.pi * share / WARM_UP)) / 2
        return learning.learning_rate * rise
    fall = (1 + math.cos(math.pi * (share - WARM_UP) / (1 - WARM_UP))) / 2
    return learning.learning_rate * fall


def apart(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Which pairs are learnt from, and which are kept aside to be measured on.

    By a hash of their names, so that more pairs move hardly any from one side to the other.

    Raises:
        ConfigError: there are fewer than two.
    """
    if len(names) < 2:
        raise ConfigError(f"a student needs at least 2 pairs, got {len(names)}; make more pairs")
    shuffled = sorted(names, key=hash_of_id)
    count = max(1, round(ASIDE * len(names)))
    return shuffled[count:], shuffled[:count][:WATCHED]


@torch.no_grad()
def keep_average(average: nn.Module, network: nn.Module, share: float) -> None:
    """Move an average of weights and statistics towards a network's; ``share`` stays."""
    mine, new = average.state_dict(), network.state_dict()
    for name, kept in mine.items():
        if kept.is_floating_point():
            kept.lerp_(new[name], 1 - share)
        else:
            kept.copy_(new[name])
