"""Presets inside a run: what the command line would compose, and what cannot be compared."""

from dataclasses import asdict

import pytest
from omegaconf import OmegaConf

import featurekit as fk
from featurekit.core.errors import ConfigError, UnknownNameError
from featurekit_drag import presets
from featurekit_drag.presets import settings_of_presets


def settings(*words):
    return OmegaConf.to_object(fk.compose(["plugin=drag", *words]).plugin)


def told(config):
    return {name: value for name, value in asdict(config).items() if name != "presets"}


@pytest.mark.parametrize("backbone", ["embedded", "random", "sd15"])
def test_a_preset_has_the_settings_that_the_command_line_gives_it(backbone):
    chosen = f"backbone={backbone}"
    asked = settings(chosen, "plugin.presets=[none,drag_dragdiffusion]")
    found = settings_of_presets(asked, backbone)
    assert list(found) == ["none", "drag_dragdiffusion"]
    assert told(found["none"]) == told(settings(chosen))
    published = settings(chosen, "experiment=drag_dragdiffusion")
    assert told(found["drag_dragdiffusion"]) == told(published)
    assert found["drag_dragdiffusion"].patch_radius == 1


def test_what_the_run_sets_stands_above_every_preset():
    words = ["backbone=random", "plugin.updates=3", "plugin.lora_rank=2", "plugin.attention=[x]"]
    asked = settings(*words, "plugin.presets=[none,drag_dragdiffusion]")
    for preset, found in settings_of_presets(asked, "random").items():
        assert told(found) == told(settings(*words, f"experiment={preset}"))
        assert (found.updates, found.lora_rank, found.attention) == (3, 2, ["x"])


def test_without_presets_nothing_is_composed():
    assert settings_of_presets(settings(), "no such backbone") == {}


def test_a_preset_that_is_not_there_or_of_another_plugin_is_refused():
    for name in ("drag_dragdifusion", "sketch_diffsketch"):
        with pytest.raises(UnknownNameError, match=f"no experiment named '{name}'"):
            settings_of_presets(settings(f"plugin.presets=[{name}]"), "embedded")


def test_a_preset_named_twice_is_refused():
    with pytest.raises(ConfigError, match="must name each preset once, got"):
        settings_of_presets(settings("plugin.presets=[none,none]"), "embedded")


def test_a_preset_that_sets_more_than_the_plugin_is_refused(monkeypatch):
    own = presets.resolved
    calls = []

    def changed(cfg):
        calls.append(1)
        return {**own(cfg), "seed": len(calls)}

    monkeypatch.setattr(presets, "resolved", changed)
    with pytest.raises(ConfigError, match=r"may set plugin\.\* only, none sets seed; run it alone"):
        settings_of_presets(settings("plugin.presets=[none]"), "embedded")


def test_presets_are_refused_where_nothing_is_compared(tmp_path):
    words = ["plugin=drag", "backbone=random", f"out={tmp_path}", "plugin.presets=[none]"]
    with pytest.raises(ConfigError, match="is for task=evaluate, got task=edit; choose one preset"):
        fk.run(fk.compose(words))


def test_a_wrong_preset_is_refused_before_weights_are_read(tmp_path):
    words = ["plugin=drag", "task=evaluate", "backbone=random", f"out={tmp_path}"]
    with pytest.raises(UnknownNameError, match="no experiment named 'drag_dragdifusion'"):
        fk.run(fk.compose([*words, "plugin.presets=[drag_dragdifusion]"]))
    assert not (tmp_path / "scenes").exists()
