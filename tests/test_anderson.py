"""Fixed points: linear maps are solved in as many calls as theory says, each row by itself."""

import pytest
import torch

from featurekit.anderson import extrapolated, repeated


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def scaling(*factors):
    """A map whose fixed point is 1, that contracts by the factors in turn over the cells."""
    factor = torch.tensor(factors, dtype=torch.float64).repeat(16 // len(factors)).view(1, 1, 4, 4)
    return lambda z: 1 + factor * (z - 1)


def test_repetition_contracts_by_the_factor_each_time():
    z = normal(2, 1, 4, 4)
    for times in (1, 3, 6):
        gap = repeated(scaling(0.5), z, times) - 1
        torch.testing.assert_close(gap, 0.5**times * (z - 1))


@pytest.mark.parametrize(("factors", "times"), [((0.5,), 2), ((0.5, -0.8), 3)])
def test_as_many_factors_as_it_remembers_are_solved_at_once(factors, times):
    z = normal(2, 1, 4, 4)
    assert (extrapolated(scaling(*factors), z, times) - 1).abs().max() < 1e-9
    assert (extrapolated(scaling(*factors), z, times - 1) - 1).abs().max() > 1e-2


def test_one_application_is_the_map():
    z = normal(2, 1, 4, 4)
    move = scaling(0.5, 0.1)
    assert torch.equal(extrapolated(move, z, 1), move(z))
    assert torch.equal(repeated(move, z, 1), move(z))


@pytest.mark.parametrize("times", [1, 2, 5])
def test_the_map_is_applied_as_often_as_told(times):
    for settle in (repeated, extrapolated):
        seen = []
        settle(lambda z, seen=seen: seen.append(z) or 0.5 * z, normal(1, 1, 4, 4), times)
        assert len(seen) == times


def test_a_row_is_solved_as_if_it_were_alone():
    z, move = normal(3, 1, 4, 4), scaling(0.5, 0.3, -0.4, 0.1)
    together = extrapolated(move, z, 4)
    alone = torch.cat([extrapolated(move, row[None], 4) for row in z])
    torch.testing.assert_close(together, alone, atol=1e-12, rtol=0)


def test_what_is_already_there_stays_finite_and_put():
    z = torch.ones(1, 1, 4, 4, dtype=torch.float64)
    assert torch.equal(extrapolated(scaling(0.5), z, 6), z)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_dtype_of_the_latent_stays(dtype):
    z = normal(1, 1, 4, 4).to(dtype)
    assert extrapolated(lambda z: 0.5 * z, z, 4).dtype == dtype


def test_gradients_pass_through():
    z = normal(1, 1, 4, 4).requires_grad_(True)
    extrapolated(scaling(0.5, 0.3, -0.4, 0.1), z, 2).square().sum().backward()
    assert z.grad.isfinite().all()
