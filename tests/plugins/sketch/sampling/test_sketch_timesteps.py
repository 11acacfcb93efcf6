"""Representative timesteps: the published list in 50 steps, the same places in any other run."""

import diffusers
import pytest
import torch

from featurekit.core.errors import ConfigError
from featurekit.diffusion.flow_table import FlowTable
from featurekit.diffusion.noise_schedule import NoiseTable, Schedule
from featurekit_sketch.sampling.representative_timesteps import (
    ENOUGH,
    REPRESENTATIVE,
    STEPS,
    check_timesteps,
    levels_of,
    representative,
    run_of,
    timesteps_of,
)
from featurekit_sketch.settings import Reading

NOISE = NoiseTable.scaled_linear()
FIFTY = Schedule.ddim(NOISE, STEPS)
LISTED = (1, 61, 161, 241, 321, 421, 501, 561, 641, 701, 781, 861, 941)
SIGNAL = (  # alpha_bar of the listed timesteps, four digits
    *(0.9983, 0.9398, 0.8121, 0.6885, 0.5551, 0.3913, 0.2750),
    *(0.2014, 0.1243, 0.0819, 0.0435, 0.0210, 0.0091),
)


def test_in_fifty_steps_k_counts_timesteps_of_20_k_plus_1_from_the_clean_end():
    assert [FIFTY.timestep(k + 1) for k in range(STEPS)] == [20 * k + 1 for k in range(STEPS)]
    assert FIFTY.timesteps == tuple(range(981, 0, -20))


def test_those_are_the_timesteps_of_diffusers_with_the_level_of_t_0_at_the_end():
    scheduler = diffusers.DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        timestep_spacing="leading",
    )
    scheduler.set_timesteps(STEPS)
    assert tuple(scheduler.timesteps.tolist()) == FIFTY.timesteps
    assert float(FIFTY.alpha_bars[0]) == pytest.approx(float(scheduler.final_alpha_cumprod))
    assert float(FIFTY.alpha_bars[0]) == pytest.approx(0.99915, abs=1e-5)


def test_k_level_timestep_and_signal_name_the_same_place_and_lead_back():
    for k in range(STEPS):
        level = k + 1
        t = FIFTY.timestep(level)
        assert (t - 1) // 20 == k
        assert STEPS - FIFTY.timesteps.index(t) == level
        assert FIFTY.alpha_bars[level] == NOISE.level(t)


def test_the_list_is_the_published_one():
    assert REPRESENTATIVE == (0, 3, 8, 12, 16, 21, 25, 28, 32, 35, 39, 43, 47)
    assert levels_of(STEPS) == tuple(k + 1 for k in REPRESENTATIVE)
    assert timesteps_of(FIFTY) == LISTED


def test_the_signal_at_the_listed_timesteps_is_the_published_one():
    found = NOISE.level(torch.tensor(timesteps_of(FIFTY))).flatten()
    assert (found - torch.tensor(SIGNAL, dtype=torch.float64)).abs().max() < 5e-5


def test_twenty_steps_give_thirteen_levels_at_the_same_shares_of_the_run():
    levels = levels_of(20)
    assert levels == (1, 2, 4, 6, 7, 9, 11, 12, 14, 15, 17, 18, 20)
    shares = [(level - 1) / 20 - k / STEPS for level, k in zip(levels, REPRESENTATIVE, strict=True)]
    assert max(map(abs, shares)) <= 0.5 / 20 + 1e-12


def test_an_exact_half_is_rounded_upwards():
    assert levels_of(100)[1:3] == (7, 17)
    assert levels_of(25)[1:3] == (3, 5)  # 1.5 and 4
    assert levels_of(75)[1] == 6  # 4.5


def test_enough_steps_always_suffice_and_the_levels_rise_within_the_run():
    for steps in range(ENOUGH, 1001):
        levels = levels_of(steps)
        assert len(levels) == 13
        assert list(levels) == sorted(set(levels))
        assert 1 == levels[0] < levels[-1] <= steps


@pytest.mark.parametrize(("steps", "within"), [(0, 0), (1, 1), (8, 8), (13, 12), (15, 12)])
def test_too_few_steps_are_refused(steps, within):
    message = f"13 representative timesteps .*, got {steps} steps, which give {within}; use 16"
    with pytest.raises(ConfigError, match=message):
        levels_of(steps)
    if steps:
        with pytest.raises(ConfigError, match=f"got {steps} steps"):
            timesteps_of(Schedule.ddim(NOISE, steps))


def test_a_flow_is_read_where_noise_stands_to_signal_as_published():
    """By the signal of the published timesteps, which the specification lists."""
    signal = torch.tensor(SIGNAL[:8])
    ratios = ((1 - signal) / signal).sqrt()
    table = FlowTable(shift=3.0)
    found = representative(table, run_of(table, 50), noised=True)
    assert len(found) == 13
    shares = torch.tensor(found[:8]) / 1000
    torch.testing.assert_close(shares / (1 - shares), ratios, rtol=0.02, atol=1e-3)
    assert representative(FlowTable(shift=6.0), run_of(table, 50), noised=True) == found
    assert list(found) == sorted(found)
    assert 900 < found[-1] < 1000


def test_a_flow_that_is_inverted_is_read_on_its_own_run():
    table = FlowTable(shift=3.0)
    run = run_of(table, 50)
    found = representative(table, run, noised=False)
    assert set(found) < set(run.timesteps)
    assert all(isinstance(one, int) for one in found)
    noise = NoiseTable.scaled_linear()
    assert representative(noise, run_of(noise, 50), noised=True)[:2] == (1, 61)


def test_timesteps_that_a_flow_does_not_have_are_refused():
    table = FlowTable()
    check_timesteps(Reading(timesteps=(0, 1000)), table)
    with pytest.raises(ConfigError, match="must lie in 0 to 1000"):
        check_timesteps(Reading(timesteps=(1001,)), table)
    with pytest.raises(ConfigError, match="must lie in 0 to 999"):
        check_timesteps(Reading(timesteps=(1000,)), NoiseTable.scaled_linear())
    with pytest.raises(ConfigError, match="must be of the run of 20 steps"):
        check_timesteps(Reading("inversion", 20, timesteps=(51,)), table)
    check_timesteps(Reading("inversion", 20, timesteps=(50, 100)), table)
