"""Serving a studio: a socket, the guard before the application, and an end that leaves it whole."""

import errno
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from starlette.datastructures import MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from featurekit.core.errors import ConfigError
from featurekit.web.http.guard import COOKIE, Caller, Guard, as_headers, is_loopback, new_token
from featurekit.web.http.routes import application, refused
from featurekit.web.opening import Place
from featurekit.web.studio import Studio

USUAL_PORT = 7870
ENDS = (signal.SIGINT, signal.SIGTERM)
IN_USE = (errno.EADDRINUSE, errno.EACCES)


class Served:
    """A studio that is being served at an address."""

    def __init__(self, studio: Studio, place: Place) -> None:
        """Take the port and open the studio to requests that ``run`` will answer.

        Raises:
            ConfigError: the port is in use, or the host is none of this machine.
        """
        self._studio = studio
        self._socket = _listening(place.host, place.port)
        token = None if is_loopback(place.host) else new_token()
        guard = Guard(place.host, token, is_framed=place.is_framed)
        port = self._socket.getsockname()[1]
        shown = socket.gethostname() if place.host in ("0.0.0.0", "::") else place.host
        shown = f"[{shown}]" if ":" in shown else shown
        self.address = f"http://{shown}:{port}/" + (f"?token={token}" if token else "")
        config = uvicorn.Config(
            guarded(application(studio), guard), log_level="warning", access_log=False,
            lifespan="off", timeout_graceful_shutdown=1, server_header=False,
        )  # fmt: skip
        self._server = _Server(config, studio.hub.close)

    def run(self) -> None:
        """Answer requests until Ctrl-C, or ``stop`` from another thread."""
        try:
            self._server.run([self._socket])
        finally:
            self._studio.close()
            self._socket.close()

    def stop(self) -> None:
        """End ``run`` soon."""
        self._server.should_exit = True

    def in_thread(self) -> threading.Thread:
        """Run in a thread of its own, which ends with the program."""
        thread = threading.Thread(target=self.run, name="studio server", daemon=True)
        thread.start()
        return thread


class _Server(uvicorn.Server):
    """Ends the streams of events first, which would otherwise never end."""

    def __init__(self, config: uvicorn.Config, before: Callable[[], None]) -> None:
        super().__init__(config)
        self._before = before

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End at the first Ctrl-C, and raise it once all is closed.

        uvicorn sends itself the signal anew, which the command line takes for a second Ctrl-C.
        """
        ours = threading.current_thread() is threading.main_thread()
        heard: list[int] = []

        def end(number: int, frame: FrameType | None) -> None:
            heard.append(number)
            self.handle_exit(number, frame)

        asked = [one for one in ENDS if ours and signal.getsignal(one) is not signal.SIG_IGN]
        before = {one: signal.signal(one, end) for one in asked}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if signal.SIGINT in heard:
            raise KeyboardInterrupt
        if heard:
            signal.raise_signal(heard[0])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._before()
        await super().shutdown(sockets)


def serve(studio: Studio, place: Place) -> Served:
    """Open a studio at a place; see ``Served``."""
    return Served(studio, place)


def guarded(inner: ASGIApp, guard: Guard) -> ASGIApp:
    """Put the guard before an application: who may not ask never reaches it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _let_in(scope, receive, _headed(send, guard))
        elif scope["type"] == "lifespan":
            await inner(scope, receive, send)
        else:  # the studio has no web sockets
            await send({"type": "websocket.close", "code": 1008})

    async def _let_in(scope: Scope, receive: Receive, send: Send) -> None:
        query = scope["query_string"].decode("latin-1")
        caller = Caller(scope["method"], scope["path"], query, as_headers(scope["headers"]))
        refusal = guard.refusal(caller)
        if refusal is not None:
            await refused(refusal, 403)(scope, receive, send)
        elif guard.enters(caller):
            entry = RedirectResponse("/", 303)
            entry.set_cookie(COOKIE, guard.token or "", httponly=True, samesite="strict")
            await entry(scope, receive, send)
        else:
            await inner(scope, receive, send)

    return app


def _headed(send: Send, guard: Guard) -> Send:
    """Send with what every answer carries."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = MutableHeaders(scope=message)
            for name, value in guard.headers.items():
                own.setdefault(name, value)
        await send(message)

    return sending


def _listening(host: str, port: int | None) -> socket.socket:
    """A socket at the port; without one at the usual port, or any that is free."""
    for wanted in (USUAL_PORT, 0) if port is None else (port,):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        found = socket.socket(family, socket.SOCK_STREAM)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind((host, wanted))
            found.listen(128)
        except OSError as error:
            found.close()
            if port is None and wanted and error.errno in IN_USE:
                continue
            raise _unheard(host, wanted, error) from error
        return found
    raise ConfigError("a port must be free, and none is; close another program")


def _unheard(host: str, port: int, error: OSError) -> ConfigError:
    if error.errno in IN_USE:
        return ConfigError(
            f"port must be free, but {port} is in use or not allowed; choose another with port=..."
        )
    reason = error.strerror or str(error)
    return ConfigError(f"host must be an address of this machine, got {host!r}: {reason}")
