"""Levels of a flow's run: those of the stock pipelines, and Euler's step between them."""

import math

import numpy as np
import pytest
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
)
from flow_families import DYNAMIC, MADE, SOLVER, asked, schedule, table

from featurekit.core.errors import NoiseLevelError, ScheduleError, ShapeError
from featurekit.diffusion.flow_schedule import FlowSchedule, schedule_of, whole_timesteps
from featurekit.diffusion.flow_table import FlowTable
from featurekit.diffusion.flows.sigmas import SPACINGS
from featurekit.diffusion.noise_schedule import NoiseTable, Schedule

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of diffusers, about numpy

STEPS = [1, 4, 20, 28, 50]
FLOAT32 = 5e-7  # of sigmas, which diffusers keeps in it


def euler(found, steps, **sized):
    return FlowSchedule.euler(found, steps, **sized)


def equals(ours, theirs):
    """Same levels and timesteps as a scheduler that was asked, to its own resolution."""
    sigmas, timesteps = theirs.sigmas.double(), theirs.timesteps.double()
    torch.testing.assert_close(ours.sigmas.flip(0), sigmas, atol=FLOAT32, rtol=0)
    found = torch.tensor(ours.timesteps, dtype=torch.float64)
    torch.testing.assert_close(found, timesteps, atol=1000 * FLOAT32, rtol=0)


def test_every_family_is_tried():
    assert set(MADE) == set(SPACINGS)


@pytest.mark.parametrize("tokens", [256, 1024, 4096, 5000])
@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("family", MADE)
def test_levels_are_those_of_the_stock_pipeline(family, steps, tokens):
    found, scheduler = table(family), MADE[family]()
    if family == "qwen_image" and steps == 1:
        with pytest.raises(ScheduleError, match=r"ends at the terminal sigma 0\.02 must have 2"):
            euler(found, 1, tokens=tokens)
        return  # diffusers divides zero by zero
    scheduler.set_timesteps(**asked(family, scheduler, steps, tokens))
    equals(euler(found, steps, tokens=tokens if found.dynamic else None), scheduler)


@pytest.mark.parametrize("of", [DPMSolverMultistepScheduler, UniPCMultistepScheduler])
def test_whole_timesteps_are_cut_off_exactly_as_the_solvers_do(of):
    for shift in (1.0, 3.0, 7.0):
        scheduler = of(flow_shift=shift, **SOLVER)
        found = FlowTable.from_scheduler(scheduler, family="sana")
        for steps in range(1, 101):
            scheduler.set_timesteps(steps)
            ours = euler(found, steps)
            assert list(ours.timesteps) == scheduler.timesteps.tolist()
            theirs = scheduler.sigmas.double()
            torch.testing.assert_close(ours.sigmas.flip(0), theirs, atol=FLOAT32, rtol=0)


@pytest.mark.parametrize("more", [{}, {"shift_terminal": 0.1}])
def test_a_dynamic_shift_of_unipc_is_its_own(more):
    scheduler = UniPCMultistepScheduler(**DYNAMIC, **SOLVER, **more)
    scheduler.set_timesteps(20, mu=0.8)
    ours = euler(FlowTable.from_scheduler(scheduler, family="sana"), 20, mu=0.8)
    torch.testing.assert_close(ours.sigmas.flip(0), scheduler.sigmas.double(), atol=FLOAT32, rtol=0)
    assert list(ours.timesteps) == scheduler.timesteps.tolist()


def test_a_dynamic_shift_of_dpm_solver_is_its_own():
    scheduler = DPMSolverMultistepScheduler(**DYNAMIC, **SOLVER)
    found = FlowTable.from_scheduler(scheduler, family="sana")
    scheduler.set_timesteps(20, mu=0.8)
    ours = euler(found, 20, mu=0.8)
    assert list(ours.timesteps) == scheduler.timesteps.tolist()


@pytest.mark.parametrize("family", ["sd3", "lumina2"])
@pytest.mark.parametrize("steps", [2, 20])
@pytest.mark.parametrize("kind", ["karras", "exponential", "beta"])
def test_other_spacings_are_those_of_the_scheduler(kind, steps, family):
    scheduler = FlowMatchEulerDiscreteScheduler(shift=2.0, **{f"use_{kind}_sigmas": True})
    found = FlowTable.from_scheduler(scheduler, family=family)
    scheduler.set_timesteps(**asked(family, scheduler, steps, 1024) | {"mu": None})
    equals(euler(found, steps), scheduler)


def test_a_shift_that_was_set_later_is_read_off_the_scheduler():
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_shift(5.0)
    scheduler.set_timesteps(20)
    equals(euler(FlowTable.from_scheduler(scheduler, family="sd3"), 20), scheduler)


