"""Overrides: words become settings, and each kind of mistake one sentence that says what to do."""

from dataclasses import dataclass, field

import pytest

from featurekit.core.errors import ConfigError, UnknownNameError
from featurekit.pipeline.overrides import NEEDED, fill, named_plugins, route_backbone, split, usage


@dataclass
class Options:
    picture: str = field(default=NEEDED, metadata={"help": "what to look at"})
    names: list[str] = field(default_factory=lambda: ["up1", "mid"])
    count: int = 1


def test_words_fill_a_dataclass_in_the_grammar_of_a_run():
    options = fill(Options, ["picture='my photo (1).png'", "names=[up2,mid]", "count=3"])
    assert options == Options("my photo (1).png", ["up2", "mid"], 3)


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        ([], ConfigError, r"picture must be given, found nothing; add picture=\.\.\."),
        (["picture=a", "count=many"], ConfigError, "count must be a whole number, got 'many'"),
        (["picture=a", "coun=1"], UnknownNameError, "no setting named 'coun'; did you mean count"),
        (["picture"], ConfigError, "must be written key=value, got 'picture'"),
        (["picture=my (1).png"], ConfigError, r"key=value, got 'picture=my \(1\)\.png'"),
        (["picture=a", "names=3"], ConfigError, "names must fit its type, but"),
        (["picture=a", "count.x=1"], ConfigError, "count"),
    ],
)
def test_a_wrong_word_is_refused_in_one_sentence(words, kind, message):
    with pytest.raises(kind, match=message) as refusal:
        fill(Options, words)
    assert "\n" not in str(refusal.value)


def test_usage_shows_each_key_with_its_default_and_help():
    assert usage(Options).splitlines() == [
        "  picture=...      what to look at",
        "  names=[up1,mid]",
        "  count=1",
    ]


def test_an_override_is_cut_at_its_first_equals_sign():
    assert split("++plugin.x = a=b ") == ("plugin.x", "=", "a=b")
    assert split("plugin") == ("plugin", "", "")


def test_plugins_are_read_off_the_overrides():
    words = ["seed=1", "plugin=drag,sketch", "plugin.points=[[1,2]]"]
    assert named_plugins(words) == ("drag", "sketch")
    assert named_plugins(["seed=1"]) == ()


@pytest.mark.parametrize(
    ("given", "routed"),
    [
        ("backbone=sd21", ["backbone=sd21"]),
        ("backbone=owner/model", ["backbone=sd15", "backbone.source='owner/model'"]),
        ("backbone=/it's/here", ["backbone=sd15", r"backbone.source='/it\'s/here'"]),
        ("backbone=nothing_here", ["backbone=nothing_here"]),
        ("backbone=embedded,a/b", ["backbone=embedded,a/b"]),
        ("image=a/b", ["image=a/b"]),
    ],
)
def test_a_path_or_hub_id_as_backbone_becomes_a_source(given, routed):
    assert route_backbone([given]) == routed


def test_an_existing_folder_without_a_slash_is_a_source_too(tmp_path, monkeypatch):
    (tmp_path / "my_model").mkdir()
    (tmp_path / "sd15").mkdir()
    monkeypatch.chdir(tmp_path)
    assert route_backbone(["backbone=my_model"])[1] == "backbone.source='my_model'"
    assert route_backbone(["backbone=sd15"]) == ["backbone=sd15"]


def test_a_home_folder_is_spelt_out(monkeypatch):
    monkeypatch.setenv("HOME", "/somebody")
    assert route_backbone(["backbone=~/model"])[1] == "backbone.source='/somebody/model'"
