"""Damaged stores: nothing whole is deleted, each damage is told with advice, the advice works."""

import json
import os
import re
import shlex
import shutil
from dataclasses import replace

import pytest
from fake_features import SPEC, CountingRead, contents, read, refs

from featurekit.cli.router import main
from featurekit.core.errors import ConfigError
from featurekit.core.locks import held
from featurekit.store.commit_log import COMMITS, read_commits
from featurekit.store.read import StoredFeatures
from featurekit.store.records import StoreSpec, group_folders
from featurekit.store.repair import repair_store
from featurekit.store.upkeep import compact_store, stat_store, verify_store
from featurekit.store.write import write_store

SAMPLES = [*refs(25), *refs(9, size=(64, 32), start=100)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    write_store(folder, SAMPLES, read=read, spec=SPEC)
    return contents(folder)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "my store"  # a name that a shell must be given in quotes
    write_store(place, SAMPLES, read=read, spec=SPEC)
    return place


def in_any_order(files):
    """A store's bytes but for the order of its logs, in which shards were written."""
    return {
        name: sorted(content.splitlines()) if name.endswith(COMMITS) else content
        for name, content in files.items()
    }


def flip(path, place, bit=1):
    content = bytearray(path.read_bytes())
    content[place] ^= bit
    path.write_bytes(content)


def shard(folder, number=2):
    return sorted(folder.rglob("0*.safetensors"))[number]


def log_of(folder, number=1):
    return group_folders(folder)[number] / COMMITS


# a lost log


def without_logs(folder):
    for group in group_folders(folder):
        (group / COMMITS).unlink()


def test_shards_without_a_log_are_reported(folder, capsys):
    log_of(folder).unlink()
    lost = len(list(log_of(folder).parent.glob("*.safetensors")))
    problems = verify_store(folder)
    assert len(problems) == lost > 0
    assert all(problem.loose for problem in problems)
    assert main(["store", "verify", str(folder)]) == 2
    assert "must be in the log of its group, but is not, so its 4 samples do not" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize("mend", [repair_store, compact_store])
def test_a_lost_log_is_made_again_from_the_manifests(folder, undisturbed, mend):
    without_logs(folder)
    mend(folder)
    assert verify_store(folder) == ()
    assert contents(folder) == undisturbed


def test_after_a_lost_log_the_next_run_reads_nothing(folder, undisturbed):
    without_logs(folder)
    spy = CountingRead()
    written = write_store(folder, SAMPLES, read=spy, spec=SPEC)
    assert (written.found, spy.calls) == (len(SAMPLES), [])
    assert contents(folder) == undisturbed


def test_a_run_for_one_new_sample_keeps_what_a_lost_log_named(folder):
    without_logs(folder)
    (new,) = refs(1, start=50)
    assert write_store(folder, [new], read=read, spec=SPEC).samples == 1
    repair_store(folder)
    assert stat_store(folder).samples == len(SAMPLES) + 1


def test_of_shards_without_a_log_the_later_one_of_a_sample_counts(folder):
    changed = replace(SAMPLES[3], source="another")
    write_store(folder, [changed, *SAMPLES[:3], *SAMPLES[4:]], read=read, spec=SPEC)
    before = contents(folder)
    without_logs(folder)
    repair_store(folder)
    assert contents(folder) == before
    assert StoredFeatures(folder, ids=[changed.id]).rows[0].source == "another"


def test_an_older_shard_does_not_replace_what_a_newer_line_says(folder):
    """One line of the log is lost, with it samples of which one has changed since."""
    log = log_of(folder)
    first, *_ = read_commits(log.parent)
    row = json.loads((log.parent / f"{first}.jsonl").read_text().splitlines()[0])
    (old,) = (ref for ref in SAMPLES if ref.id == row["id"])
    changed = replace(old, source="another")
    write_store(folder, [changed], read=read, spec=SPEC)
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[1:]))
    os.utime(log)
    repair_store(folder)
    assert verify_store(folder) == ()
    assert stat_store(folder).samples == len(SAMPLES)
    assert StoredFeatures(folder, ids=[old.id]).rows[0].source == "another"


def test_what_compaction_left_when_it_was_stopped_is_no_damage(tmp_path, undisturbed):
    for start in range(0, len(SAMPLES), 5):
        write_store(tmp_path / "bits", SAMPLES[start : start + 5], read=read, spec=SPEC)
    shutil.copytree(tmp_path / "bits", tmp_path / "old")
    compact_store(tmp_path / "bits")
    for path in (tmp_path / "old").rglob("0*.*"):  # the old shards are there still
        target = tmp_path / "bits" / path.relative_to(tmp_path / "old")
        if not target.exists():
            shutil.copy2(path, target)
    assert stat_store(tmp_path / "bits").loose > 0
    assert verify_store(tmp_path / "bits") == ()
    repair_store(tmp_path / "bits")
    assert contents(tmp_path / "bits") == undisturbed


def test_a_lost_folder_of_a_group_is_redone_and_no_other(folder, undisturbed):
    gone = group_folders(folder)[1]
    shutil.rmtree(gone)
    assert verify_store(folder) == ()  # nothing tells of it but the numbers
    spy = CountingRead()
    write_store(folder, SAMPLES, read=spy, spec=SPEC)
    assert len(spy.calls) == len(list(gone.glob("*.safetensors")))
    assert contents(folder) == undisturbed


def test_a_shard_that_is_just_being_committed_is_no_damage(folder):
    log_of(folder).unlink()
    with held(group_folders(folder)[1]):
        assert verify_store(folder) == ()


# every damage


def cut(folder):
    os.truncate(shard(folder), 200)


def unlink(folder):
    shard(folder).unlink()


