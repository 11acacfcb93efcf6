"""``featurekit run``: a real Hydra application, whose errors come out as the toolkit's own."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from featurekit.cli.progress_bars import say
from featurekit.core.atomic import unwritable
from featurekit.core.errors import ConfigError, UnknownNameError
from featurekit.pipeline.config import (
    CONFIG_NAME,
    HYDRA_VERSION_BASE,
    no_plugin,
    own_backbones,
    register_for,
)
from featurekit.pipeline.overrides import (
    CONFIG_MODULE,
    explain,
    named_plugins,
    route_backbone,
    split,
)
from featurekit.pipeline.registry import resolve

DONE, SKIPPED = 0, 3  # exit codes
_FULL_ERROR = "HYDRA_FULL_ERROR"  # set to 1, Hydra raises instead of printing and exiting
_SWEEP = ("-m", "--multirun")
_CFG = ("job", "hydra", "all")
_INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
_TOPICS = {"-c": _CFG, "--cfg": _CFG, "-i": _INFO, "--info": _INFO}
_FOLDER = ("-cd", "--config-dir")
_VALUED = (
    *("-p", "--package", "-cp", "--config-path", "-cn", "--config-name"),
    *("--experimental-rerun", *_FOLDER),
)
_RUN = ("-r", "--run")
_PLAIN = ("-h", "--help", "--hydra-help", "--version", "--resolve", "-sc", "--shell-completion")
_FLAGS = (*_SWEEP, *_VALUED, *_TOPICS, *_RUN, *_PLAIN, "--debug")  # the router takes the last
_WORKING = (*_SWEEP, *_RUN, *_FOLDER)  # flags of a command line that runs something


class _Escape(BaseException):
    """Carries an error of the job past Hydra, which would print and rephrase an Exception."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def main(words: Sequence[str]) -> int:
    """Run what the words after ``featurekit run`` say.

    Args:
        words: overrides and Hydra's flags, in any order.

    Returns:
        The exit code: 0, or 3 if a run had to skip some of its inputs.

    Raises:
        FeatureKitError: the words are wrong, or the run failed for a reason the user can mend.
    """
    flags, overrides = _sorted_out(words)
    sweep = any(flag in _SWEEP for flag in flags)
    overrides = route_backbone(overrides, sweep=sweep)
    works = all(flag.partition("=")[0] in _WORKING for flag in flags)
    if works and not named_plugins(overrides) and "experiment" not in map(_key, overrides):
        raise no_plugin()
    registered = register_for(overrides, _own_backbones(flags))
    for broken in registered.broken:
        sys.stderr.write(f"note: {broken}\n")
    overrides = registered.as_text(overrides, sweep=sweep)
    if sweep:
        overrides = [_sweep_folder(override) for override in overrides]
    return max(_hand_over([*flags, *overrides]), default=DONE)


def _own_backbones(flags: Sequence[str]) -> dict[str, str]:
    """Families of the backbones in the config folder that the flags name."""
    folders = [flag.partition("=")[2] for flag in flags if flag.partition("=")[0] in _FOLDER]
    return own_backbones(Path(folders[-1]).expanduser()) if folders else {}


def _hand_over(words: Sequence[str]) -> list[int]:
    """Give the command line to Hydra, translate what it raises, and collect the jobs' codes."""
    before, codes = sys.argv, list[int]()

    def job(cfg: DictConfig) -> None:
        codes.append(_job(cfg))

    sys.argv = [before[0], *words]
    os.environ[_FULL_ERROR] = "1"
    application: Callable[[], None] = hydra.main(
        version_base=HYDRA_VERSION_BASE,
        config_path=f"pkg://{CONFIG_MODULE}",
        config_name=CONFIG_NAME,
    )(job)
    try:
        application()
    except SystemExit as end:  # Hydra leaves so after --help
        if end.code:
            raise
    except _Escape as escape:
        raise escape.error from escape.error.__cause__
    except (HydraException, OmegaConfBaseException, ValueError, TypeError) as error:
        raise explain(error) from error
    except BrokenPipeError:  # somebody's ``head`` has seen enough of what Hydra prints
        raise
    except OSError as error:  # Hydra makes the folders of runs and sweeps
        raise unwritable(error.filename or ".", error) from error
    finally:
        sys.argv = before
        del os.environ[_FULL_ERROR]
    return codes


def _job(cfg: DictConfig) -> int:
    """Run one job, called by Hydra; the answer is its exit code."""
    settings = HydraConfig.get()
    if settings.mode is RunMode.MULTIRUN:
        cfg.out = str(Path(settings.sweep.dir) / settings.sweep.subdir)
    run = resolve("featurekit.pipeline.run:run")  # deferred: it imports torch
    try:
        record = run(cfg, say=say)
    except Exception as error:
        raise _Escape(error) from error
    try:
        sys.stdout.write(f"{record['summary']}\n{record['stop']}; see {cfg.out}\n".lstrip())
        sys.stdout.flush()  # else a full terminal shows inside Hydra, which blames a folder
    except OSError as error:
        raise _Escape(error) from error
    return SKIPPED if record["skipped"] else DONE


def _sorted_out(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part flags, with their values, from overrides: Hydra wants all flags first."""
    flags: list[str] = []
    overrides: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if not word.startswith("-"):
            overrides.append(word)
        elif name not in _FLAGS:
            raise UnknownNameError("flag", word, _FLAGS)
        elif name in _TOPICS:
            flags.append(f"{name}={_topic(name, value if equals else None, rest)}")
        elif name in _VALUED and not equals:
            if not rest:
                raise ConfigError(f"{name} needs a value after it, got none")
            flags.append(f"{name}={rest.pop(0)}")
        else:
            flags.append(word)
    return flags, overrides


def _topic(flag: str, given: str | None, rest: list[str]) -> str:
    """Take the topic of ``--cfg`` or ``--info``: joined on, the next word, or everything."""
    topics = _TOPICS[flag]
    if given is None:
        given = rest.pop(0) if rest and rest[0] in topics else "all"
    if given not in topics:
        raise UnknownNameError(f"topic of {flag}", given, topics)
    return given


def _sweep_folder(override: str) -> str:
    """In a sweep ``out`` names the folder that holds the jobs' folders."""
    key, _, value = split(override)
    return f"hydra.sweep.dir={value}" if key == "out" else override


def _key(override: str) -> str:
    return split(override)[0]
