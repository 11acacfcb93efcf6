"""The command line: a subcommand's name to its code, and every user's mistake to one sentence."""

import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from featurekit.core.atomic import is_of_a_place, unusable
from featurekit.core.errors import FeatureKitError, FeatureKitWarning
from featurekit.core.interrupts import INTERRUPTED, TERMINATED, Terminated, answered, terminable
from featurekit.pipeline.registry import resolve

DONE, MISTAKE = 0, 2
HELP = ("-h", "--help")

# how torch's threads wait for each other: awake for some microseconds, which most of their waits
# take, then asleep. Spinning for longer makes runs on a machine that is busy otherwise slower, up
# to sixteen times as was seen; sleeping at once makes every run slower
# (benchmarks/cli/threads.py)
AWAKE = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "2000"}


@dataclass(frozen=True)
class Command:
    """A subcommand; its module is imported when it is used."""

    summary: str
    target: str  # called with the words after the name, answers with the exit code
    options: str | None = None  # dataclass of the key=value words, for --help
    own_help: bool = False  # it says more at --help itself


COMMANDS: Mapping[str, Command] = {
    "run": Command(
        "run a plugin: plugin=NAME key=value ..., -m, --cfg job, --help",
        "featurekit.cli.run:main",
        own_help=True,
    ),
    "plugins": Command("list the installed plugins", "featurekit.cli.plugins:show_plugins"),
    "doctor": Command(
        "check what is installed, and say how to mend it: out=FOLDER",
        "featurekit.cli.doctor.report:main",
    ),
    "taps": Command(
        "list what can be read inside a backbone: backbone=NAME",
        "featurekit.cli.taps:main",
        "featurekit.cli.options:TapsOptions",
    ),
    "extract": Command(
        "write the features of pictures: image=FILE_OR_FOLDER taps=[...] timesteps=[...]",
        "featurekit.cli.extract:main",
        "featurekit.cli.options:ExtractOptions",
    ),
    "invert": Command(
        "find the noise that leads back to a picture, and come back: image=FILE method=anderson",
        "featurekit.cli.invert:main",
        "featurekit.cli.options:InvertOptions",
    ),
    "analyse": Command(
        "measure features and show it: timesteps|positions|norms|labels key=value ...",
        "featurekit.cli.analyses.analyse:main",
        own_help=True,
    ),
    "pck": Command(
        "share of points found in other pictures, of scenes or of SPair-71k: data=FOLDER",
        "featurekit.cli.analyses.analyse:point_pairs",
        "featurekit.cli.options:PckOptions",
    ),
    "scenes": Command(
        "write contact sheets of the procedural world: seed=N count=N size=PX",
        "featurekit.cli.scenes:main",
        "featurekit.cli.options:ScenesOptions",
    ),
    "studio": Command(
        "open the page in the browser, to drag, sketch and look inside: image=FILE backbone=NAME",
        "featurekit.cli.studio:main",
        "featurekit.cli.options:StudioOptions",
    ),
    "store": Command(
        "look after a store of features: verify|repair|stat|compact FOLDER",
        "featurekit.cli.store:main",
        own_help=True,
    ),
    "train-embedded": Command(
        "make the embedded model, or go on making it: --continue, --report, key=value ...",
        "featurekit.cli.train_embedded:main",
        "featurekit.cli.options:TrainOptions",
    ),
    "bench": Command(
        "run a plugin's bench: NAME key=value ...; without a name, list them",
        "featurekit.cli.plugins:bench",
    ),
}


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        words: what follows the program's name; none takes them from ``sys.argv``.

    Returns:
        Exit code: 0, 2 for a mistake of the user, 130 after Ctrl-C, 143 after SIGTERM. Other errors
        are our own and leave with their traceback.
    """
    if os.environ.keys().isdisjoint(AWAKE):  # nobody chose; read when torch is imported
        os.environ.update(AWAKE)
    given = list(sys.argv[1:] if words is None else words)
    debug = "--debug" in given
    try:
        with answered(), terminable(), _plain_warnings():
            code = _dispatch([word for word in given if word != "--debug"])
            sys.stdout.flush()
    except (FeatureKitError, KeyboardInterrupt) as error:
        if debug:
            raise
        behind = _interrupts_behind(error)
        if behind:
            return _stopped(behind)
        return _complain(" ".join(str(error).split()), MISTAKE)
    except OSError as error:
        if debug:
            raise
        return _refused(error)
    return code


def _refused(error: OSError) -> int:
    """Word what the operating system refused: a path that the user named, or our own output."""
    if is_of_a_place(error):
        return _complain(str(unusable(error)), MISTAKE)
    if error.filename is not None:  # a file that should be there is not: a mistake of ours
        raise error
    _drop_stdout()
    if isinstance(error, BrokenPipeError):  # somebody's ``head`` has seen enough
        return DONE
    return _complain(f"the terminal's output must be writable, but {error.strerror}", MISTAKE)


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in (*HELP, "help"):
        sys.stdout.write(_usage())
        return DONE if words else MISTAKE
    name, *rest = words
    if name == "--version":
        sys.stdout.write(f"featurekit {version('featurekit')}\n")
        return DONE
    if name in ("-sc", "--shell-completion"):
        return _complete(words)
    if name not in COMMANDS:
        return int(resolve("featurekit.cli.plugins:command")(name, rest, tuple(COMMANDS)))
    command = COMMANDS[name]
    if rest and rest[0] in HELP:
        sys.stdout.write(_command_usage(name, command))
        if not command.own_help:
            return DONE
    return int(resolve(command.target)(rest))


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Print a warning of ours as its sentence, once; those of others keep their file and line."""
    default, show = warnings.formatwarning, warnings.showwarning
    said: set[str] = set()  # a picture is read when it is checked, and again when it is used

    def worded(message: Warning | str, category: type[Warning], *place: Any) -> str:  # noqa: ANN401
        if issubclass(category, FeatureKitWarning):
            return f"featurekit: {' '.join(str(message).split())}\n"
        return default(message, category, *place)

    def show_once(message: Warning | str, category: type[Warning], *place: Any) -> None:  # noqa: ANN401
        if str(message) not in said or not issubclass(category, FeatureKitWarning):
            show(message, category, *place)
        said.add(str(message))

    warnings.formatwarning = worded  # type: ignore[assignment]  # mypy wants the names of place
    warnings.showwarning = show_once  # type: ignore[assignment]
    try:
        yield
    finally:
        warnings.formatwarning, warnings.showwarning = default, show


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
    lines += [f"  {name:<{width}}  of plugin {owner}" for name, owner in _brought().items()]
    return (
        "featurekit reads and steers the inside of diffusion models\n\n"
        "usage: featurekit COMMAND [key=value ...] [--debug]\n\n" + "\n".join(lines) + "\n\n"
        "  featurekit COMMAND --help          what a command takes\n"
        "  featurekit run plugin=drag         the bundled example, on the embedded model\n"
        '  eval "$(featurekit -sc install=bash)"   completion in this shell\n'
    )


