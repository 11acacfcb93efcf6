"""Overrides: words become settings, and each kind of mistake one sentence that says what to do."""

import json
import shlex
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from featurekit import backbones
from featurekit.backbones import hub
from featurekit.core.errors import ConfigError, UnknownNameError
from featurekit.pipeline.overrides import NEEDED, fill, named_plugins, route_backbone, split, usage
from featurekit.pipeline.text_values import quoted

TEXTS = [
    *("a house, red roof", "ein Häuschen", "房子", "house's.png", 'say "yes"', "a&b=c.png", "köln"),
    *("my photo (1).png", "[x] {y}", "1.50", "2026_11_30", "true", "null", "~a", "a\\b", "c:\\d\\"),
    *("#!%@:;", "choice(a,b)", "-3", "1e5", "'a' and 'b'", "a\nb", ""),
]


@dataclass
class Options:
    picture: str = field(default=NEEDED, metadata={"help": "what to look at"})
    names: list[str] = field(default_factory=lambda: ["up1", "mid"])
    count: int = 1
    sizes: list[int] = field(default_factory=list)


def test_words_fill_a_dataclass_in_the_grammar_of_a_run():
    options = fill(Options, ["picture='my photo (1).png'", "names=[up2,mid]", "count=3"])
    assert options == Options("my photo (1).png", ["up2", "mid"], 3)


@pytest.mark.parametrize("text", TEXTS)
def test_text_is_taken_as_it_is(text):
    assert fill(Options, [f"picture={text}"]).picture == text
    assert fill(Options, [f"picture={quoted(text)}"]).picture == text


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("up1", ["up1"]),
        ("up1, mid", ["up1", "mid"]),
        ("[**.attn1.to_q:in,1.50]", ["**.attn1.to_q:in", "1.50"]),
        ("[a&b.png,'c, d.png',köln=x]", ["a&b.png", "c, d.png", "köln=x"]),
        ("[house's.png]", ["house's.png"]),
        ("[]", []),
    ],
)
def test_a_list_of_texts_holds_them_as_they_are_and_one_needs_no_brackets(value, names):
    assert fill(Options, ["picture=a", f"names={value}"]).names == names


def test_one_number_is_a_list_of_numbers():
    assert fill(Options, ["picture=a", "sizes=3"]).sizes == [3]
    assert fill(Options, ["picture=a", "sizes=3,4"]).sizes == [3, 4]
    assert fill(Options, ["picture=a", "sizes=[3,4]"]).sizes == [3, 4]


@pytest.mark.parametrize("word", ["seed=a b(", "count=3 (three)", "x=a&b", "x=köln's"])
def test_what_cannot_be_read_is_shown_so_that_it_can_be_pasted(word):
    with pytest.raises(ConfigError, match="must be written key=value") as refusal:
        fill(Options, ["picture=a", word])
    shown = str(refusal.value).partition("as text it is ")[2]
    (pasted,) = shlex.split(shown)
    (read,) = OverridesParser.create().parse_overrides([pasted])
    assert f"{read.key_or_group}={read.value()}" == word


def test_several_values_are_no_value_of_a_subcommand():
    with pytest.raises(ConfigError, match=r"count takes one value, got 1,2; .* featurekit run -m"):
        fill(Options, ["picture=a", "count=1,2"])


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        ([], ConfigError, r"picture must be given, found nothing; add picture=\.\.\."),
        (["picture=a", "count=many"], ConfigError, "count must be a whole number, got 'many'"),
        (["picture=a", "coun=1"], UnknownNameError, "no setting named 'coun'; did you mean count"),
        (["picture"], ConfigError, "must be written key=value, got 'picture'"),
        (["picture=a", "count=my (1)"], ConfigError, r"key=value, got 'count=my \(1\)'; as text"),
        (["picture=a", "sizes=many"], ConfigError, r"sizes.* must be a whole number, got 'many'"),
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
        "  sizes=[]",
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
        ("backbone='my, model/x'", ["backbone=sd15", "backbone.source='my, model/x'"]),
        ('backbone="sd21"', ['backbone="sd21"']),
        ("image=a/b", ["image=a/b"]),
    ],
)
def test_a_path_or_hub_id_as_backbone_becomes_a_source(given, routed, offline):
    assert route_backbone([given]) == routed


def test_in_a_sweep_a_comma_separates_backbones(offline):
    assert route_backbone(["backbone=embedded,a/b"], sweep=True) == ["backbone=embedded,a/b"]
    assert route_backbone(["backbone=a/b"], sweep=True)[1] == "backbone.source='a/b'"


def test_an_existing_folder_without_a_slash_is_a_source_too(tmp_path, monkeypatch):
    (tmp_path / "my_model").mkdir()
    (tmp_path / "sd15").mkdir()
    monkeypatch.chdir(tmp_path)
    assert route_backbone(["backbone=my_model"])[1] == "backbone.source='my_model'"
    assert route_backbone(["backbone=sd15"]) == ["backbone=sd15"]


