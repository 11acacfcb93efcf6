"""``featurekit doctor``: is this environment able to run, and if not, what mends it. No torch."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from platform import python_version
from shutil import disk_usage
from typing import Any

from featurekit.cli.doctor.requirements import Requirement, fits, installed, requirements
from featurekit.cli.doctor.weights import weight_faults
from featurekit.cli.tables import show
from featurekit.core.atomic import make_folder
from featurekit.core.errors import ConfigError, OutputError
from featurekit.pipeline.registry import plugins

SOUND, SICK = 0, 2  # exit codes
OK, NOTE, WARN, FAIL = "ok", "note", "warn", "fail"
OURS = "featurekit"
OUT = "runs"  # where runs go unless they are told otherwise
MODULES = {"hydra-core": "hydra", "open_clip_torch": "open_clip", "pillow": "PIL"}  # else the name
PAIR = "torchvision"  # asked for by none of ours, imported by many of them
NEEDED_BYTES = 1 << 30  # free on the disk of the runs, below which there is a warning
PATIENCE_S = 300  # for all imports together


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    what: str
    state: str  # OK, NOTE (nothing is wrong, yet look), WARN or FAIL
    found: str
    mend: str = ""


@dataclass(frozen=True)
class Answers:
    """What another process found out; see ``probing``."""

    imports: Mapping[str, str | None] = field(default_factory=dict)  # fault by module
    plugins: Mapping[str, str | None] = field(default_factory=dict)  # fault by plugin
    devices: Mapping[str, Any] = field(default_factory=dict)
    fatal: str = ""  # what it was at when it died, and how


def main(words: Sequence[str]) -> int:
    """Examine the environment and show a line for each finding.

    Args:
        words: ``out=FOLDER`` or none.

    Returns:
        0, or 2 if something fails.

    Raises:
        ConfigError: another word is given.
    """
    out = OUT
    for word in words:
        key, equals, out = word.partition("=")
        if key != "out" or not (equals and out):
            raise ConfigError(f"featurekit doctor takes out=FOLDER, got {word!r}")
    findings = examine(Path(out))
    rows = [(one.state, one.what, one.found, one.mend) for one in findings]
    show(("", "what", "found", "to do"), [tuple(map(_one_line, row)) for row in rows])
    return SICK if any(one.state == FAIL for one in findings) else SOUND


def examine(out: Path) -> list[Finding]:
    """Ask everything.

    Args:
        out: folder of the runs; it need not exist and is not made.
    """
    asked = _required()
    modules = [MODULES.get(one.package, one.package) for one in asked if one.extra is None]
    answers = probe([*modules[:1], *([PAIR] if installed(PAIR) else []), *modules[1:]])
    return [
        *check_python(),
        *check_packages(asked, answers),
        *check_pair(answers),
        *check_devices(answers),
        *check_extras(asked),
        *check_plugins(answers),
        *check_folder(out),
        *check_weights(),
    ]


def probe(modules: Sequence[str]) -> Answers:
    """Import modules and plugins in another process, which may die of it."""
    command = [sys.executable, "-m", "featurekit.cli.doctor.probing", *modules]
    fate = ""
    try:
        child = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )
        text = child.stdout
        if child.returncode:
            last = (child.stderr.strip().splitlines() or ["nothing said"])[-1]
            fate = f"ended Python with code {child.returncode} ({last})"
    except subprocess.TimeoutExpired as error:
        text = error.stdout.decode() if isinstance(error.stdout, bytes) else error.stdout or ""
        fate = f"took more than {PATIENCE_S} s"
    return _answers(text, fate)


def _answers(text: str, fate: str) -> Answers:
    """Sort the child's lines; what else was written to its stdout is skipped."""
    imports: dict[str, str | None] = {}
    sound: dict[str, str | None] = {}
    devices: dict[str, Any] = {}
    begun = "featurekit itself"
    for line in text.splitlines():
        try:
            kind, *rest = json.loads(line)
        except (ValueError, TypeError):
            continue
        if kind == "begun":
            begun = rest[0]
        elif kind == "devices":
            devices = rest[0]
        elif kind in ("import", "plugin"):
            (imports if kind == "import" else sound)[rest[0]] = rest[1]
    return Answers(imports, sound, devices, f"{begun} {fate}" if fate else "")


def check_python() -> Iterator[Finding]:
    """Python itself, against what our distribution asks for."""
    try:
        bounds = metadata(OURS)["Requires-Python"] or ""
    except PackageNotFoundError:
        yield Finding(OURS, FAIL, "has no metadata here", "install it: pip install featurekit")
        return
    found = python_version().rstrip("+")  # of a build between two releases
    good = fits(found, bounds)
    mend = "" if good else f"make an environment with Python {bounds}"
    yield Finding("python", OK if good else FAIL, f"{found}, needs {bounds}", mend)


