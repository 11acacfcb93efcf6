"""What the installed distribution asks for, and whether it is there."""

from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as Line
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion


@dataclass(frozen=True)
class Requirement:
    """A package, the versions that fit, and the extra that asks for it."""

    package: str
    bounds: str  # as pip words them: "<2.4,>=2.3"; empty for any
    extra: str | None = None

    def __str__(self) -> str:
        """As pip takes it."""
        return f"{self.package}{self.bounds}"


def requirements(distribution: str) -> tuple[Requirement, ...]:
    """Read what a distribution asks for on this machine, its extras included.

    Raises:
        PackageNotFoundError: it is not installed.
    """
    extras = ["", *(metadata(distribution).get_all("Provides-Extra") or ())]
    found = []
    for text in requires(distribution) or ():
        with suppress(InvalidRequirement):  # a line that pip cannot read asks for nothing
            line = Line(text)
            asking = [one for one in extras if _holds(line, one)]
            if asking:  # else it is for another system or another Python
                found.append(Requirement(line.name, str(line.specifier), asking[0] or None))
    return tuple(found)


def installed(package: str) -> str | None:
    """Look up the version of a distribution; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def fits(found: str, bounds: str) -> bool:
    """Tell whether pip would take a version, or one made before its release, for the bounds.

    Args:
        found: a version; one that pip cannot read fits nothing.
        bounds: joined by commas.
    """
    try:
        return SpecifierSet(bounds).contains(found, prereleases=True)
    except InvalidVersion:
        return False


def _holds(line: Line, extra: str) -> bool:
    return line.marker is None or line.marker.evaluate({"extra": extra})
