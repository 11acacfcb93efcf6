"""The pictures of a folder: in people's order, nothing dropped without a word."""

import pytest

from featurekit.errors import ImageError
from featurekit_sketch.folder import Skipped, pictures_in, report


@pytest.fixture
def folder(tmp_path):
    def fill(*names):
        for name in names:
            (tmp_path / name).write_bytes(b"")
        return tmp_path

    return fill


def names(path):
    return [one.name for one in pictures_in(path)[0]]


def test_numbers_in_names_are_counted(folder):
    path = folder("a10.png", "a2.png", "a1.png", "b1.png", "a2b10.png", "a2b9.png")
    expected = ["a1.png", "a2.png", "a2b9.png", "a2b10.png", "a10.png", "b1.png"]
    assert names(path) == expected


def test_names_may_begin_with_digits_letters_or_signs(folder):
    path = folder("10.png", "9.png", "a.png", "_1.png", "1a.png", "Z3.jpg", "3²4.png", "٣.png")
    assert set(names(path)) == {one.name for one in path.iterdir()}
    assert names(path).index("9.png") < names(path).index("10.png") < names(path).index("a.png")


def test_names_that_count_as_equal_are_in_one_order_only(folder):
    path = folder("a1.png", "A1.png", "a01.png", "a001.png", "A01.png")
    assert names(path) == ["A01.png", "A1.png", "a001.png", "a01.png", "a1.png"]


def test_endings_may_be_written_large(folder):
    assert names(folder("a.PNG", "b.JpEg")) == ["a.PNG", "b.JpEg"]


def test_hidden_files_and_folders_are_passed_over_without_a_word(folder):
    path = folder("a.png", ".b.png", ".DS_Store")
    (path / "more.png").mkdir()
    (path / "more.png" / "c.png").write_bytes(b"")
    assert pictures_in(path) == ([path / "a.png"], [])


def test_other_files_are_reported(folder):
    path = folder("a.png", "notes.txt", "b.safetensors", "no_ending", "printed.pdf")
    pictures, skipped = pictures_in(path)
    assert pictures == [path / "a.png"]
    assert [one.path.name for one in skipped] == [
        *("b.safetensors", "no_ending", "notes.txt", "printed.pdf")
    ]
    assert report(skipped[2:3]) == "left out notes.txt: it is not named like a picture"
    assert report(skipped).count("\n") == 3


def test_nothing_left_out_is_nothing_said():
    assert report([]) == ""


def test_a_file_is_taken_as_it_is(folder):
    path = folder("picture.dat", "b.png") / "picture.dat"
    assert pictures_in(path) == ([path], [])
    assert pictures_in(path.with_name("missing.png")) == ([path.with_name("missing.png")], [])


def test_a_reason_of_the_caller_is_reported_too(tmp_path):
    assert report([Skipped(tmp_path / "a.png", "damaged")]) == "left out a.png: damaged"


# refusals


def test_an_empty_folder_is_refused(folder):
    with pytest.raises(ImageError, match=r"a folder must hold pictures .* among its 0 files"):
        pictures_in(folder())


def test_a_folder_without_pictures_is_refused(folder):
    with pytest.raises(ImageError, match=r"has none among its 2 files; give another folder"):
        pictures_in(folder("a.txt", "b.csv", ".c.png"))
