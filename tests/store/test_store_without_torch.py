"""``featurekit store`` looks after a store without importing torch, and its answers are right."""

import os
import shutil
import subprocess
import sys

import pytest
from fake_features import MADE, contents, read, refs

from featurekit.cli.store import ACTIONS
from featurekit.store.records import Layout, StoreSpec
from featurekit.store.upkeep import verify_store
from featurekit.store.write import write_store

SPEC = StoreSpec(MADE, ("pca:3", "int8"), Layout(samples=4, groups=2))
SAMPLES = refs(9)
PROGRAM = """
import sys
from featurekit.cli.router import main
code = main(["store", *sys.argv[1:]])
heavy = {"torch", "diffusers", "transformers"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else code)
"""


def lightly(*words):
    """Exit code, stdout and stderr of ``featurekit store`` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def bits(tmp_path_factory):
    """A store that grew bit by bit, and one of one run; both fitted to the same samples."""
    grown, whole = (tmp_path_factory.mktemp("stores") / name for name in ("grown", "whole"))
    write_store(whole, SAMPLES, read=read, spec=SPEC)
    grown.mkdir()
    for name in ("store.json", "reduction.safetensors"):
        shutil.copy(whole / name, grown / name)
    for start in range(0, 9, 3):
        write_store(grown, SAMPLES[start : start + 3], read=read, spec=SPEC)
    return grown, whole


@pytest.fixture
def stores(bits, tmp_path):
    return [shutil.copytree(one, tmp_path / one.name) for one in bits]


def test_every_action_is_tried_here():
    assert set(ACTIONS) == {"stat", "verify", "repair", "compact"}


def test_stat(stores):
    code, out, err = lightly("stat", stores[1])
    rows = dict(line.split(None, 1) for line in out.splitlines()[1:])
    size = sum(path.stat().st_size for path in stores[1].glob("0*/*.safetensors"))
    assert (code, err) == (0, "")
    assert (rows["samples"], rows["bytes"]) == ("9", str(size))
    assert rows["recipe"] == "pca:3, int8"


def test_verify(stores):
    assert lightly("verify", stores[1]) == (
        0, f"{stores[1]} is whole: 9 samples in 3 shards\n", "",
    )  # fmt: skip
    shard = min(stores[1].glob("0*/*.safetensors"))
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    os.truncate(stores[1] / "reduction.safetensors", 99)
    code, out, err = lightly("verify", stores[1])
    assert (code, len(out.splitlines())) == (2, 2)
    assert "reduction.safetensors' is missing or changed" in out
    assert f"{str(shard)!r} must be as it was committed, but its bytes have changed" in out
    assert "has 2 damages" in err


def test_repair(stores):
    before = contents(stores[1])
    next(stores[1].glob("0*/commits.jsonl")).unlink()
    (stores[1] / "store.json").unlink()
    code, out, err = lightly("repair", stores[1])
    assert (code, err) == (0, "")
    assert out.startswith(f"{stores[1]}: store.json written again, ")
    assert "0 shards dropped" in out
    assert verify_store(stores[1]) == ()
    assert contents(stores[1]).keys() == before.keys()


def test_compact(stores):
    grown, whole = stores
    assert contents(grown) != contents(whole)
    code, out, err = lightly("compact", grown)
    assert (code, err) == (0, "")
    assert out.startswith(f"{grown}: ")
    assert contents(grown) == contents(whole)


def test_a_mistake_is_told_as_lightly(tmp_path):
    code, _, err = lightly("stat", tmp_path)
    assert code == 2
    assert err.startswith("featurekit: a store must be a folder with store.json")
