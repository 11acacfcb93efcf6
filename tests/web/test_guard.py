"""Who may speak to the studio: every refusal, with its sentence."""

import json

import pytest
from studio_desk import HOST, client, opened, picture, printed_tab

from featurekit.web.http import routes
from featurekit.web.http.guard import COOKIE, Guard, is_loopback

TOKEN = "a-token-that-nobody-guesses"
EVERYTHING = [
    ("GET", "/"), ("GET", "/shell/shell.js"), ("GET", "/tab/blur/tab.js"), ("GET", "/state"),
    ("PUT", "/picture"), ("POST", "/example"), ("POST", "/select/x"), ("GET", "/picture/x"),
    ("POST", "/act/blur/size"), ("POST", "/job/blur/blur"), ("DELETE", "/job/x"),
    ("PUT", "/tab-state/blur"), ("GET", "/events?follow=false"), ("GET", "/blob/x"),
]  # fmt: skip


@pytest.fixture
def studio(tmp_path):
    return opened(tmp_path / "desk", {"blur": printed_tab(tmp_path)})


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7870", "127.0.0.1.evil.example",
                                  "localhost.evil.example", "", "10.0.0.7", "[::2]:7"])  # fmt: skip
def test_a_request_that_names_another_host_is_refused(studio, host):
    with client(studio) as speak:
        for method, address in EVERYTHING:
            answer = speak.request(method, address, headers={"host": host})
            assert answer.status_code == 403
            assert "must name the studio's own host" in answer.json()["error"]


