"""Pairs by a teacher: each picture is drawn once, whatever is broken or stops it in between."""

import errno
import resource

import numpy as np
import pytest
import torch
from PIL import Image

from featurekit.core.errors import ConfigError, ImageError, OutputError
from featurekit_sketch.distillation import pair_shards, pairs
from featurekit_sketch.distillation.pair_shards import places_in
from featurekit_sketch.distillation.pairs import make_pairs
from featurekit_sketch.distillation.sources import (
    Pictures,
    photographs,
    sampled,
    scenes_of_the_world,
)
from featurekit_sketch.sampling.cdst_sampler import Sample
from featurekit_sketch.sampling.noising_paths import NoisingPath

SIDE = 32


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(pairs, "SHARD", 4)


class Teacher:
    """Draws the red of a picture and counts."""

    def __init__(self, stop_at=None, error=KeyboardInterrupt):
        self.drawn, self.stop_at, self.error = 0, stop_at, error

    def __call__(self, picture):
        if self.drawn == self.stop_at:
            raise self.error
        self.drawn += 1
        return (picture[:, :1] + 1) / 2


def picture_of(name):
    draw = torch.Generator().manual_seed(int(name))
    return torch.randint(256, (1, 3, SIDE, SIDE), generator=draw) / 127.5 - 1


def numbered(count):
    return Pictures(tuple(map(str, range(count))), picture_of)


def folder_of(path, count, *, size=(40, 40)):
    path.mkdir()
    for number in range(count):
        draw = np.random.default_rng(number)
        values = draw.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
        Image.fromarray(values).save(path / f"{number}.png")
    return path


def test_a_pair_is_read_as_it_was_drawn(tmp_path):
    made = make_pairs(numbered(10), Teacher(), tmp_path, key="k").pairs
    assert made.names == tuple(map(str, range(10)))
    for pair in made:
        torch.testing.assert_close(pair.picture, picture_of(pair.name), rtol=0, atol=1e-6)
        torch.testing.assert_close(pair.ink, (pair.picture[:, :1] + 1) / 2, rtol=0, atol=1e-6)
    torch.testing.assert_close(made["7"].picture, picture_of("7"), rtol=0, atol=1e-6)
    assert len(list(tmp_path.glob("pairs-*.safetensors"))) == 3


def test_what_is_there_is_not_drawn_again(tmp_path):
    make_pairs(numbered(6), Teacher(), tmp_path, key="k")
    teacher = Teacher()
    made = make_pairs(numbered(10), teacher, tmp_path, key="k")
    assert (teacher.drawn, made.new, len(made.pairs)) == (4, 4, 10)


def test_of_an_earlier_run_only_what_is_asked_for_comes_back(tmp_path):
    make_pairs(numbered(6), Teacher(), tmp_path, key="k")
    assert make_pairs(numbered(3), Teacher(), tmp_path, key="k").pairs.names == ("0", "1", "2")


@pytest.mark.parametrize("stop_at", [2, 4, 7])
def test_ctrl_c_keeps_every_pair_and_says_how_to_go_on(tmp_path, stop_at):
    with pytest.raises(KeyboardInterrupt, match=f"{stop_at} of 10 pairs are kept; run the same"):
        make_pairs(numbered(10), Teacher(stop_at), tmp_path / "pairs", key="k")
    teacher = Teacher()
    made = make_pairs(numbered(10), teacher, tmp_path / "pairs", key="k")
    assert teacher.drawn == 10 - stop_at
    assert len(made.pairs) == 10


def test_an_error_of_the_teacher_keeps_every_pair(tmp_path):
    with pytest.raises(ZeroDivisionError):
        make_pairs(numbered(10), Teacher(6, ZeroDivisionError), tmp_path, key="k")
    assert len(places_in(tmp_path, key="k")) == 6


def test_progress_counts_what_is_there(tmp_path):
    make_pairs(numbered(3), Teacher(), tmp_path, key="k")
    told = []
    make_pairs(numbered(5), Teacher(), tmp_path, key="k", progress=lambda *one: told.append(one))
    assert told == [(4, 5), (5, 5)]


def test_pairs_of_another_style_are_refused(tmp_path):
    make_pairs(numbered(3), Teacher(), tmp_path, key="k")
    with pytest.raises(ConfigError, match="out must be a new folder, or one whose pairs"):
        make_pairs(numbered(3), Teacher(), tmp_path, key="other")


def test_a_damaged_shard_is_named_and_can_be_made_again(tmp_path):
    make_pairs(numbered(6), Teacher(), tmp_path, key="k")
    first = tmp_path / "pairs-00000.safetensors"
    first.write_bytes(first.read_bytes()[:200])
    with pytest.raises(ConfigError, match=r"pairs-00000.*damaged or gone.*delete it"):
        make_pairs(numbered(6), Teacher(), tmp_path, key="k")
    first.unlink()
    assert make_pairs(numbered(6), Teacher(), tmp_path, key="k").new == 4


