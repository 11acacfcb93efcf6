"""Rows that are kept: found again, whatever a run that ended left of them."""

import pytest

from featurekit.core.errors import OutputError
from featurekit_sketch.exam.kept_rows import KeptRows

ONE, TWO = {"picture": "a", "f1": 0.1}, {"picture": "b/é", "f1": 0.25}


def test_what_was_added_is_found_again(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = KeptRows(path)
    assert rows.get("x") is None
    rows.add({"x": ONE})
    rows.add({"y": TWO})
    rows.add({})
    for kept in (rows, KeptRows(path)):
        assert kept.get("x") == {"key": "x", **ONE}
        assert kept.get("y") == {"key": "y", **TWO}
        assert kept.get("z") is None
    assert path.read_bytes().count(b"\n") == 2


@pytest.mark.parametrize("damage", [b'{"key": "y", "pic', b"\xff\xfe\n", b"[]\n", b'{"key": 1}\n'])
def test_a_line_that_is_no_record_is_left_out_and_more_can_be_added(tmp_path, damage):
    path = tmp_path / "rows.jsonl"
    KeptRows(path).add({"x": ONE})
    path.write_bytes(path.read_bytes() + damage)
    again = KeptRows(path)
    assert again.get("x") == {"key": "x", **ONE}
    again.add({"y": TWO})
    kept = KeptRows(path)
    assert (kept.get("x"), kept.get("y")) == ({"key": "x", **ONE}, {"key": "y", **TWO})
    assert path.read_bytes().count(b"\n") == 2


def test_a_whole_file_is_left_as_it_is(tmp_path):
    path = tmp_path / "rows.jsonl"
    KeptRows(path).add({"x": ONE, "y": TWO})
    before = path.stat()
    KeptRows(path)
    after = path.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_place_that_takes_no_rows_is_refused(tmp_path):
    rows = KeptRows(tmp_path / "none" / "rows.jsonl")
    with pytest.raises(OutputError, match="results must be writable"):
        rows.add({"x": ONE})
