"""invert: the way up is the way down read backwards, to the order that theory gives."""

import math
from collections import Counter

import pytest
import torch

from featurekit.core.errors import ConfigError, NoiseLevelError, ShapeError, UnknownNameError
from featurekit.diffusion.backbone import Predictor
from featurekit.diffusion.invert import invert
from featurekit.diffusion.methods.kinds import METHODS
from featurekit.diffusion.noise_schedule import NoiseTable, Schedule
from featurekit.diffusion.sample import sample
from featurekit.diffusion.steps import ddim_step, eps_from_v
from featurekit.testing import MixtureDenoiser, blob_templates, line_centres

NOISE = NoiseTable.scaled_linear()
SCHEDULE = Schedule.ddim(NOISE, steps=50)
# rms of invert to .7 of the steps, then sample, for the template in the middle
ROUND_TRIP = {10: 3.294e-3, 20: 2.441e-3, 50: 1.452e-3, 100: 9.094e-4, 200: 5.352e-4}


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def denoiser():
    return MixtureDenoiser(blob_templates(line_centres()), 0.05, NOISE)


@pytest.fixture(scope="module")
def z0(denoiser):
    return denoiser.templates[10:11]


def spying(predict):
    seen = []

    def spy(z, t):
        seen.append((t, z))
        return predict(z, t)

    return spy, seen


def rms(a, b):
    return float((a - b).square().mean().sqrt())


def round_trip(predict, z0, steps):
    schedule = Schedule.ddim(NOISE, steps=steps)
    top = schedule.level_for(0.7)
    up = invert(predict, z0, schedule, until=top, keep_residuals=False)
    return rms(sample(predict, up.at(top), schedule, start=top), z0)


def test_an_eps_that_ignores_the_latent_makes_the_way_back_exact():
    drift = normal(4, 32, 32, seed=1)
    z0 = normal(2, 4, 32, 32)

    def predict(z, t):
        return (math.sin(t) * drift).expand_as(z)

    up = invert(predict, z0, SCHEDULE, keep_residuals=False)
    assert (sample(predict, up.at(50), SCHEDULE) - z0).abs().max() < 1e-12


def test_both_directions_show_the_network_the_same_timesteps(denoiser, z0):
    spy, seen = spying(denoiser)
    up = invert(spy, z0, SCHEDULE, keep_residuals=False)
    ascending = [t for t, _ in seen]
    seen.clear()
    sample(spy, up.at(50), SCHEDULE)
    descending = [t for t, _ in seen]
    assert ascending == list(range(1, 982, 20))
    assert Counter(ascending) == Counter(descending) == Counter(SCHEDULE.timesteps)


def test_each_step_asks_the_target_time_about_the_source_latent(denoiser, z0):
    spy, seen = spying(denoiser)
    up = invert(spy, z0, SCHEDULE, keep_residuals=False)
    for level, (t, z) in enumerate(seen, start=1):
        assert t == SCHEDULE.timestep(level)
        assert torch.equal(z, up.at(level - 1))


def test_the_first_step_leaves_from_the_final_alpha_bar(denoiser, z0):
    up = invert(denoiser, z0, SCHEDULE, until=1, keep_residuals=False)
    first = ddim_step(
        z0,
        denoiser(z0, 1),
        alpha_bar_from=torch.tensor(NOISE.final_alpha_bar, dtype=torch.float64),
        alpha_bar_to=NOISE.level(1),
    )
    assert torch.equal(up.at(1), first)


@pytest.mark.parametrize("steps", [5, 50])
def test_it_equals_the_loop_written_out(denoiser, steps):
    z = z0 = normal(1, 4, 32, 32)
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    alpha_bars = torch.cumprod(1 - betas, 0)
    stride, before, way = 1000 // steps, float(alpha_bars[0]), [z0]
    for t in range(1, 1000, stride):
        now, eps = float(alpha_bars[t]), denoiser(z, t)
        c = math.sqrt(now / before)
        z = c * z + (math.sqrt(1 - now) - c * math.sqrt(1 - before)) * eps
        before = now
        way.append(z)
    up = invert(denoiser, z0, Schedule.ddim(NOISE, steps=steps), keep_residuals=False)
    assert up.until == steps
    torch.testing.assert_close(torch.stack(up.latents), torch.stack(way), atol=1e-11, rtol=0)


