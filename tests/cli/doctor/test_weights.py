"""The shipped weights: a file that is missing, torn, foreign or changed is told."""

from hashlib import sha256

import pytest
import torch
from safetensors.torch import save_file

from featurekit.cli.doctor.weights import file_fault, weight_faults


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "some.safetensors"
    save_file({"a": torch.arange(8.0), "b": torch.zeros(2, 3)}, path, {"made": "here"})
    return path


def test_the_shipped_files_are_whole():
    faults = weight_faults()
    assert len(faults) == 4
    assert not any(faults.values())


def test_a_whole_file_has_no_fault(file):
    assert file_fault(file, None) is None
    assert file_fault(file, sha256(file.read_bytes()).hexdigest()) is None


def test_a_torn_file_is_told_with_both_sizes(file):
    size = file.stat().st_size
    file.write_bytes(file.read_bytes()[:-5])
    assert file_fault(file, None) == f"has {size - 5} bytes and should have {size}"


def test_a_changed_file_is_told_by_its_hash(file):
    recorded = sha256(file.read_bytes()).hexdigest()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert file_fault(file, None) is None
    assert "has another sha256 than recorded" in file_fault(file, recorded)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no safetensors file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is no safetensors file"),
        (b"\x04\0\0\0\0\0\0\0[1] and more", "is no safetensors file: its header is broken"),
    ],
)
def test_something_else_is_told(file, content, words):
    file.write_bytes(content)
    assert words in file_fault(file, None)


def test_a_missing_file_is_told(file):
    file.unlink()
    assert file_fault(file, None) == "cannot be read: No such file or directory"
