"""Each byte of a shard is hashed once, with its sample or in the head, and none goes unchecked."""

import json
from hashlib import sha256

import pytest
from fake_features import LAYOUT, MADE, SPEC, contents, read, refs

from featurekit.core.errors import ConfigError
from featurekit.core.file_bytes import sha256_of
from featurekit.store.commit_log import COMMITS, read_commits, read_rows
from featurekit.store.records import StoreSpec, group_folders, read_header, shard_path
from featurekit.store.upkeep import compact_store, damage_of, verify_store
from featurekit.store.write import write_store

SAMPLES = refs(12)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "store"
    write_store(place, SAMPLES[:8], read=read, spec=SPEC)
    return place


def lines_of_0_1(folder):
    """Write each log as version 0.1 did, with the hash of the whole file."""
    for group in group_folders(folder):
        text = ""
        for commit in read_commits(group).values():
            record = commit.record()
            del record["head"]
            record["sha256"] = sha256_of(shard_path(folder, commit.shard))
            text += json.dumps(record, sort_keys=True, separators=(",", ":")) + "\n"
        (group / COMMITS).write_text(text)


def changed(path, place):
    whole = path.read_bytes()
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
    return whole


@pytest.mark.parametrize("older", [False, True], ids=["head", "whole file"])
def test_any_changed_byte_of_a_shard_is_found(folder, older):
    if older:
        lines_of_0_1(folder)
    group = group_folders(folder)[0]
    commit = next(iter(read_commits(group).values()))
    path = shard_path(folder, commit.shard)
    assert damage_of(folder, commit) is None
    # every byte of the header, and of the tensors every 37th, which meets each row of each tensor
    head = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    for place in [*range(head), *range(head, commit.bytes, 37), commit.bytes - 1]:
        whole = changed(path, place)
        assert damage_of(folder, commit) is not None, place
        path.write_bytes(whole)


def test_the_names_and_rows_of_a_manifest_are_those_of_the_file(folder):
    for group in group_folders(folder):
        for commit in read_commits(group).values():
            content = shard_path(folder, commit.shard).read_bytes()
            length = int.from_bytes(content[:8], "little")
            header = json.loads(content[8 : 8 + length])
            del header["__metadata__"]
            rows = read_rows(folder, commit)
            for row in rows:
                assert {name: [len(rows), *shape] for name, shape in row.shapes.items()} == {
                    name: said["shape"] for name, said in header.items()
                }


def test_a_store_of_0_1_is_whole_goes_on_and_compacts(folder, tmp_path):
    lines_of_0_1(folder)
    assert verify_store(folder) == ()
    written = write_store(folder, SAMPLES, read=read, spec=SPEC)
    assert (written.samples, written.found) == (4, 8)
    assert verify_store(folder) == ()
    write_store(tmp_path / "new", SAMPLES, read=read, spec=SPEC)
    compact_store(folder)
    tensors = {name: one for name, one in contents(folder).items() if COMMITS not in name}
    assert tensors == {k: v for k, v in contents(tmp_path / "new").items() if COMMITS not in k}


def test_a_line_without_any_hash_of_the_shard_is_refused(folder):
    log = group_folders(folder)[0] / COMMITS
    record = json.loads(log.read_text().splitlines()[0])
    del record["head"]
    log.write_text(json.dumps(record) + "\n")
    with pytest.raises(ConfigError, match="must have a hash of its shard, got none of '0000-"):
        read_commits(log.parent)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    "recipe", [(), ("fp32",), ("fp16",), ("bf16",), ("int8",), ("pool:2", "fp16"), ("pca:2",)]
)
def test_one_number_that_is_not_finite_is_found_wherever_it_stands(tmp_path, recipe, bad):
    def spoilt(some):
        for number, (name, features) in enumerate(read(some)):
            tensor = features["up2/261"]
            if number == len(some) - 1:
                tensor[-1, -1, -1] = bad
            yield name, features

    spec = StoreSpec(MADE, recipe, LAYOUT)
    with pytest.raises(ConfigError, match="features must be finite, got NaN or infinity in 'up2"):
        write_store(tmp_path / "store", SAMPLES, read=spoilt, spec=spec)


def test_a_key_is_the_hash_of_all_that_the_bytes_follow_from(folder):
    header = read_header(folder)
    made = header.record()
    del made["layout"], made["toolkit"]
    asked = {"source": SAMPLES[0].source, "size": list(SAMPLES[0].size), "seed": SAMPLES[0].seed}
    text = json.dumps({**made, **asked}, sort_keys=True, separators=(",", ":")) + "\n"
    assert header.key(SAMPLES[0]) == sha256(text.encode()).hexdigest()
