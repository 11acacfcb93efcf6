"""Stores at an address that several processes write at once, are killed in and go on with."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from buckets import as_folder, new_bucket, objects

from featurekit.store.upkeep import stat_store, verify_store

MOMENTS = (3, 4, 5)  # after the recipe: of a shard its tensors and manifest, and its line
pytestmark = pytest.mark.timeout(600)  # a busy machine is slow


@pytest.fixture(scope="module")
def url(bucket_settings):
    return new_bucket()


@pytest.fixture(scope="module")
def report(url, tmp_path_factory):
    folder = tmp_path_factory.mktemp("address")
    subprocess.run(
        [
            sys.executable,
            Path(__file__).with_name("address_children.py"),
            url,
            folder,
            *map(str, MOMENTS),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=500,
    )
    return json.loads((folder / "report.json").read_text())


def test_several_processes_write_what_one_writes(url, report):
    assert report["codes"] == [0] * 5
    assert objects(f"{url}/two") == objects(f"{url}/one")
    assert stat_store(f"{url}/one").samples == 13


def test_the_same_share_given_to_two_at_once_comes_out_once(url, report):
    assert as_folder(f"{url}/twice").keys() == as_folder(f"{url}/one").keys()
    assert verify_store(f"{url}/twice") == ()
    stat, wanted = stat_store(f"{url}/twice"), stat_store(f"{url}/one")
    assert (stat.samples, stat.shards, stat.loose) == (wanted.samples, wanted.shards, 0)
    shards = {name: data for name, data in objects(f"{url}/one").items() if "commits" not in name}
    assert shards.items() <= objects(f"{url}/twice").items()


def test_a_writer_that_is_killed_at_any_object_leaves_no_damage(report):
    assert len(report["killed"]) == 3 * len(MOMENTS)
    assert [one["codes"] for one in report["killed"]] == [[-9, 0]] * len(report["killed"])
    assert [one["damages"] for one in report["killed"] if one["damages"]] == []


def test_it_leaves_one_shard_without_its_line_at_most(report):
    assert max(one["loose"] for one in report["killed"]) == 2  # its tensors and its manifest


def test_it_costs_one_shard_at_most(url, report):
    shards = stat_store(f"{url}/one").shards
    assert {one["reads"] - shards for one in report["killed"]} == {0, 1}


def test_after_any_kill_the_bytes_are_those_of_an_undisturbed_run(url, report):
    for one in report["killed"]:
        assert as_folder(one["store"]) == as_folder(f"{url}/one")
