"""Writing a store: the same bytes however it came about, and nothing lost when it fails."""

import json
import os
from dataclasses import replace

import pytest
import torch
from fake_features import LAYOUT, MADE, SPEC, CountingRead, contents, features, read, refs
from safetensors import safe_open

from featurekit.core.errors import ConfigError, ShapeError
from featurekit.core.sharding import Share, group_of
from featurekit.images.io import read_tensors
from featurekit.store.commit_log import COMMITS, live_rows, read_commits
from featurekit.store.records import Layout, StoreSpec, group_folders, read_header, shard_path
from featurekit.store.reduction import restored
from featurekit.store.upkeep import stat_store, verify_store
from featurekit.store.write import write_store

SAMPLES = [*refs(25), *refs(9, size=(64, 32), start=100)]
REDUCED = StoreSpec(MADE, ("pool:2", "pca:3", "int8"), LAYOUT)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    write_store(folder, SAMPLES, read=read, spec=SPEC)
    return folder


def rows_of(folder):
    rows = {}
    for some in live_rows(folder, group_folders(folder)):
        rows |= some
    return rows


def test_every_sample_is_stored_as_it_was_read(undisturbed):
    rows = rows_of(undisturbed)
    assert rows.keys() == {ref.id for ref in SAMPLES}
    for ref in SAMPLES:
        row = rows[ref.id]
        stored = read_tensors(shard_path(undisturbed, row.shard))
        for name, feature in features(ref).items():
            assert torch.equal(stored[name][row.row], feature)
        assert (row.source, row.size, row.seed) == (ref.source, ref.size, ref.seed)
        assert row.shapes == {name: list(f.shape) for name, f in features(ref).items()}


def test_shards_are_full_but_the_last_and_hold_one_size_of_one_group(undisturbed):
    for group in group_folders(undisturbed):
        sizes = {}
        for shard in read_commits(group):
            rows = [row for row in rows_of(undisturbed).values() if row.shard == shard]
            assert len({row.size for row in rows}) == 1
            assert {group_of(row.id, LAYOUT.groups) for row in rows} == {int(group.name)}
            sizes.setdefault(rows[0].size, []).append(len(rows))
        for counts in sizes.values():
            assert all(count == LAYOUT.samples for count in counts[:-1])


def test_a_shard_says_what_made_it(undisturbed):
    shard = next(iter(rows_of(undisturbed).values())).shard
    with safe_open(shard_path(undisturbed, shard), "pt") as file:
        words = file.metadata()
    assert list(words) == ["featurekit"]  # several would come in random order
    record = json.loads(words["featurekit"])
    assert record["provenance"]["weights"] == "0123abcd"
    assert record["provenance"]["taps"] == MADE.taps
    assert record["format"] == 1
    assert record == {**read_header(undisturbed).record(), "size": record["size"]} | {
        key: record[key] for key in ("provenance", "layout", "recipe")
    }


def test_the_order_of_the_samples_does_not_matter(undisturbed, tmp_path):
    write_store(tmp_path, reversed(SAMPLES), read=read, spec=SPEC)
    assert contents(tmp_path) == contents(undisturbed)


def test_a_recipe_that_is_fitted_gives_the_same_store_to_any_workers(tmp_path):
    for folder, workers in (("one", 1), ("three", 3)):
        for index in reversed(range(workers)):
            share = Share(index, workers)
            write_store(tmp_path / folder, SAMPLES, read=read, spec=REDUCED, share=share)
    assert contents(tmp_path / "one") == contents(tmp_path / "three")
    assert "reduction.safetensors" in contents(tmp_path / "one")
    row = rows_of(tmp_path / "one")[SAMPLES[0].id]
    stored = read_tensors(shard_path(tmp_path / "one", row.shard))
    assert stored["up1/261"].dtype == torch.int8
    back = restored({name: column[row.row] for name, column in stored.items()})
    assert back["up1/261"].shape == (3, 2, 3)


def test_a_second_run_reads_nothing_and_changes_nothing(undisturbed):
    before, spy = contents(undisturbed), CountingRead()
    written = write_store(undisturbed, SAMPLES, read=spy, spec=SPEC)
    assert (written.samples, written.shards, written.found) == (0, 0, len(SAMPLES))
    assert spy.calls == []
    assert contents(undisturbed) == before


