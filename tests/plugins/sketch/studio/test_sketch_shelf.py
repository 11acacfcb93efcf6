"""Styles on the shelf: told, renamed, removed; what is bundled, harmed or at work stays."""

import pytest
from sketch_studio import act, desk_of, does, drawing, learnt_desk, listening, shelf_of, style_of

from featurekit.core.errors import ConfigError, UnknownNameError
from featurekit_sketch.bundled_styles import NAMES
from featurekit_sketch.studio import shelf


def ids(studio):
    return [one["id"] for one in act(studio, "told")["styles"]]


def test_bundled_styles_come_first_and_are_ready(tmp_path):
    studio = desk_of(tmp_path / "desk")
    told = act(studio, "told")["styles"]
    assert [one["id"] for one in told] == list(NAMES)
    for one in told:
        assert one["bundled"]
        assert one["state"] == "ready"
        assert one["fits"]
        assert one["student"]
        assert one["thumb"].startswith("/blob/")
        assert one["overlay"] is None
        assert one["why"] is None


def test_amounts_are_those_of_the_command(tmp_path):
    amounts = act(desk_of(tmp_path / "desk"), "told")["amounts"]
    assert amounts == {
        "quick": 150, "full": 700, "student": {"count": 600, "iterations": 3000},
    }  # fmt: skip


def test_a_style_is_told_renamed_and_removed(tmp_path):
    studio, style = learnt_desk(tmp_path / "desk")
    told = style_of(studio, style)
    assert (told["title"], told["state"], told["bundled"], told["ink"]) == (
        "Mine", "ready", False, "lines",
    )  # fmt: skip
    assert (told["done"], told["of"], told["mended"], told["student"]) == (8, 8, [], True)
    heard = listening(studio)
    act(studio, "rename", {"style": style, "title": " My \n own " + 200 * "x"})
    assert style_of(studio, style)["title"] == "My own " + 73 * "x"
    does(studio, "draw", {"style": style})
    shelf_of(studio).together((shelf_of(studio).find(style),))  # as for a mix
    found = act(studio, "remove", {"style": style})
    assert [one["id"] for one in found["styles"]] == list(NAMES)
    assert heard.count("styles") == 2
    left = [one.name for one in (tmp_path / "desk/tabs/sketch").rglob(f"*{style}*")]
    assert left == []
    assert act(studio, "told")["drawn"] is None


def test_bundled_styles_can_be_neither_renamed_nor_removed(tmp_path):
    studio = desk_of(tmp_path / "desk")
    for action in ("rename", "remove"):
        with pytest.raises(ConfigError, match="only a style of your own can be changed"):
            act(studio, action, {"style": "brush", "title": "x"})
    for name in ("..", ".", "../../pictures", "nobody"):
        with pytest.raises(UnknownNameError, match="style"):
            act(studio, "remove", {"style": name})
    assert ids(studio) == list(NAMES)


def test_a_style_at_work_is_not_removed(tmp_path):
    studio, style = learnt_desk(tmp_path / "desk")
    with (
        shelf_of(studio).at_work(style),
        pytest.raises(ConfigError, match="is being learnt must stay, and 'Mine' is; stop it first"),
    ):
        act(studio, "remove", {"style": style})
    assert style in ids(studio)


def test_a_style_whose_folder_was_harmed_is_left_out(tmp_path):
    studio, style = learnt_desk(tmp_path / "desk")
    folder = tmp_path / "desk/tabs/sketch/styles" / style
    for text in ("{", "{}", '{"title": "Mine"}'):
        (folder / "style.json").write_text(text)
        assert ids(studio) == list(NAMES)
    (folder.parent / "notes").mkdir()
    assert ids(studio) == list(NAMES)


def test_a_style_whose_file_is_damaged_says_so(tmp_path):
    studio, style = learnt_desk(tmp_path / "desk")
    file = tmp_path / "desk/tabs/sketch/styles" / style / "run/style.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    told = style_of(studio, style)
    assert not told["fits"]
    assert str(tmp_path) not in told["why"]
    with pytest.raises(ConfigError, match="safetensors"):
        does(studio, "draw", {"style": style})


def test_styles_keep_the_order_in_which_they_were_begun(tmp_path):
    studio = desk_of(tmp_path / "desk")
    key = act(studio, "check", {"name": "mine.png"}, drawing=drawing())["pair"]["key"]
    pair = studio.placed["sketch"].tab.actions["check"].__self__.find(key)
    facts = {"prompt": "", "seed": 0, "iterations": 5, "model": "embedded"}
    begun = [shelf_of(studio).add(pair, {**facts, "title": title}).id for title in "zyxwv"]
    again = desk_of(tmp_path / "desk", picture=False)
    assert ids(again) == [*NAMES, *begun]
    assert style_of(again, begun[0])["state"] == "not learnt"


def test_a_title_is_one_line():
    assert shelf.title_of("a\tb\x00c\u2028d") == "a b c d"
    with pytest.raises(ConfigError, match="must have a name of a letter"):
        shelf.title_of("\u200b\n")
