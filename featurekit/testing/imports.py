"""Which parts of featurekit a plugin stands on: its imports, read off its source, not run."""

import ast
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from featurekit.pipeline.registry import Plugin

PACKAGE = "featurekit"
PUBLIC_ROOMS = ("scenes", "testing")
ROOMS = frozenset(
    room.name for room in Path(__file__).parents[1].iterdir() if (room / "__init__.py").is_file()
).difference(PUBLIC_ROOMS)


def inner_imports(spec: Plugin) -> dict[str, list[str]]:
    """List the rooms of featurekit that a plugin imports and that may change with any release.

    Args:
        spec: an installed plugin; the package of its schema and that of its target are read.

    Returns:
        By room the places as ``FILE:LINE``, the file as seen from its package.
    """
    packages = {spec.schema.__module__.partition(".")[0], spec.target.partition(".")[0]}
    packages = {name.partition(":")[0] for name in packages}
    found: dict[str, list[str]] = {}
    for package in sorted(packages):
        for path, shown in _sources(package):
            for room, line in _rooms(ast.parse(path.read_text(encoding="utf-8"))):
                found.setdefault(room, []).append(f"{shown}:{line}")
    return found


def _sources(package: str) -> Iterator[tuple[Path, str]]:
    """Files of a package or a module, each with a name to show."""
    spec = find_spec(package)
    if spec is None:
        return
    if spec.submodule_search_locations is None:
        if spec.origin:
            yield Path(spec.origin), Path(spec.origin).name
        return
    for folder in map(Path, spec.submodule_search_locations):
        for path in sorted(folder.rglob("*.py")):
            yield path, f"{package}/{path.relative_to(folder).as_posix()}"


def _rooms(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Rooms that a file imports, with the line; imports inside functions count as well."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module == PACKAGE:
            modules = [f"{PACKAGE}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            modules = [node.module or ""]
        else:
            continue
        for module in modules:
            package, _, inside = module.partition(".")
            room = inside.partition(".")[0]
            if package == PACKAGE and room in ROOMS:
                yield room, node.lineno
