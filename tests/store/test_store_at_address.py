"""A store at an address: the bytes of a folder, whoever writes, and only what is asked for read."""

from collections import Counter

import fsspec
import pytest
import torch
from buckets import as_folder, new_bucket, objects, put
from fake_features import MADE, CountingRead, contents, read, refs
from torch.utils.data import DataLoader

from featurekit.core.errors import ConfigError
from featurekit.core.sharding import Share
from featurekit.scale.exports import write_arrow, write_npy
from featurekit.store.commit_log import COMMITS
from featurekit.store.places import open_shard, place
from featurekit.store.places.address import Address
from featurekit.store.places.line_log import append_line
from featurekit.store.places.place import place_at
from featurekit.store.places.shard_bytes import RemoteShard
from featurekit.store.read import FeatureStream, StoredFeatures
from featurekit.store.records import Layout, StoreSpec
from featurekit.store.repair import repair_store
from featurekit.store.upkeep import compact_store, stat_store, verify_store
from featurekit.store.write import write_store

SPEC = StoreSpec(MADE, ("pool:2", "pca:3", "int8"), Layout(samples=3, groups=4))
SAMPLES = [*refs(18), *refs(5, size=(64, 32), start=100)]


def write(folder, samples=SAMPLES, **words):
    return write_store(folder, samples, **{"read": read, "spec": SPEC, **words})


@pytest.fixture(params=["memory", "s3"])
def url(request):
    """An address where nothing is yet, of a service in this process and of one that is asked."""
    if request.param == "s3":
        request.getfixturevalue("bucket_settings")
        return f"{new_bucket()}/deep/s"
    fsspec.filesystem("memory").store.clear()
    return "memory://bucket/deep/s"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("folder") / "s"
    write(made)
    return made


def files(folder):
    """Of a folder what an address has, too: no locks."""
    return {name: data for name, data in contents(folder).items() if not name.endswith(".lock")}


def shard_of(url, number=0):
    return [name for name in objects(url) if name.endswith(".safetensors") and "/" in name][number]


def damages(url):
    return [str(one) for one in verify_store(url)]


def test_its_bytes_are_those_of_a_folder(url, folder, tmp_path):
    written = write(url)
    assert written == write(tmp_path / "again")
    assert as_folder(url) == files(folder)
    assert [name for name in objects(url) if name.startswith("reduction")] == [
        f"reduction-{stat_store(folder).header.fitted[:16]}.safetensors"
    ]
    assert damages(url) == []
    assert stat_store(url) == stat_store(folder)


def test_the_same_call_reads_nothing_again_and_puts_nothing(url):
    write(url)
    before, reading = objects(url), CountingRead()
    again = write(url, read=reading)
    assert (again.samples, again.found) == (0, len(SAMPLES))
    assert reading.calls == []
    assert objects(url) == before


def test_more_samples_go_on_where_a_store_ended_as_in_a_folder(url, tmp_path):
    for place_of_it in (url, tmp_path / "s"):
        write(place_of_it, SAMPLES[:9])
        write(place_of_it)
    assert as_folder(url) == files(tmp_path / "s")


def test_shares_written_one_after_the_other_are_one_store(url, folder):
    for index in (1, 0, 2):
        write(url, share=Share(index, 3))
    assert as_folder(url) == files(folder)


def test_another_making_is_refused_and_nothing_is_put(url):
    write(url)
    before = objects(url)
    with pytest.raises(ConfigError, match="must hold features of one making"):
        write(url, spec=StoreSpec(MADE, ("fp16",)))
    assert objects(url) == before


def test_a_changed_picture_replaces_its_row(url, folder):
    write(url)
    changed = [SAMPLES[0].__class__(SAMPLES[0].id, "f" * 64, SAMPLES[0].size), *SAMPLES[1:]]
    assert write(url, changed).samples == 1
    assert len(StoredFeatures(url)) == len(SAMPLES)
    assert stat_store(url).replaced == 1


def test_a_reader_gives_what_the_folder_s_gives(url, folder):
    write(url)
    there, here = StoredFeatures(url), StoredFeatures(folder)
    assert [row.id for row in there.rows] == [row.id for row in here.rows]
    for (name, found), (wanted_name, wanted) in zip(there, here, strict=True):
        assert name == wanted_name
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[one], wanted[one]) for one in wanted)


