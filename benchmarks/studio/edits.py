"""What the studio's server holds while a person makes one edit after another.

python -m benchmarks.studio.edits                        # 200 edits of a small picture
python -m benchmarks.studio.edits --edits 40 --side 512

Asks the server of a studio of its own over HTTP, as the page does: a cut for the preview, an edit,
its state, now and then a step back. Memory is the resident set of the server.
"""

import argparse
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import psutil

import featurekit as fk
from benchmarks.records.recording import recorded, recorded_to, typed

COLUMNS = (
    "",
    "edits",
    {"title": "the server holds at most, MiB", "format": ".0f"},
    "steps kept at the end",
    {"title": "CPU s of the server an edit", "format": ".2f"},
)
EVERY = 10  # edits between two weighings
BACK = 7  # edits, after which one is undone


def main(words: Sequence[str] | None = None) -> None:
    """Make edits and weigh the server.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edits", type=int, default=200)
    parser.add_argument("--side", type=int, default=96, help="px of the picture")
    recorded_to(parser)
    asked = parser.parse_args(words)
    if asked.edits < 2 * EVERY:
        parser.error(f"--edits must be at least {2 * EVERY}, got {asked.edits}")
    command = typed("studio.edits", words)
    with TemporaryDirectory() as name:
        words = ["studio", "browser=false", "port=0", f"folder={Path(name) / 'studio'}"]
        server = subprocess.Popen(
            [sys.executable, "-m", "featurekit", *words], cwd=name, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            address = (server.stdout.readline() if server.stdout else "").strip()
            seen = weigh(address, psutil.Process(server.pid), asked.edits, asked.side)
        finally:
            server.terminate()
            server.wait()
    half, rows = len(seen) // 2, []
    for name, part in (("first half", seen[: half + 1]), ("second half", seen[half:])):
        edits = part[-1].edits - part[0].edits
        each = (part[-1].worked_s - part[0].worked_s) / edits
        most = max(one.mib for one in part[1:])
        rows.append([name, edits, most, part[-1].steps, each])
    settings = {"edits": asked.edits, "side_px": asked.side, "undone": f"one of {BACK}",
                "weighed_after_every": EVERY}  # fmt: skip
    samples = {"weighings": [one._asdict() for one in seen]}
    recorded(asked.record, command, COLUMNS, rows, settings=settings, samples=samples)


class Weighed(NamedTuple):
    """The server after some edits."""

    edits: int
    mib: float
    steps: int  # of the history that are kept
    worked_s: float  # of its processor, since it began


def ask(address: str, method: str = "GET", body: bytes | None = None) -> dict[str, Any]:
    """Ask the server; an answer with bytes is read and left."""
    kind = {"content-type": "application/json"}
    request = urllib.request.Request(address, body, kind, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            content = answer.read()
    except urllib.error.HTTPError as refusal:
        raise SystemExit(f"{address}: {refusal.read().decode()}") from refusal
    return json.loads(content) if content[:1] == b"{" else {}


def weigh(address: str, server: psutil.Process, edits: int, side: int) -> list[Weighed]:
    """Make edits of one scene, each pulled to another place; the first row is before them."""
    file = BytesIO()
    (move,) = fk.scenes.held_out_moves(1, deforms=False)
    move.before.image(side).save(file, "PNG")
    while not ask(f"{address}state")["is_complete"]:
        time.sleep(0.5)
    ask(f"{address}picture", "PUT", file.getvalue())
    ((x, y), (u, v)), *_ = move.drags_px(side)
    held, spent = server.memory_info().rss / 2**20, sum(server.cpu_times()[:2])
    seen = [Weighed(0, held, 0, spent)]
    for number in range(edits):
        far = 0.4 + 0.6 * (number % 11) / 10
        values = {"points": [[x, y, x + far * (u - x), y + far * (v - y)]], "seed": number}
        ask(f"{address}act/drag/follow", "POST", json.dumps(values).encode())
        job = ask(f"{address}job/drag/apply", "POST", json.dumps(values).encode())["id"]
        while next(one for one in ask(f"{address}state")["jobs"] if one["id"] == job)["status"] in (
            "waiting",
            "running",
        ):
            time.sleep(0.05)
        told = ask(f"{address}act/drag/told", "POST", b"{}")
        if number % BACK == BACK - 1:
            back = json.dumps({"step": told["steps"][-2]["number"]}).encode()
            ask(f"{address}act/drag/go", "POST", back)
        if number % EVERY == EVERY - 1:
            mib, spent = server.memory_info().rss / 2**20, sum(server.cpu_times()[:2])
            seen.append(Weighed(number + 1, mib, len(told["steps"]), spent))
            print(*seen[-1], flush=True)
    return seen


if __name__ == "__main__":
    main()