def test_a_subset_may_be_asked_for_again(undisturbed):
    before = contents(undisturbed)
    for share in (Share(1, 2), Share(0, 5)):
        write_store(undisturbed, SAMPLES[5:12], read=read, spec=SPEC, share=share)
    assert contents(undisturbed) == before


def test_a_reader_that_fails_loses_its_shard_alone(undisturbed, tmp_path):
    spy = CountingRead()

    def failing(asked):
        if len(spy.calls) == 3:
            raise KeyboardInterrupt
        yield from spy(asked)

    with pytest.raises(KeyboardInterrupt):
        write_store(tmp_path, SAMPLES, read=failing, spec=SPEC)
    assert stat_store(tmp_path).shards == 3
    written = write_store(tmp_path, SAMPLES, read=read, spec=SPEC)
    assert written.found == sum(map(len, spy.calls))
    assert contents(tmp_path) == contents(undisturbed)


def test_after_a_torn_line_nothing_is_redone_and_left_over_files_are_cleared_away(
    undisturbed, tmp_path
):
    write_store(tmp_path, SAMPLES, read=read, spec=SPEC)
    group = group_folders(tmp_path)[1]
    log = group / COMMITS
    *kept, last = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(kept) + last[:-9])
    for name in (".abc.part", ".tmpXYZ", "0001-0123456789abcdef.safetensors"):
        (group / name).write_bytes(b"half")
    assert stat_store(tmp_path).loose == 5  # with the shard whose line is torn
    spy = CountingRead()
    assert write_store(tmp_path, SAMPLES, read=spy, spec=SPEC).found == len(SAMPLES)
    assert spy.calls == []  # its manifest is whole, so the shard is, too
    assert contents(tmp_path) == contents(undisturbed)


@pytest.mark.parametrize("harm", ["truncate", "delete", "manifest", "changed manifest"])
def test_a_damaged_shard_is_redone_and_no_other(undisturbed, tmp_path, harm):
    write_store(tmp_path, SAMPLES, read=read, spec=SPEC)
    path = sorted(tmp_path.rglob("0*.safetensors"))[2]
    if harm == "truncate":
        os.truncate(path, 200)
    elif harm == "changed manifest":
        path.with_suffix(".jsonl").write_bytes(b"{}\n")
    else:
        (path if harm == "delete" else path.with_suffix(".jsonl")).unlink()
    assert len(verify_store(tmp_path)) == 1
    assert write_store(tmp_path, SAMPLES, read=read, spec=SPEC).shards == 1
    assert contents(tmp_path) == contents(undisturbed)


def test_a_picture_that_changed_replaces_its_features(tmp_path):
    write_store(tmp_path, SAMPLES, read=read, spec=SPEC)
    changed = [replace(SAMPLES[3], source="another"), *SAMPLES[4:]]
    spy = CountingRead()
    write_store(tmp_path, changed, read=spy, spec=SPEC)
    assert spy.calls == [[SAMPLES[3].id]]
    assert rows_of(tmp_path)[SAMPLES[3].id].source == "another"
    assert stat_store(tmp_path).replaced == 1


@pytest.mark.parametrize(
    "other",
    [
        {"source": "x"},
        {"size": (8, 8)},
        {"seed": 1},
        {"weights": "x"},
        {"conditioning": "x"},
        {"preprocessing": "x"},
        {"taps": {"up1": "x"}},
        {"timesteps": (1,)},
        {"seeds": "x"},
        {"recipe": ("fp16",)},
        {"fitted": "x"},
        {},
    ],
)
def test_the_key_of_a_sample_hangs_on_all_that_its_bytes_hang_on(undisturbed, other):
    header, ref = read_header(undisturbed), SAMPLES[0]
    fresh = {k: v for k, v in other.items() if k in ("recipe", "fitted")}
    made = {k: v for k, v in other.items() if hasattr(header.provenance, k)}
    asked = {k: v for k, v in other.items() if k in ("source", "size", "seed")}
    changed = replace(header, provenance=replace(header.provenance, **made), **fresh)
    same = changed.key(replace(ref, **asked)) == header.key(ref)
    assert same == (other == {})
    elsewhere = replace(header, layout=Layout(9, 9), toolkit="0.0")
    assert elsewhere.key(replace(ref, id="other name")) == header.key(ref)


