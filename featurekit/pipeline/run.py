"""One run: a backbone, a plugin and a configuration become a folder of results with its record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from featurekit.core.atomic import make_folder
from featurekit.core.cache import cache_at
from featurekit.core.errors import ConfigError, PluginError, UnknownNameError
from featurekit.core.interrupts import tells_how_to_go_on
from featurekit.core.json_files import plain, write_json
from featurekit.core.types import Job, Progress, Result, Say, silent, unsaid
from featurekit.pipeline.backbone_of_run import (
    backbone_of,
    check_kind,
    needs_backbone,
    source_of,
)
from featurekit.pipeline.config import NO_PLUGIN, ROOT_KEYS, no_plugin
from featurekit.pipeline.engines import Begun, Start, Workers, check_shared, start_of
from featurekit.pipeline.overrides import check_seed, explain
from featurekit.pipeline.places import RECORD, check_apart, check_free
from featurekit.pipeline.registry import Plugin, load_plugin, resolve
from featurekit.pipeline.stages import Stages, timed_stages

if TYPE_CHECKING:
    from featurekit.diffusion.backbone import Backbone

PACKAGES = ("featurekit", "torch", "diffusers", "transformers", "peft")


def run(
    cfg: DictConfig,
    *,
    backbone: Backbone | None = None,
    progress: Progress = silent,
    say: Say = unsaid,
    target: Callable[[Job], Result] | None = None,
) -> dict[str, Any]:
    """Run the task of one plugin and write its results into ``cfg.out``.

    The folder gets a ``run.json`` at once, with the status ``running`` and the stage that runs; it
    ends as ``done``, ``failed`` (with the error) or ``interrupted``. Each file in it is replaced as
    a whole, so a run into a folder that has results never leaves half of one.

    Args:
        cfg: from ``compose`` or from ``featurekit run``.
        backbone: takes the place of the one that ``cfg.backbone`` names, whose settings still
            hold; such as what ``fk.wrap`` made of a loaded pipeline.
        progress: told ``(0, 1)`` as each stage begins, and whatever a stage reports; what it raises
            ends the run as an error of the run would.
        say: where there is no terminal with bars, told a line as each stage begins and ends, and
            what the plugin says to a person, such as what the work will cost.
        target: does the task in place of the plugin's own target, as the studio does a task that
            a person stops and resumes; the record is the same.

    Returns:
        The record that was written: plugin, task, status, stop, config, seed, versions, weights,
        stages with seconds, what was said as notes, metrics, outputs with paths relative to
        ``cfg.out``, inputs that were skipped, how the timesteps of its runs were chosen, and
        summary.

    Raises:
        OutputError: the folder cannot be made or written.
        ConfigError: a setting is missing or has the wrong type, the seed is out of range, no
            plugin is chosen, or the results would lie among the pictures that they are made of,
            or replace files of a folder that is none of an earlier run.
        UnknownNameError: the plugin, its task or the backbone does not exist.
        BackboneError: the backbone cannot be used, or the plugin does not work with its kind.
        PluginError: the plugin is broken or answers with something else than a ``Result``.
        FeatureKitError: whatever the plugin refuses.
        KeyboardInterrupt: after Ctrl-C; its text says in which stage, and how to go on.
    """
    config = resolved(cfg)
    check_seed(config["seed"])
    plugin, task = _choice(config)
    check_apart(config["image"], config["out"])
    check_free(plugin.writes.get(task, ()), config["image"], Path(config["out"]))
    out = make_folder(config["out"])
    record = _new_record(plugin, task, config)

    def keep() -> None:
        write_json(record, out / RECORD)

    with (
        tells_how_to_go_on(lambda: _how_to_begin_again(record)),
        recorded(record, out),
        timed_stages(record, heard=progress, say=say, keep=keep) as stages,
    ):
        _perform(record, plugin, cfg, (out, stages, backbone), target)
    return record


def _how_to_begin_again(record: Mapping[str, Any]) -> str:
    stage = f"it was in the stage {record['stage']!r}; " if record["stage"] else ""
    return f"{stage}the same command begins again"


@contextmanager
def recorded(record: dict[str, Any], out: Path) -> Iterator[None]:
    """Keep a record on disk while the block runs, and enter how the block ended.

    Args:
        record: whatever is known already; gets ``status`` (``done``, ``failed`` or
            ``interrupted``) and the ``error`` of a failure.
        out: existing folder.

    Raises:
        OutputError: the record cannot be written.
    """
    try:
        write_json(record, out / RECORD)
        yield
        record["status"] = "done"
    except KeyboardInterrupt:
        record["status"] = "interrupted"
        raise
    except BaseException as error:
        record |= {"status": "failed", "error": f"{type(error).__name__}: {error}"}
        raise
    finally:
        write_json(record, out / RECORD)


def versions() -> dict[str, str | None]:
    """Versions of what a figure depends on; None of a package that is not installed."""
    return {"python": python_version()} | {name: _version(name) for name in PACKAGES}


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """Fill in what the settings of a run read from one another, and refuse what is missing.

    Args:
        cfg: from ``compose``.

    Returns:
        The settings by root key, plain values inside.

    Raises:
        ConfigError: a setting has no value, or a root key is missing or too many.
        UnknownNameError: a setting reads another one that does not exist.
    """
    try:
        config = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise explain(error) from error
    found = config if isinstance(config, dict) else {}
    if sorted(map(str, found)) != sorted(ROOT_KEYS):
        raise ConfigError(
            f"a run has the keys {', '.join(ROOT_KEYS)}, got {', '.join(map(str, found))}; "
            f"what only a plugin knows belongs under plugin."
        )
    return {str(key): value for key, value in found.items()}


def _choice(config: Mapping[str, Any]) -> tuple[Plugin, str]:
    name = config["plugin"]["name"]
    if name == NO_PLUGIN:
        raise no_plugin()
    plugin = load_plugin(name)
    task = config["task"] if config["task"] is not None else plugin.tasks[0]
    if task not in plugin.tasks:
        raise UnknownNameError("task", task, plugin.tasks)
    return plugin, task


def _new_record(plugin: Plugin, task: str, config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "plugin": plugin.name,
        "task": task,
        "status": "running",
        "stop": None,
        "summary": "",
        "config": {**config, "task": task},
        "seed": config["seed"],
        "versions": versions(),
        "weights": {},
        "stage": None,
        "stages": [],
        "notes": [],
        "metrics": {},
        "outputs": {},
        "skipped": [],
        "schedule": "",
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _perform(
    record: dict[str, Any],
    plugin: Plugin,
    cfg: DictConfig,
    within: tuple[Path, Stages, Backbone | None],
    target: Callable[[Job], Result] | None,
) -> None:
    """Do the work between the first record and the last, and enter its results."""
    out, stages, given = within
    try:
        settings = OmegaConf.to_object(cfg.plugin)
    except OmegaConfBaseException as error:
        raise explain(error) from error
    if not isinstance(settings, plugin.schema):
        raise ConfigError(f"the plugin must be chosen by plugin={plugin.name}, got plugin.name=")

    def say(line: str) -> None:
        record["notes"].append(line)
        stages.say(line)

    job = Job(
        backbone=None,
        settings=settings,
        task=record["task"],
        image=cfg.image,
        prompt=cfg.prompt,
        seed=cfg.seed,
        out=out,
        stage=stages.stage,
        cache=cache_at(cfg.cache),
        say=say,
    )
    check_kind(plugin, cfg, given)
    if plugin.check is not None:
        resolve(plugin.check, of=f"the check of plugin {plugin.name!r}")(job, source_of(cfg))
    check_shared(plugin, job.task, engine=cfg.engine, own=given is not None)
    start = start_of(cfg.engine, workers=cfg.workers, device=cfg.device)
    if start is not None:
        job = replace(job, workers=_workers(start, job, plugin, record))
    if needs_backbone(plugin, job):
        with stages("load the backbone"):
            backbone = backbone_of(cfg) if given is None else given
        record["weights"] |= backbone.weights
        job = replace(job, backbone=backbone)
    own = f"the target of plugin {plugin.name!r}"
    pipeline = resolve(plugin.target, of=own) if target is None else target
    result = pipeline(job)
    if not isinstance(result, Result):
        raise PluginError(
            f"plugin {plugin.name!r} must answer with a Result, got {type(result).__name__}"
        )
    record |= {
        "stop": result.stop,
        "summary": result.summary,
        "metrics": plain(result.metrics, of="metrics"),
        "outputs": {name: _inside(path, out) for name, path in result.outputs.items()},
        "skipped": list(result.skipped),
        "schedule": result.schedule,
    }


def _workers(start: Start, job: Job, plugin: Plugin, record: dict[str, Any]) -> Workers:
    """An engine's workers for a run, with what they load the backbone by."""
    loading = {name: record["config"][name] for name in ("backbone", "device", "dtype")}
    return Workers(
        start, Begun(job, plugin.name, OmegaConf.create(loading)), weights=record["weights"]
    )


def _inside(path: Path, out: Path) -> str:
    try:
        return path.resolve(strict=True).relative_to(out.resolve()).as_posix()
    except (OSError, ValueError) as error:
        raise PluginError(f"an output must be a file inside {out}, got {path}") from error
