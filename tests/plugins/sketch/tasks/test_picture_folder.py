"""A folder of pictures: which files are taken, in which order, and what is told of the others."""

import os
from pathlib import Path

import pytest
from PIL import Image

from featurekit.core.errors import ImageError
from featurekit_sketch.tasks.picture_folder import Skipped, pictures_in, report


def fill(folder, *names):
    for name in names:
        (folder / name).write_bytes(b"x")


def names(paths):
    return [path.name for path in paths]


def test_a_file_is_its_own_list_whatever_it_is_called(tmp_path):
    fill(tmp_path, "photo", "other.png")
    assert pictures_in(tmp_path / "photo") == ([tmp_path / "photo"], [])


def test_numbers_are_sorted_by_their_value(tmp_path):
    fill(tmp_path, "b10.png", "b2.png", "B1.jpg", "a.JPEG", "10.png", "9.png", "b2a3.png")
    found, skipped = pictures_in(tmp_path)
    assert names(found) == [
        "9.png", "10.png", "a.JPEG", "B1.jpg", "b2.png", "b2a3.png", "b10.png"
    ]  # fmt: skip
    assert skipped == []


def test_names_may_begin_with_digits_letters_or_signs(tmp_path):
    fill(tmp_path, "10.png", "9.png", "a.png", "_1.png", "1a.png", "Z3.jpg", "3²4.png", "٣.png")
    found = names(pictures_in(tmp_path)[0])
    assert set(found) == {one.name for one in tmp_path.iterdir()}
    assert found.index("9.png") < found.index("10.png") < found.index("a.png")


def test_names_that_count_as_equal_are_in_one_order_only(tmp_path):
    fill(tmp_path, "a1.png", "A1.png", "a01.png", "a001.png", "A01.png")
    assert names(pictures_in(tmp_path)[0]) == [
        *("A01.png", "A1.png", "a001.png", "a01.png", "a1.png")
    ]


def test_the_record_of_a_run_is_no_picture_that_was_left_out(tmp_path):
    fill(tmp_path, "a.png", "run.json", "other.json")
    found, skipped = pictures_in(tmp_path)
    assert names(found) == ["a.png"]
    assert [one.path.name for one in skipped] == ["other.json"]


def test_every_file_is_taken_or_reported_but_hidden_ones_and_folders(tmp_path):
    fill(tmp_path, "a.png", "notes.txt", "paper.pdf", "noend", ".DS_Store", ".b.png", "c.webp")
    (tmp_path / "inner.png").mkdir()
    found, skipped = pictures_in(str(tmp_path))
    assert names(found) == ["a.png", "c.webp"]
    assert [(one.path.name, one.reason[:20]) for one in skipped] == [
        ("noend", "a name without endin"),
        ("notes.txt", "the ending .txt is o"),
        ("paper.pdf", "the ending .pdf is o"),
    ]


def test_a_broken_picture_is_left_for_the_opening(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "whole.png")
    fill(tmp_path, "broken.png")
    assert names(pictures_in(tmp_path)[0]) == ["broken.png", "whole.png"]


def test_what_is_no_ordinary_file_is_reported_and_not_opened(tmp_path):
    fill(tmp_path, "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    found, skipped = pictures_in(tmp_path)
    assert names(found) == ["a.png"]
    assert [one.path.name for one in skipped] == ["link.png", "pipe.png"]
    assert all("no ordinary file" in one.reason for one in skipped)


def test_a_report_names_each_file_with_its_reason():
    assert report([]) == ""
    assert report([Skipped(Path("x/a.txt"), "no")]) == "1 file was skipped:\n  a.txt: no"
    assert report([(Path("a"), "x"), (Path("b"), "y")]) == ("2 files were skipped:\n  a: x\n  b: y")


def test_a_long_report_says_how_many_it_leaves_out():
    told = report([Skipped(Path(f"{n}.txt"), "no") for n in range(30)]).splitlines()
    assert told[0] == "30 files were skipped:"
    assert told[-2:] == ["  7.txt: no", "  and 22 more"]


# refusals


def test_an_empty_folder_is_refused(tmp_path):
    fill(tmp_path, ".hidden.png")
    with pytest.raises(ImageError, match=r"must hold a picture, but .* is empty"):
        pictures_in(tmp_path)


def test_a_folder_without_pictures_is_refused_with_what_is_in_it(tmp_path):
    fill(tmp_path, "notes.txt")
    with pytest.raises(ImageError, match=r"has none; 1 file was skipped:\s+notes\.txt: the ending"):
        pictures_in(tmp_path)


def test_nothing_at_all_is_refused(tmp_path):
    with pytest.raises(ImageError, match=r"there is no '.*gone'"):
        pictures_in(tmp_path / "gone")


def test_a_folder_that_cannot_be_listed_is_refused(tmp_path, monkeypatch):
    def refused(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(ImageError, match="gave: Permission denied"):
        pictures_in(tmp_path)
