"""Workers of a Ray cluster, one a share: started, watched, started again where one was killed."""

import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from featurekit.core import errors
from featurekit.core.errors import (
    ConfigError,
    FeatureKitError,
    FeatureKitWarning,
    OutputError,
    UnknownNameError,
)
from featurekit.core.sharding import Share
from featurekit.core.types import Progress
from featurekit.pipeline.extras import from_extra
from featurekit.scale.ray_worker import Outcome, Work, Worker, made_of

EXTRA, WHAT = "scale", "engine=ray"
DEATHS = 3  # of a share's workers, after which it is given up
LOOK_S = 0.5  # between two looks at how far the workers are
START_S = 300.0  # until a worker has imported what it needs


def from_ray(name: str) -> Any:  # noqa: ANN401  # Ray's types are not ours to know
    """Find a function of Ray, or with a module before a colon something else of it.

    Raises:
        ConfigError: Ray is not installed.
    """
    target = name if ":" in name else f"ray:{name}"
    return from_extra(target, extra=EXTRA, what=WHAT)


@dataclass(eq=False)
class _Member:
    """A worker and its share."""

    share: Share
    actor: Any
    told: tuple[int, int] = (0, 0)
    deaths: int = 0
    answer: Any = field(default=None)  # of the last question how far it is


class Crew:
    """Every share's worker, for one work after the other."""

    def __init__(self, count: int, needs: dict[str, float]) -> None:
        """Start them.

        Args:
            count: of the workers.
            needs: of each: ``num_cpus`` and ``num_gpus``.

        Raises:
            ConfigError: one cannot begin, or has other versions than this process.
        """
        self._needs = needs
        self._members = [_Member(Share(index, count), self._actor()) for index in range(count)]
        self._running: dict[Any, _Member] = {}
        self._refuse_other_versions()

    def finished(self, work: Work, progress: Progress) -> list[Any]:
        """Have some work done, and wait until every share of it is.

        Args:
            work: what each does with its share.
            progress: told what all have done, of what is known of what all have to do.

        Returns:
            What each worker gave, by its share.

        Raises:
            OutputError: workers of one share died time and again.
            FeatureKitError: as a worker's.
        """
        results: dict[int, Any] = {}
        for member in self._members:
            member.told, member.deaths, member.answer = (0, 0), 0, None
            self._begin(member, work)
        while self._running:
            done, _ = from_ray("wait")(list(self._running), num_returns=1, timeout=LOOK_S)
            for reference in done:
                member = self._running.pop(reference)
                try:
                    outcome = from_ray("get")(reference)
                except _deaths():
                    self._replace(member, work)
                else:
                    results[member.share.index] = _result_of(outcome)
                    member.told = outcome.told
            self._look()
            self._tell(progress)
        return [results[index] for index in sorted(results)]

    def dismissed(self) -> None:
        """End the workers, what they are at included: a shard each at most."""
        for member in self._members:
            with suppress(Exception):  # one that has died
                from_ray("kill")(member.actor)

    def _actor(self) -> Any:  # noqa: ANN401  # Ray's
        remote = from_ray("remote")(max_concurrency=2, **self._needs)
        return remote(Worker).remote(str(Path.cwd()))

    def _begin(self, member: _Member, work: Work) -> None:
        self._running[member.actor.work.remote(work, member.share)] = member

    def _replace(self, member: _Member, work: Work) -> None:
        """Let another worker go on where one was killed."""
        member.deaths += 1
        if member.deaths >= DEATHS:
            raise OutputError(
                f"a worker must live as long as its work, but {DEATHS} died of share "
                f"{member.share}; if memory is short take fewer workers or a smaller batch; the "
                f"same command goes on: what is stored stays"
            )
        warnings.warn(
            f"a worker of share {member.share} was killed; another goes on ({member.deaths} of "
            f"{DEATHS - 1} times)",
            FeatureKitWarning,
            stacklevel=2,
        )
        member.actor, member.answer = self._actor(), None
        self._begin(member, work)

    def _look(self) -> None:
        """Hear from the workers that have answered, and ask again; a busy one is not waited for."""
        for member in self._running.values():
            if member.answer is None:
                member.answer = member.actor.told.remote()
                continue
            if not from_ray("wait")([member.answer], timeout=0)[0]:
                continue
            with suppress(*_deaths()):
                told = from_ray("get")(member.answer)
                member.told = max(member.told, told) if member.deaths == 0 else told
            member.answer = None

    def _tell(self, progress: Progress) -> None:
        """What all have done of what all have to do, as far as they have said so."""
        known = [member.told[1] for member in self._members if member.told[1]]
        if known:
            total = round(sum(known) * len(self._members) / len(known))
            progress(sum(member.told[0] for member in self._members), total)

    def _refuse_other_versions(self) -> None:
        own = made_of()
        for member in self._members:
            try:
                theirs = from_ray("get")(member.actor.made_of.remote(), timeout=START_S)
            except from_ray("ray.exceptions:RayError") as error:
                raise ConfigError(
                    f"a worker must begin where featurekit is installed and the folder "
                    f"{str(Path.cwd())!r} is seen, but one gave: {first_cause(error)}"
                ) from error
            for name, found in theirs.items():
                if found != own[name]:
                    raise ConfigError(
                        f"all workers must have the versions of this process, but one has {name} "
                        f"{found} and this has {own[name]}; install the same everywhere"
                    )


def _deaths() -> tuple[type[Exception], ...]:
    """What Ray raises where a worker was killed, by Ray itself as well, when memory runs out."""
    names = ("RayActorError", "WorkerCrashedError", "OutOfMemoryError")
    return tuple(from_ray(f"ray.exceptions:{name}") for name in names)


def first_cause(error: BaseException) -> str:
    """The last line of what an error came from, where Ray puts what happened."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _result_of(outcome: Outcome) -> Any:  # noqa: ANN401  # the work's own
    """What the work gave, or its error again."""
    if not outcome.error:
        return outcome.result
    kind = getattr(errors, outcome.error, FeatureKitError)
    if kind is UnknownNameError:  # whose words are made of others
        kind = ConfigError
    raise kind(outcome.sentence)
