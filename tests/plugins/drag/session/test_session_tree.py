"""History as a tree: branches, any step, what is forgotten; older files; edits that are watched."""

import json

import pytest
import torch
from drag_sessions import backbone, opened, rows, same, subject, whole
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from featurekit.core.errors import ConfigError
from featurekit_drag.session.history import History, Moment, Step
from featurekit_drag.session.session import Session


def moment(level=0.0):
    return Moment(torch.full((1, 3, 8, 8), level), None)


@pytest.fixture
def history():
    """0 - 1 - 2, and 3 beside 2; now at 3."""
    made = History((Step(0, moment(), None),))
    made.push(moment(0.1))
    made.push(moment(0.2))
    made.go(-1)
    made.push(moment(0.3))
    return made


def tree(history):
    steps, now = history.all
    return {one.number: one.before for one in steps}, now


def test_who_goes_back_and_does_something_else_begins_a_branch(history):
    assert tree(history) == ({0: None, 1: 0, 2: 1, 3: 1}, 3)


def test_forth_goes_where_one_was_last(history):
    history.go_to(1)
    assert history.go(1)
    assert history.all[1] == 3
    assert history.go(-1)
    assert history.go(1)
    assert history.all[1] == 3
    history.go_to(2)
    assert history.go(-1)
    assert history.go(1)
    assert history.all[1] == 2
    assert not history.go(1)
    history.go_to(0)
    assert not history.go(-1)
    assert history.go(1)
    assert history.go(1)
    assert history.all[1] == 2


def test_a_step_that_is_not_there_is_refused(history):
    with pytest.raises(ConfigError, match="one of the history, got number 7"):
        history.go_to(7)
    assert history.all[1] == 3


def test_the_oldest_steps_are_forgotten_and_what_was_after_them_hangs_together(history):
    one = history.now.image.nbytes
    history.trim(3 * one)
    assert tree(history) == ({1: None, 2: 1, 3: 1}, 3)
    history.go_to(1)
    history.trim(one)
    assert tree(history) == ({1: None}, 1)
    history.trim(0)
    assert tree(history) == ({1: None}, 1)
    history.push(moment())
    assert tree(history)[1] == 2


def test_pictures_that_steps_share_count_once(history):
    history.push(history.now)
    history.push(history.now)
    history.trim(4 * history.now.image.nbytes)
    assert len(history.all[0]) == 6


@pytest.fixture(scope="module")
def branched():
    """A session of two edits beside one another."""
    session = opened()
    for share in (1.0, 0.6):
        session.go_to(0)
        session.start(rows(share))
        whole(session)
    yield session
    session.close()


def test_a_file_keeps_the_tree(branched, tmp_path):
    path = branched.save(tmp_path / "tree.safetensors")
    with Session.load(path, backbone()) as again:
        steps, now = again.history()
        assert [(one.number, one.before) for one in steps] == [(0, None), (1, 0), (2, 0)]
        assert now == 2
        assert same(again.result(), branched.result())
        again.go_to(1)
        assert same(again.result(), branched.history()[0][1].moment.result)


def rewritten(path, version, **changed):
    """The file as of another version, with its record changed; None takes a key away."""
    with safe_open(path, "pt") as file:
        words = file.metadata()
    record = json.loads(words["session"]) | changed
    kept = {key: one for key, one in record.items() if changed.get(key, 0) is not None}
    words |= {"session": json.dumps(kept), "version": version}
    save_file(load_file(path), path, words)
    return path


def test_a_file_of_the_version_before_is_a_row_of_steps(branched, tmp_path):
    path = rewritten(branched.save(tmp_path / "row.safetensors"), "1", steps=None, now=1)
    with Session.load(path, backbone()) as again:
        steps, now = again.history()
        assert [(one.number, one.before) for one in steps] == [(0, None), (1, 0), (2, 1)]
        assert now == 1
        assert again.undo()
        assert same(again.result(), subject().image)
        assert again.redo()
        assert again.redo()
        assert same(again.result(), branched.result())


@pytest.mark.parametrize(
    "steps",
    [[[0, None], [2, 1], [3, 0]], [[0, None], [2, 0], [1, 0]], [[0, None], ["1", 0], [2, 0]]],
)
def test_a_tree_that_is_none_is_refused(branched, tmp_path, steps):
    path = rewritten(branched.save(tmp_path / "bad.safetensors"), "2", steps=[[0, None], *steps])
    with pytest.raises(ConfigError, match="missing or damaged"):
        Session.load(path, backbone())


def test_an_edit_that_is_watched_is_the_same_to_the_last_bit(branched):
    seen = []
    with opened() as session:
        session.look(lambda name, make: seen.append((name, make())))
        session.start(rows())
        whole(session)
        assert same(session.result(), branched.history()[0][1].moment.result)
        assert [name for name, _ in seen] == ["warp", "redraw", "redraw"]
        result = session.candidates()[0]
    far = [float((picture - result).abs().mean()) for _, picture in seen]
    assert far[0] > far[-1]
    assert all(picture.shape == result.shape for _, picture in seen)


def test_a_picture_of_ones_own_is_gone_on_from(branched):
    with opened() as session:
        other = subject().image.flip(-1)
        session.take(other)
        assert same(session.result(), other)
        assert session.history()[0][1].moment.mask is not None
        session.take(torch.zeros(1, 3, 16, 16))
        assert session.history()[0][2].moment.mask is None
        assert session.undo()
        assert same(session.result(), other)


def test_another_mask_than_the_present_one_is_previewed(branched):
    with opened(mask=None) as session:
        mask = subject().mask
        wanted = branched
        wanted.go_to(0)
        assert same(session.preview(rows(), mask=mask), wanted.preview(rows()))
        full = session.preview(rows(), mask=mask, full=True)
        assert same(full, wanted.preview(rows(), full=True))
        wanted.go_to(2)
        assert session.history()[0][0].moment.mask is None


def test_other_words_are_read_anew(branched):
    with opened() as session:
        before = session.preview(rows())
        session.describe("a dog", 5)
        assert session._desk.saved.seed == 5
        assert session._desk.shown is None
        assert before.shape == session.preview(rows()).shape
        planner = session._desk.planner()
        session.describe("a dog", 6)
        assert session._desk.planner() is planner
