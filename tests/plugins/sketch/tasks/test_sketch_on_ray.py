"""Sketches and pairs by workers of Ray: the bytes of one process, little lost, finished again."""

import signal
import time

import pytest
from ray_processes import ended, needs_ray, started

import featurekit as fk
from featurekit.core.errors import ConfigError
from featurekit.scenes import scene

pytestmark = [needs_ray, pytest.mark.timeout(900)]
CHILDREN = "plugins/sketch/tasks/sketch_ray_children.py"
SKETCH = ["plugin=sketch", "backbone=random", "device=cpu"]
UNLEARNT = "a student needs at least 2 pairs"  # for the style has learnt nothing to speak of
DISTIL = ["task=distil", "plugin.pairs_of=world", "plugin.pairs=34", "plugin.student_iterations=2"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A style, photographs, and what one process makes of them."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "photos").mkdir()
    for number in range(8):
        scene(number, "face").image(48).save(folder / "photos" / f"{number}.png")
    learning = ["plugin.samples=1", "plugin.iterations=1", "plugin.views=1", "plugin.tests=1"]
    run(*learning, "plugin.steps=16", "plugin.side_px=32", f"out={folder / 'style'}")
    run(*extracting(folder, "one"))
    with pytest.raises(ConfigError, match=UNLEARNT):
        run(*distilling(folder, "pairs"))
    return folder


def run(*words):
    return fk.run(fk.compose([*SKETCH, *words]))


def extracting(folder, out):
    return ["task=extract", f"image={folder / 'photos'}", style(folder), f"out={folder / out}"]


def distilling(folder, out):
    return [*DISTIL, style(folder), f"out={folder / out}"]


def style(folder):
    return f"plugin.style={folder / 'style' / 'style.safetensors'}"


def driver(kind, words, workers, cluster):
    asked = [*SKETCH, *words, "engine=ray", f"workers={workers}"]
    return started(CHILDREN, kind, *asked, RAY_ADDRESS=cluster)


def contents(folder, pattern):
    return {path.name: path.read_bytes() for path in folder.glob(pattern)}


def test_after_ctrl_c_and_a_killed_worker_what_is_sketched_stays_and_is_that_of_one_process(
    cluster, desk
):
    words, out = extracting(desk, "two"), desk / "two"
    stopped = driver("slow", words, 1, cluster)
    while len(contents(out, "*.png")) < 2:
        assert stopped.poll() is None, stopped.stderr.read()
        time.sleep(0.02)
    stopped.send_signal(signal.SIGINT)
    assert f"run the same command with out={out} to go on" in stopped.communicate(timeout=60)[1]
    assert stopped.returncode == 130
    time.sleep(1)  # in which a worker that has not ended would sketch more
    kept = {path: path.stat().st_mtime_ns for path in out.glob("*.png")}
    assert 2 <= len(kept) < 8
    ended(driver("dying", words, 2, cluster))
    assert (desk / "two.mark").exists()
    assert contents(out, "*.png") == contents(desk / "one", "*.png")
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_two_workers_write_the_pairs_of_one_process_also_after_a_full_disk(cluster, desk):
    words, out = distilling(desk, "pairs_by_two"), desk / "pairs_by_two" / "pairs"
    stopped = driver("full", words, 1, cluster)
    told = stopped.communicate(timeout=800)[1]
    assert stopped.returncode == 1
    assert told.startswith("results must be writable to ")
    assert "No space left on device; free some space or choose another folder" in told
    assert "the 32 pairs before are kept, and the same command goes on from them" in told
    assert list(contents(out, "*")) == ["pairs-00000.safetensors"]
    again = started("-m", "featurekit", "run", *SKETCH, *words, "engine=ray", "workers=2",
                    RAY_ADDRESS=cluster)  # fmt: skip
    assert UNLEARNT in again.communicate(timeout=800)[1]
    assert contents(out, "*") == contents(desk / "pairs" / "pairs", "*")
