"""The tab that the documents print keeps the contract, over HTTP."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from specimen import SPEC
from studio_desk import Bench, client, mistakes, opened, picture, printed_tab, until

from featurekit.core.errors import ConfigError
from featurekit.web.asked import Asked
from featurekit.web.framing import MEDIA_TYPE, unpack
from featurekit.web.placed import MOST_ASKING
from featurekit.web.studio import Studio


@pytest.fixture
def speak(tmp_path):
    with client(opened(tmp_path / "desk", {"blur": printed_tab(tmp_path)})) as one:
        one.put("/picture", content=picture(), headers={"x-picture-name": "me.png"})
        yield one


def ended(speak, key):
    """Where a job came to; told by the state, as a page that was away would learn."""
    for _ in range(12_000):
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


def test_a_tab_is_asked_by_few_at_once_and_the_studio_answers_meanwhile(tmp_path):
    begun, let = threading.Semaphore(0), threading.Event()

    def slow(asked):
        begun.release()
        let.wait(120)
        return {}

    def tab(desk):
        return replace(printed_tab(tmp_path)(desk), actions={"size": slow})

    studio = opened(tmp_path / "busy", {"blur": tab})
    with client(studio) as speak, ThreadPoolExecutor(MOST_ASKING) as pool:
        asked = [pool.submit(studio.act, "blur", "size", Asked()) for _ in range(MOST_ASKING)]
        begun.acquire()
        until(lambda: studio.placed["blur"].room._value == 0)
        answer = speak.post("/act/blur/size")
        assert answer.status_code == 429
        assert answer.json() == {"error": "Blur is busy; ask again in a moment"}
        assert speak.get("/state").status_code == 200
        let.set()
        assert [one.result(120) for one in asked] == [{}] * MOST_ASKING


def test_a_tab_that_fails_is_named_and_leaves_the_others(tmp_path, caplog):
    def refuses(desk):
        raise ConfigError("a style must be there, got none")

    def breaks(desk):
        raise RuntimeError("a mistake of a plugin")

    def misnamed(desk):
        return replace(printed_tab(tmp_path)(desk), name="other")

    def bare(desk):
        return replace(printed_tab(tmp_path)(desk), name="bare", files=tmp_path / "site")

    tabs = {"one": refuses, "two": breaks, "three": misnamed, "bare": bare, "Four!": refuses}
    (tmp_path / "site").mkdir(exist_ok=True)
    tabs["blur"] = printed_tab(tmp_path)
    with client(opened(tmp_path / "desk", tabs)) as speak:
        state = speak.get("/state").json()
    assert [tab["name"] for tab in state["tabs"]] == ["blur"]
    assert state["faults"] == {
        "one": "a style must be there, got none",
        "two": "its tab failed with RuntimeError: a mistake of a plugin",
        "three": "the studio of 'three' must make a Tab of that name, got 'other'; mend the plugin",
        "bare": "the files of tab 'bare' must hold a tab.js; mend the plugin",
        "Four!": "a tab's name must be a word in small letters, got 'Four!'",
    }
    assert mistakes(caplog) == [RuntimeError]


def test_a_page_of_an_earlier_server_is_told_to_begin_anew(speak):
    for after in ("", "0badc0de-3", "x", f"{speak.get('/state').json()['event']}9"):
        text = speak.get("/events", params={"after": after, "follow": "false"}).text
        assert 'data: {"kind":"reset"}' in text
    latest = speak.get("/state").json()["event"]
    text = speak.get("/events", params={"after": latest, "follow": "false"}).text
    assert "data:" not in text


def test_a_mistake_of_ours_is_a_sentence_and_its_place_is_in_the_log(tmp_path, caplog):
    def breaks(asked):
        raise RuntimeError("a mistake of a plugin")

    def tab(desk):
        return replace(printed_tab(tmp_path)(desk), actions={"size": breaks})

    with client(opened(tmp_path / "desk", {"blur": tab})) as speak:
        answer = speak.post("/act/blur/size")
    assert answer.status_code == 500
    assert answer.json()["error"].startswith("this is a mistake of ours, RuntimeError: a mistake")
    assert mistakes(caplog) == [RuntimeError]


def test_the_tabs_are_those_of_the_plugins_and_our_own(tmp_path, third_party, monkeypatch):
    spec = SPEC.replace("benches={{", 'studio="{package}.pipeline:bench",\n        benches={{')
    third_party(spec=spec)
    studio = Studio(tmp_path / "desk", "random", bench=Bench)
    found = {name: made for name, made in studio._announced() if name != "look"}
    assert found["blur"].__name__ == "bench"


def test_what_a_page_saves_is_there_again(speak):
    assert speak.put("/tab-state/blur", json={"times": 4}).status_code == 200
    assert speak.get("/state").json()["tabs"][0]["saved"] == {"times": 4}
