"""How long the command line takes to start, with many plugins installed and one of them broken.

python benchmarks/startup.py                    # fifty plugins, the median of seven starts each
python benchmarks/startup.py --plugins 200 --repeats 15

Writes made-up distributions into a temporary folder; nothing is installed or downloaded. What
``featurekit --help`` takes is that of importing every description; the others import none or one.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

COMMANDS = {
    "python -c pass": None,
    "plugins": ("plugins",),
    "--version": ("--version",),
    "--help": ("--help",),
    "run plugin=drag --cfg job": ("run", "plugin=drag", "--cfg", "job"),
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
    asked = parser.parse_args(words)
    print(f"Python {sys.version.split()[0]}, seconds, median of {asked.repeats} (lowest)")
    with TemporaryDirectory() as folder:
        fabricate(Path(folder), asked.plugins)
        for title, command in COMMANDS.items():
            few, many = (timed(command, path, asked.repeats) for path in ("", folder))
            print(
                f"{title:<28} {median(few):.3f} ({min(few):.3f})   "
                f"with {asked.plugins} more plugins {median(many):.3f} ({min(many):.3f})"
            )


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


def timed(command: tuple[str, ...] | None, path: str, repeats: int) -> list[float]:
    """Seconds of each start, the first one, which fills the caches, left out."""
    words = ["-c", "pass"] if command is None else ["-m", "featurekit", *command]
    environment = {**os.environ, "PYTHONPATH": path}
    seconds = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, *words], env=environment, check=True, stdout=subprocess.DEVNULL
        )
        seconds.append(time.perf_counter() - started)
    return seconds[1:]


if __name__ == "__main__":
    main()