def test_the_round_trip_error_falls_with_the_first_order_of_the_step(denoiser, z0):
    errors = {steps: round_trip(denoiser, z0, steps) for steps in ROUND_TRIP}
    assert errors == pytest.approx(ROUND_TRIP, rel=1e-3)
    assert list(errors.values()) == sorted(errors.values(), reverse=True)
    assert errors[50] / errors[200] == pytest.approx(2.7, abs=0.05)


@pytest.mark.parametrize("shift", [-1, 1])
def test_a_network_told_a_timestep_too_early_or_late_is_noticed(denoiser, z0, shift):
    def told_wrong(z, t):
        return denoiser(z, t + shift)

    # told wrong both ways nothing shows in an image, but the bound above is 0.1 % and this is more
    assert round_trip(told_wrong, z0, 50) != pytest.approx(ROUND_TRIP[50], rel=0.01)
    right = invert(denoiser, z0, SCHEDULE, keep_residuals=False)
    wrong = invert(told_wrong, z0, SCHEDULE, keep_residuals=False)
    assert rms(right.at(35), wrong.at(35)) > 1e-3


def test_refining_solves_each_step():
    wide = MixtureDenoiser(blob_templates(line_centres()), 0.5, NOISE)
    z0 = wide.templates[10:11] + 0.5 * normal(1, 4, 32, 32)
    errors = []
    for refine in (0, 1, 2, 3, 5):
        up = invert(wide, z0, SCHEDULE, refine=refine, keep_residuals=False)
        errors.append(rms(sample(wide, up.at(50), SCHEDULE), z0))
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 1e-2
    assert errors[-1] <= 1e-5


@pytest.mark.parametrize("method", ["ddim", "anderson"])
def test_iterations_end_where_they_move_the_latent_little_enough(method):
    wide = MixtureDenoiser(blob_templates(line_centres()), 0.5, NOISE)
    z0 = wide.templates[10:11] + 0.5 * normal(1, 4, 32, 32)
    calls = {}
    for tol in (1e-2, 1e-5, 1e-9):
        spy, seen = spying(wide)
        heard = []
        up = invert(
            spy, z0, SCHEDULE, method=method, refine=30, tol=tol, keep_residuals=False,
            progress=lambda done, total, heard=heard: heard.append((done, total)),
        )  # fmt: skip
        assert max(up.fixed_point_rms) <= tol
        assert rms(sample(wide, up.at(50), SCHEDULE), z0) <= 100 * tol
        assert heard[-1] == (50 * 31, 50 * 31)
        calls[tol] = len(seen)
    assert 50 <= calls[1e-2] < calls[1e-5] < calls[1e-9] < 50 * 20


def test_a_tolerance_that_is_never_met_changes_nothing(denoiser, z0):
    settings = {"method": "anderson", "refine": 3, "until": 8}
    plain = invert(denoiser, z0, SCHEDULE, **settings)
    told = invert(denoiser, z0, SCHEDULE, tol=1e-300, **settings)
    assert torch.equal(plain.at(8), told.at(8))
    assert plain.fixed_point_rms == told.fixed_point_rms


def test_what_the_last_iteration_moved_is_kept_for_each_step(denoiser, z0):
    spy, seen = spying(denoiser)
    both = torch.cat([z0, 3 * z0])
    up = invert(spy, both, SCHEDULE, refine=2, until=6, keep_residuals=False)
    assert len(up.fixed_point_rms) == 6
    for level in range(1, 7):
        asked = seen[3 * level - 1][1]  # the third latent of the step; its answer is the level's
        moved = (up.at(level) - asked).square().mean((1, 2, 3)).sqrt()
        assert up.fixed_point_rms[level - 1] == pytest.approx(float(moved.max()), rel=1e-5)


