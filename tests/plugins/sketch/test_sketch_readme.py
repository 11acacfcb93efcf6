"""The plugin's README: its table of settings is the schema, with the defaults of two backbones."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

import featurekit as fk
from featurekit_sketch.config import SketchConfig

README = Path(__file__).parents[3] / "plugins" / "sketch" / "README.md"
ROW = re.compile(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def rows():
    return ROW.findall(README.read_text())


def shown(value):
    if value is None or value == []:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else f"{value:g}"


def test_every_setting_has_one_row_in_the_order_of_the_schema(rows):
    names = [one.name for one in fields(SketchConfig) if one.name != "name"]
    assert [row[0] for row in rows] == names


@pytest.mark.parametrize(("place", "backbone"), [(1, "embedded"), (2, "sd15")])
def test_the_defaults_are_those_of_the_backbone(rows, place, backbone):
    usual = fk.compose(["plugin=sketch", f"backbone={backbone}"]).plugin
    assert {row[0]: row[place] for row in rows} == {row[0]: shown(usual[row[0]]) for row in rows}
