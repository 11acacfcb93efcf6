"""Looking after a store: compaction gives the bytes of one run, verify finds every change."""

import os
import random
from dataclasses import replace

import pytest
from fake_features import LAYOUT, MADE, SPEC, contents, features, read, refs
from safetensors.torch import load_file, save_file

from featurekit.cli.router import main
from featurekit.cli.store import ACTIONS
from featurekit.core.errors import ConfigError, OutputError
from featurekit.core.locks import held
from featurekit.core.sharding import Share
from featurekit.store.read import StoredFeatures
from featurekit.store.records import StoreSpec, group_folders
from featurekit.store.upkeep import compact_store, stat_store, verify_store
from featurekit.store.write import write_store

SAMPLES = [*refs(25), *refs(9, size=(64, 32), start=100)]
REDUCED = StoreSpec(MADE, ("pool:2", "random:3", "int8"), LAYOUT)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "store"
    write_store(place, SAMPLES, read=read, spec=SPEC)
    return place


@pytest.mark.parametrize("spec", [SPEC, REDUCED])
def test_a_store_that_grew_bit_by_bit_compacts_to_that_of_one_run(tmp_path, spec):
    for start in range(0, len(SAMPLES), 5):
        write_store(tmp_path / "bits", SAMPLES[start : start + 5], read=read, spec=spec)
    write_store(tmp_path / "one", SAMPLES, read=read, spec=spec)
    assert stat_store(tmp_path / "bits").shards > stat_store(tmp_path / "one").shards
    assert compact_store(tmp_path / "bits") > 0
    assert contents(tmp_path / "bits") == contents(tmp_path / "one")
    assert verify_store(tmp_path / "bits") == ()


def test_compacting_drops_what_was_replaced_and_what_is_loose(folder, tmp_path):
    changed = [replace(SAMPLES[3], source="another"), *SAMPLES[:3], *SAMPLES[4:]]
    write_store(folder, changed, read=read, spec=SPEC)
    (group_folders(folder)[0] / ".abc.part").write_bytes(b"half")
    compact_store(folder)
    stat = stat_store(folder)
    assert (stat.samples, stat.replaced, stat.loose) == (len(SAMPLES), 0, 0)
    write_store(tmp_path / "anew", changed, read=read, spec=SPEC)
    assert contents(folder) == contents(tmp_path / "anew")
    _, tensors = StoredFeatures(folder, ids=[SAMPLES[3].id])[0]
    assert tensors["up1/261"].equal(features(changed[0])["up1/261"])


def test_compacting_a_tidy_store_changes_nothing(folder):
    before = contents(folder)
    assert compact_store(folder) == 0
    assert contents(folder) == before


def test_compacting_does_not_launder_a_damaged_sample(tmp_path):
    for start in (0, 20):
        write_store(tmp_path, SAMPLES[start : start + 20], read=read, spec=SPEC)
    flip(sorted(tmp_path.rglob("0*.safetensors"))[0], -5)
    before = contents(tmp_path)
    with pytest.raises(ConfigError, match="a sample must be as its manifest says"):
        compact_store(tmp_path)
    assert contents(tmp_path) == before


def test_a_store_in_use_is_not_compacted(folder):
    with (
        held(group_folders(folder)[0]),
        pytest.raises(OutputError, match="must not be in use, but another process"),
    ):
        compact_store(folder)


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_verify_finds_one_flipped_bit_anywhere(tmp_path):
    write_store(tmp_path, SAMPLES[:6], read=read, spec=REDUCED)
    draw = random.Random(0)
    for path in sorted(tmp_path.rglob("*")):
        if path.suffix not in (".safetensors", ".jsonl") or path.name == "commits.jsonl":
            continue
        for _ in range(5):
            place = draw.randrange(path.stat().st_size)
            flip(path, place)
            assert len(verify_store(tmp_path)) == 1
            flip(path, place)
    assert verify_store(tmp_path) == ()


def test_the_command_says_what_is_there(folder, capsys):
    assert main(["store", "stat", str(folder)]) == 0
    rows = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines()[1:])
    assert rows["samples"] == "34"
    assert rows["backbone"] == "fake 0123abcd"
    assert rows["taps"] == "up1, up2"
    assert main(["store", "verify", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder} is whole: 34 samples in 12 shards\n"
    assert main(["store", "compact", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder}: 0 bytes freed\n"


def test_the_command_names_each_damage(folder, capsys):
    paths = sorted(folder.rglob("0*.safetensors"))
    os.truncate(paths[0], 10)
    paths[1].unlink()
    flip(paths[2], -1)
    assert main(["store", "verify", str(folder)]) == 2
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3
    assert all(str(path) in out for path in paths[:3])
    assert "bytes, but has 10" in out
    assert "but is missing" in out
    assert "its bytes have changed; run: featurekit store repair" in out
    assert err.startswith("featurekit: a store must be whole, but ")
    assert "has 3 damages; each line says what mends it" in err
    assert main(["store", "repair", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder}: 0 shards restored, 3 shards dropped\n"
    assert verify_store(folder) == ()
    assert write_store(folder, SAMPLES, read=read, spec=SPEC, share=Share()).shards == 3
    assert verify_store(folder) == ()


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["verify", "--help"], ["compact", "-h"]])
def test_help_lists_what_can_be_done(words, capsys):
    assert main(["store", *words]) == 0
    out = capsys.readouterr().out
    named = {name for name in ACTIONS if f"\n  {name} " in out}
    assert named == ({words[0]} if words[0] in ACTIONS else set(ACTIONS))
    assert "ACTION FOLDER" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "featurekit store takes verify, repair, stat, compact and a folder, got 0 words"),
        (["verfy", "x"], "no action on a store named 'verfy'; did you mean verify?"),
        (["stat", "nowhere"], "must be a folder with store.json, found none in 'nowhere'; give"),
        (["verify", "nowhere"], "found none in 'nowhere'"),
        (["repair", "nowhere"], "found none in 'nowhere'; give the folder that featurekit"),
        (["compact", "nowhere"], "found none in 'nowhere'"),
    ],
)
def test_a_mistake_is_one_sentence(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["store", *words]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_shard_shorter_than_its_manifest_is_not_compacted(tmp_path):
    for start in (0, 20):
        write_store(tmp_path, SAMPLES[start : start + 20], read=read, spec=SPEC)
    for path in tmp_path.rglob("0*.safetensors"):
        first = {name: column[:1].clone() for name, column in load_file(path).items()}
        save_file(first, path)
    with pytest.raises(ConfigError, match="a sample must be as its manifest says"):
        compact_store(tmp_path)
