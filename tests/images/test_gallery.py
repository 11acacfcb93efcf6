"""A folder of pictures: what can be read is, the rest is named with its reason."""

import pytest
from PIL import Image

from featurekit.core.errors import ImageError
from featurekit.images.gallery import read_gallery


@pytest.fixture
def folder(tmp_path):
    for name, width in (("a.png", 16), ("b.jpg", 24), ("d.png", 32)):
        Image.new("RGB", (width, 20), "red").save(tmp_path / name)
    (tmp_path / "c.png").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("words")
    return tmp_path


def test_pictures_are_read_by_name_and_the_others_are_named(folder):
    found = read_gallery(folder)
    assert [(name, one.shape[3]) for name, one in found.images.items()] == [
        ("a.png", 16),
        ("b.jpg", 24),
        ("d.png", 32),
    ]
    reasons = {path.name: reason for path, reason in found.skipped.items()}
    assert set(reasons) == {"c.png"}
    assert found.told == "passed over, no pictures: notes.txt"
    assert "picture in a known format" in reasons["c.png"]


def test_a_broken_picture_does_not_count(folder):
    found = read_gallery(folder, most=3)
    assert len(found.images) == 3
    assert list(read_gallery(folder, most=2).images) == ["a.png", "b.jpg"]


def test_a_picture_alone_is_its_own_folder(folder):
    found = read_gallery(folder / "b.jpg")
    assert list(found.images) == ["b.jpg"]
    assert not found.skipped


def test_a_folder_that_is_none_is_refused_as_one(folder):
    with pytest.raises(ImageError, match=r"images must be a folder of pictures .* does not exist"):
        read_gallery(folder / "nowhere")
    with pytest.raises(ImageError, match="image must be a picture in a known format"):
        read_gallery(folder / "c.png")
    for name in ("a.png", "b.jpg", "d.png"):
        (folder / name).unlink()
    with pytest.raises(ImageError, match="must hold a picture that can be read"):
        read_gallery(folder)
