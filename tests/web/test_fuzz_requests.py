"""Ten thousand random requests: no answer of 500, no traceback, no file outside the folder."""

import asyncio
import json
import logging
import random
import struct
from concurrent.futures import ThreadPoolExecutor

import pytest
from studio_desk import Bench, mistakes, opened, picture, printed_tab

from featurekit.web.framing import MEDIA_TYPE
from featurekit.web.http.guard import Guard
from featurekit.web.http.routes import application
from featurekit.web.http.server import guarded
from featurekit.web.look.tab import look_tab
from featurekit.web.workbench import Workbench

REQUESTS = 10_000
METHODS = ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "get", ""]
ADDRESSES = [
    ("GET", "/"), ("GET", "/shell/{word}"), ("GET", "/tab/{tab}/{word}"), ("GET", "/state"),
    ("PUT", "/picture"), ("POST", "/example"), ("POST", "/select/{id}"), ("GET", "/picture/{id}"),
    ("POST", "/act/{tab}/{action}"), ("POST", "/act/{tab}/{action}"), ("POST", "/act/look/{look}"),
    ("POST", "/job/{tab}/{action}"), ("DELETE", "/job/{id}"), ("PUT", "/tab-state/{tab}"),
    ("GET", "/events"), ("GET", "/blob/{id}"), ("GET", "/{word}/{word}"),
]  # fmt: skip
WORDS = [
    "..", "../..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "/etc/passwd", "C:\\boot.ini", "\x00",
    "a" * 3000, "\ud83d\ude00", "__class__", "constructor", "tab.js", "shell.js", "index.html", "~",
    "*", "", " ", ";",
]  # fmt: skip


NAMES = ["times", "id", "other", "x", "y", "tap", "timestep", "side", "prompt", "words", "odd"]


class RandomModel(Bench):
    """The shape of the embedded model with random weights."""

    def load_backbone(self, name):
        return Workbench().load_backbone("random")

    def sharing(self, backbone):
        return Workbench().sharing(backbone)


