"""Every method of invert comes back, on every schedule that is accepted, and answers edits."""

from itertools import product

import pytest
import torch
from torch.nn import functional

from featurekit.core.errors import ConfigError, ScheduleError, ShapeError
from featurekit.diffusion.backbone import guided
from featurekit.diffusion.invert import invert
from featurekit.diffusion.methods.kinds import METHODS
from featurekit.diffusion.noise_schedule import NoiseTable, Schedule
from featurekit.diffusion.sample import sample
from featurekit.diffusion.steps import eps_from_v
from featurekit.testing import MixtureDenoiser

EXACT = ("residual", "edict", "edit_friendly")
TO_ONE = {to_one: NoiseTable.scaled_linear(set_alpha_to_one=to_one) for to_one in (False, True)}
SCHEDULE = Schedule.ddim(TO_ONE[False], steps=50)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mixture(noise=TO_ONE[False]):
    return MixtureDenoiser(normal(12, 4, 4, 4, seed=1), 0.3, noise)


@pytest.fixture(scope="module")
def denoiser():
    return mixture()


@pytest.fixture(scope="module")
def z0(denoiser):
    return denoiser.templates[:4] + 0.3 * normal(4, 4, 4, 4, seed=2)


def accepted():
    """Schedules of every spacing, length, offset and clean end that do not contradict diffusers."""
    found = {}
    spacings, lengths = ("leading", "trailing", "linspace"), (1, 3, 10, 50)
    for spacing, n, offset, to_one in product(spacings, lengths, (0, 1), (False, True)):
        try:
            schedule = Schedule.ddim(TO_ONE[to_one], n, spacing, offset)
        except ScheduleError:
            continue
        if spacing == "leading" or offset == 0:
            found[f"{spacing}-{n}-{offset}-{to_one}"] = (schedule, TO_ONE[to_one])
    return found


ACCEPTED = accepted()


def climb(predict, z0, schedule, method, **settings):
    draws = torch.Generator().manual_seed(3) if method == "edit_friendly" else None
    return invert(predict, z0, schedule, method=method, generator=draws, **settings)


def rms(a, b):
    return (a - b).square().mean((1, 2, 3)).sqrt()


def there_and_back(predict, z0, schedule, method, **settings):
    up = climb(predict, z0, schedule, method, **settings)
    keeps = up.residuals is not None or up.states == 2
    return rms(sample(predict, up.at(up.until), schedule, trajectory=up if keeps else None), z0)


def spying(predict):
    seen = []

    def spy(z, t):
        seen.append(t)
        return predict(z, t)

    return spy, seen


# laws


def test_every_spacing_is_among_the_schedules_that_are_tried():
    assert {name.partition("-")[0] for name in ACCEPTED} == {"leading", "trailing", "linspace"}
    assert len(ACCEPTED) >= 24


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("method", EXACT)
def test_an_exact_method_comes_back_on_every_accepted_schedule(z0, method, prediction):
    for name, (schedule, noise) in ACCEPTED.items():
        exact = mixture(noise)

        def from_v(z, t, exact=exact, noise=noise):
            return eps_from_v(exact.v(z, t), z, alpha_bar=noise.level(t))

        predict = exact if prediction == "epsilon" else from_v
        error = there_and_back(predict, z0[:1], schedule, method).max()
        assert error <= 1e-10, name
        assert error == 0 or method == "edict", name  # told relative to the stored way: to the bit


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("start", [1, 20, 50])
def test_an_exact_method_comes_back_from_any_level(denoiser, z0, method, start):
    up = climb(denoiser, z0, SCHEDULE, method, until=start)
    back = sample(denoiser, up.at(start), SCHEDULE, start=start, trajectory=up)
    assert rms(back, z0).max() <= 1e-12
    assert back.shape == z0.shape


@pytest.mark.parametrize("method", EXACT)
def test_guidance_does_not_make_an_exact_method_inexact(denoiser, z0, method):
    some = MixtureDenoiser(denoiser.templates[:3], denoiser.sigma, denoiser.noise)
    strong = guided(some, denoiser, 7.5)
    assert there_and_back(strong, z0, SCHEDULE, method).max() <= 1e-10
    assert there_and_back(strong, z0, SCHEDULE, "ddim", keep_residuals=False).max() > 1e-2


