"""Tars and parquet files of pictures: what is listed, what is stored, what is refused."""

import shutil
import tarfile

import pytest
from small_albums import COUNT, FILES, stored, table, tar

from featurekit.cli.extract import main
from featurekit.core.errors import ConfigError, ImageError
from featurekit.images.io import load_image
from featurekit.images.packed import sha256_of_picture
from featurekit.scale.inputs import pictures_of


@pytest.fixture
def album(tmp_path):
    folder = tmp_path / "album"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


def read(listing):
    return {one.name: one.read_bytes() for one in listing.pictures}


def test_a_tar_has_the_pictures_that_webdataset_gives(tmp_path):
    theirs = pytest.importorskip("webdataset.tariterators")
    path = tar(tmp_path / "a.tar", {**FILES, "0.txt": b"words", "1.json": b"{}"})
    with path.open("rb") as stream:
        files = theirs.tar_file_expander([{"url": str(path), "stream": stream}])
        samples = list(theirs.group_by_keys(files))
    given = {f"{one['__key__']}.png": one["png"] for one in samples if "png" in one}
    found = pictures_of(str(path))
    assert read(found) == given == FILES
    assert found.told == "passed over, no pictures: 0.txt, 1.json"


def test_names_that_begin_with_the_folder_itself_are_plain(tmp_path):
    assert read(pictures_of(str(tar(tmp_path / "a.tar", FILES, folder="./")))) == FILES


def test_tars_may_be_named_by_braces_or_by_their_folder(tmp_path):
    pytest.importorskip("webdataset")
    one, two = dict(list(FILES.items())[:2]), dict(list(FILES.items())[2:])
    tar(tmp_path / "p-00.tar", one)
    tar(tmp_path / "p-01.tar", two)
    assert read(pictures_of(f"{tmp_path}/p-{{00..01}}.tar")) == FILES
    assert read(pictures_of(str(tmp_path))) == FILES


@pytest.mark.parametrize("form", ["bytes", "record", "paths"])
def test_a_table_has_its_pictures_as_bytes_records_or_paths(album, form):
    cells = {
        "bytes": list(FILES.values()),
        "record": [{"bytes": content, "path": None} for content in FILES.values()],
        "paths": [f"album/{name}" for name in FILES],
    }[form]
    path = table(album.parent / "t.parquet", key=list(FILES), picture=cells)
    found = pictures_of(str(path), ["key", "picture"])
    assert read(found) == FILES
    assert load_image(found.pictures[5]).equal(load_image(album / "5.png"))
    assert sha256_of_picture(found.pictures[5]) == sha256_of_picture(album / "5.png")


def test_a_tar_and_a_table_make_the_store_of_the_folder_of_the_same_files(album):
    pictures = {
        "folder": album,
        "tar": tar(album.parent / "a.tar", FILES),
        "table": table(album.parent / "a.parquet", id=list(FILES), image=list(FILES.values())),
    }
    for name, image in pictures.items():
        words = [f"image={image}", f"store={album.parent / name}", "backbone=random", "batch=2"]
        assert main([*words, "reduce=[pool:2,fp16]"]) == 0
    assert stored(album.parent / "folder")
    assert stored(album.parent / "tar") == stored(album.parent / "folder")
    assert stored(album.parent / "table") == stored(album.parent / "folder")


@pytest.mark.parametrize("cut", ["in a picture", "in a header", "between two pictures"])
def test_of_a_cut_tar_what_is_whole_is_stored_and_the_rest_comes_later(tmp_path, capsys, cut):
    whole = tar(tmp_path / "whole.tar", FILES)
    with tarfile.open(whole) as archive:
        last = archive.getmembers()[-1]
    at = {
        "in a picture": last.offset_data + 100,
        "in a header": last.offset + 100,
        "between two pictures": last.offset,
    }[cut]
    torn = tmp_path / "torn.tar"
    torn.write_bytes(whole.read_bytes()[:at])
    words = [f"image={torn}", f"store={tmp_path / 's'}", "backbone=random", "batch=2"]
    assert main(words) == 3
    told = capsys.readouterr()
    assert f"{COUNT - 1} samples stored (0 there already)" in told.out
    assert (
        f"skipped torn.tar: a tar must be whole, but it is cut or damaged behind {COUNT - 1} fil"
        in (told.err)
    )
    assert "fetch it again, and the same command adds the rest" in told.err
    shutil.copy(whole, torn)
    assert main(words) == 0
    assert f"1 samples stored ({COUNT - 1} there already)" in capsys.readouterr().out


def test_a_damaged_table_is_named(tmp_path):
    path = table(tmp_path / "a.parquet", id=["0.png"], image=[FILES["0.png"]])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(
        ImageError, match=r"^a table .* whole parquet file, but .*a\.parquet' is none \(.*; f"
    ):
        pictures_of(str(path))


