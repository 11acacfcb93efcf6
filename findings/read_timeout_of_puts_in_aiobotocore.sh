#!/usr/bin/env bash
# The read_timeout of an S3 client of aiobotocore (s3fs writes with it) holds for a get, and not for a put that waits to be let in.
#
# Versions: s3fs 2026.9.0, aiobotocore 3.10.0, aiohttp as they bring it.
# Valid input: one object of 5 bytes, put and got with config_kwargs read_timeout=1 and one attempt; a service on loopback, correct but slow:
#   it answers each get after 6 s, and lets each put send its body ("100 Continue", RFC 9110, 10.1.1) after 6 s.
# Expected: both end after about a second with a timeout, since for a second nothing was heard.
# Seen: the get does; the put waits for the 6 s and succeeds. botocore gives every put with a body the header "Expect: 100-continue", and
#   aiohttp begins to count once the body is sent. Without that header the put ends after a second too.
# Exits with 0 while this is so, with 1 where it changed.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" -q install s3fs==2026.9.0 aiobotocore==3.10.0
cat > "$work/look.py" <<'PY'
import re
import socket
import sys
import threading
import time
from importlib.metadata import version

import s3fs

LATE_S, PATIENCE_S = 6.0, 1.0
server = socket.create_server(("127.0.0.1", 0))


def serve(connection):
    with connection:
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536) or sys.exit()
        head, _, body = head.partition(b"\r\n\r\n")
        time.sleep(LATE_S)
        if b"100-continue" in head.lower():
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = int(re.search(rb"(?i)content-length: (\d+)", head + b"\r\ncontent-length: 0")[1])
        while len(body) < length:
            body += connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def accept():
    while True:
        threading.Thread(target=serve, args=[server.accept()[0]], daemon=True).start()


def timed(call):
    start = time.monotonic()
    try:
        call()
        said = "succeeds"
    except Exception as error:
        said = type(error).__name__
    return round(time.monotonic() - start, 1), said


threading.Thread(target=accept, daemon=True).start()
settings = {"connect_timeout": PATIENCE_S, "read_timeout": PATIENCE_S,
            "retries": {"total_max_attempts": 1}}
files = s3fs.S3FileSystem(key="a", secret="b", endpoint_url=f"http://127.0.0.1:{server.getsockname()[1]}",
                          config_kwargs=settings)
files.retries = 1
files.connect()


got = timed(lambda: files.cat_file("bucket/one"))
put = timed(lambda: files.pipe_file("bucket/one", b"bytes"))
files.s3.meta.events.register("before-send.s3", lambda request, **_: request.headers.__delitem__("Expect"))
without = timed(lambda: files.pipe_file("bucket/one", b"bytes"))
print("s3fs", version("s3fs"), "aiobotocore", version("aiobotocore"), "aiohttp", version("aiohttp"))
print(f"read_timeout {PATIENCE_S} s, answers after {LATE_S} s; seconds, and how it ended:")
print("get", got, "- put", put, "- put without Expect", without)
soon = (LATE_S + PATIENCE_S) / 2
sys.exit(not (got[0] < soon and got[1] != "succeeds" and put[0] >= LATE_S and put[1] == "succeeds"
              and without[0] < soon and without[1] != "succeeds"))
PY
"$work/env/bin/python" "$work/look.py"
