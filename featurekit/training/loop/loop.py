"""The one training loop: AdamW, a moving average of the weights, checkpoints, exact resume.

Every random number of a step comes from the step's own number, so that a training that was stopped
goes on as if it had not been.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import group_norm, layer_norm, scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from featurekit.core.errors import TrainingError
from featurekit.training.loop import checkpoints
from featurekit.training.loop.checkpoints import Progress
from featurekit.training.loop.state import State
from featurekit.training.loop.workers import Worker
from featurekit.training.recipe import Recipe, Run

SAVE_SECONDS = 120.0  # between checkpoints
FIGURES = 20  # how often in a whole run the held-out figures are taken
CONTINUED = 500  # steps of warm-up for trained weights, whose moments start from nothing
TRIAL = 3  # steps by which a precision is timed, after one to warm up
SMOOTH = 0.98  # of the loss that is shown: how much of it is the steps before
FLOOR = 0.02  # what the learning rate cools down to, in parts of itself
WIDE = (group_norm, layer_norm, scaled_dot_product_attention)
ASTRAY = 0.1  # how far gradients of bfloat16 may lie from those of float32, in parts of them

Show: TypeAlias = Callable[[Progress, float], None]
"""Told after every step: progress and the loss, averaged over the last steps."""


class Task(Protocol):
    """One network and how it learns."""

    stage: str
    network: nn.Module
    """Everything that is trained."""
    hot: tuple[nn.Module, ...]
    """Its modules that are called as they are, so that they can be compiled."""

    def loss(self, count: int, draw: torch.Generator) -> Tensor:
        """Mean loss of ``count`` samples drawn with a generator on the CPU, 0-dim."""

    def figures(self) -> Mapping[str, float]:
        """What the weights, as they stand, reach on held-out seeds."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A training that can be begun, stopped and gone on with."""

    task: Task
    run: Run
    recipe: Recipe
    worker: Worker
    folder: Path

    @property
    def path(self) -> Path:
        """The checkpoint's file."""
        return self.folder / f"{self.task.stage}.ckpt.safetensors"

    def __call__(self, show: Show | None = None, *, begin: Progress | None = None) -> Progress:
        """Train up to the run's number of samples, or until somebody asks to stop.

        Args:
            show: told after every step, in the first worker only.
            begin: where the weights come from if there is no checkpoint; None: random weights.

        Returns:
            Progress; its ``samples`` reach the run's if the training is complete. The network
            then holds the averaged weights.

        Raises:
            TrainingError: the loss is NaN or infinite, or the checkpoint is another training's.
            OutputError: a checkpoint cannot be written; the last one is whole.
        """
        state = State(self.task.network, self.run)
        progress = self._resumed(state, begin or Progress())
        try:
            _accelerate(self.task, progress, self.worker)
            self._train(state, progress, show)
        except torch.OutOfMemoryError as error:
            raise TrainingError(
                f"a batch of {self.run.batch} must fit into the memory of {self.worker.device}, "
                f"but {self.task.stage} ran out of it; go on with batch={self.run.batch // 2}"
            ) from error
        state.swap()
        return progress

    def _resumed(self, state: State, begin: Progress) -> Progress:
        if not self.path.exists():
            return begin
        progress, tensors = checkpoints.load(self.path, recipe=self.recipe, stage=self.task.stage)
        state.restore(tensors)
        return progress

    def _train(self, state: State, progress: Progress, show: Show | None) -> None:
        saved, smooth, stopping = time.monotonic(), None, False
        while progress.samples < self.run.samples and not stopping:
            began = time.monotonic()
            loss = self._backward(progress)
            loss, stopping = self.worker.together(state.gradients(), loss)
            if not math.isfinite(loss + state.clip()):
                raise self._diverged(progress)
            state.step(rate_at(progress, self.run), progress.step)
            progress.step += 1
            progress.samples += self.run.batch
            progress.seconds += time.monotonic() - began
            smooth = loss if smooth is None else SMOOTH * smooth + (1 - SMOOTH) * loss
            if not self.worker.leads:
                continue
            last = stopping or progress.samples >= self.run.samples
            if last or self._is_due(progress):
                self._measure(state, progress, smooth)
            if last or time.monotonic() - saved > SAVE_SECONDS:
                self._save(state, progress)
                saved = time.monotonic()
            if show is not None:
                show(progress, smooth)

    def _is_due(self, progress: Progress) -> bool:
        """Whether the samples have just passed a multiple of their share."""
        every = max(1, self.run.samples // FIGURES)
        return progress.samples // every > (progress.samples - self.run.batch) // every

    def _backward(self, progress: Progress) -> float:
        """Gradients of this worker's shards, as parts of the whole batch's mean."""
        self.task.network.zero_grad(set_to_none=False)
        worker, total = self.worker, 0.0
        for shard in worker.shards:
            draw = torch.Generator().manual_seed(seed_of(self.recipe.seed, progress.step, shard))
            with autocast(progress.precision, worker.device):
                loss = self.task.loss(self.run.batch // worker.shard_count, draw)
            loss = loss / worker.shard_count
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        return total

    def _measure(self, state: State, progress: Progress, loss: float) -> None:
        state.swap()
        figures = dict(self.task.figures())
        state.swap()
        record = {"samples": float(progress.samples), "loss": loss}
        progress.history.append(record | {"seconds": progress.seconds} | figures)

    def _save(self, state: State, progress: Progress) -> None:
        checkpoints.save(
            self.path, progress, state.tensors(), recipe=self.recipe, stage=self.task.stage
        )

    def _diverged(self, progress: Progress) -> TrainingError:
        kept = (
            f"the last good state is kept in {str(self.path)!r}"
            if self.path.exists()
            else ("no state had been kept yet")
        )
        return TrainingError(
            f"the loss of {self.task.stage} and its gradients must stay finite, got NaN or "
            f"infinity at step {progress.step}; {kept}; go on from it with a lower learning rate"
        )


def rate_at(progress: Progress, run: Run) -> float:
    """Learning rate of the next step: a linear warm-up, a plateau, a linear cool-down."""
    warm_up = max(run.warm_up, CONTINUED) if progress.before else run.warm_up
    left = (run.samples - progress.samples) / max(1.0, run.cool_down * run.samples)
    return run.rate * min(1.0, (progress.step + 1) / warm_up, max(FLOOR, left))


def seed_of(*numbers: int) -> int:
    """A seed of its own for every step and shard."""
    seed = 0
    for number in numbers:
        seed = (seed * 1_000_003 + number + 1) % (2**63 - 1)
    return seed


@contextmanager
def autocast(precision: str, device: torch.device) -> Iterator[None]:
    """Compute in bfloat16 where the precision says so; ``precision`` as in ``Progress``."""
    halves = precision.startswith("bf16")
    with ExitStack() as stack:
        stack.enter_context(torch.autocast(device.type, torch.bfloat16, enabled=halves))
        if halves and device.type == "cpu":
            stack.enter_context(_Wide())
        yield


class _Wide(TorchFunctionMode):
    """Attention and norms in float32: their bfloat16 kernels are slower on a CPU, or add up badly.

    The gradients of a layer norm's weight and bias were two thirds wrong over 4096 tokens.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - what any function of torch gives
        """Call it, in float32 if it is one of them."""
        named = kwargs or {}
        if func not in WIDE:
            return func(*args, **named)
        with torch.autocast("cpu", enabled=False):
            return func(*map(_widened, args), **{k: _widened(v) for k, v in named.items()})


def _widened(value: object) -> object:
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value


def _accelerate(task: Task, progress: Progress, worker: Worker) -> None:
    """Choose a precision by the clock among those that can be trusted, once in a training."""
    if not progress.precision:
        trusted = _trusted(task, worker.device)
        race = len(trusted) > 1
        seconds = {p: _timed(task, p, worker) if race else 0.0 for p in trusted}
        # every worker must come to the same answer: the first one's clock decides
        progress.precision = agreed(min(seconds, key=lambda p: seconds[p]), worker)
    if progress.precision.endswith("compiled"):
        for module in task.hot:
            module.compile()


def _precisions(device: torch.device) -> tuple[str, ...]:
    return ("fp32", "bf16") if device.type == "cpu" else ("bf16", "bf16 compiled")


def _trusted(task: Task, device: torch.device) -> tuple[str, ...]:
    """Precisions whose gradients are those of float32, up to their rounding."""
    exact = _gradient(task, "fp32", device)
    error = (_gradient(task, "bf16", device) - exact).norm() / exact.norm()
    near = float(error) <= ASTRAY  # false for NaN
    return _precisions(device) if near else ("fp32",)


def _gradient(task: Task, precision: str, device: torch.device) -> Tensor:
    """The gradient of one small batch, flat; the weights stay as they are."""
    with autocast(precision, device):
        loss = task.loss(16, torch.Generator().manual_seed(0))
    task.network.zero_grad(set_to_none=False)
    loss.backward()  # type: ignore[no-untyped-call]
    parts = [p.grad.flatten() for p in task.network.parameters() if p.grad is not None]
    found = torch.cat(parts)
    task.network.zero_grad(set_to_none=False)
    return found


def agreed(word: str, worker: Worker) -> str:
    """The first worker's word, for all."""
    if worker.count == 1:
        return word
    words = [word]
    torch.distributed.broadcast_object_list(words, src=0)
    return words[0]


def _timed(task: Task, precision: str, worker: Worker) -> float:
    """Seconds of some steps forwards and backwards; the weights stay as they are."""
    if precision.endswith("compiled"):
        for module in task.hot:
            module.compile()
    began = 0.0
    for step in range(TRIAL + 1):
        if step == 1:
            _wait(worker.device)
            began = time.monotonic()
        with autocast(precision, worker.device):
            loss = task.loss(16, torch.Generator().manual_seed(step))
        loss.backward()  # type: ignore[no-untyped-call]
    _wait(worker.device)
    task.network.zero_grad(set_to_none=False)
    return time.monotonic() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