def test_the_double_shift_of_a_pipeline_that_passes_nothing_shows_at_the_low_end():
    assert float(schedule("sd3", 28).sigmas[1]) == pytest.approx(0.008929, abs=1e-6)
    once = euler(FlowTable(shift=3.0), 1000)
    assert float(once.sigmas[1]) == pytest.approx(0.002994, abs=1e-6)


# the schedule itself


def test_a_schedule_says_its_levels_and_how_they_were_chosen():
    found = euler(FlowTable(shift=3.0), 4)
    assert found.timesteps == (1000, 900, 750, 500)
    assert found.sigmas.tolist() == pytest.approx([0, 0.5, 0.75, 0.9, 1])
    assert found.steps == 4
    assert [found.timestep(level) for level in (1, 4)] == pytest.approx([500, 1000])
    assert found.time(0) == 0.0
    assert found.level_for(0.5) == 2
    assert found.terminal_snr == 0
    assert found.told == "flow, 4 steps, even sigmas, shift 3"
    assert repr(found).startswith("FlowSchedule(n=4, t=500..1000, sigma 0.5..1, ")
    t, sigma = found.halfway(1, 0)
    assert (t, float(sigma)) == pytest.approx((250, 0.25))


def test_what_ends_early_and_what_was_left_out_is_told():
    config = {"_class_name": "FlowMatchEulerDiscreteScheduler", "beta_start": 0.1, "shift": 2.0}
    found = FlowTable.from_scheduler({**config, "shift_terminal": 0.1, "use_beta_sigmas": True})
    assert euler(found, 4).told == (
        "flow, 4 steps, even sigmas, shift 2, beta spacing, ending at 0.1; left out of the "
        "scheduler: beta_start"
    )


def test_fingerprints_tell_schedules_apart():
    one, other = euler(FlowTable(), 4), euler(FlowTable(), 4)
    assert one.fingerprint == other.fingerprint
    moved = FlowSchedule(one.timesteps, one.sigmas * 0.9)
    assert (
        len({one.fingerprint, euler(FlowTable(shift=2.0), 4).fingerprint, moved.fingerprint}) == 3
    )


def test_a_step_is_eulers_and_goes_both_ways():
    found = schedule("flux", 20)
    z, v = (torch.randn(2, 4, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(i))
            for i in range(2))  # fmt: skip
    down = found.step(z, v, 12, 11)
    torch.testing.assert_close(down, z + (found.sigmas[11] - found.sigmas[12]) * v)
    torch.testing.assert_close(found.step(down, v, 11, 12), z, atol=1e-15, rtol=0)


