"""The architecture, read off the source: rooms, cycles, deferred imports, sizes, words."""

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

import featurekit

ROOT = Path(__file__).parents[1]
PLUGINS = sorted(
    path.name for path in (ROOT / "plugins").iterdir() if (path / "__init__.py").exists()
)

PAGE = (ROOT / "docs" / "architecture.md").read_text()
ROOMS = re.findall(r"^\| `(\w+)/` \|", PAGE, flags=re.MULTILINE)  # each may import those before it
TOP = {"__init__", "__main__", "plugin"}  # the files at the top of featurekit/
REACHED = {"__main__": {"cli"}, "plugin": {"core", "pipeline", "web"}}  # the rooms that they import
FOLDER_FILES = 16  # side by side, without __init__
CONFIGURED = {  # may import hydra and omegaconf
    "pipeline.config", "pipeline.overrides", "pipeline.run", "cli.run",
}  # fmt: skip
DEFERRED = {"backbones"}  # may import inside functions
BY_NAME = {"__init__", "plugin", "pipeline.registry", "featurekit_drag"}  # may call import_module
TARGETS = {  # may name a module:thing of the core
    "__init__", "plugin", "cli.router", "cli.run", "pipeline.engines", "web.opening",
}  # fmt: skip

FILE_LINES, FUNCTION_LINES = 300, 60
PARAMETERS, PUBLIC_KEYWORDS = 6, 8
KEYWORDS_ALLOWED = {
    "core.shapes.expect",
    "taps.compiled.CompiledForward.__call__",  # these three pass a call on as it came
    "taps.recomputation.Block.around.checkpointed",
    "taps.recomputation._Part.__call__",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources(package: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """Import name and path of every file of a package."""
    for path in sorted(folder.rglob("*.py")):
        yield import_name(package, path.relative_to(folder)), path


def import_name(package: str, relative: Path) -> str:
    parts = [package, *relative.with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = dict(sources("featurekit", ROOT / "featurekit"))
for each in PLUGINS:
    SOURCES |= sources(f"featurekit_{each}", ROOT / "plugins" / each)
BENCHMARKS = dict(sources("benchmarks", ROOT / "benchmarks"))  # not packed, they print
READ = SOURCES | BENCHMARKS  # what is held to the budgets
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in READ.items()}
CORE = {name for name in SOURCES if name.partition(".")[0] == "featurekit"}


def short(name: str) -> str:
    """Name without the package, the package itself by its file."""
    return "__init__" if name == "featurekit" else name.removeprefix("featurekit.")


def imports(name: str, tree: ast.Module, *, deferred: bool = False) -> set[str]:
    """What a module imports at the top, or inside functions; for type checkers only is exempt."""
    found: set[str] = set()
    for node in _nodes(tree, deferred=deferred):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _base(name, node)
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                found.add(whole if whole in READ else base)
    return found


def _nodes(tree: ast.AST, *, deferred: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, Function | ast.Lambda):
            if deferred:
                yield from ast.walk(node)
            continue
        if not deferred:
            yield node
        yield from _nodes(node, deferred=deferred)


def _base(name: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = name.split(".")
    if not (name in READ and READ[name].name == "__init__.py"):
        parts = parts[:-1]
    parts = parts[: len(parts) - node.level + 1]
    return ".".join([*parts, node.module] if node.module else parts)


GRAPH = {name: imports(name, tree) for name, tree in TREES.items()}


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function, bool]]:
    """Qualified name, node and whether it is public, of each function and method."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, Function):
            path = f"{prefix}{node.name}"
            yield path, node, not any(part.startswith("_") for part in path.split("."))
            yield from ((inner, child, False) for inner, child, _ in functions(node, f"{path}."))
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from functions(node, prefix)


EVERY_FUNCTION = [
    (name, path, node, public)
    for name, tree in TREES.items()
    for path, node, public in functions(tree)
]


# rooms


def room(name: str) -> str:
    """The room of a module of the core; a file at the top by its own name."""
    return short(name).partition(".")[0]


def tangles(graph: dict[str, set[str]]) -> set[tuple[str, str]]:
    """Pairs of neighbours in one folder, files or folders, that reach each other by imports."""
    within: dict[tuple[str, ...], dict[str, set[str]]] = {}
    for name, targets in graph.items():
        one = name.split(".")
        for target in targets & set(graph):
            other = target.split(".")
            depth = next(
                (i for i, pair in enumerate(zip(one, other, strict=False)) if len(set(pair)) > 1), 0
            )
            if depth:
                reached = within.setdefault(tuple(one[:depth]), {})
                reached.setdefault(one[depth], set()).add(other[depth])
    found = set()
    for reach in within.values():
        for _ in range(len(reach)):
            for others in reach.values():
                others |= {far for near in tuple(others) for far in reach.get(near, ())}
        found |= {(a, b) for a in reach for b in reach[a] if a < b and a in reach.get(b, ())}
    return found


def test_every_module_of_the_core_stands_in_a_room_of_the_page():
    assert len(ROOMS) == len(set(ROOMS)) == 16
    assert {room(name) for name in CORE} == {*ROOMS, *TOP}
    assert {path.stem for path in (ROOT / "featurekit").glob("*.py")} == TOP


@pytest.mark.parametrize("name", sorted(CORE - {"featurekit"}))
def test_a_room_imports_only_from_rooms_above_its_own(name):
    own = room(name)
    reached = {room(target) for target in GRAPH[name] if target in CORE} - {own}
    assert reached <= (REACHED[own] if own in TOP else set(ROOMS[: ROOMS.index(own)]))


def test_there_is_no_import_cycle():
    tuple(TopologicalSorter({name: GRAPH[name] & set(READ) for name in READ}).static_order())


def test_no_two_neighbours_in_a_folder_need_each_other():
    assert not tangles(GRAPH)


def test_neighbours_that_need_each_other_are_seen():
    apart = {"a.x.one": {"a.y.one"}, "a.y.one": set(), "a.y.two": set(), "a.x.two": {"a.y.two"}}
    assert not tangles(apart)
    assert tangles(apart | {"a.y.two": {"a.x.one"}}) == {("x", "y")}
    round_about = {"a.x.one": {"a.y.one"}, "a.y.one": {"a.z"}, "a.z": {"a.x.one"}}
    assert tangles(round_about) == {("x", "y"), ("x", "z"), ("y", "z")}


def test_a_folder_is_small_enough_to_be_read_at_once():
    beside = Counter(path.parent for path in READ.values() if path.name != "__init__.py")
    assert not {str(folder): count for folder, count in beside.items() if count > FOLDER_FILES}


FOLDERS = sorted(name for name, path in READ.items() if path.name == "__init__.py")


@pytest.mark.parametrize("name", [one for one in FOLDERS if "." in one and one[-5:] != ".conf"])
def test_a_room_says_what_lives_there_and_which_file_to_read_first(name):
    said = ast.get_docstring(TREES[name]) or ""
    named = re.findall(r"``([\w/]+\.py)``", said)
    assert named
    assert any((READ[name].parent / one).exists() for one in named)


def test_the_tests_mirror_the_rooms():
    inside = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir()}
    assert inside - {"__pycache__", "contracts", "plugins", "saved", "faults"} == set(ROOMS)


@pytest.mark.parametrize("name", sorted(CORE))
def test_the_core_imports_no_plugin(name):
    everything = GRAPH[name] | imports(name, TREES[name], deferred=True)
    assert not {target for target in everything if target.startswith("featurekit_")}


@pytest.mark.parametrize("name", sorted(set(SOURCES) - CORE))
def test_a_plugin_imports_no_other_plugin(name):
    own = name.partition(".")[0]
    packages = {target.partition(".")[0] for target in GRAPH[name]}
    assert {package for package in packages if package.startswith("featurekit_")} <= {own}


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_only_the_edge_meets_hydra(name):
    meets = {"hydra", "omegaconf"} & {target.partition(".")[0] for target in GRAPH[name]}
    allowed = short(name) in CONFIGURED if name in CORE else name.endswith(".config")
    assert allowed or not meets


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_imports_inside_functions_stand_only_where_they_are_listed(name):
    if short(name) not in DEFERRED:
        assert not imports(name, TREES[name], deferred=True)


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_modules_are_imported_by_name_only_where_it_is_listed(name):
    calls = re.findall(r"\b(?:import_module|__import__)\(", SOURCES[name].read_text())
    assert not calls or short(name) in BY_NAME


def named_targets() -> Iterator[tuple[str, str]]:
    for name in SOURCES:
        for node in ast.walk(TREES[name]):
            value = node.value if isinstance(node, ast.Constant) else None
            if isinstance(value, str) and re.fullmatch(r"featurekit\w*(\.\w+)*:\w+", value):
                yield name, value


@pytest.mark.parametrize(("name", "target"), sorted(set(named_targets())))
def test_a_thing_named_by_a_string_exists(name, target):
    module, _, attribute = target.partition(":")
    assert callable(getattr(import_module(module), attribute))
    if name in CORE:
        assert short(name) in TARGETS
    else:
        assert name.partition(".")[0] == module.partition(".")[0]


# what would make the checks above blind


@pytest.mark.parametrize(
    ("code", "top", "inside"),
    [
        ("import featurekit.core.types", {"featurekit.core.types"}, set()),
        ("from featurekit import core, __version__", {"featurekit.core", "featurekit"}, set()),
        ("from featurekit.core.types import Job", {"featurekit.core.types"}, set()),
        ("from . import extract", {"featurekit.features.extract"}, set()),
        ("from .recipes import recipe", {"featurekit.features.recipes"}, set()),
        ("if TYPE_CHECKING:\n    import torch", set(), set()),
        ("try:\n    import torch\nexcept ImportError:\n    pass", {"torch"}, set()),
        ("def f():\n    import torch", set(), {"torch"}),
        (
            "class C:\n    import numpy\n    def f(self):\n        import torch",
            {"numpy"},
            {"torch"},
        ),
    ],
)
def test_each_way_to_import_is_seen(code, top, inside):
    tree = ast.parse(code)
    assert imports("featurekit.features.reading", tree) == top
    assert imports("featurekit.features.reading", tree, deferred=True) == inside


# sizes and words


@pytest.mark.parametrize("name", sorted(READ))
def test_a_file_is_short_enough_to_be_read_at_once(name):
    assert len(READ[name].read_text().splitlines()) <= FILE_LINES


def test_a_function_fits_on_a_screen():
    long = {
        f"{name}:{path}": node.end_lineno - node.lineno + 1
        for name, path, node, _ in EVERY_FUNCTION
        if node.end_lineno - node.lineno + 1 > FUNCTION_LINES
    }
    assert not long


def test_a_function_takes_few_parameters():
    things = filter(callable, (getattr(featurekit, name) for name in featurekit.__all__))
    stable = {f"{thing.__module__}:{thing.__qualname__}" for thing in things}
    wide = {}
    for name, path, node, _ in EVERY_FUNCTION:
        given = [*node.args.posonlyargs, *node.args.args]
        places = sum(argument.arg not in ("self", "cls") for argument in given)
        keywords = len(node.args.kwonlyargs)
        if f"{name}:{path}" in stable:
            fits = places <= PARAMETERS and keywords <= PUBLIC_KEYWORDS
        else:
            fits = places + keywords <= PARAMETERS
        if not fits:
            wide[f"{name}:{path}"] = places + keywords
    assert not wide


def test_no_function_of_the_core_takes_any_keyword_it_is_given():
    loose = {f"{short(n)}.{p}" for n, p, node, _ in EVERY_FUNCTION if node.args.kwarg and n in CORE}
    assert loose == KEYWORDS_ALLOWED


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_the_source_neither_asserts_nor_prints(name):
    nodes = list(ast.walk(TREES[name]))
    assert not [node.lineno for node in nodes if isinstance(node, ast.Assert)]
    names = [node.func for node in nodes if isinstance(node, ast.Call)]
    assert not [node.lineno for node in names if isinstance(node, ast.Name) and node.id == "print"]


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_everything_public_says_what_it_is(name):
    tree = TREES[name]
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    things = [(name, tree)]
    things += [(node.name, node) for node in classes if not node.name.startswith("_")]
    things += [(path, node) for path, node, public in functions(tree) if public]
    assert not [path for path, node in things if not ast.get_docstring(node)]


# packaging and papers


def test_every_package_is_packed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    tools = project["tool"]["setuptools"]
    packed = set(tools["packages"])
    packages = {name for name, path in SOURCES.items() if path.name == "__init__.py"}
    assert packed == packages | {"featurekit.conf"}
    mapped = {f"featurekit_{plugin}": f"plugins/{plugin}" for plugin in PLUGINS}
    assert mapped.items() <= tools["package-dir"].items()
    entries = project["project"]["entry-points"]["featurekit.plugins"]
    assert entries == {plugin: f"featurekit_{plugin}:PLUGIN" for plugin in PLUGINS}


@pytest.mark.parametrize("path", sorted(ROOT.glob("docs/*.md")), ids=lambda path: path.name)
def test_a_page_points_only_to_what_is_there(path):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text())
    assert not [link for link in links if not (path.parent / link).exists()]


PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("plugins/*/README.md")]
FILE = re.compile(
    r"(?<![\w/.-])((?:featurekit|tests|plugins|benchmarks|docs)/[\w/.-]+\.(?:py|md|yaml))\b"
)
RUN = re.compile(r"-m (benchmarks[.\w]*\w)")  # a script, as it is run


@pytest.mark.parametrize(
    "path", sorted({*PAGES, *READ.values()}), ids=lambda path: str(path.relative_to(ROOT))
)
def test_a_page_and_a_source_name_only_files_that_exist(path):
    text = path.read_text()
    named = {*FILE.findall(text), *(f"{one.replace('.', '/')}.py" for one in RUN.findall(text))}
    assert not {name for name in named if not (ROOT / name).exists()}


@pytest.mark.parametrize("plugin", PLUGINS)
def test_the_table_from_paper_to_code_names_functions_that_exist(plugin):
    rows = (ROOT / "plugins" / plugin / "README.md").read_text().splitlines()
    cells = [row.rsplit("|", 2)[1] for row in rows if row.startswith("| ") and row.endswith(" |")]
    named = {name for cell in cells for name in re.findall(r"`((?:\w+\.){2,}\w+)`", cell)}
    assert len(named) >= 5
    for name in named:
        whole = name if name.startswith("featurekit") else f"featurekit_{plugin}.{name}"
        module, _, thing = whole.rpartition(".")
        assert hasattr(import_module(module), thing), name


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("tests/faults/r*.py")), ids=lambda path: path.name[:3]
)
def test_a_script_of_a_known_fault_imports_only_what_is_there(path):
    nodes = ast.walk(ast.parse(path.read_text()))
    for node in (one for one in nodes if isinstance(one, ast.ImportFrom)):
        if node.module.partition(".")[0].startswith("featurekit"):
            assert all(hasattr(import_module(node.module), one.name) for one in node.names)


def test_no_two_files_of_tests_have_one_name():
    names = Counter(path.name for path in (ROOT / "tests").rglob("*.py"))
    assert {name for name, count in names.items() if count > 1} <= {"conftest.py"}
