"""Engines of others that place a run's work on many devices, and what a worker of theirs does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias
from uuid import uuid4

from featurekit.core.errors import ConfigError, UnknownNameError
from featurekit.core.sharding import Share
from featurekit.core.threads import one_thread
from featurekit.core.types import Job, Progress, ShareOfJob, unsaid
from featurekit.pipeline.backbone_of_run import Settings, backbone_of, needs_backbone
from featurekit.pipeline.registry import Plugin, load_plugin, resolve
from featurekit.pipeline.stages import unseen

ENGINES = {"ray": "featurekit.scale.ray_engine:engine"}  # called with workers and device

Place: TypeAlias = Callable[[Callable[[Share, Progress], Any], Progress], list[Any]]
"""Does some work in every worker, each with its share, and gives what they gave by share."""

Start: TypeAlias = Callable[[], AbstractContextManager[Place]]
"""Starts an engine's workers, which do one work after the other and end with the block."""


def start_of(engine: str, *, workers: int, device: str) -> Start | None:
    """Ask an engine to place workers; nothing is started yet.

    Args:
        engine: one of ``ENGINES``, or empty.
        workers: how many; 0 for one a device.
        device: of each.

    Returns:
        What starts them, or None without an engine.

    Raises:
        UnknownNameError: there is no such engine.
        ConfigError: workers are given without one, or it is not installed or not there.
    """
    if not engine:
        if workers:
            raise ConfigError(
                f"workers must go with an engine, got workers={workers} alone; add engine="
                f"{', '.join(ENGINES)}"
            )
        return None
    if engine not in ENGINES:
        raise UnknownNameError("engine", engine, ENGINES)
    found: Start = resolve(ENGINES[engine], of=f"engine {engine!r}")(workers, device)
    return found


def check_shared(plugin: Plugin, task: str, *, engine: str, own: bool) -> None:
    """Refuse an engine whose workers would have nothing to do, or no model.

    Args:
        plugin: what is run.
        task: of it.
        engine: or empty.
        own: whether the backbone is one that the caller has loaded.

    Raises:
        ConfigError: the task is not shared, or the backbone is the caller's own.
    """
    if not engine:
        return
    if task not in plugin.shared:
        known = f"it shares {', '.join(plugin.shared)}" if plugin.shared else "it shares none"
        raise ConfigError(
            f"engine={engine} must be given a task that workers can share, got task={task} of "
            f"plugin {plugin.name}; leave it out: {known}"
        )
    if own:
        raise ConfigError(
            f"engine={engine} must load the backbone in every worker, got one that is loaded; give "
            f"its folder as backbone, or leave the engine out"
        )


@dataclass(frozen=True)
class Begun:
    """All that travels to a worker."""

    job: Job  # without a backbone
    plugin: str
    loading: Settings
    run: str = field(default_factory=lambda: uuid4().hex)  # told from others in one process


class Workers:
    """What ``Job.shared`` calls: an engine's workers for the work of one run."""

    def __init__(self, start: Start, begun: Begun, weights: dict[str, str]) -> None:
        """Let an engine do the work.

        Args:
            start: of the engine.
            begun: what each worker begins with.
            weights: gets the digests of what the workers have loaded.
        """
        self._start, self._weights = start, weights
        self._begun = replace(begun, job=replace(begun.job, stage=unseen, say=unsaid))
        self._stack: ExitStack | None = None  # of the block that keeps them
        self._place: Place | None = None  # of those that are started

    def __call__(self, work: ShareOfJob, progress: Progress) -> list[Any]:
        """Do a share in each; they are started where none are kept."""
        with self._kept() as stack:
            try:
                if self._place is None:
                    self._place = stack.enter_context(self._start())
                done = self._place(partial(share_of_run, self._begun, work), progress)
            except BaseException:  # some may be at it still
                self._place = None
                stack.close()
                raise
        for _, weights in done:
            self._weights |= weights
        return [result for result, _ in done]

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep what some work in the block starts for the next one, until the block ends."""
        with self._kept():
            yield

    @contextmanager
    def _kept(self) -> Iterator[ExitStack]:
        if self._stack is not None:  # a block around this one keeps them
            yield self._stack
            return
        with ExitStack() as self._stack:
            try:
                yield self._stack
            finally:
                self._stack = self._place = None


def share_of_run(
    begun: Begun, work: ShareOfJob, share: Share, progress: Progress
) -> tuple[Any, dict[str, str]]:
    """Do a worker's share of a run; what an engine's worker calls.

    Args:
        begun: what the run began with.
        work: of the plugin.
        share: this worker's.
        progress: told how far it is.

    Returns:
        What the work gave, and the digests of the weights that it was done with.

    Raises:
        FeatureKitError: as the work raises it.
    """
    job = begun.job
    if needs_backbone(load_plugin(begun.plugin), job):
        job = replace(job, backbone=_backbone_here(begun))
    with one_thread():  # so that any number of workers draws the same
        result = work(job, share, progress)
    return result, dict(job.backbone.weights) if job.backbone is not None else {}


_here: dict[str, Any] = {}  # the backbone of the run that this process works for


def _backbone_here(begun: Begun) -> Any:  # noqa: ANN401  # featurekit.diffusion.backbone.Backbone
    """The run's backbone, loaded once for all of its work in this process."""
    if begun.run not in _here:
        _here.clear()
        _here[begun.run] = backbone_of(begun.loading)
    return _here[begun.run]
