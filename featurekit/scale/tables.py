"""Pictures in a parquet file: their bytes in a column, or the paths of their files."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from featurekit.core.errors import ConfigError, ImageError
from featurekit.images.folders import Listing
from featurekit.images.packed import NamedFile, PictureFile
from featurekit.pipeline.extras import from_extra

TABLE = ".parquet"
COLUMNS = ("id", "image")
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
        content: bytes | None = cell["bytes"] if isinstance(cell, dict) else cell
        return content or b""

    def __str__(self) -> str:
        """For messages."""
        return f"{self.table}/{self.name}"


def in_table(table: Path, columns: Sequence[str] = ()) -> Listing[PictureFile]:
    """List the pictures of a parquet file by its ids; no picture's bytes are read.

    Args:
        table: the file.
        columns: that of the ids and that of the pictures; none are ``COLUMNS``. Pictures are
            bytes, records with ``bytes`` as Hugging Face's data sets have them, or paths of files,
            from the table's folder if they are relative.

    Returns:
        Its pictures, an empty cell as one that cannot be read; or the table itself as damaged.

    Raises:
        ConfigError: a column is missing or of another kind, or pyarrow is not installed.
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
        reason = str(error).splitlines()[0]
        return Listing((), {table: f"a table must be a whole parquet file, but {reason}"})
    schema = opened.schema_arrow
    for name in names:
        if name not in schema.names:
            raise ConfigError(
                f"a table must have the columns {names[0]!r} and {names[1]!r}, but {str(table)!r} "
                f"has {', '.join(schema.names)}; name two of them: columns=[ids,pictures]"
            )
    kind = str(schema.field(names[1]).type)
    if "binary" in kind:
        return _cells(opened, table, names)
    if kind in ("string", "large_string"):
        return _files(opened, table, names)
    raise ConfigError(
        f"a column of pictures must hold bytes or paths, got {names[1]!r} of {kind} in "
        f"{str(table)!r}"
    )


def _cells(
    opened: Any,  # noqa: ANN401  # pyarrow has no types
    table: Path,
    names: Sequence[str],
) -> Listing[PictureFile]:
    """Cells by their ids, of which one row group after another is read."""
    cells: list[PictureFile] = []
    for group in range(opened.num_row_groups):
        ids = opened.read_row_group(group, columns=[names[0]]).column(0).to_pylist()
        cells += [
            TableCell(_id(value, table), table, names[1], group, row)
            for row, value in enumerate(ids)
        ]
    return Listing(tuple(cells), {})


def _files(
    opened: Any,  # noqa: ANN401  # pyarrow has no types
    table: Path,
    names: Sequence[str],
) -> Listing[PictureFile]:
    rows = opened.read(columns=list(names)).to_pydict()
    files: list[PictureFile] = []
    for value, path in zip(rows[names[0]], rows[names[1]], strict=True):
        if "://" in str(path):
            raise ImageError(
                f"pictures of a table must be bytes or files here, got the address {path!r} in "
                f"{str(table)!r}; nothing is fetched over a network, so download them first"
            )
        files.append(NamedFile(_id(value, table), table.parent / Path(path or "").expanduser()))
    return Listing(tuple(files), {})


def _id(value: object, table: Path) -> str:
    if value is None:
        raise ConfigError(f"every picture must have an id, but {str(table)!r} has an empty one")
    return str(value)


@lru_cache(KEPT_GROUPS)
def _group(table: Path, column: str, group: int) -> Any:  # noqa: ANN401  # pyarrow has no types
    """The pictures of a row group; of a record its bytes alone."""
    opened = from_extra("pyarrow.parquet:ParquetFile", extra="scale", what=f"a {TABLE}")(table)
    return opened.read_row_group(group, columns=[column]).column(0)