def _brought() -> dict[str, str]:
    """Subcommands that plugins bring, with their owners."""
    return dict(resolve("featurekit.cli.plugins:brought")())


def _command_usage(name: str, command: Command) -> str:
    text = f"featurekit {name}: {command.summary}\n"
    if command.options is not None:
        usage = resolve("featurekit.pipeline.overrides:usage")
        text += f"\n{usage(resolve(command.options))}\n"
    return f"{text}\n" if command.own_help else text


def _complete(words: list[str]) -> int:
    """Complete our own words; hand the rest to Hydra as if the word ``run`` were not there.

    Hydra's shell script calls ``featurekit -sc query=bash`` with the line in COMP_LINE.
    """
    typed = os.environ.get("COMP_LINE", "").split(" ")
    asks = any(word.startswith("query=") for word in words)
    if not asks or (len(typed) > 2 and typed[1] == "run"):
        os.environ["COMP_LINE"] = " ".join([typed[0], *typed[2:]])
        return int(resolve(COMMANDS["run"].target)(words))
    begun = typed[1] if len(typed) == 2 else None
    known = [*COMMANDS, *_brought()]
    choices = [name for name in known if begun is not None and name.startswith(begun)]
    sys.stdout.write(" ".join(choices) + "\n")
    return DONE


def _interrupts_behind(error: BaseException | None) -> list[KeyboardInterrupt]:
    """The Ctrl-C that began it: a library stopped half way in its import can fail over itself."""
    seen: set[int] = set()  # an error raised anew from its own wrapper leads back to itself
    found: list[KeyboardInterrupt] = []
    while error is not None and id(error) not in seen:
        if isinstance(error, KeyboardInterrupt):
            found.append(error)
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return found


def _stopped(interrupts: Sequence[KeyboardInterrupt]) -> int:
    """Say what stopped the command, with the words that the last one to raise it gave."""
    by_signal = any(isinstance(one, Terminated) for one in interrupts)
    word, code = ("terminated", TERMINATED) if by_signal else ("interrupted", INTERRUPTED)
    said = " ".join(str(interrupts[0]).split())
    return _complain(f"{word}{'; ' * bool(said)}{said}", code)


def _complain(sentence: str, code: int) -> int:
    with suppress(OSError):
        sys.stderr.write(f"featurekit: {sentence}\n")
    return code


def _drop_stdout() -> None:
    """Let the interpreter's last flush succeed."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