def check_packages(asked: Sequence[Requirement], answers: Answers) -> Iterator[Finding]:
    """Each required package: there, of a version that fits, and importable."""
    if answers.fatal:
        mend = "install what it names anew; featurekit cannot start it"
        yield Finding("imports", FAIL, answers.fatal, mend)
    for one in asked:
        if one.extra is not None:
            continue
        found = installed(one.package)
        mend = f"pip install '{one}'"
        if found is None:
            yield Finding(one.package, FAIL, f"is missing, needs {one.bounds}", mend)
            continue
        shown = f"{found}, needs {one.bounds or 'any'}"
        fault = answers.imports.get(MODULES.get(one.package, one.package))
        if not fits(found, one.bounds):
            yield Finding(one.package, FAIL, shown, mend)
        elif fault is not None:
            yield Finding(one.package, FAIL, f"{found}, but {fault}", _import_mend(fault, mend))
        else:
            yield Finding(one.package, OK, shown)


def check_pair(answers: Answers) -> Iterator[Finding]:
    """Torch and torchvision, whose compiled halves must come from one build."""
    torch, vision = installed("torch"), installed(PAIR)
    if torch is None or vision is None:
        found = f"torch {torch or 'is missing'}, torchvision {vision or 'is missing'}"
        yield Finding(PAIR, FAIL, found, f"pip install torch {PAIR}, in one command")
        return
    wanted = next((one for one in requirements(PAIR) if one.package == "torch"), None)
    fault = answers.imports.get(PAIR)
    found = f"torch {torch}, torchvision {vision}"
    if wanted is not None and not fits(torch, wanted.bounds):
        found = f"{found}, which needs torch {wanted.bounds}"
    elif fault is not None:
        found = f"{found}: {fault}"
    else:
        yield Finding(PAIR, OK, found)
        return
    yield Finding(PAIR, FAIL, found, _PAIR_MEND)


def check_devices(answers: Answers) -> Iterator[Finding]:
    """Where a network can run, and in which numbers."""
    told = answers.devices
    if not told:
        yield Finding("devices", FAIL, "torch could not be asked", "mend torch first")
        return
    threads, cores = told.get("threads"), os.cpu_count()
    yield Finding("cpu", OK, f"{threads} threads on {cores} cores, float32")
    if told.get("cuda"):
        bf16 = "bfloat16" if told.get("cuda_bf16") else "float16, no bfloat16"
        yield Finding("cuda", OK, f"{', '.join(told['cuda'])}; {bf16}")
    elif "cuda_error" in told:
        yield Finding("cuda", WARN, told["cuda_error"], "mend the driver; device=cpu works")
    elif told.get("built_for_cuda"):
        found = "none found, though this torch is built for it"
        mend = "with a GPU here, install a newer driver; device=cpu works"
        yield Finding("cuda", NOTE, found, mend)
    else:
        yield Finding("cuda", OK, "none; this torch is built without it")
    if told.get("mps"):
        yield Finding("mps", OK, "there; auto takes the CPU, device=mps takes it")


def check_extras(asked: Sequence[Requirement]) -> Iterator[Finding]:
    """What is optional, by the name of the extra."""
    for extra in sorted({one.extra for one in asked if one.extra is not None}):
        versions = {one: installed(one.package) for one in asked if one.extra == extra}
        missing = [one.package for one, found in versions.items() if found is None]
        unfit = [
            f"{one.package} {found}, needs {one.bounds}"
            for one, found in versions.items()
            if found is not None and not fits(found, one.bounds)
        ]
        mend = f"pip install '{OURS}[{extra}]'"
        if unfit:
            yield Finding(f"[{extra}]", WARN, "; ".join(unfit), mend)
        elif missing:
            yield Finding(f"[{extra}]", OK, f"not installed: {', '.join(missing)}", mend)
        else:
            yield Finding(f"[{extra}]", OK, "installed")


def check_plugins(answers: Answers) -> Iterator[Finding]:
    """Each plugin, with its owner and, if it is broken, the cause."""
    for info in plugins():
        fault = answers.plugins.get(info.name, "was not reached")
        what = f"plugin {info.name}"
        if fault is None:
            yield Finding(what, OK, str(info))
        else:
            mend = f"update or uninstall {info.distribution}; other plugins work"
            yield Finding(what, WARN, f"{info}: {fault}", mend)


def check_folder(out: Path) -> Iterator[Finding]:
    """Whether runs can be written where they go, and how much fits."""
    place = out.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        free = disk_usage(make_folder(place)).free
    except OutputError as error:
        yield Finding("runs", FAIL, str(error), "give out=FOLDER to runs")
        return
    found = f"{out} can be written, {free / (1 << 30):.1f} GiB free"
    enough = free >= NEEDED_BYTES
    yield Finding("runs", OK if enough else WARN, found, "" if enough else "free some space")


def check_weights() -> Iterator[Finding]:
    """The models that ship with the package, file by file."""
    for name, fault in weight_faults().items():
        mend = "" if fault is None else "install featurekit anew, from its wheel"
        yield Finding(name, OK if fault is None else FAIL, fault or "whole", mend)


_PAIR_MEND = (
    "the two were not built for each other; install both in one command from one index: "
    f"pip install --force-reinstall torch {PAIR}"
)


def _import_mend(fault: str, mend: str) -> str:
    return _PAIR_MEND if f"{PAIR}::" in fault else f"{mend} --force-reinstall"


def _required() -> tuple[Requirement, ...]:
    try:
        return requirements(OURS)
    except PackageNotFoundError:
        return ()


def _one_line(text: str) -> str:
    return " ".join(text.split())
