"""Where sketches go: every name is free, and no file that is read is ever written."""

from pathlib import Path

import pytest

from featurekit.core.errors import ConfigError
from featurekit_sketch.output_names import free_names, keep_apart


def paths(*names):
    return [Path(name) for name in names]


def test_a_name_is_the_stem_and_longer_only_where_that_is_taken():
    assert free_names(paths("a.png", "b.jpg")) == ["a", "b"]
    assert free_names(paths("a.png", "a.jpg")) == ["a", "a_jpg"]
    assert free_names(paths("sheet.png"), taken=("sheet",)) == ["sheet_png"]


def test_names_of_equal_files_of_many_folders_are_all_different():
    same = [Path(f"{folder}/x.png") for folder in "abcde"]
    assert free_names(same) == ["x", "x_png", "x_sketch", "x_sketch_2", "x_sketch_3"]


def test_a_name_that_a_later_picture_has_too_is_counted_up():
    found = free_names(paths("a/x.png", "b/x.png", "x_png.png", "c/x.png", "x_sketch.png"))
    assert len(set(found)) == 5
    assert found[:2] == ["x", "x_png"]


def test_names_that_differ_in_case_alone_count_as_one():
    assert free_names(paths("A.png", "a.png", "a.jpg")) == ["A", "a_png", "a_jpg"]


# refusals


def test_a_result_that_is_an_input_is_refused_by_whatever_name(tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"x")
    for given in ("a.png", "link.png", "../" + tmp_path.name + "/a.png"):
        with pytest.raises(ConfigError, match=r"a\.png' is one of the given .*; choose another"):
            keep_apart([tmp_path / given], [tmp_path / "a.png"])
    keep_apart([tmp_path / "a.png", tmp_path / "none.png"], paths("none.png"))
    keep_apart([tmp_path / "a.png"], [tmp_path / "b.png"])
