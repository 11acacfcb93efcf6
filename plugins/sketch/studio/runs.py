"""Runs of the command inside a job of the page: the same settings, folder and record."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from featurekit.core.types import Job, Result
from featurekit.pipeline.config import compose
from featurekit.pipeline.run import run
from featurekit.web.desk import Desk
from featurekit.web.jobs import both
from featurekit.web.tab import Work
from featurekit_sketch.studio.words import in_words
from featurekit_sketch.tasks.train import run as run_sketch
from featurekit_sketch.watching import ALONE, Watcher


def settings_for(task: str, desk: Desk) -> Any:  # noqa: ANN401 - OmegaConf's, for config files alone
    """What ``featurekit run`` composes for a task on the studio's model, to be changed and run."""
    return compose(["plugin=sketch", f"task={task}", f"backbone={desk.model_name}"])


def run_for_page(
    cfg: Any,  # noqa: ANN401 - of ``settings_for``
    desk: Desk,
    work: Work,
    watcher: Watcher = ALONE,
    *,
    names: Mapping[Path, str] | None = None,
) -> Mapping[str, Any]:
    """Run, and tell the page's job of the stages and of what is said.

    Args:
        cfg: from ``settings_for``, with what is asked for.
        desk: has the model.
        work: of the page's job; where it is to stop, the run ends as interrupted.
        watcher: looks on.
        names: what a person calls the files that stages are named by.

    Returns:
        The run's record.

    Raises:
        FeatureKitError: as ``run``.
        KeyboardInterrupt: the job was stopped.
    """

    def target(job: Job) -> Result:
        def say(line: str) -> None:
            job.say(line)
            work.say(in_words(line))

        stage = both(job.stage, work, lambda name: in_words(name, names))
        return run_sketch(replace(job, stage=stage, say=say), watcher)

    return run(cfg, backbone=desk.backbone(), target=target)
