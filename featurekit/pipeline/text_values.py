"""Text on a command line is taken as it is: which settings are text, and how Hydra is told so.

Hydra reads values by a grammar in which commas, equals signs, brackets, quotes and most letters
mean something. A setting whose type is text means none of that, so its value is quoted for Hydra.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, get_args, get_origin, get_type_hints

_QUOTED = re.compile(r"""(['"])(?:(?!\1)[^\\]|\\.)*\1""", flags=re.DOTALL)
_CALL = re.compile(r"\w+\(.*\)", flags=re.DOTALL)  # choice(a,b), extend_list(a), ...
_RAW = ("${", "[", "{")  # an interpolation, or more than one value


class Kind(Enum):
    """What a setting holds, as far as quoting goes."""

    TEXT = "text"
    OPTIONAL_TEXT = "text or null"
    TEXTS = "list of texts"
    LIST = "list of something else"


def kinds_of(schema: type[Any], prefix: str = "") -> dict[str, Kind]:
    """Find the settings of a dataclass that are text or lists, those of nested ones included.

    Args:
        schema: dataclass of settings.
        prefix: what their keys begin with, such as ``"plugin."``.

    Returns:
        Kind by key.
    """
    hints, found = get_type_hints(schema), dict[str, Kind]()
    for entry in fields(schema):
        hint = hints[entry.name]
        if is_dataclass(hint):
            found |= kinds_of(hint, f"{prefix}{entry.name}.")  # type: ignore[arg-type]
        elif (kind := _kind(hint)) is not None:
            found[prefix + entry.name] = kind
    return found


def _kind(hint: object) -> Kind | None:
    if hint is str:
        return Kind.TEXT
    if get_origin(hint) is list:
        return Kind.TEXTS if get_args(hint) == (str,) else Kind.LIST
    return Kind.OPTIONAL_TEXT if set(get_args(hint)) == {str, type(None)} else None


def quoted(text: str) -> str:
    """Write text as a quoted value of Hydra's grammar, which gives back exactly the text."""
    # before a quote, and at the end, backslashes would escape; elsewhere they are themselves
    escaped = re.sub(r"(\\*)'", lambda found: found[1] * 2 + "\\'", text)
    tail = escaped[len(escaped.rstrip("\\")) :]
    return f"'{escaped}{tail}'"


def is_quoted(value: str) -> bool:
    """Tell whether a value is one quoted text, and not only begins and ends with quotes."""
    return _QUOTED.fullmatch(value) is not None


def unquoted(value: str) -> str:
    """Take a value's own quotes off; a value without them is itself."""
    if not is_quoted(value):
        return value
    mark, inner = value[0], value[1:-1]
    pattern = rf"(\\+)(?={mark}|$)"
    return re.sub(pattern, lambda found: "\\" * (len(found[1]) // 2), inner)


def as_text(overrides: Sequence[str], kinds: Mapping[str, Kind], *, sweep: bool) -> list[str]:
    """Quote the values of settings that are text, as far as they are not quoted yet.

    Args:
        overrides: ``key=value``, as a person wrote them.
        kinds: kind by key; other keys are left as they are.
        sweep: whether a comma separates runs (``-m``); then text with one is left to Hydra.

    Returns:
        The overrides in Hydra's grammar.
    """
    return [_as_text(override, kinds, sweep=sweep) for override in overrides]


def _as_text(override: str, kinds: Mapping[str, Kind], *, sweep: bool) -> str:
    key, equals, value = override.partition("=")
    kind, value = kinds.get(key.strip().lstrip("+")), value.strip()
    if not equals or kind is None or (sweep and ("," in value or _CALL.fullmatch(value))):
        return override
    if kind in (Kind.TEXTS, Kind.LIST):
        return f"{key}={_as_list(value, texts=kind is Kind.TEXTS)}"
    if is_quoted(value) or (kind is Kind.OPTIONAL_TEXT and value == "null"):
        return override
    return f"{key}={quoted(value)}"


def _as_list(value: str, *, texts: bool) -> str:
    """A list in Hydra's grammar; one without brackets may be written with commas."""
    if value.startswith("${") or value == "null" or _CALL.fullmatch(value):
        return value
    inner = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    if not texts:
        return f"[{inner}]"
    parts = [part.strip() for part in _split(inner)]
    shown = (
        part if is_quoted(part) or part.startswith(_RAW) else quoted(part)
        for part in parts
        if part or len(parts) > 1
    )
    return f"[{','.join(shown)}]"


def _split(text: str) -> Iterator[str]:
    """Cut at commas that are in no brackets and in no quotes."""
    depth, begin, mark = 0, 0, ""
    for place, sign in enumerate(text):
        if mark:
            mark = "" if sign == mark and text[place - 1] != "\\" else mark
        elif sign in "'\"" and not text[begin:place].strip():
            mark = sign
        elif sign in "[{(":
            depth += 1
        elif sign in ")}]":
            depth -= 1
        elif sign == "," and depth <= 0:
            yield text[begin:place]
            begin = place + 1
    yield text[begin:]
