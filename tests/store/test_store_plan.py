"""The cost of a store beforehand: what is written is what was said."""

from dataclasses import replace

import pytest
import torch
from fake_features import LAYOUT, MADE, SPEC, contents, read, refs, shapes

from featurekit.core.errors import ConfigError, OutputError, ShapeError
from featurekit.core.sharding import Share
from featurekit.core.types import Tap
from featurekit.store.plan import Cost, layout_for, plan_store, refuse_overflow, tap_shapes
from featurekit.store.records import Layout, StoreSpec
from featurekit.store.write import write_store

SAMPLES = [*refs(25), *refs(9, size=(64, 32), start=100)]


def size_of(folder):
    return sum(map(len, contents(folder).values())) if folder.exists() else 0


@pytest.mark.parametrize(
    "recipe",
    [(), ("fp16",), ("bf16",), ("pool:2", "pca:3", "int8"), ("random:2:5", "pool:3"), ("pca:2",)],
)
def test_the_bytes_are_within_a_hundredth_of_what_is_written(tmp_path, recipe):
    folder, spec = tmp_path / "store", StoreSpec(MADE, recipe, LAYOUT)
    plan = plan_store(folder, SAMPLES, spec=spec, shapes=shapes)
    assert not folder.exists()
    written = write_store(folder, SAMPLES, read=read, spec=spec)
    assert plan.bytes == pytest.approx(size_of(folder), rel=0.01)
    assert (plan.samples, plan.shards) == (written.samples, written.shards)


def test_a_plan_for_the_rest_counts_the_rest(tmp_path):
    write_store(tmp_path, SAMPLES, read=read, spec=SPEC, share=Share(0, 3))
    before = size_of(tmp_path)
    share = Share(1, 3)
    plan = plan_store(tmp_path, SAMPLES, spec=SPEC, shapes=shapes, share=share)
    written = write_store(tmp_path, SAMPLES, read=read, spec=SPEC, share=share)
    assert plan.bytes == pytest.approx(size_of(tmp_path) - before, rel=0.01)
    assert (plan.samples, plan.found) == (written.samples, 0)
    done = plan_store(tmp_path, SAMPLES, spec=SPEC, shapes=shapes, share=share)
    assert (done.samples, done.found, done.bytes) == (0, written.samples, 0)


def test_forwards_and_minutes_follow_from_the_samples_that_are_missing(tmp_path):
    cost = Cost(forwards=13, forward_s=0.01)
    plan = plan_store(tmp_path, SAMPLES, spec=SPEC, shapes=shapes, cost=cost)
    assert plan.forwards == 34 * 13
    assert plan.minutes == pytest.approx(34 * 13 * 0.01 / 60)
    assert str(plan).startswith("34 samples to store (0 there already), ")
    assert str(plan).endswith(" bytes, 4.4 seconds")
    assert str(replace(plan, minutes=1.25)).endswith(" bytes, 1.2 minutes")
    encoding = plan_store(
        tmp_path, SAMPLES, spec=SPEC, shapes=shapes, cost=replace(cost, encode_s=0.5)
    )
    assert encoding.minutes == pytest.approx((34 * 13 * 0.01 + 34 * 0.5) / 60)
    unknown = plan_store(tmp_path, SAMPLES, spec=SPEC, shapes=shapes)
    assert unknown.minutes is None
    assert str(unknown).endswith("unknown minutes")


def test_half_precision_is_half_of_the_bytes_where_samples_are_large(tmp_path):
    spec = replace(SPEC, layout=Layout(samples=8, groups=2))

    def large(size):
        return {"up1/261": (1280, 32, 32)}

    whole, half = (
        plan_store(tmp_path, SAMPLES, spec=spec, shapes=large, cost=Cost(dtype=dtype)).bytes
        for dtype in (torch.float32, torch.float16)
    )
    assert whole / 34 == pytest.approx(4 * 1280 * 32 * 32, rel=0.001)
    assert half == pytest.approx(whole / 2, rel=0.001)


def test_shapes_follow_from_taps_and_padding():
    taps = [Tap("up1", "up_blocks.1", "up", 1280, 16), Tap("mid", "mid_block", "mid", 640, 64)]
    assert tap_shapes(taps, [261, 1], multiple=64)((500, 512)) == {
        "up1/261": (1280, 32, 32),
        "up1/1": (1280, 32, 32),
        "mid/261": (640, 8, 8),
        "mid/1": (640, 8, 8),
    }


def test_shards_of_the_chosen_layout_are_of_half_a_gibibyte():
    layout = layout_for(30_000, 2_600_000)
    assert layout.samples * 2_600_000 == pytest.approx(512 * 2**20, rel=0.01)
    assert layout.groups == 146
    assert layout_for(10, 2**40) == Layout(samples=1, groups=16)


def test_a_plan_that_does_not_fit_the_disk_is_refused(tmp_path):
    plan = plan_store(tmp_path, SAMPLES, spec=SPEC, shapes=shapes)
    refuse_overflow(plan, tmp_path / "not" / "there")
    with pytest.raises(OutputError, match=r"must fit onto its disk, but it needs 1000\d* bytes"):
        refuse_overflow(replace(plan, bytes=10**18), tmp_path / "not" / "there")


def test_a_plan_refuses_what_writing_would(tmp_path):
    with pytest.raises(ShapeError, match="pca:9 needs"):
        plan_store(tmp_path, SAMPLES, spec=StoreSpec(MADE, ("pca:9",)), shapes=shapes)
    write_store(tmp_path, SAMPLES[:1], read=read, spec=SPEC)
    other = replace(SPEC, provenance=replace(MADE, backbone="sd15"))
    with pytest.raises(ConfigError, match="backbone 'fake' and 'sd15' is asked for"):
        plan_store(tmp_path, SAMPLES, spec=other, shapes=shapes)
