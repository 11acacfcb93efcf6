"""Stages: timed, kept in the record as they begin, told in lines or as bars with the time left."""

import pytest

from featurekit.pipeline import stages
from featurekit.pipeline.stages import lasting, timed_stages


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when they are told to."""
    now = [0.0]
    monkeypatch.setattr(stages.time, "perf_counter", lambda: now[0])
    return now


def test_each_stage_is_told_at_both_ends_with_its_seconds(clock):
    said, record = [], {}
    with timed_stages(record, say=said.append) as work:
        with work("inversion"):
            clock[0] += 3.25
        work.say("a word between")
        with work("denoising"):
            clock[0] += 300
    assert said == [
        "inversion ...",
        "inversion: 3.2 s",
        "a word between",
        "denoising ...",
        "denoising: 5 min",
    ]
    assert record["stages"] == [
        {"name": "inversion", "seconds": 3.25},
        {"name": "denoising", "seconds": 300.0},
    ]
    assert record["stage"] is None


def test_a_long_stage_is_told_once_a_minute_with_the_time_left(clock):
    said = []
    with timed_stages({}, say=said.append) as work, work("LoRA") as progress:
        for done in range(1, 11):
            clock[0] += 25
            progress(done, 10)
    assert said[1:-1] == [
        "LoRA: 3 of 10, about 3 min left",
        "LoRA: 6 of 10, about 2 min left",
        "LoRA: 9 of 10, about 25 s left",
    ]


def test_the_record_names_the_stage_that_runs_and_is_kept_as_it_begins():
    record, kept = {}, []
    with timed_stages(record, keep=lambda: kept.append(record["stage"])) as work:
        with work("one"):
            assert record["stage"] == "one"
        with work("two"):
            pass
    assert kept == ["one", "two"]


def test_a_stage_that_fails_stays_named_and_is_timed_without_a_last_line():
    record, said = {}, []
    with (
        pytest.raises(ZeroDivisionError),
        timed_stages(record, say=said.append) as work,
        work("one"),
    ):
        raise ZeroDivisionError
    assert record["stage"] == "one"
    assert [stage["name"] for stage in record["stages"]] == ["one"]
    assert said == ["one ..."]


def test_a_terminal_has_bars_with_the_time_left_and_lines_above_them(monkeypatch, capfd):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "100")
    said = []
    with timed_stages({}, say=said.append) as work:
        work.say("this takes [about] 2 min")
        with work("inversion") as progress:
            progress(3, 4)
    err = capfd.readouterr().err
    assert "this takes [about] 2 min" in err
    assert "4/4" in err
    assert "0:00:00" in err  # of the bar that is at its end: the time it took
    assert said == []


@pytest.mark.parametrize(
    ("seconds", "word"),
    [
        (0.04, "0.0 s"),
        (9.96, "10.0 s"),
        (99, "99 s"),
        (101, "2 min"),
        (5999, "100 min"),
        (9000, "2.5 h"),
    ],
)
def test_durations_are_worded_for_a_person(seconds, word):
    assert lasting(seconds) == word
