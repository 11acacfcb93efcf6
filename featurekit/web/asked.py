"""What a page asked, read with care: each value has a type and a range, or is refused in words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from featurekit.core.errors import ConfigError, UnknownNameError

LONGEST = 2000  # letters of a text
MOST_POINTS = 1000


class _Needed:
    """The default of a value that must be given."""


NEEDED: Final = _Needed()


@dataclass(frozen=True)
class Asked:
    """Values of a JSON object, and named bytes beside them."""

    values: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, bytes] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Whether a value was given, and not as null."""
        return self.values.get(name) is not None

    def number(
        self,
        name: str,
        default: float | _Needed = NEEDED,
        *,
        low: float = -math.inf,
        high: float = math.inf,
    ) -> float:
        """A finite number within a range.

        Raises:
            ConfigError: it is missing, no number, not finite or out of range.
        """
        return _number(self._value(name, default), name, low, high)

    def whole(
        self,
        name: str,
        default: int | _Needed = NEEDED,
        *,
        low: int = -(2**53),
        high: int = 2**53,
    ) -> int:
        """A whole number within a range.

        Raises:
            ConfigError: it is missing, not whole or out of range.
        """
        found = _number(self._value(name, default), name, low, high)
        if found != int(found):
            raise ConfigError(f"{name} must be a whole number, got {found:g}")
        return int(found)

    def text(self, name: str, default: str | _Needed = NEEDED, *, longest: int = LONGEST) -> str:
        """A text of some letters at most.

        Raises:
            ConfigError: it is missing, no text, too long, or holds what is no letter.
        """
        return _text(self._value(name, default), name, longest)

    def choice(self, name: str, among: Sequence[str], default: str | _Needed = NEEDED) -> str:
        """One of some words.

        Raises:
            ConfigError: it is missing or no text.
            UnknownNameError: it is none of them.
        """
        found = self.text(name, default)
        if found not in among:
            raise UnknownNameError(name, found, among)
        return found

    def flag(self, name: str, default: bool | _Needed = NEEDED) -> bool:
        """True or false.

        Raises:
            ConfigError: it is missing or neither.
        """
        found = self._value(name, default)
        if not isinstance(found, bool):
            raise ConfigError(f"{name} must be true or false, got {_shown(found)}")
        return found

    def numbers(self, name: str, *, most: int = MOST_POINTS) -> list[float]:
        """A list of finite numbers; none if the value is missing.

        Raises:
            ConfigError: it is no such list, or too long.
        """
        return [_number(one, name, -math.inf, math.inf) for one in self._list(name, most)]

    def texts(self, name: str, *, most: int = MOST_POINTS) -> list[str]:
        """A list of texts; none if the value is missing.

        Raises:
            ConfigError: it is no such list, or too long.
        """
        return [_text(one, name, LONGEST) for one in self._list(name, most)]

    def rows(self, name: str, columns: int, *, most: int = MOST_POINTS) -> list[tuple[float, ...]]:
        """Rows of so many finite numbers each, as points are; none if the value is missing.

        Raises:
            ConfigError: it is no such list, or too long.
        """
        found = self._list(name, most)
        for row in found:
            if not isinstance(row, list) or len(row) != columns:
                raise ConfigError(
                    f"{name} must be rows of {columns} numbers, got {_shown(row)} among them"
                )
        return [tuple(_number(one, name, -math.inf, math.inf) for one in row) for row in found]

    def records(self, name: str, *, most: int = MOST_POINTS) -> "list[Asked]":
        """A list of objects, each to be asked like this one; none if the value is missing.

        Raises:
            ConfigError: it is no such list, or too long.
        """
        found = self._list(name, most)
        for one in found:
            if not isinstance(one, dict):
                raise ConfigError(f"{name} must be a list of objects, got {_shown(one)} among them")
        return [Asked(one, self.parts) for one in found]

    def part(self, name: str) -> bytes:
        """Named bytes.

        Raises:
            ConfigError: there are none of that name.
        """
        if name not in self.parts:
            raise ConfigError(f"{name} must be sent as bytes beside the values, got none")
        return self.parts[name]

    def _list(self, name: str, most: int) -> list[Any]:
        found = self._value(name, [])
        if not isinstance(found, list) or len(found) > most:
            raise ConfigError(f"{name} must be a list of at most {most}, got {_shown(found)}")
        return found

    def _value(self, name: str, default: object) -> object:
        found = self.values.get(name)
        if found is None:
            found = default
        if found is NEEDED:
            raise ConfigError(f"{name} must be given, got nothing")
        return found


def _number(found: object, name: str, low: float, high: float) -> float:
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise ConfigError(f"{name} must be a number, got {_shown(found)}")
    if not low <= found <= high or abs(found) > 2**53:  # before an int of any size is converted
        edges = f" from {low:g} to {high:g}" if math.isfinite(high - low) else " of a sane size"
        raise ConfigError(f"{name} must be a number{edges}, got {_shown(found)}")
    return float(found)


def _text(found: object, name: str, longest: int) -> str:
    if not isinstance(found, str):
        raise ConfigError(f"{name} must be a text, got {_shown(found)}")
    if len(found) > longest:
        raise ConfigError(f"{name} must have at most {longest} letters, got {len(found)}")
    if any("\ud800" <= letter <= "\udfff" or letter == "\0" for letter in found):
        raise ConfigError(f"{name} must be made of whole letters, got {found[:40]!a}")
    return found


def _shown(found: object) -> str:
    """A value as a message shows it: short, whatever it is."""
    if isinstance(found, dict | list):
        return f"a {'list' if isinstance(found, list) else 'mapping'} of {len(found)}"
    if isinstance(found, int) and abs(found) > 10**20:
        return "a number of many digits"
    text = ascii(found)
    return text if len(text) <= 60 else f"{text[:57]}..."
