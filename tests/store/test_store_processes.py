"""Stores written by several processes, killed ones and ones whose disk is full."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_features import contents

from featurekit.store.upkeep import stat_store, verify_store

MOMENTS = 100


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("children")
    subprocess.run(
        [sys.executable, Path(__file__).with_name("store_children.py"), folder, str(MOMENTS)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=240,
    )
    return folder


@pytest.fixture(scope="module")
def report(root):
    return json.loads((root / "report.json").read_text())


@pytest.mark.parametrize("workers", ["2", "4"])
def test_several_processes_write_what_one_writes(root, report, workers):
    assert report["codes"][workers] == [0] * int(workers)
    assert contents(root / workers) == contents(root / "one")
    assert stat_store(root / "one").samples == 23


def test_the_same_work_given_to_two_processes_at_once_comes_out_once(root, report):
    assert report["codes"]["twice"] == [0, 0]
    assert contents(root / "twice") == contents(root / "one")


def test_a_killed_writer_leaves_no_damaged_shard(report):
    assert report["moments"] >= MOMENTS
    assert report["damages"] == []


def test_a_killed_writer_leaves_one_whole_shard_without_its_line_at_most(report):
    assert not [(loose, workers) for loose, workers in report["loose"] if loose > workers]


def test_a_killed_writer_costs_one_shard_at_most(report):
    assert not [(redone, killed) for redone, killed in report["redone"] if redone > killed]
    assert sum(redone for redone, _ in report["redone"]) > 0  # else no shard was ever hit


def test_after_any_kills_the_bytes_are_those_of_an_undisturbed_run(report):
    assert report["differing"] == []


def test_a_full_disk_is_one_sentence_and_loses_nothing(root):
    message = (root / "message").read_text()
    assert "must be writable to" in message
    assert "File too large" in message
    assert "\n" not in message
    assert verify_store(root / "full") == ()
    assert stat_store(root / "full").shards == 3  # of six calls two were what pca is fitted to
    assert not [n for n in contents(root / "full") if n.endswith(".part") or "/.tmp" in n]