def test_an_empty_cell_is_a_picture_that_cannot_be_read(tmp_path, capsys):
    cells = [*list(FILES.values())[:-1], None]
    path = table(tmp_path / "a.parquet", id=list(FILES), image=cells)
    words = [f"image={path}", f"store={tmp_path / 's'}", "backbone=random", "batch=2"]
    assert main(words) == 3
    assert "skipped 5.png: image must be a picture file, but" in capsys.readouterr().err


def refusals(folder):
    """What is given, with the error and its sentence."""
    first = FILES["0.png"]
    numbers = table(folder / "n.parquet", id=["a"], image=[1])
    address = table(folder / "u.parquet", id=["a"], image=["https://a.example/a.png"])
    unnamed = table(folder / "e.parquet", id=["a", None], image=[first, first])
    twice = table(folder / "d.parquet", id=["a", "a"], image=[first, first])
    plain = table(folder / "p.parquet", id=["a"], image=[first])
    both = folder / "both"
    both.mkdir()
    (both / "0.png").write_bytes(first)
    tar(both / "a.tar", {"1.png": first})
    return [
        ("s3://bucket/a.tar", (), ImageError, "nothing is fetched over a network"),
        ("pipe:cat a.tar", (), ImageError, "nothing is fetched over a network"),
        (address, (), ImageError, "got the address 'https://a.example/a.png'"),
        (tar(folder / "s.tar", {"0.png": first}, folder="x/"), (), ConfigError,
         "an id must be a plain file name, got 'x/0.png'"),
        (twice, (), ConfigError, "an id of its own, got 'a' 2 times"),
        (unnamed, (), ConfigError, "has an empty one"),
        (plain, ("key", "image"), ConfigError, r"has id, image; name two of them: columns=\[ids"),
        (plain, ("id",), ConfigError, "columns must be two"),
        (numbers, (), ConfigError, "must hold bytes or paths, got 'image' of int64"),
        (both, (), ImageError, "has both, such as 0.png and a.tar; move one kind away"),
        (folder / "gone.tar", (), ImageError, "there is no '.*gone.tar'"),
        (folder / "a.tar.gz", (), ImageError, "must not be compressed"),
        (tar(folder / "t.tar", {"a.txt": b"words"}), (), ImageError,
         r"has none; check it \(passed over, no pictures: a\.txt\)"),
        (tar(folder / "c.tar", {"0.png": first}), ("id", "image"), ConfigError, "must go with par"),
    ]  # fmt: skip


def test_what_cannot_be_is_one_sentence(tmp_path):
    for image, columns, error, sentence in refusals(tmp_path):
        with pytest.raises(error, match=sentence) as found:
            pictures_of(str(image), columns)
        assert "\n" not in str(found.value)


def test_two_tars_with_one_id_are_refused_before_anything_is_written(tmp_path):
    for name in ("a.tar", "b.tar"):
        tar(tmp_path / name, {"0.png": FILES["0.png"]})
    with pytest.raises(ConfigError, match=r"'0\.png' 2 times"):
        main([f"image={tmp_path}", f"store={tmp_path / 's'}", "backbone=random"])
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("braces", ["{00..}", "{00..02", "00}", "{a}"])
def test_braces_that_are_not_whole_are_named(tmp_path, braces):
    pytest.importorskip("webdataset")
    tar(tmp_path / "p-00.tar", FILES)
    with pytest.raises(ImageError, match=r"^braces must be whole, such as .*; write both ends$"):
        pictures_of(f"{tmp_path}/p-{braces}.tar")


def test_one_id_twice_in_one_file_names_it_once(tmp_path):
    path = table(tmp_path / "a.parquet", id=["a", "a"], image=[FILES["0.png"]] * 2)
    with pytest.raises(ConfigError, match=r"2 times \([^ ]*a\.parquet/a\); give each a name"):
        pictures_of(str(path))
    path = table(tmp_path / "b.parquet", id=["a", "b"] * 2, image=[FILES["0.png"]] * 4)
    with pytest.raises(ConfigError, match=r"b\.parquet/a\) and 1 more such ids; give each a name"):
        pictures_of(str(path))


def test_of_several_damaged_files_the_first_reason_is_told(tmp_path):
    for name in ("a.tar", "b.tar"):
        (tmp_path / name).write_bytes(b"hello" * 1000)
    told = r"a picture that can be read, but .* has none; of 2 reasons the first: a tar must be who"
    with pytest.raises(ImageError, match=told):
        pictures_of(str(tmp_path))


def test_without_its_package_a_table_is_one_sentence(tmp_path, monkeypatch):
    path = table(tmp_path / "a.parquet", id=["a"], image=[FILES["0.png"]])
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigError, match=r"pip install 'featurekit\[scale\]'"):
        pictures_of(str(path))
