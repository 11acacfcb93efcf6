"""Long work: one at a time, in order; places told; stopped, failed, cut off by an end."""

import logging
import threading

import pytest
from studio_desk import mistakes, until

from featurekit.core.errors import PointsError, UnknownNameError
from featurekit.web.asked import Asked
from featurekit.web.job_queue import MOST_WAITING, REMEMBERED, JobQueue, QueueFullError


@pytest.fixture
def told():
    return []


@pytest.fixture
def queue(tmp_path, told):
    made = JobQueue(tmp_path / "jobs.json", lambda kind, values: told.append(values), str)
    yield made
    made.close()


def found(queue, job):
    return next(one for one in queue.told if one["id"] == job.id)


class Gate:
    """Work that waits until it is let on."""

    def __init__(self):
        self.begun, self.let, self.running = threading.Event(), threading.Event(), 0

    def __call__(self, asked, work):
        self.running += 1
        assert self.running == 1
        self.begun.set()
        with work.stage("waiting") as progress:
            while not self.let.wait(0.005):
                progress(1, 2)
        self.running -= 1
        return {"done": True}


def test_one_job_runs_and_the_others_are_told_their_place(queue):
    gate = Gate()
    jobs = [queue.submit("blur", f"work{i}", gate, Asked()) for i in range(3)]
    gate.begun.wait(60)
    assert [found(queue, job)["place"] for job in jobs] == [0, 1, 2]
    assert [found(queue, job)["status"] for job in jobs] == ["running", "waiting", "waiting"]
    gate.let.set()
    until(lambda: all(found(queue, job)["status"] == "done" for job in jobs))
    assert found(queue, jobs[2])["result"] == {"done": True}


def test_a_stop_ends_what_runs_at_its_next_step_and_takes_out_what_waits(queue):
    gate = Gate()
    first, second = (queue.submit("blur", "work", gate, Asked()) for _ in range(2))
    gate.begun.wait(60)
    assert queue.stop(second.id).status == "stopped"
    queue.stop(first.id)
    until(lambda: found(queue, first)["status"] == "stopped")
    assert found(queue, first)["stage"] == "waiting"


def test_a_failure_is_a_sentence_and_the_next_job_runs(queue, caplog):
    def refuse(asked, work):
        raise PointsError("a handle must lie inside, got\n(9, 9)")

    def crash(asked, work):
        raise RuntimeError("a mistake of ours")

    def odd(asked, work):
        return {"result": object()}

    with caplog.at_level(logging.ERROR):
        jobs = [queue.submit("blur", "work", one, Asked()) for one in (refuse, crash, odd)]
        good = queue.submit("blur", "work", lambda asked, work: None, Asked())
        until(lambda: found(queue, good)["status"] == "done")
    lines = [found(queue, job)["line"] for job in jobs]
    assert lines[0] == "a handle must lie inside, got (9, 9)"
    assert lines[1].startswith("this is a mistake of ours, RuntimeError: a mistake of ours")
    assert "must be a number, text, list or mapping" in lines[2]
    assert all(found(queue, job)["status"] == "failed" for job in jobs)
    assert mistakes(caplog) == [RuntimeError]


def test_the_queue_is_not_endless(queue):
    gate = Gate()
    queue.submit("blur", "work", gate, Asked())
    gate.begun.wait(60)
    for _ in range(MOST_WAITING):
        queue.submit("blur", "work", gate, Asked())
    with pytest.raises(QueueFullError, match="at most 16 jobs may wait"):
        queue.submit("blur", "work", gate, Asked())


def test_an_unknown_job_cannot_be_stopped(queue):
    with pytest.raises(UnknownNameError, match="no job named 'none'"):
        queue.stop("none")


def test_only_the_latest_jobs_are_remembered(queue):
    for _ in range(REMEMBERED + 9):
        last = queue.submit("blur", "work", lambda asked, work: None, Asked())
        until(lambda job=last: found(queue, job)["status"] == "done")
    until(lambda: len(queue.told) == REMEMBERED)
    assert queue.told[0]["id"] == last.id


def test_progress_is_told_at_its_beginning_and_end_and_not_at_every_step(queue, told):
    def count(asked, work):
        with work.stage("counting") as progress:
            for step in range(5000):
                progress(step + 1, 5000)

    job = queue.submit("blur", "count", count, Asked())
    until(lambda: found(queue, job)["status"] == "done")
    reports = [one["job"]["done"] for one in told if one["job"]["stage"] == "counting"]
    assert reports[0] == 0
    assert reports[-1] == 5000
    assert len(reports) < 500


def test_the_next_server_knows_what_was_done_and_what_was_cut_off(tmp_path):
    file = tmp_path / "jobs.json"
    queue, gate = JobQueue(file, lambda kind, values: None, str), Gate()
    done = queue.submit("blur", "work", lambda asked, work: {"steps": 4}, Asked())
    until(lambda: found(queue, done)["status"] == "done")
    running, waiting = (queue.submit("blur", "work", gate, Asked()) for _ in range(2))
    gate.begun.wait(60)
    kept = file.read_bytes()  # as a killed server leaves it
    queue.close()
    file.write_bytes(kept)
    after = JobQueue(file, lambda kind, values: None, str)
    assert (found(after, done)["status"], found(after, done)["result"]) == ("done", {"steps": 4})
    for job in (running, waiting):
        assert found(after, job)["status"] == "failed"
        assert found(after, job)["line"] == "the studio ended before this did; start it again"


@pytest.mark.parametrize("content", [b"", b"[]", b'{"jobs": 3}', b'{"jobs": [{"id": 1}]}'])
def test_a_damaged_note_of_jobs_is_an_empty_one(tmp_path, content):
    (tmp_path / "jobs.json").write_bytes(content)
    assert JobQueue(tmp_path / "jobs.json", lambda kind, values: None, str).told == []


def test_an_end_stops_what_runs(tmp_path):
    queue, gate = JobQueue(tmp_path / "jobs.json", lambda kind, values: None, str), Gate()
    job = queue.submit("blur", "work", gate, Asked())
    gate.begun.wait(60)
    queue.close()
    assert found(queue, job)["status"] == "stopped"