@pytest.mark.parametrize(("steps", "bound"), [(10, 1e-4), (50, 1e-8), (100, 1e-8)])
def test_five_calls_a_step_with_anderson_nearly_come_back(denoiser, z0, steps, bound):
    schedule = Schedule.ddim(TO_ONE[False], steps)
    error = there_and_back(
        denoiser, z0, schedule, "anderson", refine=4, keep_residuals=False
    ).median()
    plain = there_and_back(denoiser, z0, schedule, "ddim", refine=4, keep_residuals=False).median()
    assert error <= bound
    assert error < plain / 10


@pytest.mark.parametrize("steps", [50])
def test_each_iteration_of_the_fixed_point_comes_closer(denoiser, z0, steps):
    schedule = Schedule.ddim(TO_ONE[False], steps)
    errors = [
        float(
            there_and_back(denoiser, z0, schedule, "ddim", refine=k, keep_residuals=False).median()
        )
        for k in range(6)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 1000


@pytest.mark.parametrize("method", METHODS)
def test_the_network_is_shown_the_timesteps_of_the_schedule_and_no_other(denoiser, z0, method):
    spy, seen = spying(denoiser)
    up = climb(spy, z0, SCHEDULE, method)
    going_up = set(seen)
    seen.clear()
    sample(spy, up.at(50), SCHEDULE, trajectory=up)
    assert going_up == set(seen) == set(SCHEDULE.timesteps)


@pytest.mark.parametrize(
    ("method", "up", "down"),
    [("ddim", 2, 1), ("residual", 2, 1), ("anderson", 5, 1), ("edict", 2, 2),
     ("edit_friendly", 1, 1)],
)  # fmt: skip
def test_the_network_is_called_as_often_as_the_page_says(denoiser, z0, method, up, down):
    spy, seen = spying(denoiser)
    heard = []
    draws = torch.Generator().manual_seed(3) if method == "edit_friendly" else None
    way = invert(
        spy, z0, SCHEDULE, method=method, until=6, generator=draws,
        progress=lambda done, total: heard.append((done, total)),
    )  # fmt: skip
    assert len(seen) == 6 * up
    assert heard == [(done, 6 * up) for done in range(1, 6 * up + 1)]
    seen.clear()
    sample(spy, way.at(6), SCHEDULE, start=6, trajectory=way)
    assert len(seen) == 6 * down


@pytest.mark.parametrize("start", [10, 35, 50])
@pytest.mark.parametrize("method", ["residual", "anderson", "edict"])
def test_an_edit_gets_the_answer_of_plain_ddim(denoiser, z0, method, start):
    edit = 1e-4 * normal(4, 4, 4, 4, seed=4)
    up = climb(denoiser, z0, SCHEDULE, method, until=start)
    level = up.at(start)[:4]
    plain = [sample(denoiser, z, SCHEDULE, start=start) for z in (level, level + edit)]
    truth = (plain[1] - plain[0]).flatten(1)
    edited = sample(denoiser, up.edited(start, edit), SCHEDULE, start=start, trajectory=up)
    answer = (edited - z0).flatten(1)
    # plain DDIM ends beside the picture, and so has a slightly other slope there
    assert functional.cosine_similarity(answer, truth).median() > 0.985
    assert (answer.norm(dim=1) / truth.norm(dim=1)).median() == pytest.approx(1, abs=0.06)


def test_an_edit_of_one_state_of_a_pair_is_answered_too_weakly(denoiser, z0):
    edit = 1e-4 * normal(4, 4, 4, 4, seed=4)
    up = climb(denoiser, z0, SCHEDULE, "edict")
    both = sample(denoiser, up.edited(50, edit), SCHEDULE, trajectory=up) - z0
    one = torch.cat([up.at(50)[:4] + edit, up.at(50)[4:]])
    half = sample(denoiser, one, SCHEDULE, trajectory=up) - z0
    assert (half.flatten(1).norm(dim=1) / both.flatten(1).norm(dim=1)).max() < 0.8


def test_noises_of_edit_friendly_levels_are_independent_and_of_unit_variance(denoiser):
    still = torch.zeros(1, 4, 64, 64, dtype=torch.float64)
    up = invert(
        lambda z, t: z * 0, still, SCHEDULE, method="edit_friendly", until=3,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    noises = [up.at(level) / (1 - SCHEDULE.alpha_bars[level]).sqrt() for level in range(1, 4)]
    matrix = torch.corrcoef(torch.stack([noise.flatten() for noise in noises]))
    assert (matrix - torch.eye(3)).abs().max() < 0.03
    assert all(abs(float(noise.var()) - 1) < 0.05 for noise in noises)


def test_one_seed_gives_one_trajectory_and_leaves_the_global_generator(denoiser, z0):
    before = torch.get_rng_state()
    one, same = (climb(denoiser, z0, SCHEDULE, "edit_friendly") for _ in range(2))
    assert torch.equal(torch.stack(one.latents), torch.stack(same.latents))
    assert torch.equal(torch.get_rng_state(), before)
    other = invert(
        denoiser, z0, SCHEDULE, method="edit_friendly", generator=torch.Generator().manual_seed(9)
    )
    assert not torch.equal(one.at(50), other.at(50))


def test_residual_is_ddim_that_keeps_residuals(denoiser, z0):
    named, kept = climb(denoiser, z0, SCHEDULE, "residual"), invert(denoiser, z0, SCHEDULE)
    assert named.method == "residual"
    assert kept.method == "ddim"
    for one, other in zip((*named.latents, *named.residuals), (*kept.latents, *kept.residuals),
                          strict=True):  # fmt: skip
        assert torch.equal(one, other)


# a timestep told wrongly


@pytest.mark.parametrize("shift", [-1, 1])
@pytest.mark.parametrize("method", METHODS)
def test_a_network_told_a_timestep_beside_the_right_one_on_the_way_back_misses(
    denoiser, z0, method, shift
):
    def told_wrong(z, t):
        return denoiser(z, max(t + shift, 0))

    up = climb(denoiser, z0, SCHEDULE, method)
    right = rms(sample(denoiser, up.at(50), SCHEDULE, trajectory=up), z0)
    wrong = rms(sample(told_wrong, up.at(50), SCHEDULE, trajectory=up), z0)
    assert right.max() <= 1e-12
    assert wrong.min() > 1e-4


# refusals


@pytest.mark.parametrize("method", ["edict", "edit_friendly"])
def test_iterations_of_a_method_without_any_are_refused(denoiser, z0, method):
    with pytest.raises(ConfigError, match=f"refine must be left out for {method}, .* got 2"):
        climb(denoiser, z0, SCHEDULE, method, refine=2)


@pytest.mark.parametrize("method", ["residual", "edit_friendly"])
def test_a_method_that_lives_on_residuals_keeps_them(denoiser, z0, method):
    with pytest.raises(ConfigError, match=f"left out for {method}, which cannot .*, got False"):
        climb(denoiser, z0, SCHEDULE, method, keep_residuals=False)


def test_a_pair_takes_no_residuals(denoiser, z0):
    with pytest.raises(ConfigError, match="left out for edict, which comes back without, got True"):
        climb(denoiser, z0, SCHEDULE, "edict", keep_residuals=True)
    assert climb(denoiser, z0, SCHEDULE, "edict", until=1, keep_residuals=False).arrivals is None


def test_a_generator_is_asked_for_where_noise_is_drawn_and_nowhere_else(denoiser, z0):
    with pytest.raises(
        ConfigError, match=r"a generator must be given .* got none for edit_friendly"
    ):
        invert(denoiser, z0, SCHEDULE, method="edit_friendly")
    with pytest.raises(ConfigError, match=r"a generator must be given .* got one for ddim"):
        invert(denoiser, z0, SCHEDULE, generator=torch.Generator())


def test_one_state_of_a_pair_is_refused_with_what_to_do(denoiser, z0):
    up = climb(denoiser, z0, SCHEDULE, "edict", until=2)
    with pytest.raises(ShapeError, match=r"both states of each pair, \(8, 4, 4, 4\), got \(4, 4, "):
        sample(denoiser, up.at(2)[:4], SCHEDULE, start=2, trajectory=up)
