"""No NaN, no infinity and no whole number goes through an inversion, and the place is named."""

import pytest
import torch

from featurekit.core.errors import NotFiniteError, ShapeError
from featurekit.core.finite import at_level, check_finite, check_floating, check_latent
from featurekit.diffusion.invert import invert
from featurekit.diffusion.methods.kinds import METHODS
from featurekit.diffusion.noise_schedule import NoiseTable, Schedule
from featurekit.diffusion.sample import sample

SCHEDULE = Schedule.ddim(NoiseTable.scaled_linear(), steps=5)  # timesteps 801 601 401 201 1
BAD = (float("nan"), float("inf"), float("-inf"))


@pytest.fixture
def z():
    return torch.randn(3, 4, 2, 2, generator=torch.Generator().manual_seed(0))


def calm(z, t):
    return torch.tanh(z)


def broken_at(t_bad, value):
    """Predicts finite noise but at one timestep."""
    return lambda z, t: torch.full_like(z, value) if t == t_bad else torch.tanh(z)


def climb(predict, z0, method, **settings):
    draws = torch.Generator().manual_seed(0) if method == "edit_friendly" else None
    return invert(predict, z0, SCHEDULE, method=method, generator=draws, **settings)


# laws


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_finite_latents_of_every_floating_dtype_pass(z, dtype):
    assert check_latent(z.to(dtype)) == {"b": 3, "c": 4, "h": 2, "w": 2}


def test_a_place_is_a_level_with_its_timestep():
    assert at_level(3, 401) == "at level 3 (timestep 401)"
    assert at_level(0, None) == "at level 0 (the clean end)"


@pytest.mark.parametrize("method", METHODS)
def test_each_step_costs_one_look_at_the_numbers(z, method, monkeypatch):
    looks = []
    whole = torch.Tensor.isfinite
    monkeypatch.setattr(torch.Tensor, "isfinite", lambda self: looks.append(1) or whole(self))
    way = climb(calm, z, method)
    back = way.residuals is not None  # a step back each, looked at as any step
    up = 0 if method == "edit_friendly" else 5  # its levels are drawn, not stepped to
    assert len(looks) == 1 + up + 5 * back
    looks.clear()
    sample(calm, way.at(5), SCHEDULE, trajectory=way)
    assert len(looks) == 1 + 5


# what is given


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("method", METHODS)
def test_a_broken_latent_is_refused_before_the_network_is_asked(z, method, bad):
    z[1, 2, 0, 1] = bad

    def never(z, t):
        raise AssertionError

    words = r"latent must be finite, got NaN or infinity where it was given, in rows \[1\] of 3"
    with pytest.raises(NotFiniteError, match=words):
        climb(never, z, method)
    with pytest.raises(NotFiniteError, match=words):
        sample(never, z, SCHEDULE)


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.complex64])
def test_a_latent_that_is_not_floating_is_refused(z, dtype):
    whole = z.to(dtype)
    with pytest.raises(ShapeError, match=rf"latent must be of a floating dtype, got {dtype}; conv"):
        invert(calm, whole, SCHEDULE)
    with pytest.raises(ShapeError, match=rf"latent must be of a floating dtype, got {dtype}; conv"):
        sample(calm, whole, SCHEDULE)
    with pytest.raises(ShapeError, match=f"an edit must be of a floating dtype, got {dtype}"):
        invert(calm, z, SCHEDULE).edited(2, whole)
    with pytest.raises(ShapeError, match="z must be of a floating dtype"):
        check_floating(whole, of="z")


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("method", ["residual", "edict"])
def test_a_broken_edit_is_refused_with_its_level(z, method, bad):
    edit = torch.zeros_like(z)
    edit[2, 0, 0, 0] = bad
    with pytest.raises(NotFiniteError, match=r"an edit must be .* for level 4, in rows \[2\] of 3"):
        climb(calm, z, method).edited(4, edit)


# what becomes of it


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("method", ["ddim", "anderson", "residual"])
def test_a_step_up_that_leaves_the_numbers_is_named(z, method, bad):
    with pytest.raises(NotFiniteError, match=r"latent must be finite, .* level 3 \(timestep 401\)"):
        climb(broken_at(401, bad), z, method, keep_residuals=None)


def test_a_step_of_a_pair_that_leaves_the_numbers_is_named(z):
    with pytest.raises(NotFiniteError, match=r"pair must be finite, .* level 3 \(timestep 401\)"):
        climb(broken_at(401, float("nan")), z, "edict")


def test_a_step_back_that_leaves_the_numbers_is_named(z):
    with pytest.raises(NotFiniteError, match=r"the step back must .* level 3 \(timestep 401\)"):
        climb(broken_at(401, float("nan")), z, "edit_friendly")


def test_iterations_that_diverge_under_a_tolerance_are_named(z):
    with pytest.raises(NotFiniteError, match=r"level 2 \(timestep 201\)"):
        climb(broken_at(201, float("nan")), z, "anderson", tol=1e-6)


@pytest.mark.parametrize("bad", BAD)
def test_a_step_down_that_leaves_the_numbers_is_named(z, bad):
    words = r"at level 2 \(timestep 201\) after the step from timestep 401, in rows \[0, 1, 2\]"
    with pytest.raises(NotFiniteError, match=words):
        sample(broken_at(401, bad), z, SCHEDULE)


def test_a_last_step_that_leaves_the_numbers_is_named(z):
    with pytest.raises(NotFiniteError, match=r"at level 0 \(the clean end\) after .* timestep 1,"):
        sample(broken_at(1, float("nan")), z, SCHEDULE)


def test_a_broken_latent_from_on_step_is_named_where_it_was_put(z):
    def put(level, now):
        return now * float("nan") if level == 3 else None

    with pytest.raises(NotFiniteError, match=r"at level 3 \(timestep 401\)"):
        sample(calm, z, SCHEDULE, on_step=put)


def test_half_precision_that_overflows_is_named(z):
    with pytest.raises(NotFiniteError, match=r"at level 4 \(timestep 601\)"):
        sample(lambda z, t: -60000 * torch.ones_like(z), z.half(), SCHEDULE)


def test_any_tensor_can_be_looked_at():
    check_finite(torch.zeros(2, 3), where="here")
    with pytest.raises(NotFiniteError, match=r"x must be finite, got .* here, in rows \[0\] of 1"):
        check_finite(torch.tensor([[float("nan")]]), of="x", where="here")
