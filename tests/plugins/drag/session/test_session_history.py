"""What a session remembers: undo, redo, choices, acceptances; and what failed behind its back."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from drag_sessions import FAST, PREPARING, Calls, backbone, opened, rows, same, subject, whole

import featurekit_drag
from featurekit.core.errors import ConfigError
from featurekit_drag.engine.points import read_points
from featurekit_drag.redraw.warp_drag import WarpDrag


@pytest.fixture
def edited():
    with opened() as session:
        session.start(rows())
        whole(session)
        yield session


def test_an_edit_is_undone_and_done_again(edited):
    result, image = edited.result(), subject().image
    assert not same(result, image)
    assert edited.undo()
    assert same(edited.result(), image)
    assert edited.candidates() == ()
    assert not edited.undo()
    assert edited.redo()
    assert edited.result() is result
    assert not edited.redo()


def test_another_candidate_is_chosen_and_that_is_undone(edited):
    first, (one, other) = edited.result(), edited.candidates()
    number = 1 if first is one else 0
    edited.choose(number)
    assert edited.result() is (one, other)[number]
    assert edited.undo()
    assert edited.result() is first


@pytest.mark.parametrize("number", [-1, 2])
def test_a_candidate_that_is_not_there_is_refused(edited, number):
    with pytest.raises(ConfigError, match=f"one of the 2 candidates, counted from 0, got {number}"):
        edited.choose(number)


def test_an_accepted_result_is_the_next_picture(edited):
    result = edited.result()
    with Calls() as calls:
        edited.accept()
        assert edited.candidates() == ()
        assert same(edited.result(), result)
        edited.start([[15.0, 15.0, 17.0, 15.0]])
        found = whole(edited)
        assert calls.count > PREPARING  # read anew
    request = opened_on(result)
    assert same(found, WarpDrag(backbone(), FAST)(request).image)
    for _ in range(3):
        assert edited.undo()
    assert same(edited.result(), subject().image)


def opened_on(image):
    points = read_points([[15.0, 15.0, 17.0, 15.0]], height=32, width=32)
    return replace(subject(), image=image, points=points)


def test_nothing_can_be_accepted_before_an_edit():
    with opened() as session, pytest.raises(ConfigError, match="an edit to be accepted, got none"):
        session.accept()


def test_what_was_undone_is_gone_after_another_edit(edited):
    edited.undo()
    edited.start(rows(0.5))
    whole(edited)
    assert not edited.redo()


def test_undo_drops_an_edit_that_goes_on_and_no_more(edited):
    result = edited.result()
    edited.start(rows(0.5))
    edited.step()
    assert edited.undo()
    assert edited.result() is result
    with pytest.raises(ConfigError, match="must be started"):
        edited.step()


def test_a_mask_is_set_and_that_is_undone(edited):
    small = torch.zeros_like(subject().mask)
    small[..., :8, :8] = 1
    edited.set_mask(small)
    edited.start([[2.0, 2.0, 6.0, 6.0]])
    changed = whole(edited) != subject().image
    assert changed.any()
    assert not changed[..., 12:, :].any()
    assert edited.undo()
    assert edited.undo()
    edited.start(rows())


def test_a_preview_follows_the_picture(edited):
    before = edited.preview(rows(0.5))
    edited.accept()
    assert not same(edited.preview(rows(0.5)), before)
    edited.undo()
    assert same(edited.preview(rows(0.5)), before)


# the background


class BrokenError(Exception):
    """What nobody expects."""


def broken(*_):
    raise BrokenError("no more")


def test_what_fails_while_features_are_read_is_raised_by_the_next_call_once():
    hook = backbone().unet.register_forward_pre_hook(broken)
    try:
        session = opened()
        with pytest.raises(BrokenError, match="no more"):
            session.preview(rows())
    finally:
        hook.remove()
    assert session.preview(rows()).shape == (1, 3, 32, 32)  # read again
    session.close()


def test_what_fails_in_an_edit_is_raised_by_the_next_call_once(edited):
    result = edited.result()
    edited.start(rows())
    hook = backbone().unet.register_forward_pre_hook(broken)
    try:
        edited.resume()
        edited._desk.edit._thread.join()
        with pytest.raises(BrokenError):
            edited.candidates()
    finally:
        hook.remove()
    assert edited.result() is result
    edited.start(rows(0.5))
    assert not same(whole(edited), result)


def test_a_listener_that_fails_ends_the_work_and_is_told(edited):
    edited.watch(broken)
    edited.start(rows())
    with pytest.raises(BrokenError):
        whole(edited)


def test_the_network_is_as_it_was_after_an_edit_was_dropped(edited):
    def hooks():
        return sum(len(one._forward_hooks) + len(one._forward_pre_hooks)
                   for one in backbone().unet.modules())  # fmt: skip

    before = hooks()
    for steps in range(1, 7):
        edited.start(rows())
        for _ in range(steps):
            edited.step()
        edited.undo()
        assert hooks() == before


def test_work_that_goes_on_does_not_abort_the_interpreter_at_its_end():
    code = """
import sys
import featurekit_drag
assert "torch" not in sys.modules  # the plugin's description is light
import torch
from featurekit_drag.session.network import Turn
from featurekit_drag.session.worker import Worker

def work(worker):
    while True:
        worker.gate()
        torch.ones(600, 600) @ torch.ones(600, 600)

going, paused = (Worker(work, Turn()) for _ in range(2))
going.resume()
going.wait(0.2)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_package_has_no_other_names():
    with pytest.raises(AttributeError, match="no attribute 'Sesion'"):
        featurekit_drag.Sesion  # noqa: B018
