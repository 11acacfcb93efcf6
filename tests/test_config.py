"""Configuration: the root keys, every group's files, a plugin's schema and presets, refusals."""

import re
from importlib.resources import files

import pytest
from omegaconf import OmegaConf

from featurekit.config import ROOT_KEYS, compose, register_for
from featurekit.errors import ConfigError, PluginError, UnknownNameError
from featurekit.registry import plugins

BACKBONES = sorted(
    entry.name.removesuffix(".yaml")
    for entry in files("featurekit.conf").joinpath("backbone").iterdir()
    if entry.name.endswith(".yaml")
)


def test_the_root_keys_are_the_promised_ones():
    promised = ["plugin", "backbone", "task", "image", "prompt", "seed", "device", "dtype", "out"]
    assert list(ROOT_KEYS) == promised
    assert sorted(compose()) == sorted(promised)


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_file_is_complete_and_carries_its_own_name(name):
    config = OmegaConf.to_container(
        compose([f"backbone={name}"]).backbone, throw_on_missing=True, resolve=True
    )
    assert config["name"] == name
    assert config["drag"]


@pytest.mark.parametrize("name", sorted({info.name for info in plugins()}))
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_installed_plugin_finds_its_settings_on_every_backbone(name, backbone):
    config = compose([f"plugin={name}", f"backbone={backbone}"])
    assert OmegaConf.to_object(config.plugin).name == name


def test_out_is_a_folder_of_its_own_for_plugin_and_moment():
    assert re.fullmatch(r"runs/none/\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", compose(["plugin=none"]).out)


def test_a_third_partys_schema_gives_names_types_and_defaults(third_party):
    third_party()
    config = compose(["plugin=blur", "plugin.radius=3", "seed=5"])
    assert OmegaConf.to_container(config.plugin, resolve=True) == {
        "name": "blur",
        "radius": 3.0,
        "updates": config.backbone.drag.updates,
    }
    assert config.seed == 5


def test_a_third_partys_preset_chooses_the_plugin_and_its_values(third_party):
    third_party()
    config = compose(["experiment=blur_fast"])
    assert (config.plugin.name, config.plugin.radius) == ("blur", 9.0)


def test_a_folder_is_taken_as_the_source_of_a_custom_backbone(tmp_path):
    config = compose([f"backbone={tmp_path}"])
    assert (config.backbone.name, config.backbone.source) == ("sd15", str(tmp_path))


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        (["sed=3"], UnknownNameError, r"no setting named 'sed'; did you mean seed\?"),
        (["backbon=sd15"], UnknownNameError, "no setting named 'backbon'; did you mean backbone"),
        (["plugin=blur", "plugin.radus=1"], UnknownNameError, "did you mean plugin.radius"),
        (["backbone.lora.rnk=1"], UnknownNameError, "did you mean backbone.lora.rank"),
        (["plugin=blurr"], UnknownNameError, r"no plugin named 'blurr'; did you mean blur\?"),
        (["backbone=sd16"], UnknownNameError, "no backbone named 'sd16'; did you mean sd"),
        (["experiment=blur_slow"], UnknownNameError, "no experiment named .* did you mean blur_f"),
        (["seed=many"], ConfigError, "seed must be a whole number, got 'many'"),
        (["seed=1.5"], ConfigError, "seed must be a whole number, got '1.5'"),
        (["plugin=blur", "plugin.radius=wide"], ConfigError, "radius must be a number, got 'wide'"),
        (["seed"], ConfigError, "must be written key=value, got 'seed'"),
        (["image=my (1).png"], ConfigError, "needs quotes of its own"),
        (["image=a,b"], ConfigError, "ambiguous value for argument 'image=a,b'"),
        (["backbone=null"], ConfigError, "the settings must fit together, but"),
        (["=3"], ConfigError, "the settings must fit together, but"),
        (["nothing@here=3"], ConfigError, "the settings must fit together, but"),
        (["backbone.lora=3"], ConfigError, "backbone.lora must fit its type, but"),
    ],
)
def test_a_mistake_is_refused_in_one_sentence(third_party, words, kind, message):
    third_party()
    with pytest.raises(kind, match=message) as refusal:
        compose(words)
    assert "\n" not in str(refusal.value)


def test_a_broken_plugin_is_loud_when_named_and_reported_when_not(third_party):
    third_party()
    third_party("torn", owner="ragged", spec="import no_such_module_anywhere")
    with pytest.raises(PluginError, match=r"'torn' of ragged 0\.3"):
        compose(["plugin=torn"])
    (broken,) = register_for([])
    assert "'torn' of ragged 0.3" in str(broken)
    assert compose(["experiment=blur_fast"]).plugin.name == "blur"


def test_presets_are_those_of_the_named_plugin_alone(third_party):
    third_party()
    with pytest.raises(UnknownNameError, match="no experiment named 'blur_fast'"):
        compose(["plugin=none", "experiment=blur_fast"])
