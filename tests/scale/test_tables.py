"""Tables of pictures: records of Hugging Face, paths, hidden ids, and what is wrong with them."""

import pytest
from small_albums import FILES, pa, pq, table

from featurekit.cli.extract import main
from featurekit.core.errors import ConfigError, ImageError
from featurekit.scale import tables
from featurekit.scale.inputs import pictures_of

NAMES = list(FILES)
BYTES = list(FILES.values())
RECORD = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.fixture(autouse=True)
def album(tmp_path):
    folder = tmp_path / "album"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


def read(listing):
    return {one.name: one.read_bytes() for one in listing.pictures}


def records(contents, paths, kind=RECORD):
    rows = zip(contents, paths, strict=True)
    return pa.array([{"bytes": content, "path": path} for content, path in rows], kind)


@pytest.mark.parametrize("kind", [pa.binary(), pa.null(), pa.large_binary()])
def test_records_without_bytes_are_read_by_their_paths(tmp_path, kind):
    paths = [f"album/{name}" for name in NAMES]
    kind = pa.struct([("bytes", kind), ("path", pa.string())])
    made = table(tmp_path / "t.parquet", id=NAMES, image=records([None] * len(NAMES), paths, kind))
    assert read(pictures_of(str(made))) == FILES


@pytest.mark.parametrize("statistics", [True, False])
def test_of_a_record_the_bytes_go_first_and_its_path_may_be_anything(tmp_path, statistics):
    contents = [None if number == 2 else content for number, content in enumerate(BYTES)]
    paths = ["https://a.example/b.png"] * len(NAMES)
    paths[2] = "album/2.png"
    made = tmp_path / "t.parquet"
    rows = pa.table({"id": NAMES, "image": records(contents, paths)})
    pq.write_table(rows, made, row_group_size=4, write_statistics=statistics)
    assert read(pictures_of(str(made))) == FILES


def test_bytes_that_are_all_there_are_not_read_to_list_them(tmp_path, monkeypatch):
    made = table(tmp_path / "t.parquet", id=NAMES, image=records(BYTES, NAMES))
    asked = []
    plain = tables._Asked.column
    monkeypatch.setattr(
        tables._Asked, "column", lambda self, *of: asked.append(of[1]) or plain(self, *of)
    )
    assert read(pictures_of(str(made))) == FILES
    assert set(asked) == {"id"}


def test_a_record_without_bytes_and_with_an_address_is_refused(tmp_path):
    paths = [*NAMES[1:], "https://a.example/a.png"]
    made = table(tmp_path / "t.parquet", id=NAMES, image=records([None] * len(NAMES), paths))
    with pytest.raises(ImageError, match=r"got the address 'https://a\.example/a\.png'.*download"):
        pictures_of(str(made))


@pytest.mark.parametrize("start", ["file://", "FILE://localhost"])
def test_a_file_as_an_address_is_a_file(tmp_path, album, start):
    (album / "0.png").rename(album / "a #1?.png")
    paths = [f"{start}{(album / name).as_uri().removeprefix('file://')}" for name in NAMES]
    paths[0] = f"{start}{album}/a%20%231%3F.png"
    assert read(pictures_of(str(table(tmp_path / "t.parquet", id=NAMES, image=paths)))) == FILES
    other = table(tmp_path / "o.parquet", id=["a"], image=["file://elsewhere/a.png"])
    with pytest.raises(ImageError, match=r"got the address 'file://elsewhere/a\.png'"):
        pictures_of(str(other))


def test_ids_that_begin_with_a_dot_are_passed_over_and_named(tmp_path):
    made = table(tmp_path / "t.parquet", id=[".hid.png", *NAMES[1:]], image=BYTES)
    found = pictures_of(str(made))
    assert [one.name for one in found.pictures] == NAMES[1:]
    assert found.told == "passed over, no pictures: .hid.png"


def test_missing_files_are_named_as_missing_again_and_again(tmp_path, capsys):
    paths = [f"album/{name}" for name in NAMES]
    paths[0], paths[1], paths[2] = "album/none.png", "album", None
    made = table(tmp_path / "t.parquet", id=NAMES, image=paths)
    for _ in range(2):  # the second time a store holds the others
        assert main([f"image={made}", f"store={tmp_path / 's'}", "backbone=random"]) == 3
        told = capsys.readouterr().err
        assert f"skipped 0.png: image must be a picture file, but '{tmp_path}/album/none.png'" in (
            told
        )
        assert "none.png' is no such file; check it" in told
        assert f"skipped 1.png: image must be a picture file, but '{tmp_path}/album' is a f" in told
        assert "t.parquet/2.png' is empty; check it" in told


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_id_is_one_sentence_with_its_column(tmp_path, empty):
    made = table(tmp_path / "t.parquet", key=["a", empty], image=BYTES[:2])
    with pytest.raises(ConfigError, match="has an empty one in its column 'key'; give each a name"):
        pictures_of(str(made), ["key", "image"])


def test_a_column_of_something_else_is_refused_with_advice(tmp_path):
    for kind in (pa.array([1]), pa.array([[b"a"]]), pa.array([{"bytes": 1}])):
        made = table(tmp_path / "t.parquet", id=["a"], image=kind)
        with pytest.raises(
            ConfigError, match=r"must hold bytes or paths, .*columns=\[ids,pictures"
        ):
            pictures_of(str(made))


def test_a_damaged_table_is_one_sentence_with_advice(tmp_path):
    made = table(tmp_path / "t.parquet", id=NAMES, image=BYTES)
    made.write_bytes(made.read_bytes()[:-20])
    with pytest.raises(ImageError, match=r"^[^.]*t\.parquet' is none \([^.]*\); fetch it again$"):
        pictures_of(str(made))