@pytest.mark.parametrize("words", [("fp32",), ("fp16",), ("bf16",)])
def test_every_dtype_comes_back(url, tmp_path, words):
    spec = StoreSpec(MADE, words, Layout(samples=4, groups=1))
    for place_of_it in (url, tmp_path / "s"):
        write(place_of_it, SAMPLES[:5], spec=spec)
    there, here = StoredFeatures(url)[3][1], StoredFeatures(tmp_path / "s")[3][1]
    assert all(torch.equal(there[name], here[name]) for name in here)
    assert there["up1/261"].dtype == here["up1/261"].dtype


def test_one_sample_asks_for_its_own_bytes_alone(url, monkeypatch):
    big = StoreSpec(MADE, (), Layout(samples=64, groups=1))
    write(url, refs(40, size=(256, 256)), spec=big)
    asked = []
    ranges = Address.read_ranges

    def counting(self, wanted):
        asked.append(sum(last - first for first, last in wanted))
        return ranges(self, wanted)

    features = StoredFeatures(url, names=["up1/261"])
    monkeypatch.setattr(Address, "read_ranges", counting)
    monkeypatch.setattr(Address, "read_bytes", lambda self: pytest.fail("read as a whole"))
    features[7]
    row = 8 * 32 * 32 * 4
    assert asked[1:] == [row]
    assert asked[0] <= 2**16  # what stands before the tensors, once
    features[8]
    assert asked[2:] == [row]


def test_a_stream_asks_for_a_shard_at_once(url, monkeypatch):
    write(url)
    stored, whole = StoredFeatures(url), RemoteShard.whole
    fetched = []
    monkeypatch.setattr(
        RemoteShard, "whole", lambda self, names: fetched.append(names) or whole(self, names)
    )
    monkeypatch.setattr(RemoteShard, "rows", lambda *_: pytest.fail("asked for a row alone"))
    seen = Counter(name for name, _ in FeatureStream(stored, shuffle_seed=3))
    assert seen == Counter(ref.id for ref in SAMPLES)
    assert len(fetched) == stat_store(url).shards
    assert not any(one._near for one in stored._open.values())


def test_a_few_rows_of_a_shard_are_asked_for_alone(url, monkeypatch):
    write(url, SAMPLES[:18], spec=StoreSpec(MADE, (), Layout(samples=64, groups=1)))
    some = StoredFeatures(url, ids=[SAMPLES[3].id, SAMPLES[5].id])
    monkeypatch.setattr(RemoteShard, "whole", lambda *_: pytest.fail("asked for a shard"))
    assert [name for name, _ in FeatureStream(some)] == [SAMPLES[3].id, SAMPLES[5].id]
    assert open_shard.MANY * 2 < 18


def test_exports_are_those_of_the_folder(url, folder, tmp_path):
    write(url)
    ids = [ref.id for ref in SAMPLES[:18]]
    for name, place_of_it in (("there", url), ("here", folder)):
        write_npy(StoredFeatures(place_of_it, ids=ids), "up1/261", tmp_path / f"{name}.npy")
    assert (tmp_path / "there.npy").read_bytes() == (tmp_path / "here.npy").read_bytes()
    pytest.importorskip("pyarrow")
    for name, place_of_it in (("there", url), ("here", folder)):
        write_arrow(StoredFeatures(place_of_it), tmp_path / f"{name}.arrow")
    assert (tmp_path / "there.arrow").read_bytes() == (tmp_path / "here.arrow").read_bytes()


def test_workers_of_a_loader_reach_the_service_themselves(bucket):
    url = f"{bucket}/s"
    write(url)
    stored = StoredFeatures(url)
    plain = [name for name, _ in stored]
    for context in ("fork", "spawn"):
        loader = DataLoader(stored, batch_size=None, num_workers=2, multiprocessing_context=context)
        assert [name for name, _ in loader] == plain
    stream = DataLoader(FeatureStream(stored, shuffle_seed=1), batch_size=None, num_workers=2,
                        multiprocessing_context="fork")  # fmt: skip
    assert Counter(name for name, _ in stream) == Counter(plain)


# damage, and mending it


def test_a_lost_shard_is_named_and_the_same_call_redoes_it(url, folder):
    write(url)
    shard = shard_of(url, 2)
    put(f"{url}/{shard}", None)
    (found,) = damages(url)
    assert shard in found
    assert "is missing" in found
    assert 0 < write(url).samples <= 3
    assert as_folder(url) == files(folder)


