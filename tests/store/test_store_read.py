"""Reading a store: the right bytes, only those asked for, in any number of workers."""

import gc
import os
import pickle
from collections import Counter
from dataclasses import replace
from hashlib import sha256

import pytest
import torch
from fake_features import LAYOUT, MADE, SPEC, features, read, refs
from torch.utils.data import DataLoader

from featurekit.core.errors import ConfigError, UnknownNameError
from featurekit.core.sharding import Share
from featurekit.store import read as store_read
from featurekit.store.places import open_shard
from featurekit.store.read import FeatureStream, Recomputed, StoredFeatures
from featurekit.store.recipe import parse_recipe
from featurekit.store.records import StoreSpec
from featurekit.store.reduction import fit, restored
from featurekit.store.write import write_store

SAMPLES = refs(30)
RECIPE = ("pool:2", "random:3", "int8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("plain")
    write_store(place, SAMPLES, read=read, spec=SPEC)
    return place


@pytest.fixture(scope="module")
def reduced(tmp_path_factory):
    place = tmp_path_factory.mktemp("reduced")
    write_store(place, SAMPLES, read=read, spec=StoreSpec(MADE, RECIPE, LAYOUT))
    return place


def test_every_sample_comes_back_as_it_was(folder):
    stored = StoredFeatures(folder)
    asked = {ref.id: ref for ref in SAMPLES}
    assert len(stored) == len(SAMPLES)
    assert Counter(name for name, _ in stored) == Counter(asked.keys())
    for name, tensors in stored:
        expected = features(asked[name])
        assert tensors.keys() == expected.keys()
        assert all(torch.equal(tensors[key], expected[key]) for key in expected)


def test_a_place_behind_the_last_is_refused(folder):
    stored = StoredFeatures(folder)
    assert stored[-1][0] == stored[len(SAMPLES) - 1][0]
    for place in (10**6, len(SAMPLES), -len(SAMPLES) - 1):
        with pytest.raises(IndexError, match=rf"one of the 30 samples .*, got {place}; "):
            stored[place]


def test_a_reduced_sample_comes_back_dequantised(reduced):
    stored = StoredFeatures(reduced)
    sample = {ref.id: ref for ref in SAMPLES}[stored[5][0]]
    seen = [features(sample)]
    recipe = fit(parse_recipe(RECIPE), seen)
    for name, feature in features(sample).items():
        torch.testing.assert_close(
            stored[5][1][name], restored(recipe.apply(name, feature))[name], rtol=0, atol=0
        )
        exact = fit(parse_recipe(RECIPE[:2]), seen).apply(name, feature)[name]
        assert (stored[5][1][name] - exact).abs().max() <= exact.abs().max() / 250


def test_some_samples_and_some_tensors_may_be_chosen(reduced):
    ids = [SAMPLES[7].id, SAMPLES[2].id]
    chosen = StoredFeatures(reduced, names=["up2/261"], ids=ids)
    whole = {name: tensors for name, tensors in StoredFeatures(reduced)}  # noqa: C416 - a Dataset
    assert [name for name, _ in chosen] == ids
    for name, tensors in chosen:
        assert list(tensors) == ["up2/261"]
        assert torch.equal(tensors["up2/261"], whole[name]["up2/261"])


def test_only_the_slice_that_is_asked_for_is_read(folder, monkeypatch):
    asked = []

    class Slice:
        def __init__(self, name, inner):
            self.name, self.inner = name, inner

        def __getitem__(self, key):
            asked.append((self.name, key))
            return self.inner[key]

    class Shard:  # has no get_tensor
        def __init__(self, path, kind):
            self.inner = whole(path, kind)

        def get_slice(self, name):
            return Slice(name, self.inner.get_slice(name))

    whole = open_shard.safe_open
    monkeypatch.setattr(open_shard, "safe_open", Shard)
    stored = StoredFeatures(folder, names=["up1/261"])
    assert stored[6][1]["up1/261"].shape == (8, 4, 6)
    row = stored.rows[6].row
    assert asked == [("up1/261", slice(row, row + 1))]


def test_a_loader_with_processes_gives_the_same(folder):
    plain = [name for name, _ in StoredFeatures(folder)]
    loader = DataLoader(
        StoredFeatures(folder), batch_size=5, num_workers=2, multiprocessing_context="fork"
    )
    names, tensors = zip(*loader, strict=True)
    assert [name for batch in names for name in batch] == plain
    assert tensors[0]["up1/261"].shape == (5, 8, 4, 6)


def test_it_can_be_sent_to_another_process_while_files_are_open(folder):
    stored = StoredFeatures(folder)
    first = stored[0]
    again = pickle.loads(pickle.dumps(stored))
    assert torch.equal(again[0][1]["up1/261"], first[1]["up1/261"])


def test_few_files_stay_open(folder, monkeypatch):
    monkeypatch.setattr(store_read, "_OPEN_SHARDS", 2)
    stored = StoredFeatures(folder)
    for place in range(len(stored)):
        stored[place]
    assert len(stored._open) == 2


def test_a_stream_gives_each_sample_once_for_any_workers(folder):
    stored = StoredFeatures(folder)
    whole = Counter(ref.id for ref in SAMPLES)
    for seed in (None, 3):
        for count in (1, 3):
            shares = [Share(index, count) for index in range(count)]
            streams = [FeatureStream(stored, shuffle_seed=seed, share=share) for share in shares]
            assert Counter(name for stream in streams for name, _ in stream) == whole
    stream = FeatureStream(stored, shuffle_seed=1)
    loader = DataLoader(stream, batch_size=None, num_workers=2, multiprocessing_context="fork")
    assert Counter(name for name, _ in loader) == whole


def test_a_shuffled_stream_is_another_order_that_its_seed_fixes(folder):
    stored = StoredFeatures(folder)
    orders = [
        [name for name, _ in FeatureStream(stored, shuffle_seed=seed)] for seed in (None, 1, 1, 2)
    ]
    assert orders[0] == [row.id for row in stored.rows]
    assert orders[1] == orders[2]
    assert len({tuple(order) for order in orders}) == 3


def latents(asked):
    for ref in asked:
        yield (
            ref.id,
            {"latent/0": features(ref)["up2/261"], "latent/261": -features(ref)["up2/261"]},
        )


def test_a_store_of_trajectories_recomputes_features_when_they_are_asked_for(tmp_path):
    spec = replace(SPEC, kind="trajectories")
    write_store(tmp_path, SAMPLES, read=latents, spec=spec)
    calls = []

    def forward(name, stored):
        calls.append(name)
        return {"up1/261": stored["latent/261"].square()}

    made = Recomputed(StoredFeatures(tmp_path), forward)
    assert (len(made), calls) == (30, [])
    name, tensors = made[4]
    ref = next(ref for ref in SAMPLES if ref.id == name)
    assert torch.equal(tensors["up1/261"], features(ref)["up2/261"].square())
    assert calls == [name]


def test_features_cannot_be_recomputed_from_features(folder):
    with pytest.raises(ConfigError, match=r"a store of trajectories, but .* holds features"):
        Recomputed(StoredFeatures(folder), lambda name, stored: stored)


def test_what_is_not_there_is_refused_by_name(folder, tmp_path):
    with pytest.raises(
        UnknownNameError, match=r"no stored tensor named 'up1/262'; did you mean up"
    ):
        StoredFeatures(folder, names=["up1/262"])
    with pytest.raises(UnknownNameError, match="no sample named 'picture 99"):
        StoredFeatures(folder, ids=["picture 99.png"])
    with pytest.raises(ConfigError, match=r"a folder with store\.json, found none in"):
        StoredFeatures(tmp_path)


@pytest.mark.parametrize("length", [0, 100, -1])
def test_a_truncated_shard_is_one_sentence_for_its_samples_alone(tmp_path, length):
    write_store(tmp_path, SAMPLES, read=read, spec=SPEC)
    stored = StoredFeatures(tmp_path)
    row = stored.rows[0]
    path = next(tmp_path.rglob(f"{row.shard}.safetensors"))
    os.truncate(path, length if length >= 0 else path.stat().st_size - 1)
    with pytest.raises(ConfigError, match=r"whole file, but .*; run: featurekit store repair"):
        stored[0]
    other = next(i for i, one in enumerate(stored.rows) if one.shard != row.shard)
    assert stored[other][0] == stored.rows[other].id


def test_a_changed_manifest_or_reduction_is_refused(tmp_path):
    write_store(tmp_path, SAMPLES, read=read, spec=StoreSpec(MADE, RECIPE, LAYOUT))
    path = next(tmp_path.rglob("0*.jsonl"))
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"row":0', b'"row":1'))
    with pytest.raises(ConfigError, match="a manifest must be as it was written"):
        StoredFeatures(tmp_path)
    path.write_bytes(content)
    (tmp_path / "reduction.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"needs the reduction\.safetensors that it was made"):
        StoredFeatures(tmp_path)


def test_reading_leaves_the_store_as_it_is(folder):
    def digest():
        return {path: sha256(path.read_bytes()) .hexdigest()
                for path in folder.rglob("*") if path.is_file()}  # fmt: skip

    before = digest()
    list(FeatureStream(StoredFeatures(folder), shuffle_seed=0))
    assert digest() == before


@pytest.mark.parametrize("on", [True, False])
def test_opening_leaves_the_collection_of_garbage_as_it_was(folder, on):
    was_on = gc.isenabled()
    try:
        (gc.enable if on else gc.disable)()
        StoredFeatures(folder)
        assert gc.isenabled() == on
        with pytest.raises(ConfigError):
            StoredFeatures(folder / "nowhere")
        assert gc.isenabled() == on
    finally:
        (gc.enable if was_on else gc.disable)()
