"""Groups of vectors known by their Gram matrix alone: K-means, segments, knees, medoids.

A Gram matrix is (n n) float64, see ``gram``. Groups are labels (n,) counted from 0.
"""

from collections.abc import Mapping, Sequence
from math import floor

import torch
from torch import Tensor

from featurekit.analysis.gram import centred, distances, members, to_centroids, wcss
from featurekit.core.errors import ConfigError

STARTS = 8  # seedings of K-means that are tried for each number of clusters
ROUNDS = 100  # of K-means, at most; fifty vectors need about ten
DROP = 0.95  # share of the fall from the first to the last entry that a curve has to reach


def kmeans_groups(
    gram: Tensor, largest: int, *, generator: torch.Generator, starts: int = STARTS
) -> dict[int, Tensor]:
    """Group vectors into 1, 2, ... clusters about their means.

    The best of several seedings is kept. One of them is what was found for one cluster fewer,
    with the vector that lies worst as a cluster of its own, so that more clusters are never worse.

    Args:
        gram: (n n) float64.
        largest: most clusters, 1 to n.
        generator: of the seedings, on the CPU.
        starts: random seedings for each number, >= 0.

    Returns:
        Labels by number of clusters.

    Raises:
        ConfigError: ``largest`` is out of range.

    Source: Lloyd 1982, doi:10.1109/TIT.1982.1056489; seeded after Arthur and Vassilvitskii 2007.
    """
    _check_count(gram, largest)
    here = centred(gram)
    labels = torch.zeros(len(gram), dtype=torch.long)
    found = {1: labels}
    for count in range(2, largest + 1):
        labels = labels.clone()
        labels[_worst(here, labels)] = count - 1
        seedings = [labels, *(_seeded(here, count, generator) for _ in range(starts))]
        settled = [_settled(here, one, count) for one in seedings]
        labels = min(settled, key=lambda one: wcss(here, one))
        found[count] = labels
    return found


def segment_groups(gram: Tensor, largest: int) -> dict[int, Tensor]:
    """Cut a sequence of vectors into 1, 2, ... runs whose spread is the least there is.

    Args:
        gram: (n n) float64, the vectors in their order.
        largest: most runs, 1 to n.

    Returns:
        Labels by number of runs, rising along the sequence.

    Raises:
        ConfigError: ``largest`` is out of range.

    Source: Fisher 1958, doi:10.1080/01621459.1958.10501479, by dynamic programming.
    """
    _check_count(gram, largest)
    spread = _spreads(centred(gram))
    best, cuts, found = spread[0], [], {}
    for count in range(1, largest + 1):
        if count > 1:
            # entry (i, j): the best of i vectors in count - 1 runs, then the run i to j
            whole = torch.cat((torch.full((1,), torch.inf).double(), best[:-1]))[:, None] + spread
            best, cut = whole.min(0)
            cuts.append(cut)
        found[count] = _labels(cuts, len(gram))
    return found


def share_knee(curve: Mapping[int, float], *, share: float = DROP) -> int:
    """Find the smallest number of clusters that attains a share of the whole fall of a curve.

    Args:
        curve: spread by number of clusters, at least two entries, rising numbers.
        share: of the fall from the first to the last entry, in (0, 1].

    Returns:
        Number of clusters.

    Raises:
        ConfigError: the curve has fewer than two entries.
    """
    _check_curve(curve)
    values = list(curve.values())
    fall = share * (values[0] - values[-1])
    return next(count for count, value in curve.items() if values[0] - value >= fall)


def chord_knee(curve: Mapping[int, float]) -> int:
    """Find where a curve lies furthest below the line from its first to its last entry.

    Args:
        curve: spread by number of clusters, at least two entries, rising numbers.

    Returns:
        Number of clusters.

    Raises:
        ConfigError: the curve has fewer than two entries.
    """
    _check_curve(curve)
    counts, values = list(curve), list(curve.values())
    fall, width = values[0] - values[-1], counts[-1] - counts[0]
    below = {
        count: fall * (1 - (count - counts[0]) / width) - (value - values[-1])
        for count, value in curve.items()
    }
    return max(below, key=lambda count: below[count])


def medoids(gram: Tensor, labels: Tensor) -> tuple[int, ...]:
    """Name the vector of each group that lies nearest to the group's mean.

    Args:
        gram: (n n) float64.
        labels: group of each vector, (n,).

    Returns:
        Indexes of vectors, rising; one for each group.
    """
    groups = members(labels)
    away = to_centroids(centred(gram), groups).masked_fill(groups == 0, torch.inf)
    return tuple(sorted(away.argmin(0).tolist()))


