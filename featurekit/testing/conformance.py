"""What every plugin must keep, asked of one installed plugin without weights or network."""

import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from warnings import warn

from featurekit.backbones import FAMILIES
from featurekit.core.errors import FeatureKitError, PluginError
from featurekit.pipeline.config import BY_BACKBONE, compose
from featurekit.pipeline.registry import Plugin, load_plugin, resolve
from featurekit.pipeline.run import resolved
from featurekit.testing.conformance_runs import NOBODY, Case, missing_picture, runs, told
from featurekit.testing.imports import inner_imports

SHOWN = 3  # places of an import that a warning names
HEAVY = ("torch", "diffusers", "transformers")
_LIGHT = f"""
import sys
sys.path[:] = sys.argv[2:]
from featurekit.pipeline.registry import load_plugin
load_plugin(sys.argv[1])
sys.stdout.write(" ".join(name for name in {HEAVY!r} if name in sys.modules))
"""
_PKG = "pkg://"


def check_plugin(
    spec: Plugin, *, overrides: Sequence[str] = (), rooms: Collection[str] = ()
) -> None:
    """Check that an installed plugin keeps the contract; for a test of its own distribution.

    It is run on ``backbone=random`` into a temporary folder: to its end, until the last thing it
    reports, and to its end again, so give overrides that make a run short.

    Args:
        spec: the description that the plugin's entry point names.
        overrides: settings of the runs, such as ``"plugin.updates=1"``.
        rooms: parts of featurekit beside its public names that the plugin imports knowingly, such
            as ``"taps"``; they may change with any release.

    Warns:
        FutureWarning: the plugin imports other parts of featurekit than its public names and
            ``rooms``.

    Raises:
        PluginError: rules are broken; a line for each says what must hold, what was found and
            what to do. Where the plugin cannot be loaded or composed, the rest is not asked.
    """
    with TemporaryDirectory(prefix="featurekit-") as folder:
        case = Case(spec, tuple(overrides), Path(folder))
        broken: list[str] = []
        for rules in _RULES:
            broken += [sentence for rule in rules for sentence in rule(case)]
            if broken:
                break
    if broken:
        listed = "".join(f"\n- {' '.join(sentence.split())}" for sentence in broken)
        raise PluginError(f"plugin {spec.name!r} must keep the contract, but:{listed}")
    for room, places in inner_imports(spec).items():
        if room not in rooms:
            warn(
                f"a plugin should import public names alone, of featurekit and featurekit.plugin, "
                f"but {spec.name!r} imports featurekit.{room} in {', '.join(places[:SHOWN])}, "
                f"which may change with any release; use a public name, or say rooms=[{room!r}]",
                FutureWarning,
                stacklevel=2,
            )


# how it is announced


def _announced(case: Case) -> Iterator[str]:
    try:
        found = load_plugin(case.spec.name)
    except FeatureKitError as error:
        yield f"announced: the plugin must load by its name, but {error}"
        return
    if found != case.spec:
        yield (
            "announced: the entry point must name the description that is checked, got another "
            "one; check what the entry point names, or install the plugin anew"
        )


# what a run needs


def _composes(case: Case) -> Iterator[str]:
    for words in ((), case.overrides, ("backbone=random", *case.overrides)):
        try:
            resolved(compose([f"plugin={case.spec.name}", *words]))
        except Exception as error:
            shown = " ".join((f"plugin={case.spec.name}", *words))
            yield (
                f"defaults: the settings must compose from {shown} alone, but {told(error)}; "
                "give every field of the schema a type and a default"
            )
            return


def _target(case: Case) -> Iterator[str]:
    try:
        resolve(case.spec.target, of="the target")
    except Exception as error:
        yield f"target: it must import, but {told(error)}; correct target or the module it names"


# what else is said before a run


def _light(case: Case) -> Iterator[str]:
    found = heavy_imports(case.spec.name)
    if found:
        yield (
            f"light: describing the plugin must import no {' or '.join(HEAVY)}, got {found}; "
            "import what is heavy in the module of the target"
        )


def heavy_imports(name: str) -> str:
    """Describe a plugin in a fresh process and list what is heavy and was imported.

    Args:
        name: of an installed plugin.

    Returns:
        Names with spaces between, or the last line of an error; empty for a light description.
    """
    child = subprocess.run(
        [sys.executable, "-c", _LIGHT, name, *sys.path], capture_output=True, text=True, check=False
    )
    return child.stdout if child.returncode == 0 else child.stderr.strip().splitlines()[-1]


def _unknown_key(case: Case) -> Iterator[str]:
    try:
        compose([f"plugin={case.spec.name}", f"plugin.{NOBODY}=1"])
    except FeatureKitError:
        return
    yield (
        f"closed schema: a setting that does not exist must be refused, but plugin.{NOBODY}=1 "
        "is taken; derive the schema from PluginConfig and from no mapping"
    )


def _tasks(case: Case) -> Iterator[str]:
    tasks = case.spec.tasks
    words = isinstance(tasks, tuple) and all(isinstance(task, str) and task for task in tasks)
    if not words or len(set(tasks)) < len(tasks):
        yield f"tasks: they must be a tuple of different words, got {tasks!r}; write ('edit',)"
        return
    try:
        case.run("no-task", f"task={NOBODY}")
    except FeatureKitError:
        return
    yield f"tasks: task={NOBODY} must be refused with exit code 2, but it ran; list what there is"


def _brought(case: Case) -> Iterator[str]:
    tab = {case.spec.name: case.spec.studio} if case.spec.studio is not None else {}
    offers = {"bench": case.spec.benches, "command": case.spec.commands, "studio": tab}
    for kind, targets in offers.items():
        for name, target in targets.items():
            try:
                resolve(target, of=f"the {kind} {name!r}")
            except Exception as error:
                yield f"{kind}: {name!r} must import, but {told(error)}; correct its target"


def _presets(case: Case) -> Iterator[str]:
    presets, plugin = case.spec.presets, case.spec.name
    if presets is None:
        return
    experiments, by_backbone = (_files(presets, group) for group in ("experiment", BY_BACKBONE))
    if not ((experiments or by_backbone) and presets.startswith(_PKG)):
        yield (
            f"presets: they must be YAML files in the folders experiment or {BY_BACKBONE} of a "
            f"package, got {presets!r}; write 'pkg://your_package.conf', or leave presets out"
        )
    backbones = {f"{plugin}_{one}": name for name, kin in FAMILIES.items() for one in (kin, name)}
    for name in by_backbone:
        if name not in backbones:
            yield (
                f"presets: a file of {BY_BACKBONE} must be named {plugin}_ and a backbone or its "
                f"family, got {name}; known: {', '.join(sorted(backbones))}"
            )
    words = {name: f"experiment={name}" for name in experiments}
    words |= {name: f"backbone={backbones[name]}" for name in by_backbone if name in backbones}
    for name, word in words.items():
        try:
            resolved(compose([f"plugin={plugin}", word]))
        except Exception as error:
            yield f"presets: {name} must compose, but {told(error)}; correct {name}.yaml"


def _files(presets: str, group: str) -> list[str]:
    """Names of the YAML files that a plugin brings for a config group."""
    try:
        place = files(presets.removeprefix(_PKG)) / group
        return sorted(Path(entry.name).stem for entry in place.iterdir())
    except (ImportError, OSError, ValueError):
        return []


_RULES: tuple[tuple[Callable[[Case], Iterator[str]], ...], ...] = (
    (_announced,),
    (_composes, _target),
    (_light, _unknown_key, _tasks, _brought, _presets, missing_picture, runs),
)