def test_without_iterations_nothing_is_kept_of_them(denoiser, z0):
    assert invert(denoiser, z0, SCHEDULE, until=2).fixed_point_rms is None
    assert invert(denoiser, z0, SCHEDULE, until=2, method="edict").fixed_point_rms is None
    assert invert(denoiser, z0, SCHEDULE, until=0, method="anderson").fixed_point_rms is None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"method": "anderson", "tol": 0.0}, "got 0 with 3 iterations"),
        ({"method": "anderson", "tol": -1e-3}, "got -0.001 with 3 iterations"),
        ({"method": "anderson", "tol": math.nan}, "got nan with 3 iterations"),
        ({"method": "ddim", "tol": 1e-3}, "got 0.001 with 0 iterations"),
        ({"method": "edict", "tol": 1e-3}, "got 0.001 with 0 iterations"),
    ],
)
def test_a_tolerance_that_nothing_can_meet_or_use_is_refused(denoiser, z0, settings, words):
    with pytest.raises(ConfigError, match=f"tol must be a positive rms and go with .*, {words}"):
        invert(denoiser, z0, SCHEDULE, **settings)


def test_residuals_are_what_a_step_back_misses(denoiser, z0):
    up = invert(denoiser, z0, SCHEDULE, until=5)
    assert len(up.residuals) == 5
    for level in range(1, 6):
        arrived = ddim_step(
            up.at(level),
            denoiser(up.at(level), SCHEDULE.timestep(level)),
            alpha_bar_from=SCHEDULE.alpha_bars[level],
            alpha_bar_to=SCHEDULE.alpha_bars[level - 1],
        )
        assert torch.equal(up.residuals[level - 1], up.at(level - 1) - arrived)


def test_a_v_model_takes_the_way_of_an_eps_model(denoiser, z0):
    def from_v(z, t):
        return eps_from_v(denoiser.v(z, t), z, alpha_bar=NOISE.level(t))

    for one, other in zip(
        invert(denoiser, z0, SCHEDULE).latents, invert(from_v, z0, SCHEDULE).latents, strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)


def test_it_stops_at_the_level_it_is_told(denoiser, z0):
    spy, seen = spying(denoiser)
    short = invert(spy, z0, SCHEDULE, until=7, keep_residuals=False)
    assert [t for t, _ in seen] == list(range(1, 140, 20))
    assert short.until == 7
    assert torch.equal(short.at(7), invert(denoiser, z0, SCHEDULE, until=9).at(7))
    assert invert(denoiser, z0, SCHEDULE, until=0).latents == (z0,)


@pytest.mark.parametrize(
    ("refine", "keep", "calls"), [(0, False, 6), (0, True, 12), (3, False, 24), (3, True, 30)]
)
def test_the_network_is_called_as_often_as_promised(denoiser, z0, refine, keep, calls):
    spy, seen = spying(denoiser)
    heard = []
    up = invert(
        spy,
        z0,
        SCHEDULE,
        until=6,
        refine=refine,
        keep_residuals=keep,
        progress=lambda done, total: heard.append((done, total)),
    )
    assert len(seen) == calls
    assert {t for t, _ in seen} == set(SCHEDULE.timesteps[-6:])
    assert heard == [(done, calls) for done in range(1, calls + 1)]
    assert (up.residuals is not None) == keep


def test_the_record_names_its_schedule_and_what_predicted(denoiser, z0):
    up = invert(Predictor(denoiser, lambda: "abc"), z0, SCHEDULE, until=1)
    assert up.schedule is SCHEDULE
    assert up.fingerprint == "abc"
    assert up.at(0) is z0
    assert invert(denoiser, z0, SCHEDULE, until=1).fingerprint == ""


def test_an_unknown_method_is_refused_by_name(denoiser, z0):
    assert METHODS == ("ddim", "anderson", "residual", "edict", "edit_friendly")
    with pytest.raises(UnknownNameError, match=r"no inversion method named 'dim'.*ddim"):
        invert(denoiser, z0, SCHEDULE, method="dim")


@pytest.mark.parametrize("bad", [-1, 51])
def test_a_level_outside_the_schedule_is_refused_with_the_range(denoiser, z0, bad):
    with pytest.raises(NoiseLevelError, match=f"until must be a level from 0 to 50, got {bad}"):
        invert(denoiser, z0, SCHEDULE, until=bad)


def test_other_mistakes_are_refused(denoiser, z0):
    with pytest.raises(ConfigError, match=r"refine must be 0 or more .*, got -1"):
        invert(denoiser, z0, SCHEDULE, refine=-1)
    with pytest.raises(ShapeError, match=r"latent must be \(b c h w\), got \(4, 32, 32\)"):
        invert(denoiser, z0[0], SCHEDULE)
