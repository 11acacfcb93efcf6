"""Pictures in a parquet file: their bytes in a column, or the paths of their files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.request import url2pathname

from featurekit.core.errors import ConfigError, ImageError
from featurekit.images.folders import Listing, hidden
from featurekit.images.packed import NamedFile, PictureFile
from featurekit.pipeline.extras import from_extra

TABLE = ".parquet"
COLUMNS = ("id", "image")
PATHS = ("string", "large_string", "string_view")
KEPT_GROUPS = 2  # row groups whose pictures stay in memory, in a process


@dataclass(frozen=True, slots=True)
class TableCell:
    """A picture whose bytes are in a parquet file; its whole row group is read with it."""

    name: str
    table: Path
    column: str
    group: int  # of the file's row groups
    row: int  # in it

    def read_bytes(self) -> bytes:
        """The bytes of the cell; none of an empty one."""
        cell = _group(self.table, self.column, self.group)[self.row].as_py()
        content = cell.get("bytes") if isinstance(cell, dict) else cell
        return content if isinstance(content, bytes) else b""

    def __str__(self) -> str:
        """For messages."""
        return f"{self.table}/{self.name}"


def in_table(table: Path, columns: Sequence[str] = ()) -> Listing[PictureFile]:
    """List the pictures of a parquet file by its ids; no picture's bytes are read.

    Args:
        table: the file.
        columns: that of the ids and that of the pictures; none are ``COLUMNS``. Pictures are
            bytes, paths of files, from the table's folder if they are relative, or records with
            ``bytes`` and, where those are null, ``path``, as Hugging Face's data sets have them.

    Returns:
        Its pictures, an empty cell as one that cannot be read, those whose ids begin with a dot
        beside them; or the table itself as damaged.

    Raises:
        ConfigError: a column is missing or of another kind, an id is empty, or pyarrow is not
            installed.
        ImageError: a path is an address.
    """
    names = tuple(columns) or COLUMNS
    if len(names) != 2:
        raise ConfigError(
            f"columns must be two, that of the ids and that of the pictures, got {list(names)}"
        )
    reader = from_extra("pyarrow.parquet:ParquetFile", extra="scale", what=f"a {TABLE}")
    try:
        opened = reader(table)
    except (OSError, ValueError) as error:
        return Listing((), {table: _damaged(table, error)})
    schema = opened.schema_arrow
    for name in names:
        if name not in schema.names:
            raise ConfigError(
                f"a table must have the columns {names[0]!r} and {names[1]!r}, but {str(table)!r} "
                f"has {', '.join(schema.names)}; name two of them: columns=[ids,pictures]"
            )
    asked = _Asked(opened, table, *names)
    content, paths = _leaves(schema.field(names[1]).type, asked)
    pictures: list[PictureFile] = []
    others: list[PictureFile] = []
    for group in range(opened.num_row_groups):
        for one in _rows(asked, group, content=content, paths=paths):
            (others if hidden(one.name) else pictures).append(one)
    return Listing(tuple(pictures), {}, tuple(others))


@dataclass(frozen=True, slots=True)
class _Asked:
    """A parquet file that is open, and two of its columns."""

    opened: Any  # of pyarrow, which has no types
    table: Path
    ids: str
    pictures: str

    def column(self, group: int, name: str) -> Any:  # noqa: ANN401  # pyarrow has no types
        """A column of a row group, or what a dot names in its records."""
        found = self.opened.read_row_group(group, columns=[name]).column(0)
        return found.flatten()[0] if str(found.type).startswith("struct<") else found


def _damaged(table: Path, error: Exception) -> str:
    first = str(error).partition("\n")[0].partition(". ")[0].rstrip(".")
    return (
        f"a table must be a whole parquet file, but {str(table)!r} is none ({first}); fetch it "
        f"again"
    )


def _leaves(kind: Any, asked: _Asked) -> tuple[str, str]:  # noqa: ANN401  # pyarrow has no types
    """Names of what holds bytes and of what holds paths; either may be empty, not both."""
    name = asked.pictures
    leaves = {name: str(kind)}
    if str(kind).startswith("struct<"):
        inside = [kind.field(place) for place in range(kind.num_fields)]
        leaves = {f"{name}.{one.name}": str(one.type) for one in inside
                  if one.name in ("bytes", "path")}  # fmt: skip
    content = [leaf for leaf, what in leaves.items() if _is_bytes(what)]
    paths = [leaf for leaf, what in leaves.items() if what in PATHS]
    if not content + paths:
        raise ConfigError(
            f"a column of pictures must hold bytes or paths, got {name!r} of {kind} in "
            f"{str(asked.table)!r}; name the columns of ids and pictures: columns=[ids,pictures]"
        )
    return "".join(content), "".join(paths)


def _is_bytes(kind: str) -> bool:
    return "binary" in kind and "list<" not in kind


def _rows(asked: _Asked, group: int, *, content: str, paths: str) -> Iterator[PictureFile]:
    """Pictures of a row group: cells that have bytes, and files where they have paths alone."""
    ids = asked.column(group, asked.ids).to_pylist()
    files = [None] * len(ids)
    if paths and not (content and _all_there(asked, group, content)):
        files = asked.column(group, paths).to_pylist()
    there = [False] * len(ids)
    if content and any(files):
        there = asked.column(group, content).is_valid().to_pylist()
    for row, (value, file, has_bytes) in enumerate(zip(ids, files, there, strict=True)):
        if file and not has_bytes:
            yield NamedFile(_id(value, asked), _local(file, asked.table))
        else:
            yield TableCell(_id(value, asked), asked.table, asked.pictures, group, row)


def _all_there(asked: _Asked, group: int, content: str) -> bool:
    """Whether the file itself says that no bytes are missing, so that none need be read."""
    told = asked.opened.metadata.row_group(group)
    columns = [told.column(place) for place in range(told.num_columns)]
    facts = [one.statistics for one in columns if one.path_in_schema == content]
    return any(one is not None and one.has_null_count and not one.null_count for one in facts)


def _local(path: str, table: Path) -> Path:
    """A path as it is meant in a table: from its folder, or as ``file:///`` says.

    Raises:
        ImageError: it is the address of something elsewhere.
    """
    protocol, mark, rest = path.partition("://")
    if not mark:
        return table.parent / Path(path).expanduser()
    host, _, inner = rest.partition("/")
    if protocol.lower() == "file" and host.lower() in ("", "localhost"):
        return Path(url2pathname(f"/{inner}"))
    raise ImageError(
        f"pictures of a table must be bytes or files here, got the address {path!r} in "
        f"{str(table)!r}; nothing is fetched over a network, so download them first"
    )


def _id(value: object, asked: _Asked) -> str:
    if value is None or value == "":
        raise ConfigError(
            f"every picture must have an id, but {str(asked.table)!r} has an empty one in its "
            f"column {asked.ids!r}; give each a name of its own"
        )
    return str(value)


@lru_cache(KEPT_GROUPS)
def _group(table: Path, column: str, group: int) -> Any:  # noqa: ANN401  # pyarrow has no types
    """The pictures of a row group; of a record its bytes alone."""
    opened = from_extra("pyarrow.parquet:ParquetFile", extra="scale", what=f"a {TABLE}")(table)
    return opened.read_row_group(group, columns=[column]).column(0)
