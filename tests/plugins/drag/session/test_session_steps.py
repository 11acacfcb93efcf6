"""Steps of a session: its result is the engine's, and it stops where it is told to."""

import signal
import threading
import time
from dataclasses import replace

import pytest
import torch
from drag_sessions import (
    EDIT,
    FAST,
    OPTIMISED,
    PREPARING,
    Calls,
    backbone,
    opened,
    rows,
    same,
    subject,
    whole,
)

from featurekit.core.errors import BackboneError
from featurekit_drag.engine.drag import Drag
from featurekit_drag.redraw.warp_drag import WarpDrag
from featurekit_drag.session.session import Session


@pytest.fixture
def session():
    with opened() as made:
        yield made


def test_a_result_is_the_engines_to_the_last_bit(session):
    session.start(rows())
    found = whole(session)
    done = WarpDrag(backbone(), FAST)(subject())
    assert same(found, done.image)
    assert all(map(same, session.candidates(), done.candidates))
    assert session.remarks() == done.remarks


def test_a_mode_and_pins_are_the_engines_too(session):
    request = subject()
    session.start(rows(), pins=[[5.0, 6.0]], mode="reshape")
    pinned = replace(request, pins=torch.tensor([[5.0, 6.0]], dtype=torch.float64))
    settings = replace(FAST, plan=replace(FAST.plan, mode="reshape"))
    assert same(whole(session), WarpDrag(backbone(), settings)(pinned).image)


def test_a_part_of_a_large_picture_is_edited_as_the_command_does():
    large = torch.nn.functional.interpolate(subject().image, scale_factor=3, mode="bicubic")
    settings = replace(FAST, side_px=32)
    with Session.open(backbone(), large.clamp(-1, 1), settings=settings) as session:
        session.start([[30.0, 30.0, 33.0, 31.0]])
        changed = (whole(session) != large.clamp(-1, 1)).any(dim=1)
    assert changed.any()
    assert not changed[:, 85:].any()


def test_an_optimising_method_gives_its_own_result(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with opened(settings=OPTIMISED) as session:
        assert session.preview(rows()).shape == (1, 3, 32, 32)
        session.start(rows())
        found = whole(session)
        assert len(session.candidates()) == 1
    wanted = Drag(backbone(), OPTIMISED)(subject()).image
    torch.testing.assert_close(
        found, wanted, atol=1e-3, rtol=0
    )  # gradients are summed in any order
    assert (found - subject().image).abs().max() > 0.1


def test_features_are_read_once_for_previews_and_edits(session):
    session.preview(rows())
    with Calls() as calls:
        session.preview(rows(0.5))
        session.preview(rows(), full=True)
        assert calls.count == 0
        session.start(rows())
        whole(session)
        assert calls.count == EDIT


def test_a_step_makes_one_call_of_the_network_at_most(session):
    session.preview(rows())
    session.start(rows())
    with Calls() as calls:
        made, more = [], True
        while more:
            before = calls.count
            more = session.step()
            made.append(calls.count - before)
    assert sum(made) == EDIT
    assert max(made) == 1
    assert not session.step()


@pytest.mark.parametrize("at", range(1, EDIT))
def test_pause_stops_before_the_next_call_of_the_network(session, at):
    session.preview(rows())
    session.start(rows())
    called = threading.Event()
    with Calls() as calls:

        def pause_in_time():  # another thread may wake too late on a busy machine
            if calls.count == at:
                session.pause()
                called.set()

        calls.hear = pause_in_time
        session.resume()
        assert called.wait(60)
        session.pause()  # waits for the call to end
        assert calls.count == at
        assert session.wait(0)
        session.resume()
        assert not session.wait()
        assert calls.count == EDIT
    assert same(session.result(), whole(opened_and_started()))


def opened_and_started():
    session = opened()
    session.start(rows())
    return session


def test_reading_features_can_be_paused_and_goes_on_when_it_is_needed():
    is_open, called = threading.Event(), threading.Event()
    sessions = []

    def pause_in_time():
        if calls.count == 1:
            assert is_open.wait(60)
            sessions[0].pause()
            called.set()

    with Calls() as calls:
        calls.hear = pause_in_time
        sessions.append(opened())
        with sessions[0] as session:
            is_open.set()
            assert called.wait(60)
            session.pause()
            assert calls.count == 1
            session.preview(rows())
            assert calls.count == PREPARING


def test_a_pause_may_be_asked_for_by_who_is_told(session):
    told = []

    def hear(event):
        told.append(event)
        if event.stage.startswith("redraw") and event.done == 1:
            session.pause()

    session.watch(hear)
    session.start(rows())
    session.resume()
    assert session.wait()
    assert (told[-1].done, told[-1].total) == (1, 2)
    assert told[-1].seconds_left > 0
    assert whole(session) is session.result()


def test_stages_are_told_in_their_order_and_end(session):
    told = []
    session.watch(told.append)
    session.start(rows())
    whole(session)
    stages = list(dict.fromkeys(event.stage for event in told))
    assert stages[-2:] == ["plan of the warp", "redraw of what was uncovered"]
    for name in stages:
        last = [event for event in told if event.stage == name][-1]
        assert last.done == last.total
        assert last.seconds_left == 0


def test_pauses_do_not_count_as_time_that_is_left(session):
    told = []
    session.watch(told.append)
    session.preview(rows())
    session.start(rows())
    while session.step():
        time.sleep(0.3)
    assert told[-2].stage == told[-1].stage
    assert told[-2].seconds_left < 8 * 0.3  # it was paused more often by then


def test_ctrl_c_during_a_step_leaves_the_session_usable(session):
    session.preview(rows())
    session.start(rows())
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    fired = []

    def interrupt():
        if not fired:
            fired.append(True)
            signal.raise_signal(signal.SIGINT)

    try:
        with Calls(interrupt), pytest.raises(KeyboardInterrupt):
            whole(session)
    finally:
        signal.signal(signal.SIGINT, before)
    assert same(whole(session), WarpDrag(backbone(), FAST)(subject()).image)


def test_two_sessions_take_turns_at_one_network():
    unet, inside, most = backbone().unet, [], []

    def enter(*_):
        inside.append(threading.get_ident())
        most.append(len(inside))

    with opened() as first, opened(seed=1) as second:
        for one in (first, second):
            one.preview(rows())  # features are read: that leaves the network early
        hooks = [
            unet.register_forward_pre_hook(enter),
            unet.register_forward_hook(lambda *_: inside.remove(threading.get_ident())),
        ]
        for one in (first, second):
            one.start(rows())
            one.resume()
        assert not first.wait()
        assert not second.wait()
        assert not same(first.result(), second.result())
    for hook in hooks:
        hook.remove()
    assert len(most) == 4
    assert max(most) == 1


def test_a_paused_edit_that_changes_the_network_keeps_others_out_with_a_sentence(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with opened(settings=OPTIMISED) as keeper, opened() as other:
        other.preview(rows())
        keeper.start(rows())
        keeper.step()
        keeper.step()
        other.start(rows())
        with pytest.raises(BackboneError, match="paused in the middle of an edit that changes it"):
            whole(other)
        keeper.undo()
        other.start(rows())
        whole(other)
