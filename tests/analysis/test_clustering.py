"""Clusters of a path: the planted ones are found, the knees are the published curve's."""

from itertools import pairwise

import pytest
import torch

from featurekit.analysis.clustering import (
    by_rank,
    chord_knee,
    equally_spaced,
    kmeans_groups,
    mean_distance,
    medoids,
    random_distance,
    segment_groups,
    share_knee,
)
from featurekit.analysis.gram import gram_of, wcss
from featurekit.core.errors import ConfigError

# read off the figure of arXiv 2401.04362 that averages over 1,000 images
PUBLISHED = {
    2: 1.669, 3: 0.999, 4: 0.673, 5: 0.478, 6: 0.358, 7: 0.282, 8: 0.227, 9: 0.185, 10: 0.154,
    11: 0.130, 12: 0.111, 13: 0.095, 14: 0.083, 15: 0.073, 16: 0.064, 18: 0.049, 20: 0.040,
    22: 0.031, 24: 0.027,
}  # fmt: skip
N, K, LARGEST = 50, 13, 24


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def path(speeds, seed, dimensions=300):
    """A smooth path through many dimensions with a length for each step."""
    generator = seeded(seed)
    time = torch.cat((torch.zeros(1), speeds)).double().cumsum(0)
    waves = 2 * torch.pi * torch.rand(dimensions, generator=generator).double()
    rates = 0.15 * torch.randn(dimensions, generator=generator).double()
    return torch.cos(time[:, None] * rates + waves)


def uneven(seed):
    """Steps whose length swings by a factor of about ten, slowly."""
    generator = seeded(seed)
    turn = torch.linspace(0, 2 * torch.pi, N - 1)
    phase = 2 * torch.pi * torch.rand(1, generator=generator)
    return torch.exp(1.2 * torch.sin(turn + phase))


def planted(seed):
    """Thirteen runs, each walked at a speed of its own, with a jump to the next one."""
    generator = seeded(seed)
    lengths = [3] * K
    for extra in torch.randperm(K, generator=generator)[: N - 3 * K].tolist():
        lengths[extra] += 1
    speeds = (0.1 + 0.3 * torch.rand(K, generator=generator)).tolist()
    steps, labels, middles, start = [], [], [], 0
    for run, length in enumerate(lengths):
        steps += [4.0] * (run > 0) + [speeds[run]] * (length - 1)
        labels += [run] * length
        middles.append(start + (length - 1) / 2)
        start += length
    return path(torch.tensor(steps), seed), torch.tensor(labels), middles


def boundaries(labels):
    return (labels.diff() != 0).nonzero().flatten() + 1


def test_the_published_curve_has_its_published_number_of_clusters():
    assert share_knee(PUBLISHED) == 13
    assert chord_knee(PUBLISHED) == 7


@pytest.mark.parametrize("seed", range(5))
def test_planted_runs_are_found_with_their_middles(seed):
    rows, truth, middles = planted(seed)
    gram = gram_of(rows)
    for labels in (
        segment_groups(gram, K)[K],
        kmeans_groups(gram, K, generator=seeded(0))[K],
    ):
        found = boundaries(labels)
        assert len(found) == K - 1
        assert (found - boundaries(truth)).abs().max() <= 1
        picked = medoids(gram, labels)
        assert all(abs(one - middle) <= 1 for one, middle in zip(picked, middles, strict=True))


@pytest.mark.parametrize("seed", range(20))
def test_what_was_chosen_lies_nearer_than_equal_spacing_and_that_than_chance(seed):
    gram = gram_of(path(uneven(seed), seed))
    for labels in (
        kmeans_groups(gram, K, generator=seeded(seed), starts=2)[K],
        segment_groups(gram, K)[K],
    ):
        chosen = mean_distance(gram, medoids(gram, labels))
        equal = mean_distance(gram, equally_spaced(N, K))
        assert chosen <= equal <= random_distance(gram, K, generator=seeded(seed))


@pytest.mark.parametrize("seed", range(5))
def test_at_an_even_speed_the_choice_is_equal_spacing(seed):
    gram = gram_of(path(torch.ones(N - 1), seed))
    equal = mean_distance(gram, equally_spaced(N, K))
    for labels in (
        kmeans_groups(gram, K, generator=seeded(seed))[K],
        segment_groups(gram, K)[K],
    ):
        assert 0.95 <= mean_distance(gram, medoids(gram, labels)) / equal <= 1.02


@pytest.mark.parametrize("seed", range(3))
def test_more_clusters_are_never_worse(seed):
    generator = seeded(seed)
    for rows in (path(uneven(seed), seed), torch.randn(N, 40, generator=generator)):
        gram = gram_of(rows)
        for groups in (
            kmeans_groups(gram, LARGEST, generator=generator, starts=2),
            segment_groups(gram, LARGEST),
        ):
            curve = [wcss(gram, groups[count]) for count in range(1, LARGEST + 1)]
            assert all(later <= earlier for earlier, later in pairwise(curve))
            assert [len(groups[count].unique()) for count in groups] == list(groups)


def test_no_cut_is_better_than_the_best_one():
    gram = gram_of(torch.randn(8, 3, generator=seeded(0)).double())
    best = wcss(gram, segment_groups(gram, 3)[3])
    every = [
        wcss(gram, torch.tensor([0] * i + [1] * (j - i) + [2] * (8 - j)))
        for i in range(1, 7)
        for j in range(i + 1, 8)
    ]
    assert best == pytest.approx(min(every), rel=1e-12)


def test_a_seed_decides_the_clusters():
    gram = gram_of(torch.randn(30, 4, generator=seeded(0)))
    first, again = (kmeans_groups(gram, 6, generator=seeded(3)) for _ in range(2))
    assert all(torch.equal(first[count], again[count]) for count in first)


def test_equal_vectors_are_grouped_too():
    gram = gram_of(torch.ones(6, 3))
    for count, labels in kmeans_groups(gram, 6, generator=seeded(0)).items():
        assert len(labels.unique()) == count
    assert wcss(gram, segment_groups(gram, 6)[6]) == pytest.approx(0, abs=1e-12)


def test_ranks_are_aggregated_by_the_median_and_stay_apart():
    assert by_rank([(0, 4, 9), (2, 5, 6), (1, 3, 7)]) == (1, 4, 7)
    assert by_rank([(0, 1), (1, 2)]) == (1, 2)
    generator = seeded(0)
    chosen = [sorted(torch.randperm(50, generator=generator)[:13].tolist()) for _ in range(40)]
    for images in range(1, 40):
        found = by_rank(chosen[:images])
        assert len(set(found)) == 13
        assert list(found) == sorted(found)


def test_equal_steps_begin_at_the_first_and_end_at_the_last():
    assert equally_spaced(50, 13) == (0, 4, 8, 12, 16, 20, 25, 29, 33, 37, 41, 45, 49)
    assert equally_spaced(50, 1) == (25,)
    assert equally_spaced(3, 3) == (0, 1, 2)


def test_numbers_out_of_range_are_refused():
    gram = torch.eye(4).double()
    with pytest.raises(ConfigError, match=r"largest must lie in \[1, 4\] \(vectors\), got 5"):
        segment_groups(gram, 5)
    with pytest.raises(ConfigError, match=r"largest must lie in \[1, 4\] \(vectors\), got 0"):
        kmeans_groups(gram, 0, generator=seeded(0))
    with pytest.raises(ConfigError, match="a knee needs a curve of two entries or more, got 1"):
        share_knee({2: 1.0})
    with pytest.raises(ConfigError, match=r"count must lie in \[1, 4\], got 5"):
        equally_spaced(4, 5)