def test_progress_counts_the_samples_of_the_share(tmp_path):
    heard = []
    write_store(tmp_path, SAMPLES, read=read, spec=SPEC, progress=lambda *pair: heard.append(pair))
    assert heard[-1] == (len(SAMPLES), len(SAMPLES))
    assert [done for done, _ in heard] == sorted({done for done, _ in heard})


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (StoreSpec(replace(MADE, backbone="sd15"), layout=LAYOUT), "backbone 'fake' and 'sd15'"),
        (StoreSpec(replace(MADE, weights="ff"), layout=LAYOUT), "weights '0123abcd' and 'ff'"),
        (StoreSpec(MADE, ("fp16",), LAYOUT), r"recipe \(\) and \('fp16',\)"),
        (StoreSpec(MADE, kind="trajectories"), "kind 'features' and 'trajectories'"),
        (StoreSpec(MADE, layout=Layout(5, 4)), "layout Layout"),
    ],
)
def test_features_of_another_making_are_refused_before_anything(undisturbed, other, message):
    before = contents(undisturbed)
    with pytest.raises(ConfigError, match=f"of one making, but .* {message}.*another folder"):
        write_store(undisturbed, SAMPLES, read=read, spec=other)
    assert contents(undisturbed) == before


def test_a_store_of_another_format_is_refused(tmp_path):
    write_store(tmp_path, SAMPLES[:1], read=read, spec=SPEC)
    path = tmp_path / "store.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(ConfigError, match=r"must be of format 1, got 2 .*featurekit \d"):
        write_store(tmp_path, SAMPLES[:1], read=read, spec=SPEC)


def gives(*pairs):
    return lambda asked: iter(pairs)


GOOD = features(SAMPLES[0])


@pytest.mark.parametrize(
    ("reader", "error", "message"),
    [
        (gives(), ConfigError, "but 'picture 0.png' is missing"),
        (gives(("picture 0.png", GOOD), ("b", GOOD)), ConfigError, "got 'b' besides"),
        (gives(*[("picture 0.png", GOOD)] * 2), ConfigError, "got 'picture 0.png' besides"),
        (gives(("picture 0.png", {})), ConfigError, "got none of 'picture 0.png'"),
        (gives(("picture 0.png", {"up1": GOOD["up1/261"]})), ConfigError, "named tap/t, got 'up1'"),
        (
            gives(("picture 0.png", {"up1/1": torch.zeros(3, 2, 2, dtype=torch.int32)})),
            ConfigError,
            "floating tensors .*int32",
        ),
        (
            gives(("picture 0.png", {"up1/1": torch.full((3, 2, 2), torch.nan)})),
            ConfigError,
            "finite, got NaN or infinity in 'up1/1'",
        ),
    ],
)
def test_a_reader_that_gives_something_else_is_refused(tmp_path, reader, error, message):
    with pytest.raises(error, match=message):
        write_store(tmp_path, SAMPLES[:1], read=reader, spec=SPEC)
    assert stat_store(tmp_path).samples == 0


def test_one_size_with_several_shapes_is_refused(tmp_path):
    def uneven(asked):
        for place, ref in enumerate(asked):
            yield ref.id, {"up1/1": torch.zeros(2, 3, 3 + place)}

    spec = replace(SPEC, layout=Layout(samples=4, groups=1))
    with pytest.raises(ShapeError, match=r"one shape and dtype, but 'up1/1' is \(2, 3, 3\)"):
        write_store(tmp_path, SAMPLES[:2], read=uneven, spec=spec)


def test_one_id_for_two_samples_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"an id of its own, got 'picture 0\.png' twice"):
        write_store(tmp_path, [SAMPLES[0], SAMPLES[0]], read=read, spec=SPEC)
    with pytest.raises(ConfigError, match="at least one sample, got none"):
        write_store(tmp_path, [], read=read, spec=SPEC)
    assert not list(tmp_path.iterdir())


def test_another_precision_is_named_though_it_changes_the_conditioning_too(undisturbed):
    other = replace(MADE, preprocessing="read in bfloat16", conditioning="other numbers")
    with pytest.raises(ConfigError, match=r"has preprocessing 'reflect.*' and 'read in bfloat16'"):
        write_store(undisturbed, SAMPLES, read=read, spec=StoreSpec(other, layout=LAYOUT))
