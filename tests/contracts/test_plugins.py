"""Every bundled plugin keeps the contract that a third party's plugin is held to."""

import pytest

from featurekit.pipeline.registry import load_plugin, plugins
from featurekit.testing import check_plugin
from featurekit.testing.imports import inner_imports

SHORT = {  # settings that make the default task a matter of seconds
    "drag": ["plugin.animation_frames=1"],
    "sketch": [
        "plugin.iterations=1",
        "plugin.samples=1",
        "plugin.steps=16",
        "plugin.views=1",
        "plugin.tests=1",
        "plugin.side_px=64",
    ],
}
ROOMS = {  # what the bundled plugins stand on beside public names; they are released together
    "drag": {
        "backbones", "core", "diffusion", "features", "images", "measures", "pipeline", "store",
        "taps", "web",
    },
    "sketch": {
        "backbones", "core", "diffusion", "images", "measures", "pipeline", "scale", "taps",
        "training", "web",
    },
}  # fmt: skip
BUNDLED = sorted(info.name for info in plugins() if info.distribution == "featurekit")


def test_every_bundled_plugin_is_asked():
    assert sorted(SHORT) == sorted(ROOMS) == BUNDLED


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_plugin_keeps_the_contract(name):
    check_plugin(load_plugin(name), overrides=SHORT[name], rooms=ROOMS[name])


@pytest.mark.parametrize("name", BUNDLED)
def test_the_table_of_rooms_names_what_is_imported_and_no_more(name):
    assert set(inner_imports(load_plugin(name))) == ROOMS[name]
