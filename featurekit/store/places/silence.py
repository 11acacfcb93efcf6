"""Silence of a service of S3's protocol: bounded in time, as a transfer that moves is not.

An attempt ends where nothing is heard, or nothing that is sent is taken; the client makes another,
and others within those. None is made any more once the service has answered nothing for a while.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import fsspec

CONNECT_S = 5.0  # patience of an attempt with a connection, as s3fs has it
STALL_S = 15.0  # with a connection on which nothing moves, likewise
SILENCE_S = 45.0  # without an answer, after which nothing is asked again
UNSENT_BYTES = (
    2**16
)  # that the system keeps of what is sent, since to the client that has been sent
AT_ONCE = 64  # connections, and objects or parts that are asked for together: none waits its turn
PROTOCOLS = ("s3", "s3a")


class ServiceSilent(Exception):  # noqa: N818  # and no OSError, which clients try again
    """A service has answered nothing for too long."""


@dataclass
class _Asked:
    """A question to a service, of whatever number of requests."""

    heard_s: float = field(default_factory=monotonic)  # when it last answered, or was asked


_asked: ContextVar[_Asked] = ContextVar("asked")


@contextmanager
def bounded() -> Iterator[None]:
    """Give a service that is watched ``SILENCE_S`` for the block, anew with each answer."""
    token = _asked.set(_Asked())
    try:
        yield
    finally:
        _asked.reset(token)


def patience(protocol: str) -> dict[str, Any]:
    """Settings of a filesystem whose attempts end where nothing moves; the user's own go first.

    Args:
        protocol: of it.
    """
    if protocol not in PROTOCOLS:
        return {}
    given: dict[str, Any] = {}
    for name in PROTOCOLS:
        given |= fsspec.config.conf.get(name, {}).get("config_kwargs", {})
    own = {
        "connect_timeout": CONNECT_S,
        "read_timeout": STALL_S,
        "max_pool_connections": AT_ONCE,
        "connector_args": {"socket_factory": _socket},
    }
    return {"config_kwargs": {**own, **given}}


def watch(filesystem: Any, protocol: str) -> None:  # noqa: ANN401  # fsspec has no types
    """Have a filesystem's attempts within ``bounded`` end for good where its service is silent."""
    if protocol in PROTOCOLS:
        events = filesystem.s3.meta.events  # whose handlers must take any keyword
        events.register("before-send.s3", lambda request, **_: _unasked(request),
                        unique_id="featurekit-unasked")  # fmt: skip
        events.register("response-received.s3", lambda exception, **_: _attempted(exception),
                        unique_id="featurekit-silence")  # fmt: skip


def _unasked(request: Any) -> None:  # noqa: ANN401  # botocore's
    """Send at once: the client waits without an end for a service to allow it what it is to send.

    aiohttp begins to count the time once all is sent; ``Expect`` asks beforehand (RFC 9110, 10.1.1)
    and is not signed.
    """
    if "Expect" in request.headers:
        del request.headers["Expect"]


def _attempted(exception: Exception | None) -> None:
    """Hear of an attempt; what botocore calls after each, before it makes another."""
    asked = _asked.get(None)
    if asked is None:
        return
    if exception is None:
        asked.heard_s = monotonic()
        return
    silent_s = monotonic() - asked.heard_s
    if silent_s >= SILENCE_S:
        raise ServiceSilent(f"has not answered for {silent_s:.0f} s") from exception


def _socket(about: tuple[int, int, int, str, Any]) -> socket.socket:
    """A socket that ends where nothing is taken of what it sends, as far as the system can.

    Without it, a client's patience with an answer would begin while the system still sends.
    """
    made = socket.socket(*about[:3])
    options = {"TCP_USER_TIMEOUT": round(1000 * STALL_S), "TCP_NOTSENT_LOWAT": UNSENT_BYTES}
    for name, value in options.items():
        if hasattr(socket, name):  # Linux has both
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made
