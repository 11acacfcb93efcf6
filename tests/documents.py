"""Blocks and commands of the pages that people read, in the order in which they stand there."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "plugins").glob("*/README.md")),
)
BLOCK = re.compile(r"^```(.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CELL = re.compile(r"^\| *((?:`featurekit [^`]*`(?:, )?)+)", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A block of code, or a cell of a table that gives commands."""

    page: str  # path from the root
    line: int
    language: str  # of its fence: python, python signature, sh, toml, text; "table" of a cell
    text: str


def blocks(page: Path) -> list[Block]:
    """All of a page in their order."""
    whole = page.read_text(encoding="utf-8")
    name = page.relative_to(ROOT).as_posix()
    found = [(one.start(), one[1], one[2]) for one in BLOCK.finditer(whole)]
    for cell in CELL.finditer(whole):
        commands = re.findall(r"`(featurekit [^`]*)`", cell[1])
        found.append((cell.start(), "table", "\n".join(commands)))
    return [
        Block(name, whole.count("\n", 0, start) + 1, language, text)
        for start, language, text in sorted(found)
    ]


def commands(block: Block) -> list[list[str]]:
    """Words of each command of a block."""
    lines = [shlex.split(line, comments=True) for line in block.text.splitlines()]
    return [[words[0].removeprefix(".venv/bin/"), *words[1:]] for words in lines if words]
