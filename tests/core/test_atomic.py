"""Replacing a file as a whole: the new one or the old one, and nothing else left behind."""

import os
import re

import pytest

from featurekit.core.atomic import make_folder, replacing, replacing_folder, unwritable
from featurekit.core.errors import OutputError


def test_the_file_appears_whole_with_ordinary_rights(tmp_path):
    path = tmp_path / "a.txt"
    umask = os.umask(0o022)
    try:
        with replacing(path) as temporary:
            temporary.write_text("new")
            assert not path.exists()
    finally:
        os.umask(umask)
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, OSError])
def test_a_failure_keeps_the_earlier_file_and_leaves_nothing_behind(tmp_path, failure):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write_half():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise failure("in the middle")

    with pytest.raises(OutputError if failure is OSError else failure, match="in the middle"):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_device_is_not_replaced():
    with (
        pytest.raises(OutputError, match="must replace an ordinary file, got '/dev/full'"),
        replacing("/dev/full"),
    ):
        pytest.fail("the block must not be entered")
    with open("/dev/full", "rb") as device:  # noqa: PTH123
        assert device.read(1) == b"\0"


def test_a_missing_folder_is_named_with_what_to_do(tmp_path):
    path = tmp_path / "no" / "a.txt"
    with (
        pytest.raises(OutputError, match=f"{re.escape(str(path))}', but No such file .*make its"),
        replacing(path) as temporary,
    ):
        temporary.write_text("new")


def test_a_file_as_parent_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Not a directory; choose a path whose parents are fold"):
        make_folder(tmp_path / "file" / "out")
    with pytest.raises(OutputError, match="File exists; choose a path that is a folder or does"):
        make_folder(tmp_path / "file")


def test_a_folder_that_takes_no_files_is_refused():
    with pytest.raises(OutputError, match=r"results must be writable to '/proc/self', but "):
        make_folder("/proc/self")


def test_a_folder_is_made_with_its_parents_and_left_empty(tmp_path):
    folder = make_folder(tmp_path / "a" / "b")
    assert folder.is_dir()
    assert not list(folder.iterdir())
    assert make_folder(folder) == folder


def test_an_unnamed_reason_is_still_a_sentence():
    assert str(unwritable("x", OSError("odd"))) == (
        "results must be writable to 'x', but odd; choose another place"
    )


def test_a_folder_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    target = tmp_path / "model"
    with replacing_folder(target) as fresh:
        (fresh / "one").write_text("first")
    with pytest.raises(OutputError, match="model"), replacing_folder(target) as fresh:
        (fresh / "two" / "deep").write_text("half")
    assert [p.name for p in target.iterdir()] == ["one"]
    with replacing_folder(target) as fresh:
        (fresh / "three").write_text("second")
    assert [p.name for p in target.iterdir()] == ["three"]
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_file_is_no_folder_to_replace(tmp_path):
    (tmp_path / "model").write_text("mine")
    with (
        pytest.raises(OutputError, match="must replace a folder, got"),
        replacing_folder(tmp_path / "model"),
    ):
        pass
    assert (tmp_path / "model").read_text() == "mine"


def test_a_folder_without_a_place_is_one_sentence(tmp_path):
    with (
        pytest.raises(OutputError, match="make its folder first"),
        replacing_folder(tmp_path / "nowhere" / "model"),
    ):
        pass
