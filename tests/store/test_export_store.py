"""``featurekit extract store=``: what a store holds is what ``Extractor`` gives, and no twice."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_features import contents
from PIL import Image
from spoken import sentence

from featurekit import backbones
from featurekit.cli.router import main
from featurekit.core.errors import ConfigError, ImageError
from featurekit.core.sharding import ARRAY, Share, hash_of_id
from featurekit.features.extractor import Extractor, Sample
from featurekit.features.recipes import Recipe
from featurekit.images.io import load_image
from featurekit.store.export import store_pictures
from featurekit.store.picture_reader import PictureReader
from featurekit.store.read import StoredFeatures
from featurekit.store.upkeep import stat_store, verify_store

RECIPE = Recipe(("mid", "up1.attention0.block0"), (1, 261))
WORDS = ["backbone=random", "taps=[mid,up1.attention0.block0]", "timesteps=[1,261]", "batch=1"]


@pytest.fixture(scope="module")
def backbone():
    return backbones.load("random", device="cpu")


@pytest.fixture(autouse=True)
def alone(backbone, monkeypatch):
    """No launcher, and the network that is there."""
    for name in ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID", ARRAY[0]):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(backbones, "load", lambda *_, **__: backbone)


def album(folder, count):
    """Pictures of two padded sizes."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for index in range(count):
        size = (9, 40 if index % 3 == 0 else 16 + index % 2, 3)
        Image.fromarray(random.integers(0, 256, size, dtype=np.uint8)).save(folder / f"{index}.png")
    return sorted(folder.iterdir())


@pytest.fixture
def photos(tmp_path):
    return album(tmp_path / "album", 8)


class Rows:
    """Rows of each call of the network while a block runs."""

    def __init__(self, backbone):
        self.rows = []
        self.handle = backbone.unet.register_forward_pre_hook(
            lambda _, given: self.rows.append(len(given[0]))
        )

    def __enter__(self):
        return self.rows

    def __exit__(self, *error):
        self.handle.remove()


def extracted(photos, tmp_path, *words):
    given = [f"image={photos[0].parent}", f"store={tmp_path / 'store'}", *WORDS, *words]
    return main(["extract", *given])


def passed_over(capsys):
    told = capsys.readouterr().err.splitlines()
    return sorted(row for row in told if row.startswith(("skipped", "passed over")))


# laws


def test_a_store_holds_what_the_extractor_gives_each_picture(backbone, photos, tmp_path):
    reader = PictureReader(backbone, RECIPE, prompt="a house", seed=3, batch=2)
    written, broken = store_pictures(tmp_path / "store", photos, reader=reader)
    assert (written.samples, broken) == (8, {})
    stored = dict(StoredFeatures(tmp_path / "store"))
    samples = [Sample(path.name, load_image(path), "a house") for path in photos]
    for name, maps in Extractor(backbone, RECIPE, seed=3, batch=2)(samples):
        assert stored[name].keys() == {f"{one.tap}/{one.timestep}" for one in maps}
        for one in maps:
            torch.testing.assert_close(stored[name][f"{one.tap}/{one.timestep}"], one.tensor[0])


def by_children(tmp_path, folder, counts, threads):
    """Stores of ``counts`` processes that were started with a number of threads each."""
    subprocess.run(
        [
            sys.executable, Path(__file__).with_name("extract_children.py"),
            tmp_path / "album", tmp_path / folder, *map(str, counts),
        ],
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        check=True,
        timeout=240,
    )  # fmt: skip


def test_two_and_four_processes_write_the_bytes_of_one_for_any_number_of_threads(tmp_path):
    album(tmp_path / "album", 24)
    by_children(tmp_path, "single", (1, 2, 4), threads=1)
    by_children(tmp_path, "double", (2,), threads=2)
    one = contents(tmp_path / "single" / "1")
    assert stat_store(tmp_path / "single" / "1").samples == 24
    assert len({Path(name).parts[0] for name in one if "/" in name}) == 3  # groups to share
    for other in ("single/2", "single/4", "double/2"):
        assert contents(tmp_path / other) == one
    assert verify_store(tmp_path / "single" / "4") == ()


def test_a_second_run_asks_the_network_for_nothing(backbone, photos, tmp_path, capsys):
    assert extracted(photos, tmp_path) == 0
    before = contents(tmp_path / "store")
    with Rows(backbone) as rows:
        assert extracted(photos, tmp_path, "timesteps=[261,1]") == 0  # their order says nothing
    assert rows == []
    assert contents(tmp_path / "store") == before
    assert "0 samples stored (8 there already)" in capsys.readouterr().out