def test_a_full_disk_is_one_sentence_and_nothing_is_lost(tmp_path, monkeypatch):
    make_pairs(numbered(4), Teacher(), tmp_path, key="k")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("featurekit.images.io.save_file", full)
        with pytest.raises(
            OutputError, match=r"No space left on device; .* 4 pairs before are kep"
        ):
            make_pairs(numbered(10), Teacher(), tmp_path, key="k")
    assert not list(tmp_path.glob(".*part"))
    assert make_pairs(numbered(10), Teacher(), tmp_path, key="k").new == 6


def test_a_file_that_may_grow_no_further_is_one_sentence(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, before[1]))
    try:
        with pytest.raises(OutputError, match="the 0 pairs before are kept, and the same command"):
            make_pairs(numbered(10), Teacher(), tmp_path, key="k")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [one.name for one in tmp_path.iterdir()] == []


def test_broken_photographs_are_named_and_tried_again(tmp_path):
    folder = folder_of(tmp_path / "photos", 9)
    whole = (folder / "3.png").read_bytes()
    (folder / "3.png").write_bytes(whole[: len(whole) // 2])
    (folder / "5.png").write_bytes(b"")
    (folder / "notes.txt").write_text("x")
    made = make_pairs(photographs(folder, side_px=SIDE), Teacher(), tmp_path / "p", key="k")
    assert set(made.skipped) == {"3.png", "5.png"}
    assert len(made.pairs) == 7
    (folder / "3.png").write_bytes(whole)
    again = photographs(folder, side_px=SIDE)
    assert "notes.txt" in again.told
    assert make_pairs(again, Teacher(), tmp_path / "p", key="k").new == 1


def test_ten_thousand_photographs_are_listed_and_not_opened(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(10_000):
        (folder / f"{number}.jpg").touch()
    Image.new("RGB", (SIDE, SIDE)).save(folder / "9999.jpg")
    pictures = photographs(folder, side_px=SIDE)
    assert len(pictures.names) == 10_000
    few = Pictures((*pictures.names[:50], "9999.jpg"), pictures.read)
    made = make_pairs(few, Teacher(), tmp_path / "p", key="k")
    assert (len(made.pairs), len(made.skipped)) == (1, 50)


def test_a_folder_of_which_nothing_can_be_read_is_refused(tmp_path):
    folder = folder_of(tmp_path / "photos", 1)
    (folder / "0.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"needs a picture that can be read, got none \(0.png"):
        make_pairs(photographs(folder, side_px=SIDE), Teacher(), tmp_path / "p", key="k")


def test_photographs_come_at_the_size_that_a_style_works_at(tmp_path):
    folder = folder_of(tmp_path / "photos", 2, size=(100, 64))
    pictures = photographs(folder, side_px=40)
    assert [pictures.read(name).shape for name in pictures.names] == [(1, 3, 32, 50)] * 2
    assert photographs(folder, side_px=160).read("0.png").shape == (1, 3, 128, 200)


@pytest.mark.parametrize("size", [(20, 90), (64, 1000)])
def test_a_photograph_that_is_too_small_or_narrow_is_skipped(tmp_path, size):
    folder = folder_of(tmp_path / "photos", 1)
    Image.new("RGB", size).save(folder / "small.png")
    made = make_pairs(photographs(folder, side_px=SIDE + 8), Teacher(), tmp_path / "p", key="k")
    assert "must have at least 32 px a side" in made.skipped["small.png"]
    assert len(made.pairs) == 1


def test_scenes_of_the_world_are_for_training_and_the_same_each_time():
    pictures = scenes_of_the_world(12, side_px=SIDE)
    assert len(set(pictures.names)) == 12
    assert all(700_000 <= int(name.split()[1]) < 900_000 for name in pictures.names)
    name = pictures.names[7]
    assert torch.equal(pictures.read(name), scenes_of_the_world(12, side_px=SIDE).read(name))
    assert pictures.read(name).shape == (1, 3, SIDE, SIDE)
    assert pictures.names[:4] == scenes_of_the_world(4, side_px=SIDE).names


def test_sampled_pictures_are_decoded_when_it_is_their_turn():
    class Decoder:
        device = "cpu"

        def decode(self, z):
            return 2 * z.repeat_interleave(64, 2).repeat_interleave(64, 3)[:, :3]

    clean = torch.full((1, 4, 1, 1), 0.25)
    path = NoisingPath(torch.zeros(1, 4, 1, 1), (1,), clean)
    pictures = sampled([Sample(path, torch.zeros(1, 1, 1))] * 3, Decoder(), side_px=SIDE, key="s")
    assert len(set(pictures.names)) == 3
    assert pictures.key == "s"
    torch.testing.assert_close(pictures.read("sampled 2"), torch.full((1, 3, SIDE, SIDE), 0.5))


def test_a_shard_of_another_version_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(pair_shards, "FORMAT", "featurekit.sketch-pairs/0")
    make_pairs(numbered(2), Teacher(), tmp_path, key="k")
    monkeypatch.undo()
    with pytest.raises(ConfigError, match="out must be a new folder"):
        places_in(tmp_path, key="k")
