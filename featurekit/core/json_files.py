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
    text = json.dumps(plain(record, of=Path(path).name), indent=2, ensure_ascii=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return Path(path)


def read_json(path: Path | str) -> dict[str, Any]:
    """Read a record that ``write_json`` wrote.

    Raises:
        ConfigError: there is no such file, or it holds no JSON mapping.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"a record must be a JSON file, but {str(path)!r}: {error}") from error
    if not isinstance(record, dict):
        raise ConfigError(f"a record must be a JSON mapping, got a {type(record).__name__}")
    return record


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
