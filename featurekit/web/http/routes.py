"""The studio over HTTP: each address reads its request with care and asks the studio."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeAlias
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from featurekit.core.errors import ConfigError, FeatureKitError, UnknownNameError
from featurekit.web.framing import MEDIA_TYPE, dump, pack, parse, unpack
from featurekit.web.job_queue import LOG, OURS, QueueFullError
from featurekit.web.pages import Static, shell_files
from featurekit.web.studio import Studio
from featurekit.web.tab import Reply

PICTURE_BYTES, BODY_BYTES, STATE_BYTES = 128 << 20, 128 << 20, 1 << 20
NAME_HEADER = "x-picture-name"
SHOWN_PX = 2048

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


class TooLargeError(FeatureKitError, ValueError):
    """A request brings more than it may."""


STATUS: dict[type[FeatureKitError], int] = {
    TooLargeError: 413,
    QueueFullError: 429,
    UnknownNameError: 404,
}


def answer(values: dict[str, Any], status: int = 200) -> Response:
    """Answer with JSON."""
    return Response(dump(values), status, media_type="application/json")


def refused(sentence: str, status: int) -> Response:
    """Answer with a sentence for the person."""
    return answer({"error": " ".join(sentence.split())}, status)


def application(studio: Studio) -> Starlette:
    """The studio as an ASGI application; ``server.guarded`` stands before it."""
    asks = _Asks(studio)
    routes = [
        Route("/", asks.page),
        Route("/shell/{name:path}", asks.shell),
        Route("/tab/{tab}/{name:path}", asks.tab_file),
        Route("/state", asks.state),
        Route("/picture", asks.put_picture, methods=["PUT"]),
        Route("/example", asks.put_example, methods=["POST"]),
        Route("/select/{id}", asks.select, methods=["POST"]),
        Route("/picture/{id}", asks.picture),
        Route("/act/{tab}/{action}", asks.act, methods=["POST"]),
        Route("/job/{tab}/{job}", asks.start, methods=["POST"]),
        Route("/job/{id}", asks.stop, methods=["DELETE"]),
        Route("/tab-state/{tab}", asks.save_page, methods=["PUT"]),
        Route("/events", asks.events),
        Route("/blob/{id}", asks.blob),
    ]

    async def other(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        return refused(f"there is nothing here: {status}", status)

    app = Starlette(routes=routes, exception_handlers={HTTPException: other})
    app.router.redirect_slashes = False
    return app


def careful(endpoint: Callable[..., Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
    """Word what an endpoint refuses; what is a mistake of ours is logged with its place."""

    @wraps(endpoint)
    async def asked(self: "_Asks", request: Request) -> Response:
        try:
            return await endpoint(self, request)
        except FeatureKitError as error:
            found = [STATUS[kind] for kind in STATUS if isinstance(error, kind)]
            return refused(str(error), found[0] if found else 422)
        except MemoryError:
            return refused("there was not enough memory for this; use a smaller picture", 422)
        except ClientDisconnect:
            return refused("the page went away", 400)
        except Exception as error:
            LOG.exception("a request to %s failed", request.url.path)
            return refused(OURS.format(f"{type(error).__name__}: {error}"), 500)

    return asked


class _Asks:
    """The endpoints."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._shell = shell_files()

    @careful
    async def page(self, request: Request) -> Response:
        return _static(self._shell["index.html"], request)

    @careful
    async def shell(self, request: Request) -> Response:
        return _named(self._shell, request.path_params["name"], request)

    @careful
    async def tab_file(self, request: Request) -> Response:
        files = self._studio.tab(request.path_params["tab"]).files
        return _named(files, request.path_params["name"], request)

    @careful
    async def state(self, request: Request) -> Response:
        return answer(await run_in_threadpool(lambda: self._studio.told))

    @careful
    async def put_picture(self, request: Request) -> Response:
        content = await _body(request, PICTURE_BYTES)
        name = unquote(request.headers.get(NAME_HEADER, ""))
        name = "".join(one for one in name if one.isprintable())[:120] or "picture"
        select = request.query_params.get("select", "true") != "false"
        put = self._studio.put_picture
        picture = await run_in_threadpool(put, content, name, select=select)
        return answer({"picture": picture.told}, 201)

    @careful
    async def put_example(self, request: Request) -> Response:
        return answer({"picture": (await run_in_threadpool(self._studio.put_example)).told}, 201)

    @careful
    async def select(self, request: Request) -> Response:
        key = request.path_params["id"]
        return answer({"picture": (await run_in_threadpool(self._studio.select, key)).told})

    @careful
    async def picture(self, request: Request) -> Response:
        side = request.query_params.get("side", str(SHOWN_PX))
        if not (side.isascii() and side.isdigit() and len(side) < 8):
            raise ConfigError(f"side must be a whole number of pixels, got {side[:20]!a}")
        shown = self._studio.shelf.shown
        content, kind = await run_in_threadpool(shown, request.path_params["id"], int(side))
        return Response(content, media_type=kind, headers=LASTING)

    @careful
    async def act(self, request: Request) -> Response:
        where = request.path_params
        asked = unpack(await _body(request, BODY_BYTES), request.headers.get("content-type", ""))
        found = await run_in_threadpool(self._studio.act, where["tab"], where["action"], asked)
        if isinstance(found, Reply):
            return Response(pack(found.values, found.parts), media_type=MEDIA_TYPE)
        return answer(dict(found))

    @careful
    async def start(self, request: Request) -> Response:
        where = request.path_params
        asked = unpack(await _body(request, BODY_BYTES), request.headers.get("content-type", ""))
        job = await run_in_threadpool(self._studio.start, where["tab"], where["job"], asked)
        return answer({"id": job.id, "job": job.told}, 201)

    @careful
    async def stop(self, request: Request) -> Response:
        job = await run_in_threadpool(self._studio.jobs.stop, request.path_params["id"])
        return answer({"job": job.told})

    @careful
    async def save_page(self, request: Request) -> Response:
        state = parse(await _body(request, STATE_BYTES))
        await run_in_threadpool(self._studio.save_page, request.path_params["tab"], state)
        return answer({})

    @careful
    async def events(self, request: Request) -> Response:
        if self._studio.hub.is_full:
            return refused("too many pages listen already; close one", 429)
        after = request.headers.get("last-event-id") or request.query_params.get("after", "")
        follow = request.query_params.get("follow", "true") != "false"
        stream = self._studio.hub.stream(after, follow=follow)
        return StreamingResponse(stream, media_type="text/event-stream", headers=UNKEPT)

    @careful
    async def blob(self, request: Request) -> Response:
        blob = await run_in_threadpool(self._studio.blobs.get, request.path_params["id"])
        headers = {**LASTING, "content-security-policy": "sandbox; default-src 'none'"}
        if "save" in request.query_params:
            plain = "".join(one if (one.isascii() and one.isalnum()) or one in "._-" else "_"
                            for one in blob.name)  # fmt: skip
            headers["content-disposition"] = f'attachment; filename="{plain}"'
        return Response(blob.content, media_type=blob.media_type, headers=headers)


LASTING = {"cache-control": "private, max-age=31536000, immutable"}
UNKEPT = {"cache-control": "no-store"}


def _named(files: dict[str, Static], name: str, request: Request) -> Response:
    if name not in files:
        raise UnknownNameError("file", name[:60], files)
    return _static(files[name], request)


def _static(file: Static, request: Request) -> Response:
    headers = {"etag": f'"{file.mark}"', "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


async def _body(request: Request, most: int) -> bytes:
    """The whole body, unless it is longer than it may be."""
    said = request.headers.get("content-length", "0")
    if said.isascii() and said.isdigit() and int(said[:20]) > most:
        raise TooLargeError(_too_large(most))
    held = bytearray()
    async for piece in request.stream():
        held += piece
        if len(held) > most:
            raise TooLargeError(_too_large(most))
    return bytes(held)


def _too_large(most: int) -> str:
    return f"at most {most >> 20} MiB may be sent at once; send less"
