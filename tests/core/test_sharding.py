"""Sharing work out: by the hash of an id, for any number of workers, as launchers say it."""

import pytest

from featurekit.core.errors import ConfigError
from featurekit.core.sharding import Share, group_of, hash_of_id, launched_share, parse_share

GROUPS = [59, 29, 31, 11]


def test_every_group_has_one_owner():
    for count in (1, 2, 3, 7):
        shares = [Share(index, count) for index in range(count)]
        for group in range(20):
            assert sum(share.owns(group) for share in shares) == 1


def test_a_sample_stays_in_its_group_on_every_machine():
    # literals: a changed hash would spread an old store's samples anew
    assert [group_of(name, 64) for name in ("a", "b", "Zürich/ü.png", "\udcff")] == GROUPS
    assert hash_of_id("a").startswith("ca978112ca1bbdca")


def test_groups_are_about_equally_full():
    counts = [0] * 16
    for number in range(16_000):
        counts[group_of(str(number), 16)] += 1
    assert min(counts) > 900
    assert max(counts) < 1100


@pytest.mark.parametrize(
    ("environment", "share"),
    [
        ({}, Share()),
        ({"RANK": "2", "WORLD_SIZE": "4"}, Share(2, 4)),
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "3"}, Share(1, 3)),
        ({"PMI_RANK": "0", "PMI_SIZE": "2"}, Share(0, 2)),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}, Share(1, 2)),
        (  # torchrun inside a Slurm job: the inner launcher knows its processes
            {"RANK": "5", "WORLD_SIZE": "8", "SLURM_PROCID": "1", "SLURM_NTASKS": "2"},
            Share(5, 8),
        ),
        ({"RANK": "", "WORLD_SIZE": "", "SLURM_PROCID": "0", "SLURM_NTASKS": "1"}, Share()),
    ],
)
def test_a_launcher_says_the_share(environment, share):
    assert launched_share(environment) == share


def array(number, count, first=0, step=1):
    words = {"ID": number, "COUNT": count, "MIN": first, "STEP": step}
    return {f"SLURM_ARRAY_TASK_{word}": str(value) for word, value in words.items()}


@pytest.mark.parametrize(
    ("environment", "share", "told"),
    [
        (array(2, 4), Share(2, 4), "share 2/4 (from SLURM_ARRAY_TASK_ID)"),
        (array(15, 3, 5, 5), Share(2, 3), "share 2/3 (from SLURM_ARRAY_TASK_ID)"),
        (array(0, 1), Share(), ""),
        (  # what a batch script of an array finds besides
            {**array(1, 2), "SLURM_PROCID": "0", "SLURM_NTASKS": "1"},
            Share(1, 2),
            "share 1/2 (from SLURM_ARRAY_TASK_ID)",
        ),
        (
            {**array(1, 2), "RANK": "2", "WORLD_SIZE": "3"},
            Share(5, 6),
            "share 5/6 (from SLURM_ARRAY_TASK_ID and RANK)",
        ),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, Share(0, 4), "share 0/4 (from SLURM_PROCID)"),
    ],
)
def test_a_share_says_who_told_it(environment, share, told):
    assert launched_share(environment) == share
    assert launched_share(environment).told == told
    assert parse_share("1/2").told == "share 1/2 (from shard)"


def test_the_tasks_of_an_array_with_processes_share_out_everything_once():
    shares = [
        launched_share({**array(task, 3, 1), "RANK": str(rank), "WORLD_SIZE": "2"})
        for task in (1, 2, 3)
        for rank in (0, 1)
    ]
    assert [share.index for share in shares] == [0, 1, 2, 3, 4, 5]
    assert {share.count for share in shares} == {6}


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (array(7, 3, 1), "evenly spaced, such as 0-2, got 7 among 3 from 1 in steps of 1"),
        (array(2, 3, 1, 2), "evenly spaced"),
        ({"SLURM_ARRAY_TASK_ID": "1"}, "SLURM_ARRAY_TASK_COUNT.* must all be whole numbers"),
    ],
)
def test_an_array_that_cannot_be_counted_is_refused(environment, message):
    with pytest.raises(ConfigError, match=message):
        launched_share(environment)


def test_a_share_is_read_as_it_is_written():
    assert parse_share(" 2/4 ") == Share(2, 4)
    assert str(Share(2, 4)) == "2/4"
    assert parse_share(str(Share())) == Share()


@pytest.mark.parametrize("word", ["4", "1:4", "a/4", "-1/4", "1/4/8", "", "²/4"])
def test_another_way_to_write_a_share_is_refused(word):
    with pytest.raises(ConfigError, match="shard must be written i/n, got"):
        parse_share(word)


@pytest.mark.parametrize("word", ["4/4", "0/0", "7/2"])
def test_a_share_that_does_not_exist_is_refused(word):
    with pytest.raises(ConfigError, match=f"i from 0 to n - 1, got {word}; the first of four"):
        parse_share(word)


@pytest.mark.parametrize(
    "environment",
    [{"RANK": "1"}, {"WORLD_SIZE": "2"}, {"SLURM_PROCID": "x", "SLURM_NTASKS": "2"}],
)
def test_half_a_launcher_is_refused(environment):
    with pytest.raises(ConfigError, match="must both be whole numbers"):
        launched_share(environment)
