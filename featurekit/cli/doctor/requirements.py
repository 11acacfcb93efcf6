"""What the installed distribution asks for, and whether it is there."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from itertools import zip_longest
from operator import eq, ge, gt, le, lt, ne

_OPERATORS: Mapping[str, Callable[[list[int], list[int]], bool]] = {
    ">=": ge, "<=": le, "==": eq, "!=": ne, ">": gt, "<": lt,
}  # fmt: skip
_LINE = re.compile(r"([\w.-]+)(?:\[[^\]]*\])?\s*\(?([^;)]*)\)?\s*(?:;(.*))?")
_BOUND = re.compile(r"(>=|<=|==|!=|>|<)\s*(\d+(?:\.\d+)*)")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([\w.-]+)['\"]")


@dataclass(frozen=True)
class Requirement:
    """A package, the versions that fit, and the extra that asks for it."""

    package: str
    bounds: str  # as written: ">=2.3,<2.4"; empty for any
    extra: str | None = None

    def __str__(self) -> str:
        """As pip takes it."""
        return f"{self.package}{self.bounds}"


def requirements(distribution: str) -> tuple[Requirement, ...]:
    """Read what a distribution asks for, its extras included.

    Raises:
        PackageNotFoundError: it is not installed.
    """
    found = []
    for line in requires(distribution) or ():
        parts = _LINE.match(line)
        if parts is not None:
            extra = _EXTRA.search(parts[3] or "")
            found.append(Requirement(parts[1], parts[2].strip(), extra[1] if extra else None))
    return tuple(found)


def installed(package: str) -> str | None:
    """Look up the version of a distribution; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def fits(found: str, bounds: str) -> bool:
    """Compare the numbers of a version with bounds joined by commas; its local tag is ignored.

    Bounds with wildcards or other operators than those of numbers count as kept.
    """
    have = _numbers(found)
    for bound in bounds.split(","):
        parts = _BOUND.fullmatch(bound.strip())
        if parts is not None:
            pairs = list(zip_longest(have, _numbers(parts[2]), fillvalue=0))
            if not _OPERATORS[parts[1]]([a for a, _ in pairs], [b for _, b in pairs]):
                return False
    return True


def _numbers(version_text: str) -> list[int]:
    release = re.match(r"\d+(?:\.\d+)*", version_text)
    return [int(part) for part in release[0].split(".")] if release else []
