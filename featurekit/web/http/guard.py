"""Who may speak to the studio: this machine's own page, or one with the token, and nobody else."""

import ipaddress
import secrets
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

COOKIE = "featurekit_studio"
LOCAL = ("localhost", "127.0.0.1", "::1")
POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; "
    "worker-src 'self' blob:; base-uri 'none'; form-action 'none'; object-src 'none'; "
    "frame-ancestors {frames}"
)
FRAMES = "'self' http://localhost:* http://127.0.0.1:* https: vscode-webview:"  # of notebooks


@dataclass(frozen=True)
class Caller:
    """What a request says about who sends it; names of headers in small letters."""

    method: str
    path: str
    query: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Guard:
    """Judges requests by their headers."""

    host: str = "127.0.0.1"  # that the server listens at
    token: str | None = None  # that a page must have
    is_framed: bool = False  # whether a notebook shows the page

    def refusal(self, caller: Caller) -> str | None:
        """Say why a request is refused, or None where it is not."""
        named = caller.headers.get("host", "")
        if not self._is_ours(named):
            return "requests must name the studio's own host; open it by the address it printed"
        if not self._is_same_site(caller, named):
            return "only the studio's own page may ask this; a page of another site did"
        if self.token is not None and not self._has_token(caller):
            return "the studio's address has a token, and this request has none; open that address"
        return None

    def enters(self, caller: Caller) -> bool:
        """Whether the address brings the token, to be kept as a cookie."""
        if self.token is None or caller.path != "/" or caller.method != "GET":
            return False
        given = parse_qs(caller.query).get("token", [""])[0]
        return _equal(given, self.token)

    @property
    def headers(self) -> dict[str, str]:
        """What every answer carries."""
        policy = POLICY.format(frames=FRAMES if self.is_framed else "'none'")
        return {
            "content-security-policy": policy,
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cross-origin-resource-policy": "same-origin",
        }

    def _is_ours(self, named: str) -> bool:
        """A name by which this machine may be called, so that no other name can lead here."""
        name = _without_port(named)
        if name in LOCAL or name == self.host:
            return name in LOCAL or self.token is not None
        if self.token is None:
            return False
        return name == socket.gethostname().lower() or _is_address(name)

    def _is_same_site(self, caller: Caller, named: str) -> bool:
        origin = caller.headers.get("origin")
        if origin is not None and origin not in (f"http://{named}", f"https://{named}"):
            return False
        site = caller.headers.get("sec-fetch-site", "same-origin")
        opens = caller.method == "GET" and caller.path == "/"  # a link or a notebook's frame
        return opens or site in ("same-origin", "none")

    def _has_token(self, caller: Caller) -> bool:
        if self.enters(caller):
            return True
        try:
            found = SimpleCookie(caller.headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return found is not None and _equal(found.value, self.token or "")


def is_loopback(host: str) -> bool:
    """Whether a host is reached from this machine alone."""
    if host in LOCAL:
        return True
    return _is_address(host) and ipaddress.ip_address(host).is_loopback


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(24)


def as_headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers of a request as texts; of one that comes twice the two, which match nothing."""
    found: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def _without_port(named: str) -> str:
    name = named.lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _equal(one: str, other: str) -> bool:
    return secrets.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))
