"""Principal axes in parts: exact where it says so, close elsewhere, the same in any parts."""

import pytest
import torch

from featurekit.core.errors import BackboneError, ConfigError
from featurekit_sketch.sampling import pca as principal
from featurekit_sketch.sampling.pca import principal_axes


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def basis(size, count, seed=1):
    return torch.linalg.qr(normal(size, count, seed=seed))[0].T


def planted(rows, size, deviations, seed=0):
    """Rows whose mean and sample covariance are exactly the planted ones."""
    scores = normal(rows, len(deviations), seed=seed)
    scores = torch.linalg.qr(scores - scores.mean(dim=0))[0] * (rows - 1) ** 0.5
    axes = basis(size, len(deviations))
    mean = 3 * normal(size, seed=2)
    return mean + scores * deviations @ axes, mean, axes


def exact(rows, components):
    """The textbook's answer: singular values of the centred rows."""
    centred = rows.double() - rows.double().mean(dim=0)
    _, values, axes = torch.linalg.svd(centred, full_matrices=False)
    kept = values[:components].square().sum() / values.square().sum()
    return axes[:components], values[:components] / (len(rows) - 1) ** 0.5, float(kept)


def test_a_planted_gaussian_is_found_exactly():
    deviations = torch.tensor([9.0, 4.0, 1.0, 0.5]).double()
    rows, mean, axes = planted(300, 40, deviations)
    found = principal_axes(rows.split(70), 3)
    torch.testing.assert_close(found[0], mean)
    torch.testing.assert_close((found[1] @ axes.T).abs(), torch.eye(3, 4).double())
    torch.testing.assert_close(found[2], deviations[:3])
    assert found[3] == pytest.approx(98 / 98.25, rel=1e-12)


@pytest.mark.parametrize("shape", [(50, 400), (400, 50)])
def test_one_gathering_is_the_singular_values_of_the_centred_rows(shape):
    rows = (normal(*shape) + 2).float()
    axes, deviations, kept = exact(rows, 20)
    found = principal_axes([rows], 20)
    torch.testing.assert_close((found[1] @ axes.T).abs(), torch.eye(20).double())
    torch.testing.assert_close(found[2], deviations)
    assert found[3] == pytest.approx(kept, rel=1e-9)


def test_directions_beyond_what_the_rows_span_are_cut():
    wide, flat = normal(7, 90), planted(60, 90, torch.ones(5).double())[0].float()
    assert len(principal_axes([wide], 50)[2]) == 6
    assert len(principal_axes([flat], 50)[2]) == 5


def test_the_axes_are_orthonormal_in_any_case(monkeypatch):
    monkeypatch.setattr(principal, "EXACT", 40)
    monkeypatch.setattr(principal, "SPARE", 5)
    rows = normal(500, 120) * 10 ** -torch.linspace(0, 4.5, 120).double()
    axes = principal_axes(rows.split(13), 20)[1]
    torch.testing.assert_close(axes @ axes.T, torch.eye(20).double(), rtol=0, atol=1e-6)


def test_rows_in_many_gatherings_stay_exact_while_nothing_need_be_dropped(monkeypatch):
    monkeypatch.setattr(principal, "EXACT", 40)
    monkeypatch.setattr(principal, "SPARE", 5)
    rows, mean, _ = planted(600, 80, torch.linspace(8, 1, 12).double())
    rows = rows + torch.linspace(0, 50, 600)[:, None] * basis(80, 1, seed=5)  # the mean wanders
    wandered = mean + 25 * basis(80, 1, seed=5)[0]
    axes, deviations, kept = exact(rows, 10)
    found = principal_axes(rows.split(17), 10)
    torch.testing.assert_close(found[0], wandered)
    torch.testing.assert_close((found[1] @ axes.T).abs(), torch.eye(10).double())
    torch.testing.assert_close(found[2], deviations)
    assert found[3] == pytest.approx(kept, rel=1e-9)


def test_what_is_dropped_costs_little_and_never_makes_a_deviation_larger(monkeypatch):
    monkeypatch.setattr(principal, "EXACT", 100)
    monkeypatch.setattr(principal, "SPARE", 20)
    scale = torch.arange(1, 301).double() ** -0.7  # variances fall slowly, as those of texts do
    rows = normal(3000, 300) * scale
    axes, deviations, kept = exact(rows, 30)
    mean, found, lengths, share = principal_axes(rows.split(16), 30)
    torch.testing.assert_close(mean, rows.mean(dim=0))
    assert (lengths <= deviations * (1 + 1e-9)).all()
    assert (lengths[:20] / deviations[:20]).min() > 0.98
    assert kept * 0.98 < share <= kept
    assert (found[:10] @ axes.T).square().sum() / 10 > 0.99


def test_whole_variance_is_exact_whatever_is_dropped(monkeypatch):
    monkeypatch.setattr(principal, "EXACT", 50)
    monkeypatch.setattr(principal, "SPARE", 0)
    rows = normal(700, 90) + 4
    _, _, deviations, share = principal_axes(rows.split(16), 3)
    whole = rows.var(dim=0).sum()
    assert float(deviations.square().sum() / whole) == pytest.approx(share, rel=1e-9)


def test_the_parts_do_not_matter():
    rows = normal(100, 30)
    one, many = principal_axes([rows], 8), principal_axes(rows.split(3), 8)
    assert all(map(torch.equal, one[:3], many[:3]))


def test_rows_that_are_one_have_no_axes():
    row = normal(1, 50).float()
    noise = 1e-8 * normal(20, 50).float()
    for rows in ([], [row], [row.expand(20, -1)], [row + noise]):
        with pytest.raises(ConfigError, match="captions that differ, but all are one to the text"):
            principal_axes(rows, 3)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(value):
    rows = normal(5, 8)
    rows[3, 2] = value
    with pytest.raises(BackboneError, match="the text encoder must give finite numbers"):
        principal_axes([rows], 3)


def test_half_precision_counts_as_the_numbers_it_holds():
    rows = normal(20, 30).bfloat16()
    torch.testing.assert_close(principal_axes([rows], 5)[2], principal_axes([rows.double()], 5)[2])
