"""The student's file: what was written is read; what is damaged or another's is refused."""

import pytest
import torch

from featurekit.core.errors import ConfigError
from featurekit.images.io import read_tensors, write_tensors
from featurekit_sketch.distillation.student import Student
from featurekit_sketch.distillation.student_file import StudentFile, load_student, save_student

STYLE = "a" * 64


@pytest.fixture
def known():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return StudentFile(Student().eval(), STYLE, 128, pairs=300, iterations=1600)


@pytest.fixture
def path(known, tmp_path):
    return save_student(known, tmp_path / "student.safetensors")


def rewritten(path, known, **words):
    tensors = read_tensors(path)
    return write_tensors(tensors, path, metadata=known.words() | words)


def test_what_was_written_is_read(known, path):
    found = load_student(path, style=STYLE)
    assert found.words() == known.words()
    assert not found.student.training
    picture = torch.rand(1, 3, 24, 24)
    assert torch.equal(found.student(picture), known.student(picture))


def test_another_style_is_refused(path):
    with pytest.raises(ConfigError, match=r"was distilled from another \(aaaaaaaaaaaa, not bbbb"):
        load_student(path, style="b" * 64)
    load_student(path)


def test_another_version_is_refused(known, path):
    rewritten(path, known, format="featurekit.student/2")
    with pytest.raises(ConfigError, match=r"must be of version 1, but .* is of version 2; use the"):
        load_student(path)


def test_a_style_is_no_student(known, path):
    rewritten(path, known, format="featurekit.style/1")
    with pytest.raises(ConfigError, match=r"says format=featurekit.style/1; give the student\.saf"):
        load_student(path)


def test_a_file_without_its_record_is_refused(known, path):
    words = known.words()
    del words["style"]
    write_tensors(read_tensors(path), path, metadata=words)
    with pytest.raises(ConfigError, match="has no style; give the"):
        load_student(path)


def test_other_weights_are_refused(known, path):
    write_tensors({"a": torch.zeros(2)}, path, metadata=known.words())
    with pytest.raises(ConfigError, match="must hold the weights and the record that task=distil"):
        load_student(path)


def test_numbers_that_are_not_finite_are_refused(known, path):
    tensors = read_tensors(path)
    tensors["ink.bias"] = torch.tensor([torch.nan])
    write_tensors(tensors, path, metadata=known.words())
    with pytest.raises(ConfigError, match=r"'ink.bias' of .* has NaN or infinity"):
        load_student(path)


def test_half_a_file_is_refused(path):
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ConfigError, match=r"must be a whole \.safetensors file, but .* is damaged"):
        load_student(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"is no such file; give the student\.safetensors .*, "
                       r"or name one that is shipped \(brush, hatching, inline\)"):  # fmt: skip
        load_student(tmp_path / "none.safetensors")
    with pytest.raises(ConfigError, match="is a folder; give"):
        load_student(tmp_path)
