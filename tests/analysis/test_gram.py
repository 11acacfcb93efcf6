"""Gram matrices: what they say of long vectors is what the vectors say themselves."""

import pytest
import torch

from featurekit.analysis.gram import (
    centred,
    distances,
    gram_of,
    members,
    principal_scores,
    to_centroids,
    wcss,
)
from featurekit.core.errors import ConfigError, ShapeError


def vectors(n=50, d=4000, seed=0):
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return 100 + steps.cumsum(0)  # far from the origin, as features are


def apart(rows):
    return torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")


def test_parts_of_vectors_add_up_to_the_whole():
    whole = vectors()
    parts = torch.split(whole, 700, dim=1)
    torch.testing.assert_close(sum(gram_of(part) for part in parts), whole @ whole.T)
    torch.testing.assert_close(gram_of(whole, chunk=7), gram_of(whole))


def test_single_precision_is_summed_in_double():
    gram = gram_of(torch.full((2, 1 << 18), 0.1))
    exact = float(torch.tensor(0.1).double() ** 2 * (1 << 18))
    assert gram.dtype == torch.float64
    assert gram.flatten().tolist() == pytest.approx([exact] * 4, rel=1e-12)


def test_distances_are_those_of_a_direct_pca():
    rows = vectors()
    left, values, _ = torch.linalg.svd(rows - rows.mean(0), full_matrices=False)
    for components in (2, 30, 49):
        direct = left[:, :components] * values[:components]
        scores = principal_scores(gram_of(rows.float()), components)
        torch.testing.assert_close(apart(scores), apart(direct), rtol=1e-4, atol=0)
    torch.testing.assert_close(distances(centred(gram_of(rows))), apart(rows), rtol=1e-4, atol=0)


def test_centring_takes_the_mean_of_the_vectors_away():
    rows = vectors(n=5, d=9)
    direct = rows - rows.mean(0)
    torch.testing.assert_close(centred(rows @ rows.T), direct @ direct.T, rtol=1e-6, atol=1e-8)


def test_the_spread_of_groups_is_the_inertia_of_the_vectors():
    rows = vectors()
    generator = torch.Generator().manual_seed(1)
    for count in (2, 7, 13, 24):
        labels = torch.randint(count, (50,), generator=generator)
        labels[:count] = torch.arange(count)
        direct = sum(
            float((rows[labels == k] - rows[labels == k].mean(0)).square().sum())
            for k in range(count)
        )
        assert wcss(centred(gram_of(rows)), labels) == pytest.approx(direct, rel=1e-5)


def test_the_distance_from_a_mean_is_that_of_the_vectors():
    rows, labels = vectors(n=6), torch.tensor([0, 0, 1, 2, 2, 2])
    means = torch.stack([rows[labels == k].mean(0) for k in range(3)])
    direct = (rows[:, None] - means).square().sum(-1)
    torch.testing.assert_close(to_centroids(gram_of(rows), members(labels)), direct, rtol=1e-6,
                               atol=1e-4)  # fmt: skip


def test_an_axis_points_to_where_its_largest_coordinate_is_positive():
    scores = principal_scores(gram_of(vectors()), 5)
    largest = scores.gather(0, scores.abs().argmax(0, keepdim=True))
    assert bool((largest > 0).all())
    assert scores.square().sum(0).diff().max() < 0
    torch.testing.assert_close(scores.mean(0), torch.zeros(5).double(), atol=1e-9, rtol=0)


def test_other_shapes_and_numbers_are_refused():
    with pytest.raises(ShapeError, match="vectors"):
        gram_of(torch.zeros(3))
    with pytest.raises(ShapeError, match="Gram matrix"):
        distances(torch.zeros(3, 4))
    with pytest.raises(ConfigError, match="chunk must be at least 1 entry, got 0"):
        gram_of(torch.zeros(2, 2), chunk=0)
    with pytest.raises(ConfigError, match=r"components must lie in \[1, 4\] \(vectors\), got 5"):
        principal_scores(torch.eye(4).double(), 5)