def flip_numbers(folder):
    flip(shard(folder), -5)


def flip_metadata(folder):
    flip(shard(folder), shard(folder).read_bytes().index(b"0123abcd"))


def lose_manifest(folder):
    shard(folder).with_suffix(".jsonl").unlink()


def change_manifest(folder):
    flip(shard(folder).with_suffix(".jsonl"), 12)


def break_log(folder):
    flip(log_of(folder), 0)


def tear_log(folder):
    log_of(folder).write_bytes(log_of(folder).read_bytes()[:-9])


def change_log(folder):
    flip(log_of(folder), log_of(folder).read_bytes().index(b"head") + 8, bit=1)


def lose_log(folder):
    log_of(folder).unlink()


def lose_log_and_flip(folder):
    flip(sorted(log_of(folder).parent.glob("*.safetensors"))[0], -5)
    log_of(folder).unlink()


def lose_header(folder):
    (folder / "store.json").unlink()


def break_header(folder):
    flip(folder / "store.json", 0)


def change_header(folder):
    flip(folder / "store.json", (folder / "store.json").read_bytes().index(b"0123abcd"))


@pytest.mark.parametrize(
    ("harm", "redone"),
    [
        *[(one, 1) for one in (cut, unlink, flip_numbers, flip_metadata)],
        *[(one, 1) for one in (lose_manifest, change_manifest, lose_log_and_flip)],
        *[(one, 0) for one in (break_log, tear_log, change_log, lose_log)],
        *[(one, 0) for one in (lose_header, break_header, change_header)],
    ],
)
def test_the_advice_for_a_damage_mends_it_and_redoes_no_more(
    folder, undisturbed, capsys, harm, redone
):
    harm(folder)
    assert main(["store", "verify", str(folder)]) == 2
    out, err = capsys.readouterr()
    told = out.splitlines() or [err]
    for problem in told:
        (advice,) = re.findall(r"run: (featurekit store repair [^;]+); then write", problem)
        program, *words = shlex.split(advice)
        assert program == "featurekit"
        assert main(words) == 0
    assert verify_store(folder) == ()
    spy = CountingRead()
    write_store(folder, SAMPLES, read=spy, spec=SPEC)
    assert len(spy.calls) == redone
    assert in_any_order(contents(folder)) == in_any_order(undisturbed)
    compact_store(folder)
    assert contents(folder) == undisturbed


@pytest.mark.parametrize("harm", [cut, unlink, change_manifest, break_log])
def test_who_meets_a_damage_is_told_what_mends_it(tmp_path, harm):
    for start in (0, 20):  # so that there is something to compact
        write_store(tmp_path, SAMPLES[start : start + 20], read=read, spec=SPEC)
    harm(tmp_path)
    with pytest.raises(ConfigError, match=f"run: featurekit store repair {tmp_path}; then write"):
        compact_store(tmp_path)
    with pytest.raises(ConfigError, match=f"run: featurekit store repair {tmp_path}; then"):
        list(StoredFeatures(tmp_path))


def test_a_damaged_log_stops_a_run_with_advice_and_loses_nothing(folder):
    break_log(folder)
    before = contents(folder)
    with pytest.raises(
        ConfigError, match=r"must hold a line of JSON each.*featurekit store repair"
    ):
        write_store(folder, SAMPLES, read=read, spec=SPEC)
    assert contents(folder) == before


def test_a_store_without_its_header_is_not_begun_anew(folder):
    lose_header(folder)
    before = contents(folder)
    with pytest.raises(
        ConfigError, match=r"found none in .* it has shards, so run: featurekit sto"
    ):
        write_store(folder, SAMPLES, read=read, spec=SPEC)
    assert contents(folder) == before


def test_a_whole_store_is_not_changed_by_a_repair(folder, undisturbed):
    mend = repair_store(folder)
    assert (mend.header, mend.restored, mend.dropped) == (False, 0, 0)
    assert contents(folder) == undisturbed


def test_a_shard_of_another_making_is_not_deleted(folder, tmp_path):
    other = replace(SPEC, provenance=replace(SPEC.provenance, weights="ff"))
    write_store(tmp_path / "other", SAMPLES, read=read, spec=other)
    foreign = shard(tmp_path / "other", 0)
    target = folder / foreign.relative_to(tmp_path / "other")
    shutil.copy(foreign, target)
    shutil.copy(foreign.with_suffix(".jsonl"), target.with_suffix(".jsonl"))
    for work in (compact_store, repair_store):
        with pytest.raises(ConfigError, match=r"was made otherwise; .* else move the shard away"):
            work(folder)
        assert target.exists()
    target.rename(tmp_path / target.name)
    target.with_suffix(".jsonl").unlink()
    compact_store(folder)
    assert verify_store(folder) == ()


def test_another_format_is_not_repaired(folder):
    path = folder / "store.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 7'))
    before = contents(folder)
    with pytest.raises(ConfigError, match="must be of format 1, got 7"):
        repair_store(folder)
    assert contents(folder) == before


def test_what_a_recipe_was_fitted_to_has_a_cure_of_its_own(tmp_path, capsys):
    spec = StoreSpec(SPEC.provenance, ("pca:2",), SPEC.layout)
    write_store(tmp_path / "s", SAMPLES, read=read, spec=spec)
    copy = (tmp_path / "s" / "reduction.safetensors").read_bytes()
    flip(tmp_path / "s" / "reduction.safetensors", -1)
    assert main(["store", "verify", str(tmp_path / "s")]) == 2
    assert "; restore it from a copy or write the store anew in another folder\n" in (
        capsys.readouterr().out
    )
    (tmp_path / "s" / "reduction.safetensors").write_bytes(copy)
    assert verify_store(tmp_path / "s") == ()
