"""JSON and bytes in one body: a length, a JSON object, then the parts one after the other."""

import json
import struct
from collections.abc import Mapping
from typing import Any, NoReturn

from featurekit.core.errors import ConfigError
from featurekit.core.json_files import plain
from featurekit.web.asked import Asked

MEDIA_TYPE = "application/x-featurekit"
_LENGTH = struct.Struct("<I")
MOST_PARTS = 64


def unpack(body: bytes, media_type: str) -> Asked:
    """Read what a page sent.

    Args:
        body: a JSON object, or if the media type is ours: 4 bytes, little-endian, with the length
            of a JSON object ``{"values": {...}, "parts": [[name, length], ...]}``, then that and
            the parts.
        media_type: of the body; whatever is not ours is read as JSON.

    Raises:
        ConfigError: it has no such form.
    """
    if media_type.partition(";")[0].strip() != MEDIA_TYPE:
        return Asked(parse(body or b"{}"))
    if len(body) < _LENGTH.size:
        raise ConfigError("a body of parts must begin with a length of 4 bytes, got fewer")
    (length,) = _LENGTH.unpack_from(body)
    start = _LENGTH.size + length
    if start > len(body):
        raise ConfigError(f"a body must hold the {length} bytes that it promises, got fewer")
    head = parse(body[_LENGTH.size : start])
    values, listed = head.get("values", {}), head.get("parts", [])
    if not isinstance(values, dict) or not isinstance(listed, list) or len(listed) > MOST_PARTS:
        raise ConfigError(f"a body of parts must have values and at most {MOST_PARTS} parts")
    parts = {}
    for entry in listed:
        name, size = _entry(entry)
        if start + size > len(body):
            raise ConfigError(f"part {name!a} must have the {size} bytes that it promises")
        parts[name] = body[start : start + size]
        start += size
    return Asked(values, parts)


def pack(values: Mapping[str, Any], parts: Mapping[str, bytes]) -> bytes:
    """Write an answer in the form that ``unpack`` reads."""
    sizes = [[name, len(part)] for name, part in parts.items()]
    head = dump({"values": values, "parts": sizes})
    return b"".join((_LENGTH.pack(len(head)), head, *parts.values()))


def dump(values: Mapping[str, Any]) -> bytes:
    """Write JSON, of whatever text, in plain ASCII."""
    return json.dumps(plain(values, of="an answer"), separators=(",", ":")).encode("ascii")


def parse(body: bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ConfigError: it is none, is nested too deep, or holds NaN or infinity.
    """
    try:
        found = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ConfigError("a body must be a JSON object, and this is none") from error
    if not isinstance(found, dict):
        raise ConfigError(f"a body must be a JSON object, got a {type(found).__name__}")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _entry(entry: object) -> tuple[str, int]:
    """Name and length of a part."""
    if isinstance(entry, list) and len(entry) == 2:
        name, size = entry
        if isinstance(name, str) and type(size) is int and size >= 0:
            return name, size
    raise ConfigError("parts must be listed as [name, length]")