def test_a_changed_and_a_new_picture_are_all_that_is_read(backbone, photos, tmp_path):
    extracted(photos[:-1], tmp_path)
    photos[0].write_bytes(photos[1].read_bytes())
    with Rows(backbone) as rows:
        Image.new("RGB", (16, 9)).save(photos[0].with_name("new.png"))
        assert extracted(photos, tmp_path) == 0
    assert sum(rows) == 2 * len(RECIPE.timesteps)
    stat = stat_store(tmp_path / "store")
    assert (stat.samples, stat.replaced) == (9, 1)


def test_every_call_of_the_network_has_one_number_of_rows(backbone, photos, tmp_path):
    with Rows(backbone) as rows:
        extracted(photos, tmp_path, "batch=4", "rows=4")
    assert set(rows) == {4}


def test_a_dry_run_says_the_cost_and_writes_nothing(photos, tmp_path, capsys):
    words = ["reduce=[pool:2,random:4,fp16]", "ensemble=antithetic-2"]
    assert extracted(photos, tmp_path, *words, "dry_run=true") == 0
    assert not (tmp_path / "store").exists()
    said = capsys.readouterr().out
    # 2 timesteps of 2 noises; for the shapes that random needs, one picture of each size besides
    cost = re.fullmatch(r"8 samples to store \(0 there already\), \d+ shards, 40 forwards, "
                        r"(\d+) bytes, (\d+\.\d) seconds\n", said)  # fmt: skip
    assert cost, said
    assert extracted(photos, tmp_path, *words) == 0
    size = sum(map(len, contents(tmp_path / "store").values()))
    assert int(cost[1]) == pytest.approx(size, rel=0.01)
    capsys.readouterr()
    extracted(photos, tmp_path, *words, "dry_run=true")
    assert capsys.readouterr().out.startswith("0 samples to store (8 there already), 0 shards, 0 f")


@pytest.mark.parametrize(
    "words",
    [
        ["batch=4", "rows=8"],
        ["batch=4", "reduce=[random:3:1]", "ensemble=2"],
        ["batch=2", "reduce=[pca:3,fp16]"],
        ["batch=4", "reduce=[pca:5,pca:3]"],
        ["batch=4", "reduce=[pca:3]", "shard=0/2"],
    ],
)
def test_a_dry_run_counts_every_row_that_goes_through_the_network(
    backbone, photos, tmp_path, capsys, words
):
    assert extracted(photos, tmp_path, *words, "--dry-run") == 0
    told = int(re.search(r"(\d+) forwards", capsys.readouterr().out)[1])
    with Rows(backbone) as rows:
        assert extracted(photos, tmp_path, *words) == 0
    assert told == sum(rows) > 0


