"""Services that hold addresses: found by fsspec, asked once whether they answer, their words told.

Keys and settings are those of the environment (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, ...) or
of fsspec's own settings (``FSSPEC_S3``); what an address holds of them appears in no message.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from threading import Thread
from typing import Any, TypeVar
from urllib.parse import unquote

import fsspec
from fsspec.registry import known_implementations

from featurekit.core.errors import ConfigError, FeatureKitError, UnknownNameError
from featurekit.store.places.silence import patience, watch

ANSWER_S = 12.0  # patience with a service that is asked for the first time
BUCKETS = frozenset(  # whose folders are nothing but the names of objects
    ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss", "memory")
)
EXTRAS = {"s3": "scale", "s3a": "scale"}  # of this distribution, by protocol
_PACKAGES = {"smb": "smbprotocol"}  # whose name is not that of what it is imported as
_NO_STORE = ("data", "http", "https", "blockcache", "filecache", "simplecache", "cached")
_OWNERS = ("abfs", "abfss")  # whose addresses have a container where others have a user
_LONG = 300  # letters of a service's own words, at most

Made = TypeVar("Made")


@dataclass(frozen=True)
class Service:
    """A service and the place in it that an address names."""

    filesystem: Any  # of fsspec, which has no types
    key: str


def is_address(text: str) -> bool:
    """Tell whether a text is an address rather than a path of this machine."""
    return "://" in text


def shown(url: str) -> str:
    """A path, or an address as it may be read by anybody, without user and password."""
    if not is_address(url):
        return url
    protocol, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    if "@" in host and protocol not in _OWNERS:
        host = f"***@{host.rpartition('@')[2]}"
    return f"{protocol}://{host}{slash}{path}".partition("?")[0]


def said_by(error: BaseException, url: str) -> str:
    """The words of a service's error in one line, without what an address holds of keys."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = (lines or [type(error).__name__])[0]
    if isinstance(error, TimeoutError):  # whose words are few
        text = "it has gone silent"
    for part in _secrets(url):
        text = text.replace(part, "***")
    return text if len(text) <= _LONG else f"{text[:_LONG]}..."


def refused(url: str, must: str, error: BaseException) -> str:
    """Word what a service refused.

    Args:
        url: of what it refused.
        must: what the address had to be, such as ``be writable``.
        error: the service's.
    """
    kind = type(error).__name__
    advice = "check the address, the network and the settings of the service"
    if isinstance(error, FileNotFoundError):
        advice = "make it first, or choose another"
    elif isinstance(error, PermissionError) or "Credentials" in kind or "Forbidden" in kind:
        advice = "set the keys of an account that may, or choose another place"
    return f"{shown(url)!r} must {must}, but {said_by(error, url)}; {advice}"


@lru_cache(64)
def reached(root: str, process: int) -> Service:
    """Find the service of an address; the first time, ask whether it answers.

    Args:
        root: the address of a store.
        process: this process's number: a connection does not go through a fork.

    Raises:
        UnknownNameError: there is no such protocol.
        ConfigError: it is no place for a store, its package is not installed, or nothing answers
            within ``ANSWER_S``.
    """
    del process  # of the key alone
    protocol = _checked(root)
    try:
        filesystem, key = in_time(lambda: _connected(root, protocol), root, "answer")
    except ImportError as error:
        package = _package(protocol, error)
        raise ConfigError(
            f"a store at {protocol}:// needs a package that is not installed; "
            + (f"pip install '{package}'" if package else said_by(error, root))
        ) from error
    except FeatureKitError:
        raise
    except Exception as error:  # each service has errors of its own
        raise ConfigError(f"a store at {refused(root, 'answer', error)}") from error
    return Service(filesystem, key)


def _checked(root: str) -> str:
    """The protocol of an address that may be one of a store."""
    protocol, _, rest = root.partition("://")
    if "::" in root or "?" in root:
        raise ConfigError(
            f"the address of a store must be plain, without :: and ?, got {shown(root)!r}; give "
            f"settings by the environment"
        )
    if protocol not in fsspec.available_protocols():
        raise UnknownNameError("protocol of a store", protocol, ("s3", "gs", "az", "memory"),
                               "or any other that fsspec can write to")  # fmt: skip
    if protocol in _NO_STORE:
        raise ConfigError(
            f"a store must be at an address that can be written to, got {shown(root)!r}; give a "
            f"folder, or an object store such as s3://"
        )
    unnamed = rest.startswith("/") and protocol in BUCKETS - {"memory"}  # s3:///prefix
    if unnamed or not rest.strip("/"):
        raise ConfigError(
            f"the address of a store must name a place, such as {protocol}://bucket/prefix, got "
            f"{shown(root)!r}"
        )
    return protocol


def _package(protocol: str, error: ImportError) -> str:
    """What brings a protocol, as pip names it; empty where nobody says."""
    if protocol in EXTRAS:
        return f"featurekit[{EXTRAS[protocol]}]"
    if protocol in _PACKAGES:
        return _PACKAGES[protocol]
    brings = str(known_implementations.get(protocol, {}).get("class", "")).partition(".")[0]
    if brings not in ("", "fsspec"):
        return brings
    lacks = error.__cause__ if isinstance(error.__cause__, ImportError) else error
    return (lacks.name or "").partition(".")[0]


def _connected(root: str, protocol: str) -> tuple[Any, str]:
    """Its filesystem and key, once it has answered; that nothing is there yet is an answer."""
    filesystem, key = fsspec.core.url_to_fs(root, use_listings_cache=False, **patience(protocol))
    watch(filesystem, protocol)
    filesystem.exists(key)
    return filesystem, key.rstrip("/")


def in_time(call: Callable[[], Made], root: str, must: str) -> Made:
    """What a first call gives, if it comes in time; services wait for minutes of their own accord.

    Args:
        call: that asks the service.
        root: the address of a store.
        must: what the service had to do, such as ``answer``.

    Raises:
        ConfigError: it has not within ``ANSWER_S``.
        Exception: as the call raises it.
    """
    found: list[Made] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(call())
        except BaseException as error:  # told where it is waited for
            failed.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(ANSWER_S)
    if failed:
        raise failed[0]
    if not found:
        raise ConfigError(
            f"a store at {shown(root)!r} must {must}, but has not in {ANSWER_S:.0f} s; check the "
            f"address, the network and the settings of the service"
        )
    return found[0]


def _secrets(url: str) -> list[str]:
    """What an address holds that nobody should read, as it stands there and as it is meant."""
    protocol, _, rest = url.partition("://")
    user, at, _ = rest.partition("/")[0].rpartition("@")
    query = url.partition("?")[2]
    parts = [*re.split(":", user, maxsplit=1)] if at and protocol not in _OWNERS else []
    parts += [user, query]
    named = {one for part in parts for one in (part, unquote(part)) if len(one) > 2}
    return sorted(named, key=len, reverse=True)
