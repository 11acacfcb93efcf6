"""Whether a cluster's head answers at RAY_ADDRESS: asked before Ray itself waits for minutes.

Ray's head speaks gRPC: HTTP/2 (RFC 9113) with each call in a stream of frames. A call that every
head knows is made by hand, since Ray's own client knows no end to its patience and prints lines of
its own. What answers it is a head, which may ask for a token; the token is Ray's to give.
"""

import os
import re
import socket
import time

from featurekit.core.errors import ConfigError

ANSWER_S = 8.0  # patience with each step: to connect, to answer
_CALL = b"/ray.rpc.NodeInfoGcsService/GetClusterId"
_NONE, _DATA, _HEADERS, _SETTINGS = -1, 0, 1, 4  # types of frames, RFC 9113 section 6
_END_STREAM, _END_HEADERS = 1, 4  # flags
_OK = b"\x88"  # ":status 200" as HPACK's table has it, RFC 7541 appendix A
_UNKNOWN_CALL = b"grpc-status\x0212"  # UNIMPLEMENTED, literally, as gRPC's core writes it
_FRAME_HEAD = 9  # bytes: length 3, type 1, flags 1, stream 4
_LONGEST = 1 << 14  # bytes of a frame, by default


def check_answers(address: str) -> None:
    """Refuse an address at which no head of a cluster answers, within 20 s.

    Args:
        address: of ``RAY_ADDRESS``: ``host:port``.

    Raises:
        ConfigError: it has another form, or nothing or something else answers there.
    """
    parts = re.fullmatch(r"\[?([\w.:-]+?)\]?:(\d{1,5})", address)
    if parts is None:
        raise ConfigError(
            f"RAY_ADDRESS must be host:port of a cluster's head, such as 10.0.0.1:6379, or auto, "
            f"got {address!r}"
        )
    try:
        ours = _is_head(parts[1], int(parts[2]))
    except (OSError, OverflowError) as error:
        reason = "no answer" if isinstance(error, TimeoutError) else str(error)
        raise ConfigError(
            f"RAY_ADDRESS must be that of a running cluster, but {address!r} gave: {reason}; "
            f"start it with ray start --head, or unset RAY_ADDRESS for workers on this machine"
        ) from error
    if not ours:
        raise ConfigError(
            f"RAY_ADDRESS must be that of a cluster's head, but something else answers at "
            f"{address!r}; give the port that ray start --head names"
        )


def _is_head(host: str, port: int) -> bool:
    """Make the call, and look at the frames until one says who answers."""
    with socket.create_connection((host, port), timeout=ANSWER_S) as connection:
        if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):  # only Ray has the keys
            return True
        line = _Line(connection)
        connection.sendall(_call())
        kind, _, _ = line.frame()
        if kind != _SETTINGS:
            return False
        while kind != _NONE:
            kind, flags, body = line.frame()
            if kind == _HEADERS and (body[:1] != _OK or _UNKNOWN_CALL in body):
                return False
            if kind == _DATA or (kind == _HEADERS and flags & _END_STREAM):  # a token is missing
                return True
        return False


class _Line:
    """Frames as they come, until the patience with all of them together ends."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._until = connection, time.monotonic() + ANSWER_S

    def frame(self) -> tuple[int, int, bytes]:
        """Type, flags and bytes of the next frame; _NONE if it is none."""
        head = self._bytes(_FRAME_HEAD)
        length = int.from_bytes(head[:3], "big")
        if len(head) < _FRAME_HEAD or length > _LONGEST:
            return _NONE, 0, b""
        return head[3], head[4], self._bytes(length)

    def _bytes(self, count: int) -> bytes:
        """So many bytes, or fewer where the other side ends before."""
        found = b""
        while len(found) < count:
            left = self._until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._connection.settimeout(left)
            more = self._connection.recv(count - len(found))
            if not more:
                break
            found += more
        return found


def _call() -> bytes:
    """The bytes of a connection that begins and makes one call without arguments."""
    fields = (
        b"\x83\x86"  # ":method POST", ":scheme http"
        + _literal(b"\x04", _CALL)  # ":path"
        + _literal(b"\x01", b"head")  # ":authority"
        + _literal(b"\x00\x02te", b"trailers")
        + _literal(b"\x00\x0ccontent-type", b"application/grpc")
    )
    return (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + _framed(_SETTINGS, 0, 0, b"")
        + _framed(_HEADERS, _END_HEADERS, 1, fields)
        + _framed(_DATA, _END_STREAM, 1, bytes(5))  # a message of no bytes, not compressed
    )


def _literal(name: bytes, value: bytes) -> bytes:
    return name + bytes((len(value),)) + value


def _framed(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + body
