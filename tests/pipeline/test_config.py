"""Configuration: the root keys, every group's files, a plugin's schema and presets, refusals."""

import re
from importlib.resources import files

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from featurekit.core.errors import ConfigError, PluginError, UnknownNameError
from featurekit.pipeline.config import ROOT_KEYS, compose, own_backbones, register_for
from featurekit.pipeline.registry import plugins

BACKBONES = sorted(
    entry.name.removesuffix(".yaml")
    for entry in files("featurekit.conf").joinpath("backbone").iterdir()
    if entry.name.endswith(".yaml")
)


def test_the_root_keys_are_the_promised_ones():
    promised = [
        "plugin",
        "backbone",
        "task",
        "image",
        "prompt",
        "seed",
        "device",
        "dtype",
        "out",
        "cache",
        "engine",
        "workers",
    ]
    assert list(ROOT_KEYS) == promised
    assert sorted(compose()) == sorted(promised)


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_file_is_complete_and_carries_its_own_name(name):
    config = OmegaConf.to_container(
        compose([f"backbone={name}"]).backbone, throw_on_missing=True, resolve=True
    )
    assert config["name"] == name
    beside = {"vae", "prediction", "lora_file", "lora_scale", "compile"}
    assert set(config) == {"name", "source", "lora", *beside}


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
        "updates": config.backbone.lora.steps,
    }
    assert config.seed == 5


def test_a_third_partys_preset_chooses_the_plugin_and_its_values(third_party):
    third_party()
    config = compose(["experiment=blur_fast"])
    assert (config.plugin.name, config.plugin.radius) == ("blur", 9.0)


@pytest.mark.parametrize(
    ("words", "radius"),
    [
        (["plugin=blur"], 1.0),  # the schema: the plugin brings nothing for the embedded model
        (["plugin=blur", "backbone=sd15"], 4.0),  # the family's, there being no blur_sd15.yaml
        (["plugin=blur", "backbone=sd21"], 4.0),
        (["plugin=blur", "backbone=sdxl"], 1.0),
        (["plugin=blur", "backbone=sd15", "experiment=blur_fast"], 9.0),
        (["experiment=blur_fast", "backbone=sd15"], 9.0),
        (["experiment=blur_fast", "backbone=sd15", "plugin.radius=2"], 2.0),
        (["plugin=blur", "backbone=sd15", "plugin.radius=2"], 2.0),
    ],
)
def test_the_command_line_beats_the_preset_beats_the_backbone_beats_the_schema(
    third_party, words, radius
):
    third_party()
    assert compose(words).plugin.radius == radius


def test_a_file_for_the_backbone_itself_beats_that_of_its_family(third_party):
    own = third_party() / "conf" / "backbone_defaults" / "blur_sd21.yaml"
    own.write_text("# @package plugin\nradius: 5.0\n")
    assert compose(["plugin=blur", "backbone=sd21"]).plugin.radius == 5.0
    assert compose(["plugin=blur", "backbone=sd15"]).plugin.radius == 4.0


def test_a_file_for_a_backbone_that_sets_what_does_not_exist_is_refused(third_party):
    folder = third_party() / "conf" / "backbone_defaults"
    (folder / "blur_embedded.yaml").write_text("# @package plugin\nradus: 5.0\n")
    with pytest.raises(UnknownNameError, match=r"no setting named 'plugin.radus'; did you mean"):
        compose(["plugin=blur"])


@pytest.mark.parametrize(
    "text",
    ["a house, red roof", "ein Häuschen", "房子's = & [x] (y)", "1.50", "2026_11_30", "c:\\d\\"],
)
def test_text_of_a_run_is_taken_as_it_is(third_party, text):
    third_party()
    words = [f"{key}={text}" for key in ("prompt", "image", "out", "backbone.source")]
    config = compose(["plugin=sketch", *words, f"plugin.drawing={text}", f"plugin.targets=['{0}']"])
    assert (config.prompt, config.image, config.out, config.plugin.drawing) == (text,) * 4
    assert config.backbone.source == text


def test_null_is_nothing_where_nothing_is_allowed_and_a_word_elsewhere():
    config = compose(["plugin=sketch", "image=null", "prompt=null", "plugin.targets=a, b&c.png"])
    assert (config.image, config.prompt) == (None, "null")
    assert config.plugin.targets == ["a", "b&c.png"]


def test_text_may_read_another_setting():
    assert compose(["plugin=sketch", "out=x/${plugin.name}"]).out == "x/sketch"


def test_a_configuration_is_composed_inside_a_run_which_goes_on_as_before(third_party):
    third_party()
    register_for(["plugin=blur"])
    with initialize_config_module("featurekit.conf", version_base="1.3"):
        running = GlobalHydra.instance().hydra
        assert compose(["plugin=sketch"]).plugin.name == "sketch"
        with pytest.raises(UnknownNameError, match="no backbone named 'nope'"):
            compose(["plugin=sketch", "backbone=nope"])
        assert GlobalHydra.instance().hydra is running
        later = hydra_compose("config", overrides=["plugin=blur", "backbone=sd15"])
    assert later.plugin.radius == 4.0  # what the plugin brings for sd15 is still known


@pytest.mark.parametrize("text", ["name: sd21\n", "defaults: [sd15, _self_]\nsource: x\n"])
def test_a_backbone_of_a_users_own_has_the_family_of_the_one_it_is_made_of(tmp_path, text):
    (tmp_path / "backbone").mkdir()
    (tmp_path / "backbone" / "mine.yaml").write_text(text)
    (tmp_path / "backbone" / "other.yaml").write_text("name: unheard_of\n")
    assert own_backbones(tmp_path) == {"mine": "sd"}


def test_a_config_that_is_no_yaml_is_refused_by_its_name(tmp_path):
    (tmp_path / "backbone").mkdir()
    (tmp_path / "backbone" / "torn.yaml").write_text("name: [\n")
    with pytest.raises(ConfigError, match=r"a config must be YAML, but '.*torn\.yaml'"):
        own_backbones(tmp_path)


def test_a_folder_is_taken_as_the_source_of_a_custom_backbone(tmp_path):
    config = compose([f"backbone={tmp_path}"])
    assert (config.backbone.name, config.backbone.source) == ("sd15", str(tmp_path))


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        (["sed=3"], UnknownNameError, r"no setting named 'sed'; did you mean seed\?"),
        (
            ["plugin=blur", "radius=3"],
            UnknownNameError,
            r"named 'radius'; did you mean plugin\.radius\?",
        ),
        (["lora_file=a"], UnknownNameError, r"'lora_file'; did you mean backbone\.lora_file\?"),
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
        (["plugin=blur", "plugin.radius=my (1)"], ConfigError, r"as text it is 'plugin\.radius="),
        (["plugin=blur", "seed=1,2"], ConfigError, "seed takes one value, got 1,2; several, with"),
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
    (broken,) = register_for([]).broken
    assert "'torn' of ragged 0.3" in str(broken)
    assert compose(["experiment=blur_fast"]).plugin.name == "blur"


def test_presets_are_those_of_the_named_plugin_alone(third_party):
    third_party()
    with pytest.raises(UnknownNameError, match="no experiment named 'blur_fast'"):
        compose(["plugin=none", "experiment=blur_fast"])