@pytest.mark.parametrize(("added", "family"), [("text_time", "sdxl"), (None, "sd15")])
def test_a_folder_gets_the_settings_of_its_family(added, family, tmp_path):
    (tmp_path / "unet").mkdir()
    config = json.dumps({"addition_embed_type": added})
    (tmp_path / "unet/config.json").write_text(config)
    found = route_backbone([f"backbone={tmp_path}"])
    assert found == [f"backbone={family}", f"backbone.source='{tmp_path}'"]


def test_a_folder_without_a_unet_gets_the_settings_of_transformers(tmp_path):
    index = {"transformer": ["diffusers", "FluxTransformer2DModel"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    found = route_backbone([f"backbone={tmp_path}"])
    assert found == ["backbone=transformer", f"backbone.source='{tmp_path}'"]
    (tmp_path / "model_index.json").write_text("no JSON")
    assert route_backbone([f"backbone={tmp_path}"])[0] == "backbone=sd15"  # loading says why


def test_a_hub_id_without_a_unet_is_told_by_its_index(tmp_path, monkeypatch):
    asked = []

    def send(hub_id, allow_patterns):
        asked.append(tuple(allow_patterns))
        if "model_index.json" in allow_patterns:
            index = {"transformer": ["diffusers", "FluxTransformer2DModel"]}
            (tmp_path / "model_index.json").write_text(json.dumps(index))
        return str(tmp_path)

    monkeypatch.setattr(hub, "snapshot_download", send)
    assert route_backbone(["backbone=some/where"])[0] == "backbone=transformer"
    assert asked == [("unet/config.json", "model_index.json")]


def cached_unet(cache, hub_id, content):
    """Put the config of a UNet into the hub's cache, as its client leaves it there."""
    cached, commit = cache / f"models--{hub_id.replace('/', '--')}", "0" * 40
    (cached / "snapshots" / commit / "unet").mkdir(parents=True)
    (cached / "snapshots" / commit / "unet/config.json").write_text(content)
    (cached / "refs").mkdir()
    (cached / "refs/main").write_text(commit)


@pytest.mark.parametrize(("added", "family"), [("text_time", "sdxl"), (None, "sd15")])
def test_a_hub_id_gets_the_settings_of_its_family(added, family, offline):
    cached_unet(offline, "some/where", json.dumps({"addition_embed_type": added}))
    assert route_backbone(["backbone=some/where"]) == [
        f"backbone={family}", "backbone.source='some/where'",
    ]  # fmt: skip


def test_a_hub_is_asked_for_what_tells_families_apart_alone(tmp_path, monkeypatch):
    asked = []

    def send(hub_id, allow_patterns):
        asked.append((hub_id, allow_patterns))
        (tmp_path / "unet").mkdir()
        (tmp_path / "unet/config.json").write_text('{"addition_embed_type": "text_time"}')
        return str(tmp_path)

    monkeypatch.setattr(hub, "snapshot_download", send)
    assert route_backbone(["backbone=some/where"])[0] == "backbone=sdxl"
    assert asked == [("some/where", ["unet/config.json", "model_index.json"])]
    parts = {"transformer": ["diffusers", "FluxTransformer2DModel"]}
    (tmp_path / "model_index.json").write_text(json.dumps(parts))
    assert route_backbone([f"backbone={tmp_path}"])[0] == "backbone=transformer"


@pytest.mark.parametrize("config", [None, "no JSON"])
def test_a_hub_id_whose_config_cannot_be_read_is_left_to_loading(config, offline):
    if config is not None:
        cached_unet(offline, "some/where", config)
    assert route_backbone(["backbone=some/where"])[0] == "backbone=sd15"


def test_a_home_folder_is_spelt_out(monkeypatch):
    monkeypatch.setenv("HOME", "/somebody")
    assert route_backbone(["backbone=~/model"])[1] == "backbone.source='/somebody/model'"


def test_one_file_gets_the_settings_of_its_family(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for family in ("sdxl", "sd15"):
        (tmp_path / f"{family}.safetensors").touch()
        monkeypatch.setattr(backbones, "identify", lambda path: kind_of(path.stem))
        assert route_backbone([f"backbone={family}.safetensors"]) == [
            f"backbone={family}", f"backbone.source='{family}.safetensors'",
        ]  # fmt: skip


def kind_of(family):
    return SimpleNamespace(family=family)


def test_a_file_that_is_none_or_not_there_is_left_to_loading(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.safetensors").write_text("words")
    for name in ("words.safetensors", "nowhere.safetensors"):
        assert route_backbone([f"backbone={name}"]) == [
            "backbone=sd15", f"backbone.source='{name}'",
        ]  # fmt: skip
