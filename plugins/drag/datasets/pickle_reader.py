"""Plain data out of a pickle, without unpickling: nothing in the file is imported or called.

A pickle is a program. ``pickle.load`` runs it, and with it whatever it names. Here the program is
read by ``pickletools.genops`` and only what builds text, numbers and containers is carried out;
the few names that arrays of numpy are pickled with are patterns (see ``pickled_arrays``), and any
other name, and any opcode that makes an object, is refused by its name.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from pickletools import genops
from typing import Any, TypeAlias
from warnings import catch_warnings, simplefilter

from featurekit.core.errors import ConfigError
from featurekit_drag.datasets.pickled_arrays import Budget, DtypeOf, Symbol, Unfilled, built, filled

LARGEST_BYTES = 64 * 2**20  # of a file, and of what it decodes: a mask of 64 megapixels
MOST_OPCODES = 2_000_000  # DragBench's files have some dozens, each point of a region has ten
MOST_BITS = 64  # of a whole number
DEEPEST = 16  # containers in containers
MESSAGE = 120  # letters of what pickletools says

Value: TypeAlias = Any  # text, number, None, list, tuple, dict, or an array of numpy


def read_pickle(path: Path) -> Value:
    """Read the plain data of a pickle of any protocol.

    Args:
        path: a file of at most 64 MiB.

    Returns:
        Text, bytes, numbers, None, lists, tuples, dicts with text for keys, and arrays of numpy of
        plain numbers, which cannot be written to.

    Raises:
        ConfigError: the file cannot be read, is too large, is no whole pickle, names anything but
            an array of numbers, or holds more or deeper data than stated above.
    """
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= LARGEST_BYTES else b""
    except OSError as error:
        raise ConfigError(f"{path.name} cannot be read: {error.strerror}") from error
    if size > LARGEST_BYTES:
        raise ConfigError(f"{path.name} must have at most {LARGEST_BYTES} bytes, got {size}")
    try:
        return plain_data(data)
    except ConfigError as error:
        raise ConfigError(f"{path.name} {error}") from error


def plain_data(data: bytes) -> Value:
    """Read the plain data of pickled bytes; see ``read_pickle``."""
    try:
        with catch_warnings():
            simplefilter("error", DeprecationWarning)  # odd escapes in a name: none of ours has any
            return _run(data)
    except ConfigError:
        raise
    except (ValueError, IndexError, KeyError, OverflowError, DeprecationWarning) as error:
        raise ConfigError(f"is no whole pickle ({str(error)[:MESSAGE]!r})") from error


def _run(data: bytes) -> Value:
    reader = _Reader(len(data))
    for count, (opcode, argument, _) in enumerate(genops(data)):
        if opcode.name == "STOP":
            return _finished(reader.pop(), {}, 0)
        if count >= MOST_OPCODES:
            raise ConfigError(f"must have at most {MOST_OPCODES} opcodes, and has more")
        reader.step(opcode.name, argument)
    raise ConfigError("is no whole pickle (it does not end)")


class _Reader:
    """The stack, the marks and the memo of a pickle that is being read."""

    def __init__(self, size: int) -> None:
        self.stack: list[Value] = []
        self.marks: list[int] = []
        self.memo: dict[int, Value] = {}
        self.budget = Budget(max(2 * size, 4096))  # of bytes that are decoded again

    def step(self, name: str, argument: Value) -> None:
        """Carry out one opcode, or refuse it by its name."""
        if name in _IGNORED:
            return
        if name in _LITERALS:
            self.push(_checked(argument))
        elif name in _CONSTANTS:
            self.push(_CONSTANTS[name]())
        elif name in _GETS:
            self.push(self.memo[int(argument)])
        elif name in _PUTS:
            self.memo[len(self.memo) if argument is None else int(argument)] = self.stack[-1]
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)
        else:
            raise ConfigError(f"must hold plain data, but has the opcode {name}")

    def push(self, value: Value) -> None:
        """Lay a value on the stack."""
        self.stack.append(value)

    def pop(self) -> Value:
        """Take the last value from the stack; what lies below a mark stays."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise ConfigError("is no whole pickle (it takes what is not there)")
        return self.stack.pop()

    def since_mark(self) -> list[Value]:
        """Take all that was laid since the last mark."""
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def several(self, count: int) -> tuple[Value, ...]:
        """Take so many values, the first laid first."""
        return tuple(reversed([self.pop() for _ in range(count)]))