def test_a_share_is_told_with_who_says_so(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SLURM_PROCID", "0")
    monkeypatch.setenv("SLURM_NTASKS", "4")
    for words in (["--dry-run"], []):
        assert extracted(photos, tmp_path, *words) == 0
        assert capsys.readouterr().out.endswith("; share 0/4 (from SLURM_PROCID)\n")
    assert extracted(photos, tmp_path, "shard=0/1") == 0
    assert "; share" not in capsys.readouterr().out


def test_a_dry_run_says_that_loading_the_model_is_not_counted(photos, tmp_path, capsys):
    assert extracted(photos, tmp_path, "dry_run=true") == 0
    told = r"loading the model, which took \d+(\.\d)? s here, is not counted\n"
    assert re.search(told, capsys.readouterr().err)


@pytest.mark.parametrize("words", [["--dry-run"], []])
def test_a_worker_without_a_share_is_told_so(photos, tmp_path, capsys, words):
    told = "none of the 8 pictures is this worker's: a store gives whole groups"
    for share, idle in (("0/2", False), ("1/2", True)):
        assert extracted(photos, tmp_path, *words, "batch=8", "rows=8", f"shard={share}") == 0
        assert (told in capsys.readouterr().err) is idle, share


def test_what_is_computed_for_a_store_is_computed_on_one_thread(backbone, photos, tmp_path):
    seen = set()
    handle = backbone.unet.register_forward_pre_hook(lambda *_: seen.add(torch.get_num_threads()))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert extracted(photos, tmp_path, "--dry-run") == 0
        assert extracted(photos, tmp_path) == 0
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
        handle.remove()
    assert seen == {1}


def test_what_is_broken_is_passed_over_and_named_by_one_worker(photos, tmp_path, capsys):
    broken = min(photos, key=lambda path: hash_of_id(path.name))  # which every worker looks at
    broken.write_bytes(broken.read_bytes()[:60])
    (photos[0].parent / "words.txt").write_text("no picture")
    assert extracted(photos, tmp_path) == 3
    first, second = said = passed_over(capsys)
    assert first == "passed over, no pictures: words.txt"
    assert second.startswith(f"skipped {broken.name}: image must be a whole picture")
    assert stat_store(tmp_path / "store").samples == 7
    codes = [extracted(photos, tmp_path, f"shard={index}/2") for index in range(2)]
    assert 3 in codes
    assert passed_over(capsys) == said


def test_a_launcher_says_the_share(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert extracted(photos, tmp_path) == 0
    assert not (tmp_path / "store" / "0000").exists()
    assert (tmp_path / "store" / "0001").exists()


def test_a_worker_decodes_its_own_pictures_alone(backbone, photos, tmp_path, monkeypatch):
    reader = PictureReader(backbone, RECIPE, batch=1)
    seen = []
    looked = PictureReader.ref
    monkeypatch.setattr(
        PictureReader, "ref", lambda self, path, size: seen.append(size) or looked(self, path, size)
    )
    store_pictures(tmp_path / "store", photos, reader=reader, share=Share(0, 2))
    assert len(seen) < len(photos)
    seen.clear()
    store_pictures(tmp_path / "store", photos, reader=reader, share=Share(0, 2))
    assert seen.count(None) <= 1  # the rest is known by its bytes; the first may be another's


# refusals


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("prompt=a cat", "has conditioning"),
        ("seed=1", r"has seeds '0 with the id, ensemble 1' and '1 with"),
        ("taps=[mid]", "has taps"),
        ("timesteps=[1]", r"has timesteps \(1, 261\) and \(1,\) is asked for"),
        ("ensemble=clean", "has seeds"),
        ("reduce=[fp16]", r"has recipe \(\) and \('fp16',\)"),
    ],
)
def test_features_of_another_making_are_refused(photos, tmp_path, capsys, word, message):
    reader = PictureReader(backbones.load("random"), RECIPE, batch=1)
    store_pictures(tmp_path / "store", photos[:1], reader=reader)
    assert extracted(photos, tmp_path, word) == 2
    err = capsys.readouterr().err
    assert re.search(message, err), err
    assert sentence(err)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["store=s", "reduce=[pol:2]"], "no step of a recipe named 'pol'; did you mean pool"),
        (["store=s", "shard=2/2"], "shard must be i/n with i from 0 to n - 1, got 2/2"),
        (["store=s", "taps=[up_blocks.1.resnets.0.norm1]"], "a store takes taps whose size is kno"),
        (["store=s", "taps=[cross_k]"], "is one of words"),
        (
            ["shard=0/2"],
            r"engine and workers must go with a store, .* add store=",
        ),
        (["dry_run=true"], "must go with a store"),
        (["reduce=[fp16]"], "must go with a store"),
        (["store=s", "out=foo"], r"one place, got out=foo and store=s; leave one out"),
        (["store=s", "image=nowhere"], r"featurekit: image must .* file or folder as 'nowhere'"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(
    photos, tmp_path, capsys, monkeypatch, words, message
):
    monkeypatch.chdir(tmp_path)
    assert main(["extract", f"image={photos[0].parent}", "backbone=random", *words]) == 2
    err = capsys.readouterr().err
    assert re.search(message, err), err
    assert sentence(err)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["album"]


def test_nothing_but_broken_pictures_are_refused(backbone, photos, tmp_path):
    photos[0].write_bytes(b"")
    reader = PictureReader(backbone, RECIPE)
    with pytest.raises(ImageError, match=r"^image must be a picture"):
        store_pictures(tmp_path / "store", photos[:1], reader=reader)
    photos[1].write_bytes(b"")
    with pytest.raises(ImageError, match="can be read, got 2 broken ones; the first: image must"):
        store_pictures(tmp_path / "store", photos[:2], reader=reader)
    assert not (tmp_path / "store").exists()


def test_two_pictures_of_one_name_are_refused(backbone, photos, tmp_path):
    others = album(tmp_path / "other", 1)
    reader = PictureReader(backbone, RECIPE)
    with pytest.raises(ConfigError, match=r"file names of pictures must differ, got '0\.png' twic"):
        store_pictures(tmp_path / "store", [*photos, *others], reader=reader)
