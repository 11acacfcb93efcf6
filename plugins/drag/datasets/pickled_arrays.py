"""How numpy pickles an array, read as a pattern: names, shape, dtype and bytes, nothing called.

numpy 1 and 2 write an array as a name to call, its arguments and a state. Those names stand here
as symbols; what they would do is done by ``np.frombuffer`` on the bytes of the file.
"""

import re
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featurekit.core.errors import ConfigError

_ROUNDS = ("numpy.core", "numpy._core")  # numpy 1 and 2
_BUILTINS = ("builtins", "__builtin__")  # Python 3, and protocols below 3
SYMBOLS = {
    **{(f"{core}.multiarray", "_reconstruct"): "array" for core in _ROUNDS},
    **{(f"{core}.multiarray", "scalar"): "scalar" for core in _ROUNDS},
    **{(f"{core}.numeric", "_frombuffer"): "buffer" for core in _ROUNDS},
    **{(module, "bytes"): "bytes" for module in _BUILTINS},
    **{(module, "bytearray"): "bytes" for module in _BUILTINS},
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",  # bytes, in protocols below 3
}
PLAIN_DTYPE = re.compile(r"[?]|b1|[iu][1248]|f[248]")  # a truth value or a number
MOST_AXES = 4
LONGEST_NAME = 120  # letters of a name in a message


@dataclass(frozen=True)
class Symbol:
    """A name that a pickle may mention: what it stands for is known, and never looked up."""

    kind: str
    told: str

    @classmethod
    def of(cls, module: object, name: object) -> "Symbol":
        """Know a name, or refuse it.

        Raises:
            ConfigError: it is none of those that arrays of numpy are pickled with.
        """
        if not isinstance(module, str) or not isinstance(name, str):
            raise ConfigError("must hold plain data, but names something by what is no text")
        told = f"{module}.{name}"
        if (module, name) not in SYMBOLS:
            raise ConfigError(f"must hold plain data, but names {told[:LONGEST_NAME]!r}")
        return cls(SYMBOLS[module, name], told)


class Budget:
    """How many bytes may still be decoded, so that no small file makes a large heap."""

    def __init__(self, count: int) -> None:
        """Allow so many bytes."""
        self.left = count

    def spend(self, count: int) -> None:
        """Take bytes away.

        Raises:
            ConfigError: there are not as many left.
        """
        self.left -= count
        if self.left < 0:
            raise ConfigError("must not decode to more than twice its size, and does")


class DtypeOf:
    """The type of an array's numbers: its code, and the order of bytes once it is told."""

    def __init__(self, code: str) -> None:
        """Remember a code such as ``u1``.

        Raises:
            ConfigError: it is no plain number.
        """
        if not PLAIN_DTYPE.fullmatch(code):
            raise ConfigError(
                f"must hold arrays of plain numbers, but has one of {code[:LONGEST_NAME]!r}"
            )
        self.numbers = np.dtype(code)

    def tell(self, state: Any) -> None:  # noqa: ANN401  # whatever the file has
        """Take numpy's state of a plain dtype: version, order of bytes, no fields, no shape."""
        plain = isinstance(state, tuple) and len(state) >= 5 and state[1] in tuple("<>|=")
        if not plain or any(part is not None for part in state[2:5]):
            raise ConfigError("must hold arrays of plain numbers, but has a dtype with parts")
        order = state[1]
        if order in ("<", ">"):  # the others are this machine's
            self.numbers = self.numbers.newbyteorder(order)


class Unfilled:
    """An array that the pickle has announced, and its numbers once they are there."""

    def __init__(self) -> None:
        """Wait for the state."""
        self.array: NDArray[Any] | None = None

    def finished(self) -> NDArray[Any]:
        """The array.

        Raises:
            ConfigError: no state came.
        """
        if self.array is None:
            raise ConfigError("is no whole pickle (an array in it has no numbers)")
        return self.array


def built(symbol: object, arguments: object, budget: Budget) -> Any:  # noqa: ANN401
    """What a call of a known name would have given, by its pattern.

    Args:
        symbol: what is called; anything but a ``Symbol`` is refused.
        arguments: their tuple.
        budget: of bytes that are decoded.

    Raises:
        ConfigError: the name is none that may be called, or the arguments have another pattern.
    """
    if not isinstance(symbol, Symbol) or not isinstance(arguments, tuple):
        raise ConfigError("must hold plain data, but calls what is no name of an array")
    if symbol.kind in ("bytes", "encode"):
        made = _bytes(symbol, arguments, budget)
    else:
        made = _numbers(symbol, arguments)
    if made is None:
        raise ConfigError(f"must hold plain data, but calls {symbol.told} in an unknown way")
    return made


def _bytes(symbol: Symbol, arguments: tuple[object, ...], budget: Budget) -> bytes | None:
    match (symbol.kind, arguments):
        case ("encode", (str() as text, "latin1" | "latin-1")):
            budget.spend(len(text))
            return text.encode("latin-1")
        case ("bytes", ()):
            return b""
        case ("bytes", (bytes() | bytearray() as raw,)):
            budget.spend(len(raw))
            return bytes(raw)
    return None


def _numbers(symbol: Symbol, arguments: tuple[object, ...]) -> Any:  # noqa: ANN401
    match (symbol.kind, arguments):
        case ("array", (Symbol(kind="ndarray"), (0,), _)):
            return Unfilled()
        case ("dtype", (str() as code, *_)):
            return DtypeOf(code)
        case ("scalar", (DtypeOf() as numbers, bytes() as raw)):
            return _array(raw, numbers, (), "C").item()
        case ("buffer", (bytes() | bytearray() as raw, DtypeOf() as numbers, shape, order)):
            return _array(raw, numbers, shape, order)
    return None


def filled(target: object, state: object) -> Any:  # noqa: ANN401
    """Give an announced dtype or array its state, by numpy's pattern.

    Raises:
        ConfigError: another object is given a state, or the state has another pattern.
    """
    match (target, state):
        case (DtypeOf() as numbers, _):
            numbers.tell(state)
        case (Unfilled() as waiting, (int(), shape, DtypeOf() as numbers, int() as by_column, raw)):
            waiting.array = _array(raw, numbers, shape, "F" if by_column else "C")
        case _:
            raise ConfigError("must hold plain data, but gives a state to what is no array")
    return target


def _array(raw: object, numbers: DtypeOf, shape: object, order: object) -> NDArray[Any]:
    """Numbers of bytes as they lie, which cannot be written to."""
    if not isinstance(raw, bytes | bytearray) or order not in ("C", "F", "A"):
        raise ConfigError("must hold arrays of plain numbers, but has one of another form")
    if not isinstance(shape, tuple) or len(shape) > MOST_AXES or not all(map(_is_size, shape)):
        raise ConfigError(f"must hold arrays of at most {MOST_AXES} axes, has others")
    dtype = numbers.numbers
    if prod(shape) * dtype.itemsize != len(raw):
        raise ConfigError(
            f"must hold whole arrays, but one of shape {shape} and {dtype} has {len(raw)} bytes"
        )
    array = np.frombuffer(raw, dtype).reshape(shape, order="F" if order == "F" else "C")
    array.flags.writeable = False
    return array


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