def _global(reader: _Reader, argument: Value) -> None:
    module, _, name = argument.partition(" ")
    reader.push(Symbol.of(module, name))


def _stack_global(reader: _Reader, argument: Value) -> None:
    module, name = reader.several(2)
    reader.push(Symbol.of(module, name))


def _reduce(reader: _Reader, argument: Value) -> None:
    symbol, arguments = reader.several(2)
    reader.push(built(symbol, arguments, reader.budget))


def _build(reader: _Reader, argument: Value) -> None:
    target, state = reader.several(2)
    reader.push(filled(target, state))


def _append(reader: _Reader, argument: Value) -> None:
    value = reader.pop()
    _last(reader, list).append(value)


def _appends(reader: _Reader, argument: Value) -> None:
    values = reader.since_mark()
    _last(reader, list).extend(values)


def _set_item(reader: _Reader, argument: Value) -> None:
    pair = reader.several(2)
    _last(reader, dict).update(_pairs(pair))


def _set_items(reader: _Reader, argument: Value) -> None:
    values = reader.since_mark()
    _last(reader, dict).update(_pairs(values))


def _last(reader: _Reader, kind: type) -> Any:  # noqa: ANN401  # a list or a dict, as asked
    if not reader.stack or not isinstance(reader.stack[-1], kind):
        raise ConfigError(f"is no whole pickle (it adds to what is no {kind.__name__})")
    return reader.stack[-1]


def _pairs(values: Sequence[Value]) -> dict[str, Value]:
    if len(values) % 2 or not all(isinstance(key, str) for key in values[::2]):
        raise ConfigError("must have text for the keys of its dicts, and has others")
    return dict(zip(values[::2], values[1::2], strict=True))


def _checked(value: Value) -> Value:
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        raise ConfigError(
            f"must have whole numbers of at most {MOST_BITS} bits, and has one of "
            f"{value.bit_length()}"
        )
    return value


def _finished(value: Value, seen: dict[int, Value], depth: int) -> Value:
    """The value with whole arrays for those that were announced; shared parts stay shared."""
    if isinstance(value, Symbol):
        raise ConfigError(f"must hold plain data, but holds {value.told} itself")
    if isinstance(value, DtypeOf):
        raise ConfigError("must hold plain data, but holds a dtype itself")
    if isinstance(value, Unfilled):
        return value.finished()
    if not isinstance(value, list | tuple | dict):
        return value
    if depth >= DEEPEST:
        raise ConfigError(f"must have at most {DEEPEST} containers in one another, and has more")
    if id(value) not in seen:
        seen[id(value)] = _whole(value, seen, depth)
    return seen[id(value)]


def _whole(value: Value, seen: dict[int, Value], depth: int) -> Value:
    if isinstance(value, dict):
        return {key: _finished(entry, seen, depth + 1) for key, entry in value.items()}
    return type(value)(_finished(entry, seen, depth + 1) for entry in value)


_IGNORED = {"PROTO", "FRAME"}
_LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_CONSTANTS: dict[str, Callable[[], Value]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
}
_GETS = {"GET", "BINGET", "LONG_BINGET"}
_PUTS = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
_ACTIONS: dict[str, Callable[[_Reader, Value], object]] = {
    "MARK": lambda reader, _: reader.marks.append(len(reader.stack)),
    "POP": lambda reader, _: reader.pop(),
    "POP_MARK": lambda reader, _: reader.since_mark(),
    "DUP": lambda reader, _: reader.push(reader.stack[-1]),
    "LIST": lambda reader, _: reader.push(reader.since_mark()),
    "TUPLE": lambda reader, _: reader.push(tuple(reader.since_mark())),
    "TUPLE1": lambda reader, _: reader.push(reader.several(1)),
    "TUPLE2": lambda reader, _: reader.push(reader.several(2)),
    "TUPLE3": lambda reader, _: reader.push(reader.several(3)),
    "DICT": lambda reader, _: reader.push(_pairs(reader.since_mark())),
    "APPEND": _append,
    "APPENDS": _appends,
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "BUILD": _build,
}
