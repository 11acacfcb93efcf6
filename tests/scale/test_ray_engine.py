"""Workers placed by Ray on loopback: the same bytes, nothing lost, one sentence where it is wrong.

One cluster for all files of the group; everything that uses it is in processes of their own.
"""

import json
import signal
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from buckets import as_folder
from PIL import Image
from ray_processes import ended, needs_ray, started
from small_features import SAMPLES, contents

from featurekit.cli.extract import main
from featurekit.core.errors import ConfigError
from featurekit.scale.ray_address import check_answers
from featurekit.scale.ray_engine import Placing
from featurekit.store.upkeep import stat_store, verify_store

pytestmark = pytest.mark.timeout(900)  # a busy machine is slow


@pytest.fixture(scope="module")
def root(cluster, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ray")
    out, err = ended(started("scale/ray_children.py", "all", folder, RAY_ADDRESS=cluster))
    (folder / "said").write_text(out + err)
    return folder


@pytest.fixture(scope="module")
def report(root):
    return json.loads((root / "report.json").read_text())


@pytest.fixture
def album(tmp_path):
    folder = tmp_path / "album"
    folder.mkdir()
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def short():
    """A folder for sockets, whose paths may have some hundred letters."""
    with TemporaryDirectory() as folder:
        yield folder


@needs_ray
def test_a_cluster_of_this_machine_is_on_loopback(cluster):
    assert cluster.startswith("127.0.0.1:")


@needs_ray
def test_two_workers_write_the_bytes_of_one_process(root, report):
    assert sum(report["counts"]) == len(SAMPLES)
    assert min(report["counts"]) > 0
    assert contents(root / "two") == contents(root / "one")


@needs_ray
def test_progress_counts_what_all_workers_have_done(report):
    done = [one for one, _ in report["told"]]
    assert done == sorted(done)
    assert report["told"][-1] == [len(SAMPLES), len(SAMPLES)]


@needs_ray
def test_a_killed_worker_is_replaced_and_loses_its_shard_alone(root, report):
    assert (root / "dying.mark").exists()
    assert contents(root / "dying") == contents(root / "one")
    assert report["damages"] == []
    assert report["loose"] == 0


@needs_ray
def test_a_killed_worker_is_one_sentence_and_nothing_of_rays(root, report):
    (said,) = report["warned"]
    assert said in [
        f"a worker of share {n}/2 was killed; another goes on (1 of 2 times)" for n in (0, 1)
    ]
    assert "raylet" not in (root / "said").read_text()


@needs_ray
def test_a_full_disk_is_one_sentence_and_the_same_call_finishes_it(root, report):
    kind, sentence = report["full"]
    assert kind == "OutputError"
    assert "No space left on device; free some space or choose another" in sentence
    assert 0 < report["kept"] < len(SAMPLES)
    assert contents(root / "full") == contents(root / "one")
    assert verify_store(root / "full") == ()


@needs_ray
def test_a_mistake_in_a_worker_is_the_sentence_of_the_call(report):
    assert report["refusing"] == [
        "ConfigError", "share 0/1 must not be asked for; this is a test"
    ]  # fmt: skip


@needs_ray
def test_more_workers_than_devices_are_refused(report):
    kind, sentence = report["many"]
    assert kind == "ConfigError"
    assert "at most as many as there are CPUs, got 64 for 2" in sentence


@needs_ray
def test_a_share_whose_workers_die_time_and_again_is_given_up(report):
    kind, sentence = report["dead"]
    assert kind == "OutputError"
    assert "2 died of share 0/1" in sentence
    assert sentence.endswith("the same command goes on: what is stored stays")


@needs_ray
def test_workers_of_another_version_are_refused(report):
    kind, sentence = report["versions"]
    assert kind == "ConfigError"
    assert "and this has 9.9.9; install the same everywhere" in sentence


@needs_ray
def test_a_driver_that_is_ended_loses_little_and_the_same_call_finishes_it(cluster, root, tmp_path):
    folder, stored = tmp_path / "s", 0
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        driver = started("scale/ray_children.py", "slow", folder, RAY_ADDRESS=cluster)
        while sum(map(_lines, folder.glob("*/commits.jsonl"))) <= stored:
            assert driver.poll() is None
            time.sleep(0.05)
        driver.send_signal(number)
        _, err = driver.communicate(timeout=60)
        assert driver.returncode != 0
        assert ("Terminated" in err) == (number == signal.SIGTERM)
        assert "SIGTERM received" not in err  # with a trace of Ray's
        assert stat_store(folder).samples < len(SAMPLES)
        time.sleep(1)  # in which workers that have not ended would go on
        stored = sum(map(_lines, folder.glob("*/commits.jsonl")))
    ended(started("scale/ray_children.py", "all_of", folder, RAY_ADDRESS=cluster))
    assert contents(folder) == contents(root / "one")
    assert verify_store(folder) == ()


def _lines(path):
    return path.read_bytes().count(b"\n")


@needs_ray
def test_the_command_with_an_engine_of_its_own_writes_what_it_writes_alone(album, short):
    words = [f"image={album}", "backbone=random", "batch=2", "reduce=[pool:2,fp16]", "device=cpu"]
    assert main([*words, f"store={album.parent / 'one'}"]) == 0
    (album / "broken.png").write_bytes(b"no picture")
    process = started("-m", "featurekit", "extract", *words, f"store={album.parent / 'two'}",
                    "engine=ray", "workers=2", RAY_ADDRESS="", RAY_TMPDIR=short)  # fmt: skip
    out, err = process.communicate(timeout=800)
    assert process.returncode == 3, err
    assert "6 samples stored (0 there already)" in out
    assert "2 workers of ray" in out
    assert err.count("skipped broken.png") == 1
    assert contents(album.parent / "two") == contents(album.parent / "one")
    assert not list(Path(short).rglob("session_*"))


@needs_ray
def test_workers_write_to_a_bucket_what_one_process_writes_to_a_folder(cluster, album, bucket):
    words = [f"image={album}", "backbone=random", "batch=1", "reduce=[pool:2,fp16]", "device=cpu"]
    assert main([*words, f"store={album.parent / 'one'}"]) == 0
    process = started("-m", "featurekit", "extract", *words, f"store={bucket}/s",
                      "engine=ray", "workers=2", RAY_ADDRESS=cluster)  # fmt: skip
    out, _ = ended(process)
    assert f"{bucket}/s: 6 samples stored (0 there already)" in out
    assert as_folder(f"{bucket}/s") == contents(album.parent / "one")
    assert verify_store(f"{bucket}/s") == ()


@needs_ray
def test_ray_map_gives_a_data_set_the_features_of_an_extractor(cluster, album):
    said = album.parent / "said.json"
    ended(started("scale/ray_map_child.py", album, said, RAY_ADDRESS=cluster))
    report = json.loads(said.read_text())
    assert report["columns"] == ["id", "mid/261", "path"]
    assert report["ids"] == [f"{number}.png" for number in range(6)]
    assert max(report["far"]) < 1e-5


@needs_ray
def test_a_head_is_known_by_its_answer(cluster):
    check_answers(cluster)


# no cluster


def test_an_engine_that_is_not_installed_is_one_sentence(album, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"engine=ray needs .* pip install 'featurekit\[scale\]'"):
        main([f"image={album}", f"store={album.parent / 's'}", "engine=ray", "workers=1"])
    assert not (album.parent / "s").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["engine=spark"], "no engine named 'spark'"),
        (["workers=2"], "got workers=2 alone; add engine=ray"),
        (["engine=ray", "shard=0/2"], "shard must be left out with engine=ray, .* got shard=0/2"),
        (["engine=ray", "workers=9999"], "as many as there are CPUs, got 9999 for"),
        (["engine=ray", "workers=9999", "dry_run=true"], "as many as there are CPUs, got 9999 for"),
        (["engine=ray", "workers=-1"], "workers must be 0 or more"),
        (["engine=ray", "device=cuda:1"], "device must be auto, cpu or cuda with engine=ray"),
    ],
)
def test_words_that_do_not_fit_each_other_are_refused(album, monkeypatch, words, sentence):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(Exception, match=sentence):
        main([f"image={album}", f"store={album.parent / 's'}", *words])


def test_workers_and_devices_are_checked_before_anything_is_started():
    assert Placing() == Placing(0, "auto")
    with pytest.raises(ConfigError, match="workers must be 0 or more, got -1"):
        Placing(-1)
