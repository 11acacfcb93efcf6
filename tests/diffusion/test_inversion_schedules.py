"""Inversion over every spacing, length, offset, clean end and prediction that is accepted."""

import math
from itertools import product

import pytest
import torch

from featurekit.core.errors import ScheduleError
from featurekit.diffusion.invert import invert
from featurekit.diffusion.noise_schedule import NoiseTable, Schedule
from featurekit.diffusion.sample import sample
from featurekit.diffusion.steps import eps_from_v, v_from_eps
from featurekit.testing import MixtureDenoiser

EXACT = ("residual", "edict", "edit_friendly")
SPACINGS = ("leading", "trailing", "linspace")
LENGTHS = (4, 13, 20, 28, 100, 250, 500, 999, 1000)  # 1, 3, 10, 50: test_invert_methods.py
TO_ONE = {to_one: NoiseTable.scaled_linear(set_alpha_to_one=to_one) for to_one in (False, True)}
SPREAD = 0.3  # standard deviation of each of the two normals around TEMPLATE and -TEMPLATE


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


TEMPLATE = normal(1, 1, 2, 2)


def accepted(lengths):
    """Schedules that do not contradict diffusers, by name; one that two names mean is there once.

    Only ``leading`` looks at the offset.
    """
    found = {}
    for n, spacing, offset, to_one in product(lengths, SPACINGS, (0, 1), (False, True)):
        try:
            schedule = Schedule.ddim(TO_ONE[to_one], n, spacing, offset)
        except ScheduleError:
            continue
        name = f"{spacing}-{n}-{offset}-{to_one}"
        found.setdefault(schedule.fingerprint, (name, schedule, TO_ONE[to_one]))
    return [(name, schedule, noise) for name, schedule, noise in found.values()]


ACCEPTED = accepted(LENGTHS)


def two_normals(noise):
    """The exact denoiser of two opposite normals, in few operations: thousands of steps are walked.

    The first row is predicted as noise, the second as a velocity that is then converted.
    """
    factors = []
    for alpha_bar in noise.alpha_bars.tolist():
        spread = alpha_bar * SPREAD**2 + 1 - alpha_bar
        factors.append((math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar), spread))

    def predict(z, t):
        signal, sigma, spread = factors[t]
        pull = torch.tanh((z * TEMPLATE).sum((1, 2, 3), keepdim=True) * (signal / spread))
        eps = (z - pull * (TEMPLATE * signal)) * (sigma / spread)
        v = (eps[1:] - sigma * z[1:]) / signal
        return torch.cat([eps[:1], signal * v + sigma * z[1:]])

    return predict


def rms(a, b):
    return (a - b).square().mean((1, 2, 3)).sqrt()


def there_and_back(predict, z0, schedule, method, **settings):
    draws = torch.Generator().manual_seed(3) if method == "edit_friendly" else None
    up = invert(predict, z0, schedule, method=method, generator=draws, **settings)
    keeps = up.residuals is not None or up.states == 2
    carried = up if keeps else None
    back = sample(predict, up.at(up.until), schedule, start=up.until, trajectory=carried)
    return rms(back, z0)


# what is tried


def test_every_length_and_spacing_that_can_be_is_among_the_schedules():
    names = [name for name, _, _ in ACCEPTED]
    assert {int(name.split("-")[1]) for name in names} == set(LENGTHS)
    tried = {tuple(name.split("-")[:2]) for name in names}
    # trailing of 500 is leading with offset 1; the lists of a thousand steps are one list, and but
    # for one of a single step linspace has no other
    assert {n for spacing, n in tried if spacing == "trailing"} == {"4", "20", "100", "250"}
    assert {n for spacing, n in tried if spacing == "leading"} == set(map(str, LENGTHS))
    assert {s.timesteps for name, s, _ in ACCEPTED if s.steps == 1000} == {
        tuple(range(999, -1, -1))
    }
    lone = [n for n in range(1, 1001) if _follows("linspace", n)]
    assert lone == [1, 1000]


def _follows(spacing, n):
    try:
        return bool(Schedule.ddim(TO_ONE[False], n, spacing))
    except ScheduleError:
        return False


def test_the_denoiser_of_few_operations_is_the_exact_one():
    noise = TO_ONE[False]
    exact = MixtureDenoiser(torch.cat([TEMPLATE, -TEMPLATE]), SPREAD, noise)
    z = normal(2, 1, 2, 2, seed=2)
    for t in (0, 1, 261, 981, 999):
        v = v_from_eps(exact(z, t), z, alpha_bar=noise.level(t))
        for eps in (exact(z, t), eps_from_v(v, z, alpha_bar=noise.level(t))):
            torch.testing.assert_close(two_normals(noise)(z, t), eps, atol=1e-12, rtol=0)


# exact methods


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("method", EXACT)
def test_an_exact_method_comes_back_whatever_the_schedule_and_the_prediction(method, n):
    z0 = TEMPLATE + SPREAD * normal(2, 1, 2, 2, seed=2)
    for name, schedule, noise in ACCEPTED:
        if schedule.steps == n:
            error = there_and_back(two_normals(noise), z0, schedule, method)
            assert error.max() <= 1e-10, name
            assert error.max() == 0 or method == "edict", name  # relative to the stored way


# fixed points


ROUGH = 12  # normals of the mixture that iterations are tried on
TRIED = ("leading-0", "leading-1", "trailing-0")


def mixture(noise, prediction):
    exact = MixtureDenoiser(normal(ROUGH, 4, 4, 4, seed=1), SPREAD, noise)
    if prediction == "epsilon":
        return exact
    return lambda z, t: eps_from_v(exact.v(z, t), z, alpha_bar=noise.level(t))


def pictures():
    return normal(ROUGH, 4, 4, 4, seed=1)[:4] + SPREAD * normal(4, 4, 4, 4, seed=2)


def laid_out(which, n, *, to_one):
    spacing, offset = which.split("-")
    return Schedule.ddim(TO_ONE[to_one], n, spacing, int(offset))


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("which", TRIED)
@pytest.mark.parametrize(("n", "bound"), [(10, 1e-4), (50, 1e-8)])
def test_five_calls_a_step_with_anderson_nearly_come_back(n, bound, which, prediction):
    predict = mixture(TO_ONE[True], prediction)
    schedule = laid_out(which, n, to_one=True)
    settings = {"refine": 4, "keep_residuals": False}
    error = there_and_back(predict, pictures(), schedule, "anderson", **settings).median()
    assert error <= bound
    plain = there_and_back(predict, pictures(), schedule, "ddim", **settings).median()
    assert error < plain / 10


def test_a_list_of_a_thousand_steps_as_linspace_makes_it_nearly_comes_back():
    schedule = Schedule.ddim(TO_ONE[True], 1000, "linspace")
    z0 = TEMPLATE + SPREAD * normal(2, 1, 2, 2, seed=2)
    settings = {"refine": 4, "keep_residuals": False, "until": 200}
    error = there_and_back(two_normals(TO_ONE[True]), z0, schedule, "anderson", **settings)
    assert error.median() <= 1e-8


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("which", TRIED)
@pytest.mark.parametrize("method", ["ddim", "anderson"])
def test_each_iteration_comes_closer(method, which, prediction):
    schedule = laid_out(which, 20, to_one=False)
    predict = mixture(TO_ONE[False], prediction)
    errors = [
        float(
            there_and_back(
                predict, pictures(), schedule, method, refine=k, keep_residuals=False
            ).median()
        )
        for k in range(4)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 20
