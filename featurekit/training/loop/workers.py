"""Processes that train one network together: each has one thread and averages its gradients.

Two threads of one process wait for each other at every operator; two processes wait once a step.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import torch
import torch.distributed as group
from torch import Tensor

SHARDS = 2  # of every batch on a CPU, whoever computes them: two workers or one train alike


class Worker:
    """One of the processes; the first shows progress and writes files."""

    def __init__(self, rank: int, count: int, device: torch.device) -> None:
        """Remember who this is: number ``rank`` of ``count``."""
        self.rank, self.count, self.device = rank, count, device
        self.stopping = False

    @property
    def leads(self) -> bool:
        """Whether this is the first."""
        return self.rank == 0

    @property
    def shards(self) -> range:
        """Which parts of a batch are this worker's."""
        total = 1 if self.device.type == "cuda" else SHARDS
        return range(self.rank, total, self.count)

    @property
    def shard_count(self) -> int:
        """How many parts a batch has."""
        return 1 if self.device.type == "cuda" else SHARDS

    def together(self, tensors: Sequence[Tensor], loss: float) -> tuple[float, bool]:
        """Sum gradients over the workers, in place, and agree on what to do.

        Args:
            tensors: this worker's part of the gradients.
            loss: this worker's part of the loss.

        Returns:
            The whole loss, and whether anybody was asked to stop.
        """
        if self.count == 1:
            return loss, self.stopping
        words = torch.tensor([loss, float(self.stopping)], dtype=torch.float32)
        flat = torch.cat([tensor.detach().flatten() for tensor in tensors] + [words])
        group.all_reduce(flat)
        start = 0
        for tensor in tensors:
            tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()
        return float(flat[-2]), bool(flat[-1] > 0)


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def crew(
    target: Callable[..., Any], arguments: Sequence[Any], *, count: int, device: torch.device
) -> Iterator[Worker]:
    """Start the other workers on ``target(worker, *arguments)`` and be the first oneself.

    Ctrl-C lets everybody finish the step; the second one leaves at once.

    Args:
        target: a function at the top of a module.
        arguments: what it takes after the worker; sent to the other processes.
        count: how many workers, 1 or more; 1 where the device is no CPU.
        device: what they compute on.

    Yields:
        The first worker; its ``stopping`` becomes true on Ctrl-C.
    """
    worker = Worker(0, count, device)
    threads = torch.get_num_threads()
    context = multiprocessing.get_context("spawn")
    with TemporaryDirectory() as folder, _listening(worker):
        others = []
        if count > 1:
            meeting = f"file://{Path(folder) / 'meeting'}"
            for rank in range(1, count):
                words = (target, arguments, rank, count, meeting)
                others.append(context.Process(target=_other, args=words, daemon=True))
            for other in others:
                other.start()
            torch.set_num_threads(1)
            group.init_process_group("gloo", init_method=meeting, rank=0, world_size=count)
        try:
            yield worker
            for other in others:
                other.join(timeout=60)
        finally:
            for other in others:
                other.kill()
            if count > 1:
                group.destroy_process_group()
                torch.set_num_threads(threads)


def _other(
    target: Callable[..., Any], arguments: Sequence[Any], rank: int, count: int, meeting: str
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first worker says when to stop
    torch.set_num_threads(1)
    group.init_process_group("gloo", init_method=meeting, rank=rank, world_size=count)
    try:
        target(Worker(rank, count, torch.device("cpu")), *arguments)
    finally:
        group.destroy_process_group()


@contextmanager
def _listening(worker: Worker) -> Iterator[None]:
    """Turn the first Ctrl-C into a wish to stop."""

    def stop(number: int, frame: FrameType | None) -> None:
        if worker.stopping:
            raise KeyboardInterrupt
        worker.stopping = True

    try:
        before = signal.signal(signal.SIGINT, stop)
    except ValueError:  # not the main thread: nobody can press Ctrl-C here
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