def test_a_step_is_that_of_the_scheduler():
    scheduler = MADE["sd3"]()
    scheduler.set_timesteps(20)
    found = schedule("sd3", 20)
    z, v = (torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(i)) for i in range(2))
    for level, t in zip(range(20, 0, -1), scheduler.timesteps, strict=True):
        theirs = scheduler.step(v, t, z).prev_sample
        torch.testing.assert_close(found.step(z, v, level, level - 1), theirs, atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_step_keeps_the_dtype_of_the_latent(dtype):
    z = torch.ones(1, 4, 2, 2, dtype=dtype)
    assert schedule("flux", 4).step(z, z, 4, 3).dtype == dtype


@pytest.mark.parametrize("level", [0, 1, 3, 4])
def test_a_latent_is_carried_to_a_level_of_any_run(level):
    draws = torch.Generator().manual_seed(0)
    x0, eps = torch.randn(2, 1, 4, 3, 3, dtype=torch.float64, generator=draws)
    flow, ddim = schedule("flux", 4), Schedule.ddim(NoiseTable.scaled_linear(), 4)
    s, signal = float(flow.sigmas[level]), float(ddim.alpha_bars[level])
    torch.testing.assert_close(flow.noised(x0, eps, level), (1 - s) * x0 + s * eps)
    expected = signal**0.5 * x0 + (1 - signal) ** 0.5 * eps
    torch.testing.assert_close(ddim.noised(x0, eps, level), expected)
    back = flow.step(flow.noised(x0, eps, level), eps - x0, level, 0)
    torch.testing.assert_close(back, x0)
    for found in (flow, ddim):
        with pytest.raises(NoiseLevelError, match="between levels 0 to 4, got 5"):
            found.noised(x0, eps, 5)


@pytest.mark.parametrize("levels", [(5, 4), (0, -1)])
def test_a_step_outside_the_run_is_refused(levels):
    z = torch.ones(1, 4, 2, 2)
    for found in (schedule("flux", 4), Schedule.ddim(NoiseTable.scaled_linear(), 4)):
        with pytest.raises(NoiseLevelError, match=r"between levels 0 to 4, got (5|-1)"):
            found.step(z, z, *levels)


def test_an_answer_of_another_shape_is_refused():
    with pytest.raises(ShapeError, match=r"v must be \(1, 4, 2, 2\) torch.float32"):
        schedule("flux", 4).step(torch.ones(1, 4, 2, 2), torch.ones(1, 4, 2, 1), 4, 3)


# refusals


@pytest.mark.parametrize(
    ("timesteps", "sigmas", "words"),
    [
        ((), [0.0], "timesteps must fall"),
        ((500.0, 900.0), [0.0, 0.5, 0.9], "timesteps must fall"),
        ((math.nan,), [0.0, 0.5], "timesteps must fall"),
        ((900.0, -1.0), [0.0, 0.5, 0.9], "timesteps must fall"),
        ((900.0, 500.0), [0.0, 0.9, 0.5], "sigmas must rise from 0 to 1"),
        ((900.0, 500.0), [0.1, 0.5, 0.9], "sigmas must rise from 0 to 1"),
        ((900.0, 500.0), [0.0, 0.5, 1.1], "sigmas must rise from 0 to 1"),
        ((900.0, 500.0), [0.0, 0.5, math.nan], "sigmas must rise from 0 to 1"),
    ],
)
def test_lists_that_contradict_each_other_are_refused(timesteps, sigmas, words):
    with pytest.raises(ScheduleError, match=words):
        FlowSchedule(timesteps, torch.tensor(sigmas, dtype=torch.float64))


def test_levels_of_another_number_or_precision_are_refused():
    with pytest.raises(ShapeError, match=r"sigmas must be \(levels=2\), got \(1,\)"):
        FlowSchedule((900.0,), torch.zeros(1, dtype=torch.float64))
    with pytest.raises(ScheduleError, match=r"must be float64 on the CPU, got torch\.float32"):
        FlowSchedule((900.0,), torch.tensor([0.0, 0.9]))


def test_runs_that_cannot_be_are_refused():
    dynamic = table("flux")
    with pytest.raises(ScheduleError, match="number of tokens, or mu, got neither"):
        euler(dynamic, 4)
    with pytest.raises(ScheduleError, match="number of tokens, or mu, got both"):
        euler(dynamic, 4, tokens=16, mu=1.0)
    with pytest.raises(ScheduleError, match="tokens must be 1 or more, got 0"):
        euler(dynamic, 4, tokens=0)
    with pytest.raises(ScheduleError, match=r"mu must be left out where the shift is fixed \(3\)"):
        euler(table("sd3"), 4, mu=1.0)
    with pytest.raises(ScheduleError, match="steps must be 1 or more, got 0"):
        euler(table("sd3"), 0)
    with pytest.raises(ScheduleError, match=r"must be of a flow-matching model, got NoiseTable\("):
        euler(NoiseTable.scaled_linear(), 4)
    with pytest.raises(ScheduleError, match=r"must be of a diffusion model, got FlowTable\("):
        Schedule.ddim(table("sd3"), 4)
    drawing = FlowTable.from_scheduler({"stochastic_sampling": True})
    with pytest.raises(ScheduleError, match="stochastic_sampling must be false, got true"):
        euler(drawing, 4)


def test_a_given_mu_is_that_of_its_tokens():
    found = table("flux")
    assert euler(found, 8, mu=1.15).fingerprint == euler(found, 8, tokens=4096).fingerprint


def test_the_run_of_any_model_is_chosen_by_its_kind():
    noise, found = NoiseTable.scaled_linear(), table("flux", patch=2)
    assert schedule_of(noise, 10).fingerprint == Schedule.ddim(noise, 10).fingerprint
    sized = schedule_of(found, 10, cells=(64, 32))
    assert sized.fingerprint == euler(found, 10, tokens=512).fingerprint
    fixed = schedule_of(table("sd3"), 10, cells=(64, 32))
    assert np.allclose(fixed.timesteps, schedule("sd3", 10).timesteps)


@pytest.mark.parametrize("family", MADE)
def test_whole_timesteps_are_the_nearest_to_a_run_and_are_told(family):
    run = schedule(family, 28, tokens=64)
    whole = whole_timesteps(run)
    assert all(isinstance(t, int) for t in whole.timesteps)
    assert (whole.sigmas - run.sigmas).abs().max() <= 0.0005
    levels = torch.tensor(whole.timesteps, dtype=torch.float64).flip(0) / 1000
    assert torch.equal(whole.sigmas[1:], levels)
    assert whole.told == f"{run.told}, at whole timesteps"


def test_whole_timesteps_are_those_of_diffusion_and_never_one_twice():
    ddim = Schedule.ddim(NoiseTable.scaled_linear(), 20)
    assert whole_timesteps(ddim) is ddim
    with pytest.raises(ScheduleError, match="timesteps must fall"):
        whole_timesteps(schedule_of(FlowTable(), 1500))
