"""What took long is found again by what it was made of; damage and full disks cost just that."""

import os

import pytest

from featurekit.core.cache import NO_CACHE, Cache, cache_at
from featurekit.core.errors import ConfigError, OutputError


def write(text, path):
    path.write_text(text)


def read(path):
    text = path.read_text()
    if text.startswith("damaged"):
        raise ConfigError("damaged")
    return text


def slot(cache, name="lora", **made_of):
    return cache.slot(name, made_of, write=write, read=read)


def test_a_result_is_found_again_by_what_it_was_made_of(tmp_path):
    cache = Cache(tmp_path / "new" / "folder")
    assert slot(cache, picture="a").get() is None
    slot(cache, picture="a").put("of a")
    slot(cache, picture="b").put("of b")
    assert slot(Cache(cache.folder), picture="a").get() == "of a"
    assert slot(cache, picture="b").get() == "of b"
    assert slot(cache, picture="c").get() is None
    assert slot(cache, "inversion", picture="a").get() is None


def test_the_order_of_what_it_was_made_of_does_not_matter(tmp_path):
    cache = Cache(tmp_path)
    slot(cache, seed=1, picture="a").put("one")
    assert slot(cache, picture="a", seed=1).get() == "one"


def test_without_a_folder_nothing_is_kept():
    slot(NO_CACHE, picture="a").put("of a")
    assert slot(NO_CACHE, picture="a").get() is None


def test_a_damaged_result_is_none_and_is_gone(tmp_path):
    held = slot(Cache(tmp_path), picture="a")
    held.put("damaged")
    assert held.get() is None
    assert not held.path.exists()


def test_above_the_limit_the_longest_unused_go_first(tmp_path):
    cache = Cache(tmp_path, limit_bytes=25)
    slots = [slot(cache, number=number) for number in range(3)]
    for age, held in zip((300, 200, 100), slots, strict=True):
        held.put("ten bytes.")
        if held.path.exists():
            past = held.path.stat().st_mtime - age
            os.utime(held.path, (past, past))
    # the third pushed the first out; reading the second makes the third the longest unused
    assert [held.get() for held in slots] == [None, "ten bytes.", "ten bytes."]
    os.utime(slots[2].path, (1, 1))
    slot(cache, number=3).put("ten bytes.")
    assert [held.path.exists() for held in slots] == [False, True, False]


def test_a_file_of_another_kind_in_the_folder_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("x" * 100)
    cache = Cache(tmp_path, limit_bytes=25)
    slot(cache, number=1).put("ten bytes.")
    assert (tmp_path / "notes.txt").exists()
    assert slot(cache, number=1).get() == "ten bytes."


def test_what_cannot_be_kept_is_a_warning_and_no_more(tmp_path):
    def full(text, path):
        raise OutputError("results must be writable to 'x', but no space is left")

    held = Cache(tmp_path).slot("lora", {}, write=full, read=read)
    with pytest.warns(UserWarning, match=r"could not be kept .*no space is left.*cache=none"):
        held.put("text")
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="could not be kept"):
        slot(Cache(tmp_path / "file")).put("text")


def test_a_word_names_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_at("none").folder is None
    assert cache_at("auto").folder.name == "featurekit"
    assert cache_at("~/kept").folder == tmp_path / "home" / "kept"
    assert cache_at("auto").limit_bytes == 2 * 1024**3
