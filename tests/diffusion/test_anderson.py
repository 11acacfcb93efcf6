"""Fixed points: linear maps are solved in as many calls as theory says, each row by itself."""

import pytest
import torch

from featurekit.diffusion.methods.anderson import extrapolated, repeated


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def scaling(*factors):
    """A map whose fixed point is 1, that contracts by the factors in turn over the cells."""
    factor = torch.tensor(factors, dtype=torch.float64).repeat(16 // len(factors)).view(1, 1, 4, 4)
    return lambda z: 1 + factor * (z - 1)


def test_repetition_contracts_by_the_factor_each_time():
    z = normal(2, 1, 4, 4)
    for times in (1, 3, 6):
        gap = repeated(scaling(0.5), z, times).z - 1
        torch.testing.assert_close(gap, 0.5**times * (z - 1))


@pytest.mark.parametrize(("factors", "times"), [((0.5,), 2), ((0.5, -0.8), 3)])
def test_as_many_factors_as_it_remembers_are_solved_at_once(factors, times):
    z = normal(2, 1, 4, 4)
    assert (extrapolated(scaling(*factors), z, times).z - 1).abs().max() < 1e-9
    assert (extrapolated(scaling(*factors), z, times - 1).z - 1).abs().max() > 1e-2


def test_one_application_is_the_map():
    z = normal(2, 1, 4, 4)
    move = scaling(0.5, 0.1)
    assert torch.equal(extrapolated(move, z, 1).z, move(z))
    assert torch.equal(repeated(move, z, 1).z, move(z))


@pytest.mark.parametrize("times", [1, 2, 5])
def test_the_map_is_applied_as_often_as_told(times):
    for settle in (repeated, extrapolated):
        seen = []
        settle(lambda z, seen=seen: seen.append(z) or 0.5 * z, normal(1, 1, 4, 4), times)
        assert len(seen) == times


def test_a_row_is_solved_as_if_it_were_alone():
    z, move = normal(3, 1, 4, 4), scaling(0.5, 0.3, -0.4, 0.1)
    together = extrapolated(move, z, 4).z
    alone = torch.cat([extrapolated(move, row[None], 4).z for row in z])
    torch.testing.assert_close(together, alone, atol=1e-12, rtol=0)


def test_what_is_already_there_stays_finite_and_put():
    z = torch.ones(1, 1, 4, 4, dtype=torch.float64)
    assert torch.equal(extrapolated(scaling(0.5), z, 6).z, z)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_dtype_of_the_latent_stays(dtype):
    z = normal(1, 1, 4, 4).to(dtype)
    assert extrapolated(lambda z: 0.5 * z, z, 4).z.dtype == dtype


def test_gradients_pass_through():
    z = normal(1, 1, 4, 4).requires_grad_(True)
    extrapolated(scaling(0.5, 0.3, -0.4, 0.1), z, 2).z.square().sum().backward()
    assert z.grad.isfinite().all()


@pytest.mark.parametrize("settle", [repeated, extrapolated])
def test_it_stops_once_a_row_moves_less_than_the_tolerance(settle):
    seen = []
    move = scaling(0.5, 0.3)
    found = settle(lambda z: seen.append(z) or move(z), normal(1, 1, 4, 4), 40, tol=1e-3)
    asked = seen[-1]
    moved = (move(asked) - asked).square().mean().sqrt()
    assert float(found.moved) == pytest.approx(float(moved))
    assert float(found.moved) <= 1e-3
    assert 3 < len(seen) < 40


@pytest.mark.parametrize("settle", [repeated, extrapolated])
def test_a_row_that_has_arrived_does_not_depend_on_the_others(settle):
    near, far = 1 + 1e-2 * normal(1, 1, 4, 4), 100 * normal(1, 1, 4, 4)
    move = scaling(0.5, 0.3, -0.4, 0.1)
    both = settle(move, torch.cat([near, far]), 40, tol=1e-3)
    for index, row in enumerate((near, far)):
        alone = settle(move, row, 40, tol=1e-3)
        torch.testing.assert_close(both.z[index], alone.z[0], atol=1e-12, rtol=0)
        torch.testing.assert_close(both.moved[index], alone.moved[0])


class NoDouble(torch.Tensor):
    """A tensor on a device that knows no float64, as Apple's graphics chips."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        found = super().__torch_function__(func, types, args, kwargs or {})
        if func is torch.Tensor.cpu:
            return found.as_subclass(torch.Tensor)
        if isinstance(found, cls) and found.dtype == torch.float64:
            raise TypeError("the device has no float64")
        return found


def test_a_device_without_double_precision_is_enough():
    z, move = normal(2, 1, 4, 4).float(), scaling(0.5, 0.3, -0.4, 0.1)

    def single(z):
        return move(z.cpu().double()).float().as_subclass(type(z))

    with pytest.raises(TypeError, match="the device has no float64"):
        z.as_subclass(NoDouble).double()
    found = extrapolated(single, z.as_subclass(NoDouble), 4)
    assert type(found.z) is NoDouble
    assert torch.equal(found.z.cpu(), extrapolated(single, z, 4).z)
