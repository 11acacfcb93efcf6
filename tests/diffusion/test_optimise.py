"""optimise: it is Adam and nothing else, it ends for the reason it names, it leaves no trace."""

import pytest
import torch

from featurekit.core.errors import ConfigError, ShapeError
from featurekit.core.types import Stop
from featurekit.diffusion.optimise import Limits, optimise


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def z():
    return normal(1, 2, 3, 4)


def bowl(z, k):
    """A loss with a different slope in every element."""
    return ((z - 1) ** 2 * torch.arange(1.0, 25.0, dtype=z.dtype).reshape(z.shape)).sum()


def adam_by_hand(z, updates, rate, betas=(0.9, 0.999), small=1e-8):
    mean, square = torch.zeros_like(z), torch.zeros_like(z)
    for k in range(1, updates + 1):
        leaf = z.clone().requires_grad_(True)
        (slope,) = torch.autograd.grad(bowl(leaf, k), leaf)
        mean = betas[0] * mean + (1 - betas[0]) * slope
        square = betas[1] * square + (1 - betas[1]) * slope**2
        step = mean / (1 - betas[0] ** k) / ((square / (1 - betas[1] ** k)).sqrt() + small)
        z = z - rate * step
    return z


def test_ten_updates_equal_adam_worked_out_by_hand(z):
    found = optimise(z, bowl, limits=Limits(updates=10, learning_rate=0.05))
    torch.testing.assert_close(found.latent, adam_by_hand(z, 10, 0.05), atol=1e-12, rtol=0)


def test_the_cap_ends_it_after_that_many_updates(z):
    found = optimise(z, bowl, limits=Limits(updates=7, learning_rate=0.05))
    assert found.stop is Stop.MAX_UPDATES
    assert found.updates == len(found.trace) == 7
    assert found.trace[0] == bowl(z, 0).item()
    assert list(found.trace) == sorted(found.trace, reverse=True)


def test_a_stop_before_the_first_update_returns_the_same_bits(z):
    found = optimise(z, lambda latent, k: Stop.REACHED, limits=Limits())
    assert found.stop is Stop.REACHED
    assert torch.equal(found.latent, z)
    assert found.trace == ()


def test_a_stop_ends_it_before_that_update(z):
    found = optimise(
        z, lambda latent, k: Stop.REACHED if k == 4 else bowl(latent, k), limits=Limits()
    )
    assert found.stop is Stop.REACHED
    assert found.updates == 4
    torch.testing.assert_close(found.latent, adam_by_hand(z, 4, 0.01), atol=1e-12, rtol=0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_is_not_finite_takes_the_update_before_it_back(z, bad):
    seen = []

    def loss(latent, k):
        seen.append(latent.detach().clone())
        return bowl(latent, k) * (bad if k == 3 else 1)

    found = optimise(z, loss, limits=Limits())
    assert found.stop is Stop.DIVERGED
    assert torch.equal(found.latent, seen[2])
    assert found.updates == 2
    assert found.trace == tuple(bowl(latent, 0).item() for latent in seen[:2])


def test_a_first_loss_that_is_not_finite_returns_the_input(z):
    found = optimise(z, lambda latent, k: bowl(latent, k) * float("nan"), limits=Limits())
    assert found.stop is Stop.DIVERGED
    assert torch.equal(found.latent, z)
    assert found.trace == ()


def test_a_gradient_that_is_not_finite_is_not_followed(z):
    def loss(latent, k):
        # the square root has an infinite slope at its zero, the loss itself stays finite
        zero = latent[0, 0, 0, 0] - latent[0, 0, 0, 0].detach()
        return bowl(latent, k) + (zero.sqrt() if k == 2 else 0)

    found = optimise(z, loss, limits=Limits())
    assert found.stop is Stop.DIVERGED
    assert found.updates == 2
    torch.testing.assert_close(found.latent, adam_by_hand(z, 2, 0.01), atol=1e-12, rtol=0)


def test_an_update_that_leaves_the_numbers_is_taken_back():
    # in float16 the squared gradient and Adam's 1e-8 both round to zero: 1 / 0
    z = torch.ones(1, 1, 1, 1, dtype=torch.float16)
    found = optimise(z, lambda latent, k: (latent * 1e-4).sum(), limits=Limits(updates=1))
    assert found.stop is Stop.DIVERGED
    assert torch.equal(found.latent, z)
    assert found.trace == ()


def test_the_input_and_the_parameters_are_left_alone(z):
    before, weight = z.clone(), torch.ones((), dtype=torch.float64, requires_grad=True)
    found = optimise(z, lambda latent, k: weight * bowl(latent, k), limits=Limits(updates=3))
    assert torch.equal(z, before)
    assert not z.requires_grad
    assert z.grad is None
    assert weight.grad is None
    assert not found.latent.requires_grad
    assert not torch.equal(found.latent, z)


def test_it_finds_gradients_under_no_grad(z):
    with torch.no_grad():
        found = optimise(z, bowl, limits=Limits(updates=3))
        assert not torch.is_grad_enabled()
    assert found.updates == 3


def test_progress_hears_of_each_update(z):
    heard = []
    optimise(
        z, bowl, limits=Limits(updates=3), progress=lambda done, total: heard.append((done, total))
    )
    assert heard == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, ZeroDivisionError])
def test_what_the_loss_raises_passes_through(z, interrupt):
    def loss(latent, k):
        raise interrupt("from the loss")

    with pytest.raises(interrupt, match="from the loss"):
        optimise(z, loss, limits=Limits())


def test_a_loss_that_is_no_scalar_is_refused(z):
    with pytest.raises(ShapeError, match=r"loss must be \(\), got \(1, 2, 3, 4\)"):
        optimise(z, lambda latent, k: latent**2, limits=Limits())


def test_limits_that_cannot_be_meant_are_refused():
    with pytest.raises(ConfigError, match="updates must be 0 or more, got -1"):
        Limits(updates=-1)
    with pytest.raises(ConfigError, match=r"learning_rate must be positive, got 0"):
        Limits(learning_rate=0.0)
