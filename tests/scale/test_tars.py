"""Tars as tar makes them: links, hidden files, devices; what webdataset gives of them."""

import io
import tarfile

import pytest
from small_albums import FILES, stored, tar

from featurekit.cli.extract import main
from featurekit.core.errors import ImageError
from featurekit.scale.inputs import pictures_of
from featurekit.scale.tars import LINKS

FIRST = FILES["0.png"]
SYMLINK, HARD_LINK = tarfile.SYMTYPE, tarfile.LNKTYPE


def linked(path, links, files=None):
    """A tar of the first picture, and of members without bytes by name: their kind and target."""
    with tarfile.open(path, "w") as archive:
        for name, content in (files or {"0.png": FIRST}).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, (kind, target) in links.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
    return path


def names(files):
    return [one.name for one in files]


def extracted(image, store):
    return main([f"image={image}", f"store={store}", "backbone=random", "batch=2"])


def test_a_tar_of_a_folder_with_links_makes_the_store_of_the_folder(tmp_path):
    album = tmp_path / "album"
    album.mkdir()
    (album / "a.png").write_bytes(FIRST)
    (album / "b.png").hardlink_to(album / "a.png")
    (album / "c.png").symlink_to("a.png")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(album, ".")
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert {member.type for member in archive} >= {SYMLINK, HARD_LINK}
    assert extracted(album, tmp_path / "folder") == extracted(tmp_path / "a.tar", tmp_path / "t")
    assert stored(tmp_path / "t") == stored(tmp_path / "folder")
    assert len(pictures_of(str(tmp_path / "a.tar")).pictures) == 3


def test_links_are_followed_in_a_row_and_to_what_comes_behind_them(tmp_path):
    links = {"2.png": (SYMLINK, "1.png"), "1.png": (SYMLINK, "./0.png"), "t.txt": (SYMLINK, "0")}
    found = pictures_of(str(linked(tmp_path / "a.tar", links)))
    assert {one.name: one.read_bytes() for one in found.pictures} == dict.fromkeys(
        ("0.png", "1.png", "2.png"), FIRST
    )
    assert found.unreadable == {}
    assert names(found.others) == ["t.txt"]


LOST = {
    "absolute.png": (SYMLINK, "/etc/passwd"),
    "above.png": (SYMLINK, "../0.png"),
    "gone.png": (HARD_LINK, "9.png"),
    "round.png": (SYMLINK, "round.png"),
    "device.png": (tarfile.CHRTYPE, ""),
    "pipe.png": (tarfile.FIFOTYPE, ""),
}


def test_what_leads_out_of_a_tar_is_named_and_not_followed(tmp_path, capsys):
    assert extracted(linked(tmp_path / "a.tar", LOST), tmp_path / "s") == 3
    told = capsys.readouterr()
    assert "1 samples stored" in told.out
    for name, (_, target) in LOST.items():
        what = f"a link to {target!r}" if target else "a device or a pipe"
        assert f"skipped {name}: a picture of a tar must be a file or a link to one in it, but" in (
            told.err
        )
        assert f"a.tar/{name}' is {what}; pack the file itself" in told.err


def test_of_a_tar_of_lost_links_alone_the_reason_is_told(tmp_path):
    path = linked(tmp_path / "a.tar", {"a.png": (SYMLINK, "/etc/passwd")}, {"a.txt": b"words"})
    with pytest.raises(ImageError, match=r"^a picture of a tar must be .* a link to '/etc/passw"):
        pictures_of(str(path))


def test_a_long_row_of_links_ends(tmp_path):
    links = {f"{n}.png": (SYMLINK, f"{n + 1}.png") for n in range(1, LINKS + 3)}
    links[f"{LINKS + 3}.png"] = (SYMLINK, "0.png")
    found = pictures_of(str(linked(tmp_path / "a.tar", links)))
    assert names(found.unreadable) == [f"{n}.png" for n in range(1, 5)]


def test_a_file_with_holes_is_named(tmp_path):
    path = linked(tmp_path / "a.tar", {"s.png": (tarfile.GNUTYPE_SPARSE, "")})
    found = pictures_of(str(path))
    assert names(found.pictures) == ["0.png"]
    assert "is a file with holes" in next(iter(found.unreadable.values()))


def test_hidden_files_of_a_tar_are_no_pictures_as_in_a_folder_and_webdataset(tmp_path):
    theirs = pytest.importorskip("webdataset.tariterators")
    path = tar(tmp_path / "a.tar", {"0.png": FIRST, ".hid.png": FIRST, "._0.png": b"of macOS"})
    with path.open("rb") as stream:
        files = theirs.tar_file_expander([{"url": str(path), "stream": stream}])
        given = [one["__key__"] for one in theirs.group_by_keys(files) if "png" in one]
    found = pictures_of(str(path))
    assert [one.removesuffix(".png") for one in names(found.pictures)] == given == ["0"]
    assert found.told == "passed over, no pictures: .hid.png, ._0.png"


def test_hidden_folders_of_a_tar_are_passed_over(tmp_path):
    found = pictures_of(str(tar(tmp_path / "a.tar", {"0.png": FIRST, "x/.git/1.png": FIRST})))
    assert names(found.pictures) == ["0.png"]
    assert names(found.others) == ["x/.git/1.png"]


@pytest.mark.parametrize("content", [b"", b"hello" * 1000])
def test_what_is_no_tar_is_one_sentence_without_a_rest(tmp_path, content):
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(
        ImageError, match=r"^a tar must .*a\.tar' is (an empt|none \().*; fetch it ag"
    ) as e:
        pictures_of(str(tmp_path / "a.tar"))
    assert str(e.value).endswith("fetch it again")
