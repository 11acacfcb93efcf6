"""Plugins: listed from metadata, loaded one by one, each fault named together with its owner."""

import subprocess
import sys
from textwrap import dedent

import pytest
from specimen import SPEC

from featurekit.core.errors import PluginError, UnknownNameError
from featurekit.pipeline.registry import Plugin, load_plugin, plugins, resolve


def test_an_installed_plugin_is_listed_with_its_owner_and_not_imported(third_party):
    package = third_party().name
    (info,) = (info for info in plugins() if info.name == "blur")
    assert (info.distribution, info.version, info.value) == ("blurry", "0.3", f"{package}:PLUGIN")
    assert package not in sys.modules


def test_a_plugin_is_loaded_by_its_name(third_party):
    third_party()
    plugin = load_plugin("blur")
    assert isinstance(plugin, Plugin)
    assert plugin.tasks[0] == "smear"
    assert dict(plugin.benches) == {"blur-speed": plugin.target.replace(":run", ":bench")}


def test_every_installed_plugin_describes_itself_without_torch():
    code = """
        import sys
        from featurekit.pipeline.registry import load_plugin, plugins
        names = [info.name for info in plugins()]
        loaded = [load_plugin(name) for name in names]
        heavy = {"torch", "diffusers", "transformers"} & set(sys.modules)
        sys.exit(f"{names} imported {heavy}" if heavy or not loaded else 0)
    """
    subprocess.run([sys.executable, "-c", dedent(code)], check=True)


def test_two_owners_of_one_name_are_both_named(third_party):
    third_party(owner="blurry")
    third_party(owner="smeary")
    with pytest.raises(PluginError, match=r"claimed by blurry 0\.3 and smeary 0\.3; uninstall one"):
        load_plugin("blur")


def test_a_broken_plugin_names_its_distribution_and_leaves_the_others_alone(third_party):
    third_party()
    third_party("torn", owner="ragged", spec="import no_such_module_anywhere")
    with pytest.raises(
        PluginError, match=r"'torn' of ragged 0\.3 must import.*No module named 'no_such_module"
    ):
        load_plugin("torn")
    assert load_plugin("blur").name == "blur"
    assert {"blur", "torn"} <= {info.name for info in plugins()}


def test_a_plugin_that_ends_the_program_is_a_broken_plugin(third_party):
    third_party("torn", owner="ragged", spec="raise SystemExit('no licence')")
    with pytest.raises(PluginError, match="failed with SystemExit: no licence"):
        load_plugin("torn")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("api_version=1", "api_version=99", "must speak api_version 1, got 99"),
        ('    name="blur"', '    name="smear"', "the name of its entry point, got 'smear'"),
        ('name: str = "blur"', 'name: str = "b"', "field name defaults to 'blur', got 'b'"),
        ("PLUGIN = Plugin(", "PLUGIN = dict(", "must be a featurekit Plugin, got dict"),
        ("schema=Config", "schema=dict", "must have a dataclass as schema, got <class 'dict'>"),
        ('tasks=("smear", "refuse", "crash", "wait", "fill")', "tasks=()", "at least one task"),
    ],
)
def test_a_plugin_that_breaks_the_contract_is_refused(third_party, old, new, message):
    assert old in SPEC
    third_party(spec=SPEC.replace(old, new))
    with pytest.raises(PluginError, match=rf"plugin 'blur' of blurry 0\.3 .*{message}"):
        load_plugin("blur")


def test_an_unknown_plugin_gets_suggestions(third_party):
    third_party()
    with pytest.raises(UnknownNameError, match=r"no plugin named 'blurr'; did you mean blur\?"):
        load_plugin("blurr")


def test_a_target_is_found_by_module_and_name():
    assert resolve("featurekit.pipeline.registry:resolve") is resolve


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            "featurekit.pipeline.registry",
            "must be 'module:callable', got 'featurekit.pipeline.registry'",
        ),
        ("no_such_module_anywhere:run", "ModuleNotFoundError"),
        ("featurekit.pipeline.registry:nothing", "AttributeError"),
        ("featurekit.pipeline.registry:GROUP", "must name a callable, got str"),
    ],
)
def test_a_bad_target_is_refused(target, message):
    with pytest.raises(PluginError, match=message):
        resolve(target)
