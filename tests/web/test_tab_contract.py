"""The tab that the documents print keeps the contract, over HTTP."""

import json
import time

import pytest
from studio_desk import client, opened, picture, printed_tab

from featurekit.web.framing import MEDIA_TYPE, unpack


@pytest.fixture
def speak(tmp_path):
    with client(opened(tmp_path / "desk", {"blur": printed_tab(tmp_path)})) as one:
        one.put("/picture", content=picture(), headers={"x-picture-name": "me.png"})
        yield one


def ended(speak, key):
    """Where a job came to; told by the state, as a page that was away would learn."""
    for _ in range(2000):
        (job,) = [one for one in speak.get("/state").json()["jobs"] if one["id"] == key]
        if job["status"] in ("done", "failed", "stopped"):
            return job
        time.sleep(0.005)
    raise AssertionError(job)


def test_the_state_lists_the_tab_and_the_picture(speak):
    state = speak.get("/state").json()
    assert [(tab["name"], tab["title"]) for tab in state["tabs"]] == [("blur", "Blur")]
    (found,) = state["pictures"]
    assert found == {"id": state["current"], "name": "me.png", "width": 64, "height": 48}
    assert not state["faults"]


def test_an_action_answers_with_json(speak):
    answer = speak.post("/act/blur/size", json={"times": 3})
    assert answer.json() == {"pixels": 64 * 48, "times": 3}


def test_an_action_answers_with_bytes_beside_its_values(speak):
    answer = speak.post("/act/blur/grey")
    assert answer.headers["content-type"] == MEDIA_TYPE
    found = unpack(answer.content, MEDIA_TYPE)
    assert found.values == {"width": 64, "height": 48}
    assert len(found.parts["levels"]) == 64 * 48


def test_what_an_action_refuses_is_a_sentence(speak):
    answer = speak.post("/act/blur/size", json={"times": 12})
    assert answer.status_code == 422
    assert answer.json() == {"error": "times must be a number from 1 to 9, got 12"}


def test_a_job_tells_its_progress_its_pictures_and_its_result(speak):
    started = speak.post("/job/blur/blur", json={})
    assert started.status_code == 201
    job = ended(speak, started.json()["id"])
    assert (job["status"], job["result"], job["done"], job["of"]) == ("done", {"steps": 4}, 4, 4)
    first = speak.get("/state").json()["event"].partition("-")[0] + "-0"
    lines = speak.get("/events", params={"after": first, "follow": "false"}).text.splitlines()
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    shown = [one["values"]["picture"] for one in events if one["kind"] == "told"]
    assert len(shown) == 4
    assert speak.get(shown[-1]).headers["content-type"] == "image/png"
    statuses = [one["job"]["status"] for one in events if one["kind"] == "job"]
    assert statuses[0] == "waiting"
    assert statuses[-1] == "done"
    assert statuses.count("running") >= 2


def test_the_page_loads_the_tabs_files_and_no_others(speak):
    script = speak.get("/tab/blur/tab.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert "export function mount" in script.text
    for name in ("../studio.py", "%2e%2e/studio.py", "tab.js/..", "/etc/passwd", "studio.py"):
        assert speak.get(f"/tab/blur/{name}").status_code == 404


def test_what_a_page_saves_is_there_again(speak):
    assert speak.put("/tab-state/blur", json={"times": 4}).status_code == 200
    assert speak.get("/state").json()["tabs"][0]["saved"] == {"times": 4}
