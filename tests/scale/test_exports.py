"""Stores as an Arrow file and as arrays of numpy; streams by workers and ranks."""

import json
from collections import Counter

import numpy as np
import pytest
import torch
from small_features import MADE, read, refs
from torch.utils.data import DataLoader

from featurekit.core.errors import ConfigError, OutputError, ShapeError, UnknownNameError
from featurekit.core.sharding import Share, launched_share
from featurekit.scale.exports import write_arrow, write_npy
from featurekit.store.read import FeatureStream, StoredFeatures
from featurekit.store.records import Layout, StoreSpec
from featurekit.store.write import write_store

SIZES = [*refs(11), *refs(4, size=(64, 32), start=100)]


def store(folder, samples=SIZES, recipe=()):
    spec = StoreSpec(MADE, recipe, Layout(samples=4, groups=4))
    write_store(folder, samples, read=read, spec=spec)
    return StoredFeatures(folder)


@pytest.mark.parametrize("recipe", [(), ("fp16",), ("bf16",), ("int8",)])
def test_an_array_has_the_numbers_of_the_store_and_is_not_loaded(tmp_path, recipe):
    features = store(tmp_path / "s", refs(11), recipe)
    array = write_npy(features, "up1/261", tmp_path / "up1.npy")
    assert isinstance(array, np.memmap)
    assert array.shape == (11, 8, 4, 6)
    assert array.dtype == (np.float16 if recipe == ("fp16",) else np.float32)
    ids = json.loads((tmp_path / "up1.npy.ids.json").read_text())["ids"]
    assert ids == [name for name, _ in features]
    for row, (_, tensors) in zip(array, features, strict=True):
        assert torch.from_numpy(row.copy()).equal(
            tensors["up1/261"].to(torch.from_numpy(row.copy()).dtype)
        )


def test_an_array_of_several_sizes_or_of_an_unknown_tap_is_refused(tmp_path):
    features = store(tmp_path / "s")
    with pytest.raises(ShapeError, match=r"samples of one shape, got \[\(8, 4, 6\), \(8, 8, 4\)\]"):
        write_npy(features, "up1/261", tmp_path / "a.npy")
    with pytest.raises(UnknownNameError, match="up9/261"):
        write_npy(features, "up9/261", tmp_path / "a.npy")
    some = StoredFeatures(tmp_path / "s", ids=[ref.id for ref in refs(3)])
    assert write_npy(some, "up1/261", tmp_path / "a.npy").shape == (3, 8, 4, 6)


def test_an_arrow_file_is_a_data_set_of_hugging_face(tmp_path):
    pytest.importorskip("pyarrow", reason="the extra [scale] is not installed")
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    features = store(tmp_path / "s", recipe=("fp16",))
    path = write_arrow(features, tmp_path / "s.arrow")
    rows = datasets.Dataset.from_file(str(path)).with_format("numpy")
    assert rows.column_names == ["id", "up1/261", "up2/261"]
    assert len(rows) == len(features) == len(SIZES)
    for row, (name, tensors) in zip(rows, features, strict=True):
        assert row["id"] == name
        for word, tensor in tensors.items():
            assert np.array_equal(row[word], tensor.numpy())


def test_an_arrow_file_in_no_folder_is_one_sentence_that_names_it_alone(tmp_path):
    pytest.importorskip("pyarrow", reason="the extra [scale] is not installed")
    features = store(tmp_path / "s", refs(2))
    with pytest.raises(OutputError, match=r"nodir/x\.arrow', but No such file[a-z ]*; make its f"):
        write_arrow(features, tmp_path / "nodir" / "x.arrow")


def test_an_arrow_file_without_its_package_is_one_sentence(tmp_path, monkeypatch):
    features = store(tmp_path / "s", refs(2))
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"pip install 'featurekit\[scale\]'"):
        write_arrow(features, tmp_path / "s.arrow")
    assert not (tmp_path / "s.arrow").exists()


def test_each_sample_comes_once_over_ranks_and_workers(tmp_path):
    features = store(tmp_path / "s")
    seen = Counter()
    for rank in range(2):
        share = launched_share({"RANK": str(rank), "WORLD_SIZE": "2"})
        assert share == Share(rank, 2)
        stream = FeatureStream(features, shuffle_seed=1, share=share)
        loader = DataLoader(stream, batch_size=None, num_workers=2, multiprocessing_context="fork")
        seen.update(name for name, _ in loader)
    assert seen == Counter({ref.id: 1 for ref in SIZES})