@pytest.mark.parametrize("host", ["localhost:7870", "127.0.0.1:9", "[::1]:7870", "LOCALHOST"])
def test_this_machine_may_be_called_by_its_names(studio, host):
    with client(studio) as speak:
        assert speak.get("/state", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("origin", [
    "http://evil.example", "null", "https://127.0.0.1:7871", "http://localhost:7870",
    "http://127.0.0.1:7870.evil.example",
])  # fmt: skip
def test_a_page_of_another_site_is_refused(studio, origin):
    with client(studio) as speak:
        for method, address in EVERYTHING:
            answer = speak.request(method, address, headers={"origin": origin})
            assert answer.status_code == 403
            assert "a page of another site" in answer.json()["error"]


def test_what_the_browser_says_of_the_site_counts(studio):
    with client(studio) as speak:
        for site in ("cross-site", "same-site"):
            headers = {"sec-fetch-site": site}
            assert speak.get("/", headers=headers).status_code == 200  # a link leads here
            assert speak.get("/state", headers=headers).status_code == 403
            assert speak.post("/example", headers=headers).status_code == 403
        for site in ("same-origin", "none"):
            assert speak.get("/state", headers={"sec-fetch-site": site}).status_code == 200


def test_the_pages_own_origin_may_ask(studio):
    with client(studio) as speak:
        assert speak.post("/example", headers={"origin": HOST}).status_code == 201


def test_beyond_this_machine_nothing_is_answered_without_the_token(studio):
    with client(studio, Guard("0.0.0.0", TOKEN), base="http://10.0.0.7:7870") as speak:
        for method, address in EVERYTHING:
            for wrong in ("", "?token=", "?token=guess"):
                answer = speak.request(method, address.partition("?")[0] + wrong)
                assert answer.status_code == 403
                assert "has a token" in answer.json()["error"]
        cookie = {"cookie": f"{COOKIE}=guess; ;;=\x00"}
        assert speak.get("/state", headers=cookie).status_code == 403


def test_the_token_of_the_address_becomes_a_cookie(studio):
    with client(studio, Guard("0.0.0.0", TOKEN), base="http://10.0.0.7:7870") as speak:
        entry = speak.get("/", params={"token": TOKEN})
        assert (entry.status_code, entry.headers["location"]) == (303, "/")
        kept = entry.headers["set-cookie"]
        assert "httponly" in kept.lower()
        assert "samesite=strict" in kept.lower()
        assert speak.get("/state").status_code == 200
        assert speak.get("/state", headers={"host": "evil.example"}).status_code == 403


def test_the_token_opens_the_page_alone(studio):
    with client(studio, Guard("0.0.0.0", TOKEN), base="http://10.0.0.7:7870") as speak:
        assert speak.get("/state", params={"token": TOKEN}).status_code == 403
        assert speak.post("/example", params={"token": TOKEN}).status_code == 403


def test_hosts_of_this_machine():
    assert all(map(is_loopback, ("127.0.0.1", "localhost", "::1", "127.0.0.9")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.7", "a.example")))


def test_every_answer_forbids_scripts_and_frames_of_others(studio):
    with client(studio) as speak:
        speak.put("/picture", content=picture())
        for method, address in EVERYTHING:
            headers = speak.request(method, address).headers
            policy = headers["content-security-policy"]
            assert "default-src 'self'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe-eval" not in policy
            assert headers["x-content-type-options"] == "nosniff"
    with client(studio, Guard(is_framed=True)) as speak:
        assert (
            "frame-ancestors 'self' http://localhost:*"
            in (speak.get("/").headers["content-security-policy"])
        )


def test_a_result_that_is_a_drawing_may_run_nothing(studio):
    address = studio.blobs.keep(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml", "a")
    with client(studio) as speak:
        assert speak.get(address).headers["content-security-policy"].startswith("sandbox")


@pytest.mark.parametrize(("body", "sentence"), [
    (b"", "an empty file"), (b"no picture", "picture in a known format"),
    (picture()[:60], "is damaged"), (picture(4, 4), "at least 8 px"),
    (picture(9000, 8), "at most 8192 px a side"),
])  # fmt: skip
def test_what_is_no_picture_is_refused_and_not_kept(studio, body, sentence):
    with client(studio) as speak:
        answer = speak.put("/picture", content=body, headers={"x-picture-name": "me.png"})
        assert answer.status_code == 422
        assert sentence in answer.json()["error"]
        assert str(studio.folder) not in answer.json()["error"]
        assert not speak.get("/state").json()["pictures"]
        assert not [one for one in (studio.folder / "pictures").iterdir() if one.suffix != ".json"]


@pytest.mark.parametrize("method_and_address", [
    ("PUT", "/picture"), ("POST", "/act/blur/size"), ("POST", "/job/blur/blur"),
    ("PUT", "/tab-state/blur"),
])  # fmt: skip
def test_what_is_too_large_is_refused_said_or_unsaid(studio, monkeypatch, method_and_address):
    for limit in ("PICTURE_BYTES", "BODY_BYTES", "STATE_BYTES"):
        monkeypatch.setattr(routes, limit, 1 << 20)
    with client(studio) as speak:
        for content in (bytes(2 << 20), iter([bytes(1 << 20), b"1"])):  # a length, and none
            answer = speak.request(*method_and_address, content=content)
            assert answer.status_code == 413
            assert answer.json() == {"error": "at most 1 MiB may be sent at once; send less"}


@pytest.mark.parametrize(("method", "address", "status"), [
    ("GET", "/nowhere", 404), ("POST", "/state", 405), ("GET", "/act/blur/size", 405),
    ("POST", "/act/none/size", 404), ("POST", "/act/blur/none", 404),
    ("POST", "/job/none/blur", 404), ("POST", "/job/blur/none", 404), ("DELETE", "/job/none", 404),
    ("GET", "/blob/none", 404), ("GET", "/picture/none", 404), ("POST", "/select/none", 404),
    ("PUT", "/tab-state/none", 404), ("GET", "/shell/none", 404), ("GET", "/tab/none/tab.js", 404),
    ("GET", "/tab/blur/none", 404), ("GET", "/picture/none?side=many", 422),
    ("POST", "/act/blur/size", 422),
])  # fmt: skip
def test_what_is_not_there_is_a_sentence(studio, method, address, status):
    with client(studio) as speak:
        body = {"json": {}} if method == "PUT" else {}
        answer = speak.request(method, address, **body)
        assert answer.status_code == status
        assert answer.json()["error"]
        assert "Traceback" not in answer.text


@pytest.mark.parametrize("body", [
    b"[]", b"1", b"null", b'"text"', b"{", b"\xff\xfe", b'{"times": NaN}', b"[" * 100000,
    b'{"times": ' + b"9" * 5000 + b"}",
])  # fmt: skip
def test_a_body_that_is_no_json_object_is_refused(studio, body):
    with client(studio) as speak:
        for method, address in (("POST", "/act/blur/size"), ("PUT", "/tab-state/blur")):
            answer = speak.request(method, address, content=body)
            assert answer.status_code == 422
            assert answer.json()["error"]


@pytest.mark.parametrize("times", [True, "3", [], {}, 1.5, -1, 1e300, 10**400, "\udc80"])
def test_a_value_of_a_wrong_type_is_a_sentence(studio, times):
    with client(studio) as speak:
        speak.put("/picture", content=picture())
        answer = speak.post("/act/blur/size", content=json.dumps({"times": times}))
        assert answer.status_code == 422
        assert answer.json()["error"].startswith(("times must", "a body must"))
