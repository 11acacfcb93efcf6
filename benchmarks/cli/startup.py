"""How long the command line takes to start, with many plugins installed and one of them broken.

python -m benchmarks.cli.startup                    # fifty plugins, the median of seven starts each
python -m benchmarks.cli.startup --plugins 200 --repeats 15

Writes made-up distributions into a temporary folder; nothing is installed or downloaded. What
``featurekit --help`` takes is that of importing every description; the others import none or one.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.records.recording import child, recorded, recorded_to, rounds_of, spread, typed
from benchmarks.records.side_by_side import Seconds

COMMANDS = {
    "python -c pass": None,
    "featurekit plugins": ("plugins",),
    "featurekit --version": ("--version",),
    "featurekit --help": ("--help",),
    "featurekit run plugin=drag --cfg job": ("run", "plugin=drag", "--cfg", "job"),
}
SOUND = """
from dataclasses import dataclass
from featurekit.plugin import Plugin, PluginConfig

@dataclass
class Config(PluginConfig):
    name: str = "{name}"

PLUGIN = Plugin("{name}", "does nothing", 1, Config, ("nothing",), "fk_{name}:run")
"""


def main(words: Sequence[str] | None = None) -> None:
    """Time every command, with none and with many plugins on the path.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plugins", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=7)
    recorded_to(parser)
    asked = parser.parse_args(words)
    rows: list[list[object]] = []
    samples: dict[str, list[dict[str, float]]] = {}
    with TemporaryDirectory() as folder:
        fabricate(Path(folder), asked.plugins)
        for title, command in COMMANDS.items():
            none, many = f"{title}, none more", f"{title}, {asked.plugins} more"
            found: dict[str, list[Seconds]] = {none: [], many: []}
            for number in range(asked.repeats + 1):  # the first of each fills the caches
                for name, path in ((none, ""), (many, folder)):
                    seconds = timed(command, path)
                    found[name] += [seconds] if number else []
            clocks = [[getattr(one, clock) for one in some]
                      for clock in ("cpu", "wall") for some in found.values()]  # fmt: skip
            rows.append([f"`{title}`", *(spread(some) for some in clocks)])
            samples |= rounds_of(found)
            print(*rows[-1], flush=True)
    settings = {"plugins": asked.plugins, "of them broken": 1, "repeats": asked.repeats}
    typed_so = typed("cli.startup", words)
    columns = ["median (least to greatest)",
               *(f"{what}, {many}" for what in ("CPU s", "s by the wall")
                 for many in ("none more", f"{asked.plugins} more plugins"))]  # fmt: skip
    recorded(asked.record, typed_so, columns, rows, settings=settings, samples=samples)


def fabricate(folder: Path, count: int) -> None:
    """Write distributions with a plugin each, the first of them broken."""
    for number in range(count):
        name = f"crowd{number}"
        text = SOUND.format(name=name) if number else "import no_such_module_anywhere\n"
        (folder / f"fk_{name}.py").write_text(text, encoding="utf-8")
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir()
        head = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        (info / "METADATA").write_text(head, encoding="utf-8")
        entry = f"[featurekit.plugins]\n{name} = fk_{name}:PLUGIN\n"
        (info / "entry_points.txt").write_text(entry, encoding="utf-8")


def timed(command: tuple[str, ...] | None, path: str) -> Seconds:
    """Seconds of one start."""
    words = ["-c", "pass"] if command is None else ["-m", "featurekit", *command]
    return child([sys.executable, *words], {**os.environ, "PYTHONPATH": path})[1]


if __name__ == "__main__":
    main()
