"""Sessions as files: what comes back is the same to the last bit, or one sentence says why not."""

import json
import os

import pytest
from drag_sessions import backbone, opened, rows, same, subject, whole
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from featurekit.backbones import load
from featurekit.core.errors import ConfigError, OutputError
from featurekit.core.file_bytes import read_metadata
from featurekit_drag.engine.settings import DragSettings, Rule
from featurekit_drag.session.session import Session


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A file of two edits, one undone, and the session."""
    path = tmp_path_factory.mktemp("kept") / "drag.safetensors"
    session = opened(seed=3)
    session.start(rows(), pins=[[4.0, 5.0]])
    whole(session)
    session.accept()
    session.start([[15.0, 15.0, 17.0, 15.0]], mode="move")
    whole(session)
    session.undo()
    session.save(path)
    yield path, session
    session.close()


def test_a_saved_session_comes_back_with_its_history(kept):
    path, session = kept
    with Session.load(path, backbone()) as again:
        assert same(again.result(), session.result())
        assert again.redo()
        session.redo()
        assert len(again.candidates()) == 2
        assert all(map(same, again.candidates(), session.candidates()))
        assert again.remarks() == session.remarks()
        session.undo()
        for _ in range(3):
            assert again.undo()
        assert not again.undo()
        assert same(again.result(), subject().image)


def test_what_is_done_after_loading_is_the_same_to_the_last_bit(kept):
    path, session = kept
    asked = [[10.0, 20.0, 12.0, 19.0]]
    with Session.load(path, backbone()) as again:
        assert same(again.preview(asked), session.preview(asked))
        for one in (again, session):
            one.start(asked)
            whole(one)
        assert same(again.result(), session.result())
    session.undo()


def test_a_session_loaded_and_saved_is_the_same_file(kept, tmp_path):
    once, again = tmp_path / "once.safetensors", tmp_path / "again.safetensors"
    kept[1].save(once)
    with Session.load(once, backbone()) as loaded:
        loaded.save(again)
    assert read_metadata(once) == read_metadata(again)  # in an order that safetensors draws
    before, after = load_file(once), load_file(again)
    assert list(before) == list(after)
    assert all(same(before[name], after[name]) for name in before)


def test_an_edit_that_had_not_ended_begins_anew(tmp_path):
    path = tmp_path / "drag.safetensors"
    with opened() as session:
        session.start(rows())
        for _ in range(4):
            session.step()
        session.save(path)
        with Session.load(path, backbone()) as again:
            assert same(whole(again), whole(session))


def test_settings_of_other_methods_are_kept(tmp_path):
    path = tmp_path / "drag.safetensors"
    own = DragSettings(Rule(updates=7, reduction="paper"), steps=4, identity=("stored",))
    with opened(settings=own) as session:
        session.save(path)
    with Session.load(path, backbone()) as again:
        assert again._desk.saved.settings == own


def test_each_picture_is_in_the_file_once(kept):
    with safe_open(kept[0], "pt") as file:
        assert len(list(file.keys())) == 6  # picture, mask, two candidates of two edits


def test_a_file_is_replaced_as_a_whole(kept, tmp_path, monkeypatch):
    path = tmp_path / "drag.safetensors"
    path.write_bytes(b"mine")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OutputError, match="free some space"):
        kept[1].save(path)
    assert path.read_bytes() == b"mine"
    assert list(tmp_path.iterdir()) == [path]


# refusals


def rewritten(kept, path, **changed):
    """The file with other metadata; ``session`` is a function of the record."""
    with safe_open(kept[0], "pt") as file:
        metadata = file.metadata()
    change = changed.pop("session", None)
    if change is not None:
        record = json.loads(metadata["session"])
        change(record)
        metadata["session"] = json.dumps(record)
    tensors = {name: one for name, one in load_file(kept[0]).items() if name != changed.get("drop")}
    changed.pop("drop", None)
    save_file(tensors, path, metadata={**metadata, **changed})
    return path


DAMAGED = [
    ({"format": "featurekit.lora"}, "is of format 'featurekit.lora'"),
    ({"version": "0"}, "must be of version 1 or 2, but .* is of '0'"),
    ({"weights": "f" * 64}, "weights that it was made with, those of backbone 'embedded'"),
    ({"session": lambda record: record.pop("prompt")}, "missing or damaged"),
    ({"session": lambda record: record.update(now=9)}, "missing or damaged"),
    ({"session": lambda record: record.update(now=-1)}, "missing or damaged"),
    ({"session": lambda record: record.update(seed="x")}, "missing or damaged"),
    ({"session": lambda record: record["moments"][1].update(chosen=7)}, "missing or damaged"),
    ({"session": lambda record: record["settings"].update(kind="bent")}, "missing or damaged"),
    ({"session": lambda record: record["settings"]["values"].update(feather_px="2")},
     "missing or damaged"),
    ({"session": lambda record: record["settings"]["values"]["plan"].update(taps=[1])},
     "missing or damaged"),
    ({"session": lambda record: record["moments"].clear()}, "missing or damaged"),
    ({"session": lambda record: record["moments"][0].update(image="tensor.1")},
     "missing or damaged"),
    ({"session": lambda record: record["moments"][0].update(mask="tensor.0")},
     "missing or damaged"),
    ({"session": lambda record: record["moments"][1]["asked"].update(points=[["a"]])},
     "missing or damaged"),
    ({"session": lambda record: record.update(going={"points": [], "pins": [], "regions": [],
                                                     "mode": None})}, "missing or damaged"),
    ({"drop": "tensor.0"}, "missing or damaged"),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "sentence"), DAMAGED)
def test_a_file_of_something_else_or_a_damaged_one_is_one_sentence(
    kept, tmp_path, changed, sentence
):
    path = rewritten(kept, tmp_path / "other.safetensors", **changed)
    with pytest.raises(ConfigError, match=sentence):
        Session.load(path, backbone())


@pytest.mark.parametrize("cut", [0, 5, 400, -1])
def test_a_cut_file_is_one_sentence(kept, tmp_path, cut):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(kept[0].read_bytes()[:cut])
    with pytest.raises(ConfigError, match=r"whole \.safetensors file"):
        Session.load(path, backbone())


def test_another_backbone_is_refused(kept):
    with pytest.raises(ConfigError, match="'embedded', but 'random' was given"):
        Session.load(kept[0], load("random", device="cpu", dtype="float32"))
