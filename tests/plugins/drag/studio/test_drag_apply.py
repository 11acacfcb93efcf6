"""The job of an edit: its record is that of a run, a stop leaves it whole, history keeps it."""

import json

import pytest
from drag_studio import act, closed, desk_of, does, masked, place_of, rows

from featurekit.core.errors import ConfigError
from featurekit.core.json_files import read_json
from featurekit.images.io import load_image
from featurekit.pipeline.config import compose
from featurekit.pipeline.run import run


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """One edit of the scene, under its mask, on a machine that has no time to show it often."""
    made = desk_of(tmp_path_factory.mktemp("apply") / "desk")
    made.asked = {"points": rows(), "mask": masked(made), "prompt": "a face", "seed": 3}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("featurekit_drag.studio.place.LIVE_S", float("inf"))
        made.result, made.said = does(made, "apply", made.asked)
    yield made
    closed(made)


@pytest.fixture
def record(studio):
    place = place_of(studio)
    folder = place.folder_of(place.open(), studio.result["step"])
    return folder, read_json(folder / "run.json")


def test_an_edit_leaves_the_record_that_the_command_leaves(record, tmp_path):
    folder, found = record
    cfg = compose(["plugin=drag", "backbone=embedded"])
    for name in ("image", "prompt", "seed"):
        cfg[name] = found["config"][name]
    for name in ("points", "pins", "regions", "mask", "mode"):
        cfg.plugin[name] = found["config"]["plugin"][name]
    cfg.out = str(tmp_path / "run")
    wanted = run(cfg)
    assert found.keys() == wanted.keys()
    own = {"config", "stages", "notes"}  # the folder, seconds
    for name in found.keys() - own:
        assert found[name] == json.loads(json.dumps(wanted[name])), name
    assert {**found["config"], "out": ""} == {**wanted["config"], "out": ""}
    assert found["outputs"]
    for name in found["outputs"].values():
        assert (folder / name).read_bytes() == (tmp_path / "run" / name).read_bytes(), name


def test_each_stage_is_shown_once_however_slow_and_stages_are_told(studio):
    shown = [event["values"]["name"] for kind, event in studio.said if kind == "told"]
    assert shown == ["warp", "redraw"]
    stages = [event["job"]["stage"] for kind, event in studio.said if kind == "job"]
    assert "redraw of what was uncovered" in stages
    assert "judging" in stages


def test_the_page_is_told_candidates_distances_and_what_was_asked(studio):
    told = act(studio, "told")
    assert told["now"] == studio.result["step"]
    edit = told["edit"]
    assert len(edit["candidates"]) > 1
    (point,) = edit["points"]
    assert point["target"] == pytest.approx(rows()[0][2:])
    assert point["final_px_error"] >= 0
    assert edit["drags"] | {"mode": "auto"} == {
        **studio.asked, "pins": (), "regions": [],
        "points": tuple(map(tuple, rows())), "mode": "auto",
    }  # fmt: skip
    assert [one["kind"] for one in told["steps"]] == ["picture", "mask", "edit"]
    assert not any("plugin." in remark for remark in edit["remarks"])


def test_a_stop_pauses_and_the_rest_gives_the_same(studio, tmp_path):
    place = place_of(studio)
    wanted = place.open().session.result()
    other = desk_of(tmp_path / "desk")
    asked = {**studio.asked, "mask": masked(other)}
    with pytest.raises(KeyboardInterrupt):
        does(other, "apply", asked, stop_at="redraw")
    told = act(other, "told")
    assert told["edit"] is None
    assert told["going"]["points"] == tuple(map(tuple, rows()))
    opened = place_of(other).open()
    folder = place_of(other).folder_of(opened, 2)
    assert read_json(folder / "run.json")["status"] == "interrupted"
    does(other, "resume")
    assert (opened.session.result() == wanted).all()
    assert read_json(folder / "run.json")["status"] == "done"
    closed(other)


def test_a_stopped_edit_is_there_for_the_next_server(studio, tmp_path):
    other = desk_of(tmp_path / "desk")
    asked = {**studio.asked, "mask": masked(other)}
    with pytest.raises(KeyboardInterrupt):
        does(other, "apply", asked, stop_at="redraw")
    closed(other)
    again = desk_of(tmp_path / "desk", picture=False)
    assert act(again, "told")["going"]["seed"] == 3
    does(again, "resume")
    wanted = place_of(studio).open().session.result()
    assert (place_of(again).open().session.result() == wanted).all()
    closed(again)


def test_a_discarded_edit_is_gone(tmp_path):
    other = desk_of(tmp_path / "desk")
    with pytest.raises(KeyboardInterrupt):
        does(other, "apply", {"points": rows(), "mask": masked(other)}, stop_at="redraw")
    assert act(other, "discard")["going"] is None
    with pytest.raises(ConfigError, match="must have been stopped to be resumed"):
        does(other, "resume")
    closed(other)


def test_history_comes_back_after_a_restart(tmp_path):
    first = desk_of(tmp_path / "desk")
    does(first, "apply", {"points": rows(), "mask": masked(first)})
    act(first, "choose", {"candidate": 1 - act(first, "told")["edit"]["chosen"] % 2})
    before = act(first, "told")
    closed(first)
    again = desk_of(tmp_path / "desk", picture=False)
    after = act(again, "told")
    assert after["now"] == before["now"]
    assert after["edit"]["points"] == before["edit"]["points"]
    assert after["edit"]["chosen"] == before["edit"]["chosen"] != after["edit"]["measured"]
    assert [one["kind"] for one in after["steps"]] == ["picture", "mask", "edit", "choice"]
    found, _ = does(again, "apply", {"points": rows(), "mask": masked(again), "seed": 1})
    told = act(again, "told")
    assert told["steps"][-1]["kind"] == "edit"
    assert told["edit"]["step"] == found["step"] == told["now"]
    assert told["edit"]["measured"] == told["edit"]["chosen"]
    closed(again)


def test_going_back_and_editing_makes_a_branch_and_going_on_takes_the_result(tmp_path):
    studio = desk_of(tmp_path / "desk")
    (row,) = rows()
    does(studio, "apply", {"points": [row]})
    act(studio, "go", {"step": 0})
    does(studio, "apply", {"points": [[*row[:2], row[2] - 1, row[3] + 1]], "mode": "move"})
    told = act(studio, "accept")
    tree = {one["number"]: (one["before"], one["kind"]) for one in told["steps"]}
    assert tree == {0: (None, "picture"), 1: (0, "edit"), 2: (0, "edit"), 3: (2, "accepted")}
    assert told["now"] == 3
    assert told["edit"] is None
    place = place_of(studio)
    opened = place.open()
    (moment,) = [one.moment for one in opened.session.history()[0] if one.number == 3]
    result = opened.session.history()[0][2].moment.result
    assert float((moment.image - result).abs().max()) <= 1 / 255 + 1e-6  # as its file has it
    does(studio, "apply", {"points": [row]})
    record = read_json(place.folder_of(opened, 4) / "run.json")
    assert record["config"]["image"] == str(place.file_of(opened, moment.image))
    assert (load_image(record["config"]["image"]) == moment.image).all()
    closed(studio)


def test_what_cannot_be_applied_leaves_history_and_session_whole(studio):
    before = act(studio, "told")
    with pytest.raises(ConfigError, match="a choice must be one of the"):
        act(studio, "choose", {"candidate": 99})
    with pytest.raises(ConfigError, match="one of the history"):
        act(studio, "go", {"step": 99})
    assert act(studio, "told") == before
