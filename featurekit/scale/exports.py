"""Stores in the forms of other programs: an Arrow file, an array of numpy that is not loaded."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import Tensor

from featurekit.core.atomic import replacing
from featurekit.core.errors import ConfigError, ShapeError
from featurekit.core.json_files import write_json
from featurekit.pipeline.extras import from_extra
from featurekit.store.read import Sample, StoredFeatures

EXTRA = "scale"
IDS = ".ids.json"  # ending of the file that names the rows of an array
ROWS = 256  # samples of a record batch, at most


def write_npy(features: StoredFeatures, name: str, path: Path | str) -> NDArray[Any]:
    """Write one tensor of every sample as a ``.npy`` file, and map it without loading it.

    The rows are in the order of ``features``; ``<path>.ids.json`` names them.

    Args:
        features: the samples.
        name: of the tensor, ``tap/t``.
        path: target, replaced as a whole; its folder must exist.

    Returns:
        (n c h w) in the stored dtype, int8 and bfloat16 as float32; read from the disk when it is
        asked for, as by ``numpy.load(path, mmap_mode="r")``.

    Raises:
        UnknownNameError: no sample has that tensor.
        ShapeError: samples of several sizes have tensors of several shapes.
        ConfigError: there is no sample, or a shard is damaged.
        OutputError: the file cannot be written.
    """
    chosen = StoredFeatures(features.root, names=[name], ids=[row.id for row in features.rows])
    shapes = {tuple(row.shapes[name]) for row in chosen.rows if name in row.shapes}
    if len(shapes) != 1 or not all(name in row.shapes for row in chosen.rows):
        raise ShapeError(
            f"an array must have samples of one shape, got {sorted(shapes)} of {name!r}; choose "
            f"samples of one size with ids="
        )
    first = _array(chosen[0][1][name])
    with replacing(path) as temporary:
        array = open_memmap(
            temporary, mode="w+", dtype=first.dtype, shape=(len(chosen), *first.shape)
        )
        for index in range(len(chosen)):
            array[index] = _array(chosen[index][1][name])
        array.flush()
        del array
    write_json({"ids": [row.id for row in chosen.rows]}, f"{path}{IDS}")
    mapped: NDArray[Any] = np.load(path, mmap_mode="r")
    return mapped


def write_arrow(features: StoredFeatures, path: Path | str) -> Path:
    """Write samples as an Arrow stream, which ``datasets.Dataset.from_file`` maps.

    The columns are ``id`` and each ``tap/t`` as nested lists (c h w), so that pictures of several
    sizes go into one file; bfloat16 and int8 become float32.

    Args:
        features: the samples, all with the same tensors.
        path: target, replaced as a whole; its folder must exist.

    Returns:
        The path.

    Raises:
        ConfigError: there is no sample, samples differ in their tensors, a shard is damaged, or
            pyarrow is not installed.
        OutputError: the file cannot be written.
    """
    if not len(features):
        raise ConfigError(f"an Arrow file needs a sample, got none of {str(features.root)!r}")
    names = sorted(features[0][1])
    new: dict[str, Any] = {
        one: from_extra(f"pyarrow:{one}", extra=EXTRA, what="an Arrow file")
        for one in ("array", "RecordBatch")
    }
    start = from_extra("pyarrow.ipc:new_stream", extra=EXTRA, what="an Arrow file")
    with replacing(path) as temporary, temporary.open("wb") as sink:
        writer = None
        for some in _batches(features):
            columns = [new["array"]([one for one, _ in some], "string")]
            columns += [_lists([_named(one, name) for one in some]) for name in names]
            batch = new["RecordBatch"].from_arrays(columns, names=["id", *names])
            writer = writer or start(sink, batch.schema)
            writer.write_batch(batch)
        if writer is not None:
            writer.close()
    return Path(path)


def _batches(features: StoredFeatures) -> Iterator[list[Sample]]:
    """Samples of a shard at a time, and no more than ``ROWS``."""
    places = groupby(
        range(len(features)), lambda place: (features.rows[place].shard, place // ROWS)
    )
    for _, some in places:
        yield [features[place] for place in some]


def _named(one: Sample, name: str) -> NDArray[Any]:
    if name not in one[1]:
        raise ConfigError(f"samples must have the same tensors, but {one[0]!r} has no {name!r}")
    return _array(one[1][name])


def _array(tensor: Tensor) -> NDArray[Any]:
    """As numpy, which has no bfloat16."""
    wide = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
    array: NDArray[Any] = wide.numpy()
    return array


def _lists(arrays: Sequence[NDArray[Any]]) -> Any:  # noqa: ANN401  # pyarrow has no types
    """Arrays of as many axes, of any lengths, as nested lists without a Python number each."""
    lists: Any = from_extra("pyarrow:ListArray", extra=EXTRA, what="an Arrow file")
    made = from_extra("pyarrow:array", extra=EXTRA, what="an Arrow file")
    values = made(np.concatenate([array.reshape(-1) for array in arrays]))
    for axis in range(arrays[0].ndim - 1, -1, -1):
        counts = [array.shape[axis] for array in arrays for _ in range(_lists_of(array, axis))]
        values = lists.from_arrays(made(np.cumsum([0, *counts], dtype=np.int32)), values)
    return values


def _lists_of(array: NDArray[Any], axis: int) -> int:
    """How many lists of the length of an axis there are in an array."""
    return int(np.prod(array.shape[:axis], dtype=np.int64))
