"""What a plugin's runs must keep: their end, their files, Ctrl-C and the seed."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from PIL import Image

from featurekit.core.errors import FeatureKitError
from featurekit.core.json_files import read_json
from featurekit.core.types import Progress, silent
from featurekit.images.io import read_tensors
from featurekit.pipeline.config import compose
from featurekit.pipeline.places import RECORD
from featurekit.pipeline.registry import Plugin
from featurekit.pipeline.run import run

NOBODY = "no_such_name"  # of a setting, a task and a picture


@dataclass(frozen=True)
class Case:
    """The plugin, how it is run, and a folder that is gone afterwards."""

    spec: Plugin
    overrides: tuple[str, ...]
    folder: Path

    def run(self, name: str, *words: str, progress: Progress = silent) -> dict[str, Any]:
        """Run the plugin into the folder of that name, with nothing kept from another run."""
        chosen = [f"plugin={self.spec.name}", "backbone=random", f"out='{self.folder / name}'"]
        chosen.append("cache=none")
        return run(compose([*chosen, *self.overrides, *words]), progress=progress)


def missing_picture(case: Case) -> Iterator[str]:
    """A picture that is not there is refused; a plugin that looks at none may go on."""
    try:
        case.run("no-picture", f"image={NOBODY}.png")
    except FeatureKitError:
        return
    except Exception as error:
        yield (
            "mistakes: a picture that is not there must end with exit code 2, but the plugin "
            f"raised {told(error)}; read it with featurekit.images.io.load_image"
        )


def runs(case: Case) -> Iterator[str]:
    """A run ends as done with its files, can be stopped, and is the same when it is repeated."""
    events = 0

    def count(done: int, total: int) -> None:
        nonlocal events
        events += 1

    try:
        record = case.run("first", progress=count)
    except Exception as error:
        yield (
            "run: the default task must end as done on backbone=random, but it raised "
            f"{told(error)}; correct the plugin, or the overrides of this check"
        )
        return
    out = case.folder / "first"
    written = json.loads((out / RECORD).read_text(encoding="utf-8"))
    if written != record or written["status"] != "done":
        yield f"run: {RECORD} must say done, got {written['status']!r}; leave that file alone"
    if not record["outputs"]:
        yield "outputs: a run must name a file that it wrote, got none; fill Result.outputs"
    yield from _interrupted(case, events)
    yield from _repeated(case, record)


def _interrupted(case: Case, events: int) -> Iterator[str]:
    """Stop a run in another folder at the last thing that it reports."""
    left = events

    def stop(done: int, total: int) -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            raise KeyboardInterrupt

    try:
        case.run("again", progress=stop)
        yield (
            "interrupted: Ctrl-C must end a run, but the plugin went on; catch Exception or "
            "narrower, never BaseException"
        )
    except KeyboardInterrupt:
        pass
    except Exception as error:
        yield (
            f"interrupted: Ctrl-C must leave the plugin as KeyboardInterrupt, got {told(error)}; "
            "catch nothing that is not yours"
        )
    torn = [path.name for path in _files(case.folder / "again") if not _is_whole(path)]
    if torn:
        yield (
            f"interrupted: a run that is stopped must leave whole files, got half of "
            f"{', '.join(torn)}; write with write_image or replacing of featurekit.plugin"
        )


def _repeated(case: Case, record: dict[str, Any]) -> Iterator[str]:
    """Go on with the stopped run, over the results of the first, and compare."""
    first, again, kept = (case.folder / name for name in ("first", "again", "kept"))
    outputs = sorted(set(record["outputs"].values()))
    before = {name: _digest(first / name) for name in outputs}
    for name in outputs:  # a file that is poured into, not replaced, changes under both its names
        for folder in (again, kept):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if not (again / name).exists():
            os.link(first / name, again / name)
        os.link(again / name, kept / name)
    times = {name: (kept / name).stat().st_mtime_ns for name in outputs}
    try:
        second = case.run("again")
    except Exception as error:
        yield (
            "repeated: a run into a folder with results of a stopped run must end as done, but it "
            f"raised {told(error)}; replace what is there, or go on from it"
        )
        return
    changed = [name for name in outputs if before[name] != _digest(again / name)]
    changed += [key for key in ("metrics", "outputs") if second[key] != record[key]]
    if changed:
        yield (
            f"seed: two runs with one seed must give equal results, but {', '.join(changed)} "
            "differ; draw from a torch.Generator that is seeded with job.seed, and leave times to "
            "the stages"
        )
    poured = [name for name in outputs if (kept / name).stat().st_mtime_ns != times[name]]
    if poured:
        yield (
            f"whole files: a result must be replaced as a whole, but {', '.join(poured)} is "
            "written in place; write with write_image or replacing of featurekit.plugin"
        )
    extra = _names(again) - _names(first)
    if extra:
        yield (
            "interrupted: going on with a run that was stopped must leave what one run leaves, "
            f"got {', '.join(sorted(extra))} too; remove it in a finally"
        )


def _digest(path: Path) -> bytes | None:
    """Hash what a file holds; safetensors writes the words of its header in any order."""
    if not path.is_file():
        return None
    content = path.read_bytes()
    if path.suffix == ".safetensors":
        end = 8 + int.from_bytes(content[:8], "little")
        content = json.dumps(json.loads(content[8:end]), sort_keys=True).encode() + content[end:]
    return sha256(content).digest()


def told(error: Exception) -> str:
    """Say what was raised, on behalf of every rule."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in _files(folder)}


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _is_whole(path: Path) -> bool:
    readers: dict[str, Callable[[Path], object]] = {
        ".json": read_json,
        ".safetensors": read_tensors,
    }
    suffix = path.suffix.lower()
    try:
        if suffix in readers:
            readers[suffix](path)
        elif suffix in (".png", ".jpg", ".jpeg", ".gif", ".webp"):
            with Image.open(path) as picture:
                picture.load()
    except (FeatureKitError, OSError, SyntaxError):
        return False
    return True
