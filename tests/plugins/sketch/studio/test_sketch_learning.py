"""The job of learning: its record is that of a run, it is seen, a stop leaves it whole."""

import atexit
import json
from functools import cache
from pathlib import Path
from shutil import copytree, rmtree
from tempfile import mkdtemp

import pytest
from sketch_studio import (
    SMALL,
    act,
    desk_of,
    does,
    drawing,
    learnt_desk,
    learnt_once,
    names,
    numbers,
    shelf_of,
    small_runs,
    style_of,
    weights_of,
)

from featurekit.core.errors import ConfigError
from featurekit.core.json_files import read_json
from featurekit.pipeline.config import compose
from featurekit.pipeline.run import run
from featurekit_sketch.studio import learning, shelf

ASKED = {"title": "Mine", "prompt": "a face", "seed": 2}


def began(folder):
    """A studio with a dropped drawing, and what asks to learn it."""
    studio = desk_of(folder)
    pair = act(studio, "check", {"name": "mine.png"}, drawing=drawing())["pair"]
    return studio, {**ASKED, "pair": pair["key"]}


@cache
def stopped_once():
    """The folder of a desk whose training was stopped, and the style's id."""
    folder = Path(mkdtemp())
    atexit.register(rmtree, folder, ignore_errors=True)
    studio, asked = began(folder / "desk")
    with small_runs(), pytest.raises(KeyboardInterrupt):
        does(studio, "learn", asked, stop_at=3)
    (style,) = [one["id"] for one in act(studio, "told")["styles"] if not one["bundled"]]
    studio.close()
    return folder / "desk", style


def stopped(folder):
    """A studio, begun anew, whose training was stopped; and the style's id."""
    kept, style = stopped_once()
    copytree(kept, folder)
    return desk_of(folder, picture=False), style


def learnt_weights():
    folder, style, *_ = learnt_once()
    return weights_of(folder / "tabs/sketch/styles" / style / "run/style.safetensors")


def test_a_style_leaves_the_record_that_the_command_leaves(tmp_path):
    studio, style = learnt_desk(tmp_path / "desk")
    _, folder = shelf_of(studio).own(style)
    found = read_json(folder / "run" / "run.json")
    cfg = compose(["plugin=sketch", "backbone=embedded"])
    for name, value in SMALL.items():
        cfg.plugin[name] = value
    cfg.image, cfg.prompt, cfg.seed = str(folder / "picture"), "a face", 2
    cfg.plugin.drawing, cfg.out = str(folder / "drawing"), str(tmp_path / "run")
    with small_runs():
        wanted = json.loads(json.dumps(run(cfg)))
    assert found.keys() == wanted.keys()
    own = {"config", "stages", "summary", "notes"}  # the folders, seconds
    for name in found.keys() - own:
        assert found[name] == wanted[name], name
    places = {"out": "", "image": "", "task": "train"}
    for one in (found, wanted):
        one["config"] |= places
        one["config"]["plugin"]["drawing"] = ""
    assert found["config"] == wanted["config"]
    assert found["outputs"].keys() == {"style", "pair", "curve"}
    for name in ("pair.png", "curve.png"):  # also: who looks on changes nothing
        assert (folder / "run" / name).read_bytes() == (tmp_path / "run" / name).read_bytes(), name
    assert weights_of(tmp_path / "run" / "style.safetensors") == learnt_weights()


def test_live_pictures_numbers_and_stages_are_told():
    told, shown, heard = learnt_once()[2:]
    assert names(told)[:2] == ["try", "other"]
    assert [(one["iteration"], one["of"]) for one in numbers(told)][:: len(numbers(told)) - 1] == [
        (1, 8), (8, 8),
    ]  # fmt: skip
    assert numbers(told)[0]["left_s"] is None
    assert numbers(told)[-1]["left_s"] == 0
    assert all(one["loss"] > 0 for one in numbers(told))
    assert {tuple(one.shape) for one in shown.values()} == {(1, 3, 64, 64), (1, 3, 256, 256)}
    first, *_, last = [one for one in shown.values() if one.shape[-1] == 64]
    assert float((last - first).abs().max()) > 0.01  # it has learnt meanwhile
    stages = [event["job"]["stage"] for kind, event in told if kind == "job"]
    assert {"sampling pictures", "learning the style"} <= set(stages)
    assert heard.count("styles") >= 3  # when it is there, at work, and learnt


def test_a_stop_leaves_a_style_that_goes_on_to_the_same(tmp_path):
    studio, style = stopped(tmp_path / "desk")
    found = style_of(studio, style)
    assert (found["state"], found["of"]) == ("stopped", 8)
    assert 0 < found["done"] < 8
    _, folder = shelf_of(studio).own(style)
    assert read_json(folder / "run" / "run.json")["status"] == "interrupted"
    with small_runs():
        result, told, _ = does(studio, "learn", {"style": style})
    assert result == {"style": style}
    assert numbers(told)[0]["iteration"] > 1
    assert weights_of(folder / "run" / "style.safetensors") == learnt_weights()
    assert read_json(folder / "run" / "run.json")["status"] == "done"
    assert style_of(studio, style)["state"] == "ready"


