"""Files of MATLAB: what BSDS500's say, and that no other file does more than be refused."""

import random
import zlib

import numpy as np
import pytest
from scipy.io import savemat
from sketch_data import boundaries, lines

from featurekit.core.errors import ImageError
from featurekit_sketch.datasets import matlab_reader
from featurekit_sketch.datasets.matlab_reader import read_boundaries


@pytest.mark.parametrize("packed", [True, False])
def test_every_person_has_an_array(tmp_path, packed):
    found = read_boundaries(boundaries(tmp_path / "a.mat", 3, people=4, packed=packed))
    assert len(found) == 4
    for person, marked in enumerate(found):
        assert marked.dtype == bool
        np.testing.assert_array_equal(marked, np.asarray(lines(3, person)) == 0)


def cells(*values):
    array = np.empty((1, len(values)), dtype=object)
    for i, value in enumerate(values):
        array[0, i] = value
    return array


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"other": 1}, "it has no groundTruth"),
        ({"groundTruth": cells({"Segmentation": np.eye(3)})}, "a cell of groundTruth has no Bound"),
        ({"groundTruth": np.eye(3)}, "a cell of groundTruth has no Boundaries"),
        ({"groundTruth": cells({"Boundaries": np.ones((2, 2, 2))})}, "no array of rows and col"),
        ({"groundTruth": cells({"Boundaries": "text"})}, "Boundaries is no array of rows and col"),
        ({"groundTruth": cells({"Boundaries": np.ones((0, 3))})}, "Boundaries is empty"),
        ({"groundTruth": cells(*[1] * 65)}, r"groundTruth has shape \(1, 65\)"),
    ],
)
def test_other_contents_are_refused(tmp_path, content, message):
    savemat(tmp_path / "a.mat", content)
    with pytest.raises(ImageError, match=f"must be a MATLAB 5 file of groundTruth.*{message}"):
        read_boundaries(tmp_path / "a.mat")


@pytest.mark.parametrize("content", [b"", b"x", b"MATLAB 7.3 MAT-file" + bytes(600), b"\x80\x04."])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "a.mat"
    path.write_bytes(content)
    with pytest.raises(ImageError, match="it is none; save it in MATLAB with -v7"):
        read_boundaries(path)


def test_no_file_is_refused(tmp_path):
    with pytest.raises(ImageError, match=r"'a.mat' is not: No such file"):
        read_boundaries(tmp_path / "a.mat")


def test_a_file_that_unpacks_to_too_much_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(matlab_reader, "loadmat", lambda *_, **__: pytest.fail("it was read"))
    path = boundaries(tmp_path / "a.mat", 0)
    bomb = zlib.compress(bytes(matlab_reader.LARGEST_UNPACKED + 1))
    size = len(bomb).to_bytes(4, "little")
    path.write_bytes(path.read_bytes()[:128] + b"\x0f\0\0\0" + size + bomb)
    with pytest.raises(ImageError, match="it unpacks to more than 256 MB"):
        read_boundaries(path)


def test_a_file_that_is_too_large_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(matlab_reader, "LARGEST", 2**20)
    path = tmp_path / "a.mat"
    path.write_bytes(b"MATLAB 5.0 MAT-file" + bytes(2**20))
    with pytest.raises(ImageError, match="it has more than 1 MB"):
        read_boundaries(path)


@pytest.mark.parametrize("packed", [True, False])
def test_damage_anywhere_is_refused_in_one_sentence_or_reads_as_bools(tmp_path, packed):
    path = boundaries(tmp_path / "a.mat", 1, people=2, packed=packed)
    whole, chance, refused = path.read_bytes(), random.Random(0), 0
    for _ in range(150):
        content = bytearray(whole[: chance.randrange(140, len(whole) + 1)])
        for _ in range(chance.randrange(3)):
            content[chance.randrange(128, len(content))] = chance.randrange(256)
        path.write_bytes(content)
        try:
            found = read_boundaries(path)
        except ImageError:
            refused += 1
        else:
            assert all(one.dtype == bool and one.ndim == 2 for one in found)
    assert refused > 100