def test_a_changed_shard_is_named_and_repaired(url, folder):
    write(url)
    shard = shard_of(url, 2)
    content = bytearray(objects(url)[shard])
    content[-1] ^= 1
    put(f"{url}/{shard}", bytes(content))
    (found,) = damages(url)
    assert "its bytes have changed" in found
    assert f"featurekit store repair {url}" in found
    assert repair_store(url).dropped == 1
    write(url)
    assert stat_store(url).samples == len(SAMPLES)
    assert damages(url) == []


@pytest.mark.parametrize("keep", [0, 5, -1])
def test_a_shard_that_is_cut_is_no_whole_file(url, keep):
    write(url)
    shard = shard_of(url)
    put(f"{url}/{shard}", objects(url)[shard][:keep])
    (found,) = damages(url)
    assert shard in found
    with pytest.raises(ConfigError, match="must be"):
        list(StoredFeatures(url))


def test_a_whole_shard_without_its_line_counts_again_unread(url, folder):
    write(url)
    for name in objects(url):
        if "/commits/" in name:
            put(f"{url}/{name}", None)
    assert stat_store(url).samples == 0
    reading = CountingRead()
    write(url, read=reading)
    assert reading.calls == []
    assert stat_store(url).samples == len(SAMPLES)
    assert {name: data for name, data in as_folder(url).items() if COMMITS not in name} == {
        name: data for name, data in files(folder).items() if COMMITS not in name
    }


def test_a_lost_header_is_taken_from_the_shards(url, folder):
    write(url)
    put(f"{url}/store.json", None)
    with pytest.raises(ConfigError, match="it has shards, so run: featurekit store repair"):
        StoredFeatures(url)
    assert repair_store(url).header
    assert as_folder(url) == files(folder)


def test_a_damaged_line_is_named_and_repaired(url):
    write(url)
    line = next(name for name in objects(url) if "/commits/" in name)
    put(f"{url}/{line}", b"no line of JSON\n")
    with pytest.raises(ConfigError, match="must hold a line of JSON each"):
        StoredFeatures(url)
    assert repair_store(url).restored == 1
    assert damages(url) == []
    assert len(StoredFeatures(url)) == len(SAMPLES)


def test_compacting_does_what_it_does_to_a_folder(url, tmp_path):
    for place_of_it in (url, tmp_path / "s"):
        write(place_of_it, SAMPLES[::2])
        write(place_of_it)
    assert min(compact_store(url), compact_store(tmp_path / "s")) > 0
    assert as_folder(url) == files(tmp_path / "s")
    assert damages(url) == []


def test_what_another_may_be_about_to_name_is_not_removed(url, monkeypatch):
    write(url)
    group = shard_of(url).partition("/")[0]
    put(f"{url}/{group}/{group}-0123456789abcdef.safetensors", b"half")
    write(url, [*SAMPLES, *refs(20, start=200)])
    compact_store(url)
    assert stat_store(url).loose == 1
    monkeypatch.setattr(place, "SETTLED_S", -60)
    compact_store(url)
    assert stat_store(url).loose == 0
    assert damages(url) == []


# the writers


def test_who_comes_second_takes_the_header_of_the_first(url, monkeypatch):
    """Two begin at once: the second sees no store, then finds the first one's header put."""
    write(url, SAMPLES[:9])
    seen = place_at(url).exists()
    assert seen
    began, puts = [], Address.put_new

    def late(self, content):
        began.append(self.name)
        return puts(self, b'{"format": 1, "of": "the second"}')

    monkeypatch.setattr(Address, "put_new", late)
    monkeypatch.setattr("featurekit.store.write.is_begun", lambda _: False)
    assert write(url).samples == len(SAMPLES) - 9
    assert began == ["store.json"]
    assert stat_store(url).samples == len(SAMPLES)
    assert stat_store(url).replaced == 0
    assert damages(url) == []


def test_of_two_who_put_at_once_one_alone_does_it(url, monkeypatch):
    path = place_at(url) / "store.json"
    monkeypatch.setattr(Address, "exists", lambda _: False)
    assert path.put_new(b"first")
    assert not path.put_new(b"second")
    assert path.read_bytes() == b"first"


def test_a_line_that_is_put_twice_is_there_once(url):
    folder = place_at(url) / "0001"
    for text in (b"one\n", b"two\n", b"one\n"):
        append_line(folder, COMMITS, text)
    assert [data for _, data in sorted(objects(url).items())] == [b"one\n", b"two\n"]
