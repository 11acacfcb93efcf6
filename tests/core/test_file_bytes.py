"""Bytes of files: a hash, words beside tensors, tensors that are copied as the library has them."""

import json
import os

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from featurekit.core import file_bytes
from featurekit.core.errors import ConfigError, OutputError
from featurekit.core.file_bytes import (
    RawTensor,
    dtype_code,
    head_sha256_of,
    read_metadata,
    read_raw,
    sha256_of,
    write_stacked,
)
from featurekit.images.io import as_bytes, read_tensors, write_tensors

DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn),
    *(torch.float8_e5m2, torch.complex64, torch.int64, torch.int8, torch.uint8, torch.bool),
]


def drawn(dtype, *shape):
    numbers = torch.randn(*shape, generator=torch.Generator().manual_seed(7)) * 9
    return numbers.to(dtype)


@pytest.fixture
def tensors():
    named = {f"up1/{place}": drawn(dtype, 3, 2, 5) for place, dtype in enumerate(DTYPES)}
    return {**named, "empty": torch.zeros(0, 4), "single": torch.tensor(2.5)}


def test_words_come_back_as_they_were_stored(tmp_path):
    words = {"tap": "up2", "prompt": "ein Haus ✎", "empty": ""}
    path = write_tensors({"a": torch.zeros(2)}, tmp_path / "t.safetensors", words)
    assert read_metadata(path) == read_metadata(str(path)) == words


def test_tensors_without_words_give_none(tmp_path):
    assert read_metadata(write_tensors({"a": torch.zeros(2)}, tmp_path / "t.safetensors")) == {}


@pytest.mark.parametrize("kept", [0, 20, -1])
def test_words_of_a_truncated_file_are_refused(tmp_path, kept):
    path = write_tensors({"a": torch.zeros(9)}, tmp_path / "t.safetensors", {"tap": "up2"})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ConfigError, match=r"must be in a whole \.safetensors file"):
        read_metadata(path)


def test_words_of_a_missing_file_or_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(ConfigError, match=r"must be in a whole \.safetensors file"):
            read_metadata(path)


def test_a_hash_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"a" * 1_000_000)
    assert sha256_of(tmp_path / "a").startswith("cdc76e5c9914fb92")  # FIPS 180-2, B.3


@pytest.mark.parametrize("words", [{}, {"made": 'by ✎ "me"\\ \x01\x7f/'}], ids=["none", "odd"])
def test_rows_make_the_file_that_the_library_makes_of_the_stacked(tensors, tmp_path, words):
    tensors = {name: one for name, one in tensors.items() if name not in ("empty", "single")}
    tensors |= {"a/long": drawn(torch.float32, 2, 40_000), "a/none": torch.zeros(3, 0)}
    save_file(tensors, tmp_path / "theirs.safetensors", metadata=words or None)
    rows = {name: [*map(as_bytes, tensor)] for name, tensor in tensors.items()}
    read = read_raw(tmp_path / "theirs.safetensors")
    again = {name: [*map(one.row, range(one.rows))] for name, one in read.items()}
    theirs = (tmp_path / "theirs.safetensors").read_bytes()
    for columns in (rows, again):
        head = write_stacked(columns, tmp_path / "ours.safetensors", words)
        assert (tmp_path / "ours.safetensors").read_bytes() == theirs
        assert head == head_sha256_of(tmp_path / "theirs.safetensors")


def test_rows_are_those_of_the_tensor_and_stack_to_it_again(tensors, tmp_path):
    save_file(tensors, tmp_path / "t.safetensors")
    for name, column in read_raw(tmp_path / "t.safetensors").items():
        tensor = tensors[name]
        assert column.rows == (len(tensor) if tensor.ndim else 0)
        if column.rows:
            rows = [column.row(index) for index in range(column.rows)]
            assert all(
                (row.dtype, row.shape, row.data.tobytes())
                == (raw.dtype, raw.shape, raw.data.tobytes())
                for row, raw in zip(rows, map(as_bytes, tensor), strict=True)
            )
            path = tmp_path / "s.safetensors"
            write_stacked({"x": rows}, path, {})
            back = load_file(path)["x"]
            assert back.dtype == tensor.dtype
            assert back.view(torch.uint8).equal(tensor.view(torch.uint8))


def test_what_is_not_contiguous_is_in_the_order_of_its_axes():
    tensor = torch.arange(6.0).reshape(2, 3).t()
    assert as_bytes(tensor).data.tobytes() == tensor.contiguous().numpy().tobytes()


@pytest.mark.parametrize("index", [-1, 3])
def test_a_row_that_is_not_there_is_refused(index):
    with pytest.raises(IndexError, match=f"one of 3, got {index}"):
        as_bytes(torch.zeros(3, 2)).row(index)


@pytest.mark.parametrize("kept", [0, 7, 20, -1])
def test_bytes_of_a_truncated_file_are_refused(tmp_path, kept):
    path = write_tensors({"a": torch.zeros(9)}, tmp_path / "t.safetensors")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ConfigError, match=r"must be in a whole \.safetensors file"):
        read_raw(path)


def test_a_dtype_that_no_such_file_has_is_refused():
    with pytest.raises(OutputError, match="must have a dtype that can be stored, but"):
        dtype_code("complex128")


def test_equal_contents_are_equal_bytes(tmp_path):
    words = {name: f"{name} \u00e9\n\x1f" for name in "qwertyuiopasdfghjklzxcvbnm"}
    path = write_tensors({"a": torch.arange(3.0), "b": torch.zeros(2)}, tmp_path / "t.safetensors",
                         words)  # fmt: skip
    content = path.read_bytes()
    said = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert list(said["__metadata__"]) == sorted(words)
    assert read_metadata(path) == words
    assert torch.equal(read_tensors(path)["a"], torch.arange(3.0))
    assert write_tensors({"a": torch.zeros(1)}, path).read_bytes()[8:10] == b'{"'


@pytest.mark.parametrize("gathers", [True, False])
def test_a_system_that_takes_a_part_at_a_time_gets_all_of_it(tmp_path, monkeypatch, gathers):
    rows = [RawTensor("U8", (5,), np.arange(5 * n, 5 * n + 5, dtype=np.uint8)) for n in range(4)]
    write_stacked({"x": rows}, tmp_path / "whole.safetensors", {"a": "b"})
    plain, taken = os.write, []

    def few(descriptor, part):
        taken.append(plain(descriptor, bytes(part)[:3]))
        return taken[-1]

    monkeypatch.setattr(file_bytes, "_GATHERS", gathers)
    monkeypatch.setattr(os, "write", few)
    monkeypatch.setattr(os, "writev", lambda to, parts: few(to, b"".join(parts)))
    write_stacked({"x": rows}, tmp_path / "parts.safetensors", {"a": "b"})
    wanted = (tmp_path / "whole.safetensors").read_bytes()
    assert (tmp_path / "parts.safetensors").read_bytes() == wanted
    assert sum(taken) == len(wanted)
