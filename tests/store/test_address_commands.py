"""The commands with an address in place of a folder: extract, its shares and its cost, store."""

import fsspec
import numpy as np
import pytest
import torch
from buckets import as_folder, objects
from fake_features import contents
from PIL import Image

from featurekit import backbones
from featurekit.cli.router import main
from featurekit.core.sharding import ARRAY
from featurekit.features.recipes import Recipe
from featurekit.store.places.address import Address
from featurekit.store.read import StoredFeatures
from featurekit.store.trajectory_reader import recomputed

WORDS = ["backbone=random", "taps=[mid]", "timesteps=[261]", "batch=1", "reduce=[pca:3,fp16]"]


@pytest.fixture(scope="module")
def backbone():
    return backbones.load("random", device="cpu")


@pytest.fixture(autouse=True)
def alone(backbone, monkeypatch):
    """No launcher, and the network that is there."""
    for name in ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID", ARRAY[0]):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(backbones, "load", lambda *_, **__: backbone)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "album"
    folder.mkdir()
    for index in range(9):
        pixels = np.random.default_rng(index).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


def files(folder):
    return {name: data for name, data in contents(folder).items() if not name.endswith(".lock")}


def test_shares_of_a_command_write_to_a_bucket_what_a_folder_has(photos, bucket, capsys):
    words = ["extract", f"image={photos}", *WORDS]
    assert main([*words, f"store={photos.parent / 's'}"]) == 0
    for share in ("1/2", "0/2"):
        assert main([*words, f"store={bucket}/deep/s", f"shard={share}"]) == 0
    assert f"{bucket}/deep/s: " in capsys.readouterr().out
    assert as_folder(f"{bucket}/deep/s") == files(photos.parent / "s")
    assert main([*words, f"store={bucket}/deep/s"]) == 0
    assert "0 samples stored (9 there already)" in capsys.readouterr().out


def test_the_cost_beforehand_puts_nothing_and_is_that_of_a_folder(
    photos, bucket, capsys, monkeypatch
):
    monkeypatch.setattr(Address, "put", lambda *_: pytest.fail("something was put"))
    words = ["extract", f"image={photos}", *WORDS, "dry_run=true"]
    assert main([*words, f"store={bucket}/s"]) == 0
    there = capsys.readouterr().out.rpartition(",")[0]
    assert main([*words, f"store={photos.parent / 's'}"]) == 0
    assert there == capsys.readouterr().out.rpartition(",")[0]
    assert objects(bucket) == {}


def test_a_store_at_an_address_is_looked_after(photos, bucket, capsys):
    url = f"{bucket}/s"
    assert main(["extract", f"image={photos}", *WORDS, f"store={url}"]) == 0
    capsys.readouterr()
    for action, said in {
        "verify": f"{url} is whole: 9 samples",
        "stat": "random",
        "compact": f"{url}: 0 bytes freed",
        "repair": f"{url}: 0 shards restored, 0 shards dropped",
    }.items():
        assert main(["store", action, url]) == 0
        assert said in capsys.readouterr().out
    name = next(one for one in objects(url) if one.endswith(".safetensors") and "/" in one)
    fsspec.filesystem("s3").rm_file(f"{url}/{name}".removeprefix("s3://"))
    assert main(["store", "verify", url]) == 2
    assert f"featurekit store repair {url}" in capsys.readouterr().out


def test_memory_is_said_to_end_with_the_process(photos, capsys):
    fsspec.filesystem("memory").store.clear()
    assert main(["extract", f"image={photos}", *WORDS, "store=memory://a/s"]) == 0
    assert "memory://a/s is memory of this process and ends with it" in capsys.readouterr().err
    assert len(StoredFeatures("memory://a/s")) == 9


def test_features_are_made_of_trajectories_at_an_address(photos, backbone):
    fsspec.filesystem("memory").store.clear()
    words = ["extract", f"image={photos}", "backbone=random", "batch=3", "trajectories=4"]
    for store in ("memory://a/s", photos.parent / "s"):
        assert main([*words, f"store={store}"]) == 0
    t = int(StoredFeatures("memory://a/s").header.provenance.timesteps[0])
    there, here = (
        recomputed(store, backbone, Recipe(("mid",), (t,)))
        for store in ("memory://a/s", photos.parent / "s")
    )
    assert there[2][0] == here[2][0]
    assert torch.equal(there[2][1][f"mid/{t}"], here[2][1][f"mid/{t}"])
