"""Records as JSON: read with care, written as a whole, numbers that JSON lacks made plain."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from featurekit.core.atomic import replacing
from featurekit.core.errors import ConfigError, OutputError


def write_json(record: Mapping[str, Any], path: Path | str) -> Path:
    """Write a record as indented JSON; see ``plain`` for what it may hold.

    Raises:
        OutputError: a value has no JSON form, or the file cannot be written.
    """
    content = json_bytes(record, of=Path(path).name)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return Path(path)


def json_bytes(record: Mapping[str, Any], *, of: str) -> bytes:
    """Word a record as indented JSON, as ``write_json`` writes it.

    Args:
        record: see ``plain`` for what it may hold.
        of: what it is, for the message.

    Raises:
        OutputError: a value has no JSON form.
    """
    return (json.dumps(plain(record, of=of), indent=2, ensure_ascii=False) + "\n").encode()


def read_json(path: Path | str) -> dict[str, Any]:
    """Read a record that ``write_json`` wrote.

    Raises:
        ConfigError: there is no such file, or it holds no JSON mapping.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise _no_record(str(path), error) from error
    return json_of(content, str(path))


def json_of(content: bytes, path: str) -> dict[str, Any]:
    """Read a record from the bytes of its file.

    Args:
        content: the bytes.
        path: of the file, for the message.

    Raises:
        ConfigError: it is no JSON mapping.
    """
    try:
        record = json.loads(content.decode("utf-8"))
    except ValueError as error:
        raise _no_record(path, error) from error
    if not isinstance(record, dict):
        raise ConfigError(f"a record must be a JSON mapping, got a {type(record).__name__}")
    return record


def _no_record(path: str, error: Exception) -> ConfigError:
    return ConfigError(f"a record must be a JSON file, but {path!r}: {error}")


def plain(value: Any, *, of: str) -> Any:  # noqa: ANN401  # JSON has no static type
    """Convert to what JSON can hold: numbers without finite value become null, paths text.

    Args:
        value: mappings, sequences, words, numbers, None, paths, and scalars of numpy or torch.
        of: what the value is, for the message.

    Raises:
        OutputError: something else is inside; names where.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(entry, of=f"{of}.{key}") for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry, of=f"{of}[{index}]") for index, entry in enumerate(value)]
    if getattr(value, "ndim", None) == 0:  # a scalar of numpy or torch, neither imported for it
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return value.as_posix()
    raise OutputError(f"{of} must be a number, text, list or mapping, got {type(value).__name__}")