class Fuzz:
    """Makes requests of one seed, with ids that earlier answers gave now and then."""

    def __init__(self, seed):
        self.draw = random.Random(seed)
        self.ids = ["none"]

    def request(self):
        draw = self.draw
        method, path = draw.choice(ADDRESSES)
        if draw.random() < 0.1:
            method = draw.choice(METHODS)
        path = path.format(
            word=draw.choice(WORDS),
            tab=draw.choice(["blur", "look", *WORDS]),
            action=draw.choice(["size", "grey", "blur", *WORDS]),
            id=draw.choice([*self.ids, *WORDS]),
            look=draw.choice(["setup", "match", "colours", "words"]),
        )
        query = draw.choice([
            "", "", "side=64", "side=-1", "side=99999999", "side=\xb2", "select=false",
            "follow=false", "after=x-9", "save", "&&==%zz", "a" * 2000,
        ])  # fmt: skip
        body, kind = self.body()
        return method, path, query, body, self.headers(body, kind)

    def headers(self, body, kind):
        draw = self.draw
        headers = [(b"host", b"127.0.0.1:7870"), (b"content-type", kind)]
        odd = [
            (b"host", b"evil.example"), (b"origin", b"http://evil.example"), (b"origin", b"\xff"),
            (b"content-length", str(len(body)).encode()), (b"content-length", b"9" * 20),
            (b"content-length", b"-1"), (b"content-length", "\xb2".encode("latin-1")),
            (b"cookie", b"\xff;;=="), (b"last-event-id", b"x-1"), (b"last-event-id", b"-" * 500),
            (b"x-picture-name", b"%ff%00../../me.png"), (b"if-none-match", b"*"),
            (b"range", b"bytes=0-"), (b"sec-fetch-site", b"cross-site"),
        ]  # fmt: skip
        return headers + [draw.choice(odd) for _ in range(draw.choice([0, 0, 0, 1, 2]))]

    def body(self):
        draw = self.draw
        json_kind, ours = b"application/json", MEDIA_TYPE.encode()
        kind = draw.choice([json_kind, json_kind, ours, b"", b"\xff"])
        way = draw.randrange(8)
        if way == 0:
            return draw.randbytes(draw.choice([0, 1, 7, 500, 100_000])), kind
        if way == 1:
            form = draw.choice(["PNG", "GIF", "BMP"])
            whole = picture(draw.randint(1, 60), draw.randint(1, 60), "teal", form)
            return whole[: draw.choice([len(whole), len(whole), len(whole) // 2])], kind
        text = json.dumps(self.values()).encode()
        if way == 2:
            parts = [[], [["mask", 3]], [["mask", 10**12]], [["mask", -1]], [[1, 2]], {}, None]
            head = json.dumps({"values": self.values(), "parts": draw.choice(parts)}).encode()
            length = draw.choice([len(head), len(head), 0, 2**32 - 1])
            return struct.pack("<I", length) + head + b"abc", ours
        return text[: draw.choice([len(text), len(text), len(text), 3])], kind

    def values(self):
        return {name: self.value(name) for name in NAMES if self.draw.random() < 0.7}

    def value(self, name, depth=0):
        draw = self.draw
        sane = {
            "times": 3, "id": draw.choice(self.ids), "other": draw.choice(self.ids), "x": 4.5,
            "y": 9, "tap": "up2", "timestep": 101, "side": 64, "prompt": "a face", "words": "face",
        }  # fmt: skip
        if name in sane and draw.random() < 0.6:
            return sane[name]
        if depth < 4 and draw.random() < 0.2:
            return [self.value(name, depth + 1) for _ in range(draw.randrange(4))]
        if depth < 4 and draw.random() < 0.1:
            return {draw.choice(WORDS[:4]): self.value(name, depth + 1)}
        return draw.choice(
            [None, True, 0, -1, 10**30, 1e308, -1e-320, "", "up1", "mid", "**", *WORDS]
        )


async def asked(app, method, path, query, body, headers):
    """One request as a server would hand it on; the status and the body."""
    pieces = [body[:7], body[7:]]
    said = []

    async def receive():
        if not pieces:
            return {"type": "http.disconnect"}
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message):
        said.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
        "scheme": "http", "path": path, "raw_path": path.encode("utf-8", "surrogatepass"),
        "query_string": query.encode("latin-1"), "root_path": "", "headers": headers,
        "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 7870),
    }  # fmt: skip
    await asyncio.wait_for(app(scope, receive, send), 60)
    return said[0]["status"], b"".join(one.get("body", b"") for one in said[1:])


def in_own_thread(work):
    """A browser of other tests may have a loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


def outside(folder):
    return sorted(str(one) for one in folder.parent.rglob("*") if folder not in (one, *one.parents)
                  and "__pycache__" not in one.parts)  # fmt: skip


@pytest.mark.filterwarnings("ignore::featurekit.core.errors.FeatureKitWarning")
def test_ten_thousand_random_requests_are_answered_in_words(tmp_path, caplog, monkeypatch):
    folder = tmp_path / "desk"
    tabs = {"blur": printed_tab(tmp_path), "look": look_tab}
    studio = opened(folder, tabs, bench=RandomModel)
    monkeypatch.chdir(tmp_path)
    before = outside(folder)
    app, fuzz, statuses = guarded(application(studio), Guard()), Fuzz(20), {}

    async def everything():
        for _ in range(REQUESTS):
            request = fuzz.request()
            status, body = await asked(app, *request)
            statuses[status] = statuses.get(status, 0) + 1
            assert status < 500, (request, body)
            assert b"Traceback" not in body, request
            if status == 201 and b'"id"' in body:
                found = json.loads(body)
                fuzz.ids = [*fuzz.ids[-6:], found.get("id") or found["picture"]["id"]]

    with caplog.at_level(logging.ERROR):
        in_own_thread(everything())
    studio.close()
    assert not mistakes(caplog)
    assert outside(folder) == before
    assert {200, 201, 403, 404, 405, 413, 422} <= set(statuses), statuses
    assert statuses[200] > REQUESTS / 20
    assert opened(folder, tabs, bench=RandomModel).told["pictures"]  # and it opens again
