"""The package: its public names and what importing it costs."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

import featurekit as fk

PROMISED = {
    "FlowSchedule",
    "FlowTable",
    "load_backbone", "wrap", "describe_backbone", "load_features", "load_image",
    "capture", "extract", "extract_latents",
    "NoiseTable",
    "Schedule", "ddim_step", "invert", "sample", "optimise", "Limits", "plugins", "load_plugin",
    "run", "compose", "inject", "attention_maps", "to_tokens", "among_words", "among_cells",
    "Trajectory", "save_trajectory", "load_trajectory",
    "Extractor", "Sample", "Ensemble", "Recipe", "ray_map", "recipe", "recipes", "studio",
}  # fmt: skip
MODULES = {"errors", "scenes", "testing"}


def child(code):
    result = subprocess.run(
        [sys.executable, "-c", dedent(code)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_public_names_are_the_promised_ones():
    assert set(fk.__all__) == PROMISED | MODULES
    assert set(dir(fk)) == PROMISED | MODULES | {"__version__"}


def test_the_page_of_the_architecture_promises_the_same_names():
    page = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text()
    section = page.partition("## 4. ")[2].partition("## 5. ")[0]
    assert set(re.findall(r"\bfk\.(\w+)", section)) == PROMISED | MODULES


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_a_public_name_is_the_thing_of_its_module(name):
    thing = getattr(fk, name)
    assert callable(thing)
    assert thing is getattr(sys.modules[thing.__module__], thing.__name__)


def test_what_a_type_checker_sees_is_what_python_finds():
    tree = ast.parse(Path(fk.__file__).read_text(encoding="utf-8"))
    typed = {
        alias.asname or alias.name: (node.module, alias.name)
        for block in ast.walk(tree)
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    found = {name: (getattr(fk, name).__module__, getattr(fk, name).__name__) for name in PROMISED}
    found |= {name: tuple(getattr(fk, name).__name__.rsplit(".", 1)) for name in MODULES}
    assert typed == found


def test_no_public_name_is_hidden_by_a_room_that_is_imported():
    rooms = {path.name for path in Path(fk.__file__).parent.iterdir() if path.is_dir()}
    assert not rooms & PROMISED


def test_what_tests_stand_on_is_fetched_when_it_is_used():
    child("""
import sys
import featurekit as fk
assert "featurekit.testing" not in sys.modules
assert "testing" in dir(fk)
assert fk.testing.check_plugin.__module__ == "featurekit.testing.conformance"
assert fk.testing.MixtureDenoiser.__module__ == "featurekit.testing.denoisers"
assert fk.testing is sys.modules["featurekit.testing"]
""")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'featurekit' has no attribute 'sampel'"):
        fk.sampel  # noqa: B018


def test_importing_the_package_imports_nothing_heavy():
    heavy = "{'torch', 'diffusers', 'transformers', 'hydra', 'numpy', 'PIL'}"
    assert child(f"import featurekit, sys; print({heavy} & set(sys.modules))") == "set()\n"
