"""A folder of pictures: what is taken, what should be and cannot, and what is only mentioned."""

import os
from pathlib import Path

import pytest
from PIL import Image

from featurekit.core.errors import ImageError
from featurekit.images.folders import LISTED, Listing, pictures_in


def fill(folder, *names):
    for name in names:
        (folder / name).write_bytes(b"x")


def names(paths):
    return [path.name for path in paths]


def test_a_file_is_its_own_list_whatever_it_is_called(tmp_path):
    fill(tmp_path, "photo", "other.png")
    assert pictures_in(tmp_path / "photo") == Listing((tmp_path / "photo",), {})


SIDECARS = ["a.json", "a.npz", "a.txt", "desktop.ini", "noend", "run.json", "Thumbs.db", "x.h5"]
HIDDEN = ["._a.png", "._a.json", ".DS_Store", ".b.png"]


def test_files_beside_pictures_are_others_and_hidden_ones_nothing(tmp_path):
    fill(tmp_path, "a.png", "c.webp", "d.JPEG", *SIDECARS, *HIDDEN)
    (tmp_path / "inner.png").mkdir()
    (tmp_path / "__MACOSX").mkdir()
    found = pictures_in(str(tmp_path))
    assert names(found.pictures) == ["a.png", "c.webp", "d.JPEG"]
    assert found.unreadable == {}
    assert set(names(found.others)) == set(SIDECARS)
    assert found.told.startswith("passed over, no pictures: ")
    assert all(name in found.told for name in SIDECARS)


def test_a_sentence_about_many_others_names_a_few(tmp_path):
    fill(tmp_path, "a.png", *(f"{number:02}.txt" for number in range(LISTED + 3)))
    assert pictures_in(tmp_path).told.endswith(", 07.txt and 3 more")
    assert Listing((), {}).told == ""


@pytest.mark.parametrize("name", ["a.heic", "b.HEIF", "c.dng", "d.svg", "e.jxl"])
def test_a_picture_that_pillow_does_not_read_is_unreadable(tmp_path, name):
    fill(tmp_path, "z.png", name)
    found = pictures_in(tmp_path)
    ending = Path(name).suffix.lower()
    assert found.unreadable == {
        tmp_path / name: f"pictures {ending} cannot be read here; save it as PNG or JPEG"
    }
    assert found.others == ()


def test_a_broken_picture_is_left_for_the_opening(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "whole.png")
    fill(tmp_path, "broken.png")
    assert names(pictures_in(tmp_path).pictures) == ["broken.png", "whole.png"]


def test_what_is_no_ordinary_file_is_named_and_not_opened(tmp_path):
    fill(tmp_path, "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    found = pictures_in(tmp_path)
    assert names(found.pictures) == ["a.png"]
    assert names(found.unreadable) == ["link.png", "pipe.png"]
    assert all("no ordinary file" in reason for reason in found.unreadable.values())


# refusals


def test_an_empty_folder_is_refused(tmp_path):
    fill(tmp_path, ".hidden.png")
    with pytest.raises(ImageError, match=r"must hold a picture, but .* is empty"):
        pictures_in(tmp_path)


def test_a_folder_without_pictures_is_refused_with_what_is_in_it(tmp_path):
    fill(tmp_path, "notes.txt", "a.heic")
    told = r"has none that can be read; a\.heic: pictures .*; passed over, no pictures: notes\.txt"
    with pytest.raises(ImageError, match=told):
        pictures_in(tmp_path)


def test_nothing_at_all_is_refused(tmp_path):
    with pytest.raises(ImageError, match=r"no such file or folder as '.*gone'"):
        pictures_in(tmp_path / "gone")


def test_a_folder_that_cannot_be_listed_is_refused(tmp_path, monkeypatch):
    def refused(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(ImageError, match="gave: Permission denied"):
        pictures_in(tmp_path)