def by_rank(chosen: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Take the median of many choices rank by rank: of the first of each, of the second, ...

    Args:
        chosen: indexes of each choice, rising, equally many.

    Returns:
        Indexes, rising; halves are rounded up, so that they differ as those of a choice do.
    """
    ranks = torch.tensor([list(one) for one in chosen], dtype=torch.float64)
    return tuple(floor(value + 0.5) for value in ranks.quantile(0.5, dim=0).tolist())


def mean_distance(gram: Tensor, chosen: Sequence[int]) -> float:
    """Measure how far vectors are from the nearest of those that stand for all.

    Args:
        gram: (n n) float64.
        chosen: indexes of vectors.

    Returns:
        Mean of the Euclidean distances.
    """
    return float(distances(centred(gram))[:, list(chosen)].amin(1).mean())


def equally_spaced(n: int, count: int) -> tuple[int, ...]:
    """Choose indexes from the first to the last at equal steps, rounded to the nearest.

    Args:
        n: how many there are.
        count: how many to choose, 1 to n; one is the middle.

    Raises:
        ConfigError: ``count`` is out of range.
    """
    if not 1 <= count <= n:
        raise ConfigError(f"count must lie in [1, {n}], got {count}")
    if count == 1:
        return (n // 2,)
    return tuple(floor(i * (n - 1) / (count - 1) + 0.5) for i in range(count))


def random_distance(
    gram: Tensor, count: int, *, generator: torch.Generator, draws: int = 200
) -> float:
    """Measure ``mean_distance`` for vectors chosen at random, on the mean.

    Args:
        gram: (n n) float64.
        count: how many to choose each time, 1 to n.
        generator: of the choices, on the CPU.
        draws: choices, >= 1.
    """
    away = distances(centred(gram))
    orders = [torch.randperm(len(gram), generator=generator)[:count] for _ in range(draws)]
    return sum(float(away[:, order].amin(1).mean()) for order in orders) / draws


def _check_count(gram: Tensor, largest: int) -> None:
    if not 1 <= largest <= len(gram):
        raise ConfigError(f"largest must lie in [1, {len(gram)}] (vectors), got {largest}")


def _check_curve(curve: Mapping[int, float]) -> None:
    if len(curve) < 2:
        raise ConfigError(f"a knee needs a curve of two entries or more, got {len(curve)}")


def _worst(gram: Tensor, labels: Tensor) -> int:
    """The vector furthest from the mean of its group, which must hold another."""
    groups = members(labels)
    away = (to_centroids(gram, groups) * groups).sum(1)
    lonely = groups[:, groups.sum(0) == 1].sum(1) > 0
    return int(away.masked_fill(lonely, -1.0).argmax())


def _seeded(gram: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Labels about vectors drawn one by one, those far from earlier ones more often."""
    squared = distances(gram).square()
    seeds = [int(torch.randint(len(gram), (1,), generator=generator))]
    for _ in range(count - 1):
        away = squared[:, seeds].amin(1)
        away[seeds] = 0
        if not float(away.sum()) > 0:  # equal vectors: any that is no seed yet
            away = torch.ones_like(away)
            away[seeds] = 0
        seeds.append(int(torch.multinomial(away, 1, generator=generator)))
    labels = squared[:, seeds].argmin(1)
    labels[seeds] = torch.arange(count)
    return labels


def _settled(gram: Tensor, labels: Tensor, count: int) -> Tensor:
    """Lloyd's rounds until no vector changes its group; a group that empties takes the worst."""
    for _ in range(ROUNDS):
        fresh = to_centroids(gram, members(labels)).argmin(1)
        for group in range(count):
            if not bool((fresh == group).any()):
                fresh[_worst(gram, _packed(fresh))] = group
        if torch.equal(fresh, labels):
            break
        if wcss(gram, fresh) > wcss(gram, labels):  # equal but for rounding
            break
        labels = fresh
    return labels


def _packed(labels: Tensor) -> Tensor:
    """The same groups, counted without gaps."""
    kept = torch.bincount(labels) > 0
    return (kept.cumsum(0) - 1)[labels]


def _spreads(gram: Tensor) -> Tensor:
    """Sum of squares of each run i to j about its mean, (n n); infinite for j < i."""
    n = len(gram)
    lengths = torch.cat((torch.zeros(1).double(), gram.diagonal().cumsum(0)))
    corners = torch.zeros(n + 1, n + 1, dtype=torch.float64)
    corners[1:, 1:] = gram.cumsum(0).cumsum(1)
    start, end = torch.meshgrid(torch.arange(n), torch.arange(n) + 1, indexing="ij")
    inner = corners[end, end] - corners[start, end] - corners[end, start] + corners[start, start]
    spread = lengths[end] - lengths[start] - inner / (end - start).clamp(min=1)
    return spread.clamp(min=0).masked_fill(end <= start, torch.inf)


def _labels(cuts: Sequence[Tensor], n: int) -> Tensor:
    """Follow the cuts back from the last vector."""
    labels, end = torch.zeros(n, dtype=torch.long), n
    for run in range(len(cuts), 0, -1):
        start = int(cuts[run - 1][end - 1])
        labels[start:end] = run
        end = start
    return labels
