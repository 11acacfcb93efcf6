"""Sketches, pairs and a student by workers of Ray: the bytes of one process, little lost."""

import json
from itertools import combinations

import numpy as np
import pytest
from PIL import Image
from ray_processes import ended, needs_ray, started
from safetensors.numpy import load_file
from sketch_ray_children import SHARD

import featurekit as fk
from featurekit.scenes import scene
from featurekit_sketch.distillation import pairs

pytestmark = [needs_ray, pytest.mark.timeout(900)]
SKETCH = ["plugin=sketch", "device=cpu", "plugin.style=brush"]  # which draws lines
EXTRACT = [*SKETCH, "task=extract"]
DISTIL = [*SKETCH, "task=distil", "plugin.pairs_of=sampled", "plugin.steps=16", "plugin.pairs=3",
          "plugin.student_iterations=1"]  # fmt: skip
PHOTOS, PAIRS = 5, 3  # of which one is drawn before the disk is full
DARK = 128
NAMED = "[!.]*"  # what a killed process was writing has another name


@pytest.fixture(scope="module")
def desk(cluster, tmp_path_factory):
    """What one process makes, and what workers make that are killed, stopped and find no room."""
    root = tmp_path_factory.mktemp("desk")
    (root / "photos").mkdir()
    for number in range(PHOTOS):
        scene(number, "face").image(48).save(root / "photos" / f"{number}.png")
    extract, distil = [*EXTRACT, f"image={root / 'photos'}"], DISTIL
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "SHARD", SHARD)
        fk.run(fk.compose([*extract, f"out={root / 'one'}"]))
        fk.run(fk.compose([*distil, f"out={root / 'student_by_one'}"]))
    words = [*extract, f"out={root / 'stopped'}", "--", *distil, f"out={root / 'student_by_two'}"]
    script = "plugins/sketch/tasks/sketch_ray_children.py"
    ended(started(script, root, *words, RAY_ADDRESS=cluster))
    return root


@pytest.fixture(scope="module")
def report(desk):
    return json.loads((desk / "report.json").read_text())


def contents(folder, pattern="*"):
    return {path.name: path.read_bytes() for path in folder.glob(pattern)}


def assert_drawn(sketches):
    """Refuse paper that is white or black, and sketches that are the same."""
    for sketch in sketches:
        assert 0.02 < (sketch < DARK).mean() < 0.4
    for one, other in combinations(sketches, 2):
        assert not np.array_equal(one, other)


def test_what_one_process_draws_are_lines_of_each_picture_its_own(desk):
    sketches = [
        np.asarray(Image.open(desk / "one" / f"{n}.png").convert("L")) for n in range(PHOTOS)
    ]
    assert_drawn(sketches)
    shards = sorted((desk / "student_by_one" / "pairs").iterdir())
    inks = [load_file(shard)[f"ink.{index}"] for shard in shards for index in range(SHARD)]
    assert len(inks) == PAIRS
    assert_drawn(inks)


def test_after_ctrl_c_and_a_killed_worker_what_is_sketched_stays_and_is_that_of_one_process(
    desk, report
):
    kind, told = report["interrupted"]
    assert kind == "KeyboardInterrupt"
    assert f"run the same command with out={desk / 'stopped'} to go on" in told
    assert report["ended"]
    assert len(report["kept"]) == 2
    assert report["dying"] == ["", ""]
    assert (desk / "sketching.mark").exists()
    assert contents(desk / "stopped", "*.png") == contents(desk / "one", "*.png")
    for name, changed_ns in report["kept"].items():
        assert (desk / "stopped" / name).stat().st_mtime_ns == changed_ns


def test_a_full_disk_is_one_sentence_with_what_is_kept(report):
    kind, told = report["full"]
    assert kind == "OutputError"
    assert told.startswith("results must be writable to ")
    assert "No space left on device; free some space or choose another folder" in told
    assert "the 1 pairs before are kept, and the same command goes on from them" in told
    assert report["before"] == ["pairs-00000.safetensors"]


def test_workers_that_sample_are_those_that_draw_also_where_one_was_killed(desk, report):
    assert (desk / "sampling.mark").exists()
    assert report["crews"] == 1


def test_two_workers_write_the_pairs_and_the_student_of_one_process(desk, report):
    one, two = desk / "student_by_one", desk / "student_by_two"
    assert report["code"] == 0
    assert len(contents(one / "samples", NAMED)) == PAIRS
    for part in ("samples", "pairs"):
        assert contents(two / part, NAMED) == contents(one / part, NAMED)
    assert contents(two, "student.safetensors") == contents(one, "student.safetensors")
    assert len(contents(two, "student.safetensors")) == 1