def test_a_server_that_dies_leaves_a_style_that_goes_on(tmp_path, monkeypatch):
    taken = []

    def copy(kind, values):  # as a disk is found after the power went
        job = values["job"] if kind == "job" else {}
        if job.get("stage") == "learning the style" and not taken:
            taken.append(copytree(tmp_path / "desk", tmp_path / "dead"))

    def telling(work):
        tell = work._tell
        work._tell = lambda kind, values: (copy(kind, values), tell(kind, values))
        return work

    learn = learning.Learning.learn
    monkeypatch.setattr(
        learning.Learning, "learn", lambda self, asked, work: learn(self, asked, telling(work))
    )
    studio, asked = began(tmp_path / "desk")
    studio.put_example()
    with small_runs():
        result, _, shown = does(studio, "learn", asked)
        style, sizes = result["style"], {tuple(one.shape) for one in shown.values()}
        assert sizes == {(1, 3, 64, 64), (1, 3, 48, 64)}  # the drawn picture, that on the desk
        again = desk_of(tmp_path / "dead", picture=False)
        assert style_of(again, style)["state"] == "stopped"
        does(again, "learn", {"style": style})
    _, folder = shelf_of(again).own(style)
    assert weights_of(folder / "run" / "style.safetensors") == learnt_weights()


def test_a_style_of_another_model_is_not_gone_on_with(tmp_path):
    studio, style = stopped(tmp_path / "desk")
    facts = tmp_path / "desk/tabs/sketch/styles" / style / "style.json"
    facts.write_text(facts.read_text().replace('"embedded"', '"sd15"'))
    found = style_of(studio, style)
    assert not found["fits"]
    assert found["why"] == "it is being learnt on 'sd15'; open the studio with backbone=sd15"
    with pytest.raises(ConfigError, match="begun on, 'sd15', got 'embedded'"):
        does(studio, "learn", {"style": style})


def test_what_cannot_be_learnt_is_refused_and_nothing_is_begun(tmp_path):
    studio, asked = began(tmp_path / "desk")
    before = act(studio, "told")["styles"]
    for values, words in (
        ({**asked, "pair": "../../x"}, "the drawing must be one that was dropped here"),
        ({**asked, "title": " \n "}, "must have a name of a letter"),
        ({**asked, "seed": -1}, "seed must be a number"),
        ({**asked, "iterations": 0}, "iterations must be a number"),
        ({"style": "brush"}, "only a style of your own can be changed"),
    ):
        with pytest.raises(ConfigError, match=words):
            does(studio, "learn", values)
    assert act(studio, "told")["styles"] == before


def test_there_are_only_so_many_styles(tmp_path, monkeypatch):
    studio, asked = began(tmp_path / "desk")
    monkeypatch.setattr(shelf, "MOST", 0)
    with pytest.raises(ConfigError, match="at most 0 styles of your own are kept"):
        does(studio, "learn", asked)


def test_a_student_is_taught_seen_and_then_there(tmp_path):
    studio, style = learnt_desk(tmp_path / "desk")
    assert style_of(studio, style)["student"]
    _, folder = shelf_of(studio).own(style)
    record = read_json(folder / "student" / "run.json")
    assert record["config"]["task"] == "distil"
    assert record["config"]["plugin"]["style"].endswith(f"{style}/run/style.safetensors")
    with small_runs():
        _, told, _ = does(studio, "distil", {"style": style, "count": 4, "iterations": 2})
    assert names(told)[:2] == ["teacher", "student"]
    assert numbers(told)[-1]["iteration"] == numbers(told)[-1]["of"] == 2
    assert read_json(folder / "student" / "run.json")["config"]["plugin"]["pairs"] == 4


def test_a_student_that_was_stopped_goes_on_to_the_same(tmp_path):
    studio, style = learnt_desk(tmp_path / "desk")
    _, folder = shelf_of(studio).own(style)
    asked = {"style": style, "count": 3, "iterations": 5}
    with small_runs():
        does(studio, "distil", asked)
        wanted = weights_of(folder / "student" / "student.safetensors")
        does(studio, "distil", {**asked, "iterations": 4})  # else it would be there already
        with pytest.raises(KeyboardInterrupt):
            does(studio, "distil", asked, stop_at=2)
        assert not style_of(studio, style)["student"]
        does(studio, "distil", asked)
    assert weights_of(folder / "student" / "student.safetensors") == wanted


def test_a_student_is_not_taught_of_what_is_not_learnt(tmp_path):
    studio, style = stopped(tmp_path / "desk")
    with pytest.raises(ConfigError, match="'Mine' is not; go on with it first"):
        does(studio, "distil", {"style": style})
    with pytest.raises(ConfigError, match="only a style of your own"):
        does(studio, "distil", {"style": "brush"})
