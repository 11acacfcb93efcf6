"""Conventions of diffusers: its timesteps, its levels, and what in a config has no inverse."""

from inspect import signature

import diffusers
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    PNDMScheduler,
)

from featurekit.core.errors import ScheduleError, UnknownNameError
from featurekit.diffusion.beta_schedules import DEFAULTS, alpha_bars
from featurekit.diffusion.diffusers_schedulers import (
    ddim_timesteps,
    described,
    obstacle_to_inversion,
)
from featurekit.diffusion.noise_schedule import NoiseTable, Schedule

CONFIG = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
}


# timesteps


@pytest.mark.parametrize("total", [1000, 100])
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("offset", [0, 1, 7])
def test_timesteps_are_those_of_diffusers_or_refused_for_a_reason(total, spacing, offset):
    config = {**CONFIG, "num_train_timesteps": total, "timestep_spacing": spacing}
    scheduler = DDIMScheduler(**config, steps_offset=offset)
    accepted = 0
    for steps in range(1, total + 1):
        scheduler.set_timesteps(steps)
        listed = tuple(scheduler.timesteps.tolist())
        stepped = tuple(max(t - total // steps, -1) for t in listed)
        if stepped == (*listed[1:], -1) and max(listed) < total:
            assert ddim_timesteps(total, steps, spacing, offset) == listed
            accepted += 1
        else:
            with pytest.raises(ScheduleError, match=f"{spacing} spacing of {steps} steps"):
                ddim_timesteps(total, steps, spacing, offset)
    assert accepted >= 2


def test_leading_is_accepted_for_every_number_of_steps_that_stays_in_the_table():
    assert all(ddim_timesteps(1000, n, "leading", 0)[-1] == 0 for n in range(1, 1001))
    assert all(ddim_timesteps(1000, n, "leading", 1)[-1] == 1 for n in range(1, 501))


@pytest.mark.parametrize("steps", [501, 999])
def test_a_last_step_to_zero_ends_clean_only_where_zero_is_clean(steps):
    # diffusers steps from 1 to 0 here, not to its final level
    assert ddim_timesteps(1000, steps, "leading", 1, clean_at=0)[-1] == 1
    with pytest.raises(ScheduleError, match=r"lists the clean end after 1 and .* goes to 0;"):
        ddim_timesteps(1000, steps, "leading", 1)


def test_trailing_is_accepted_where_the_steps_divide_the_table():
    for n in (1, 2, 4, 5, 8, 10, 20, 25, 40, 50, 100, 125, 200, 250, 500, 1000):
        assert ddim_timesteps(1000, n, "trailing", 0)[0] == 999


def test_a_thousand_steps_with_offset_one_leave_the_table():
    assert ddim_timesteps(1000, 1000, "leading", 0)[0] == 999
    with pytest.raises(ScheduleError, match=r"must lie in \[0, 999\], .* runs from 1000 to 1;"):
        ddim_timesteps(1000, 1000, "leading", 1)


def test_a_negative_offset_leaves_the_table():
    with pytest.raises(ScheduleError, match=r"must lie in \[0, 999\], .* runs from 960 to -20;"):
        ddim_timesteps(1000, 50, "leading", -20)


def test_a_list_that_diffusers_does_not_follow_is_refused_with_both_successors():
    with pytest.raises(ScheduleError, match=r"lists 888 after 999 and .* step goes to 899;"):
        ddim_timesteps(1000, 10, "linspace", 0)


def test_a_last_step_that_does_not_end_clean_is_refused():
    with pytest.raises(ScheduleError, match=r"lists the clean end after 40 and .* goes to 7;"):
        ddim_timesteps(1000, 30, "leading", 40)


def test_an_unknown_spacing_is_refused_with_the_known_ones():
    with pytest.raises(UnknownNameError, match="no spacing named 'leadng'; did you mean leading"):
        ddim_timesteps(1000, 50, "leadng", 1)


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_a_number_of_steps_outside_the_table_is_refused(steps):
    with pytest.raises(ScheduleError, match=rf"steps must lie in \[1, 1000\], got {steps}"):
        ddim_timesteps(1000, steps, "leading", 0)


# levels


@pytest.mark.parametrize(
    ("kind", "of"),
    [
        ("linear", DDIMScheduler),
        ("scaled_linear", DDIMScheduler),
        ("squaredcos_cap_v2", DDIMScheduler),
        ("laplace", DDPMScheduler),
        ("sigmoid", DDPMScheduler),
        ("exp", HeunDiscreteScheduler),
    ],
)
@pytest.mark.parametrize("total", [1000, 37])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of diffusers, about numpy
def test_levels_are_those_of_the_scheduler_that_is_configured(kind, of, total):
    config = {**CONFIG, "beta_schedule": kind, "num_train_timesteps": total}
    theirs = of(**config).alphas_cumprod
    ours = alpha_bars(config)
    assert ours.dtype == torch.float64
    # diffusers multiplies in float32
    torch.testing.assert_close(ours, theirs.double(), rtol=1e-4, atol=0)


def test_levels_without_signal_at_the_end_are_those_of_the_scheduler():
    config = {**CONFIG, "rescale_betas_zero_snr": True}
    ours, theirs = alpha_bars(config), DDIMScheduler(**config).alphas_cumprod.double()
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-8)
    assert ours[-1] == theirs[-1] == 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of diffusers, about numpy
@pytest.mark.parametrize("name", DEFAULTS)
def test_betas_that_a_file_leaves_out_are_the_defaults_of_its_class(name):
    try:
        kind = getattr(diffusers, name)
        said = signature(kind.__init__).parameters
    except ImportError:  # a class that needs another package
        pytest.skip(f"{name} is not there")
    if "beta_start" not in said:
        pytest.skip(f"{name} needs a package that is not installed")
    assert {key: said[key].default for key in DEFAULTS[name]} == DEFAULTS[name]
    assert said["num_train_timesteps"].default == 1000
    table = NoiseTable.from_scheduler({"_class_name": name, "clip_sample": False})
    torch.testing.assert_close(table.alpha_bars, kind().alphas_cumprod.double(), rtol=1e-4, atol=0)


def test_trained_betas_come_before_every_other_setting():
    expected = torch.tensor([0.9, 0.45], dtype=torch.float64)
    torch.testing.assert_close(alpha_bars({**CONFIG, "trained_betas": [0.1, 0.5]}), expected)


def test_a_beta_schedule_of_another_kind_is_refused():
    with pytest.raises(ScheduleError, match="got 'quadratic'; pass the scheduler object"):
        alpha_bars({**CONFIG, "beta_schedule": "quadratic"})


@pytest.mark.parametrize("total", [0, 1000.0, "1000", None])
def test_a_length_that_is_none_is_refused(total):
    with pytest.raises(ScheduleError, match=r"num_train_timesteps"):
        alpha_bars({**CONFIG, "num_train_timesteps": total})


@pytest.mark.parametrize("trained", [[], 0.1, [[0.1]]])
def test_trained_betas_that_are_no_list_are_refused(trained):
    with pytest.raises(ScheduleError, match="trained_betas must be a list of numbers"):
        alpha_bars({**CONFIG, "trained_betas": trained})


def test_missing_settings_are_named():
    config = {"num_train_timesteps": 1000, "beta_start": 0.1, "beta_end": None}
    with pytest.raises(ScheduleError, match="got none for beta_end, beta_schedule;"):
        alpha_bars(config)


@pytest.mark.parametrize("name", ["beta_start", "beta_end"])
@pytest.mark.parametrize("beta", [-0.1, 0.0, 1.0, float("nan")])
def test_a_beta_outside_zero_to_one_is_refused(name, beta):
    with pytest.raises(ScheduleError, match=r"betas must lie in \(0, 1\), got .*"):
        alpha_bars({**CONFIG, name: beta})


# what has no inverse


@pytest.mark.parametrize("name", ["", "DDIMScheduler", "PNDMScheduler"])
def test_a_config_that_neither_clips_nor_rescales_is_accepted(name):
    assert obstacle_to_inversion(CONFIG, name) == ""


@pytest.mark.parametrize("setting", ["clip_sample", "thresholding", "rescale_betas_zero_snr"])
def test_a_step_without_inverse_is_refused_by_its_setting(setting):
    said = obstacle_to_inversion({**CONFIG, setting: True}, "")
    assert said.startswith(f"{setting} must be false, got true: ")
    assert f"; set {setting} to false" in said


@pytest.mark.parametrize("name", ["DDIMScheduler", "DDPMScheduler"])
def test_a_class_that_clips_unless_told_not_to_is_refused_when_not_told(name):
    assert f"got unset, which {name} reads as true" in obstacle_to_inversion({}, name)


@pytest.mark.parametrize("name", ["", "PNDMScheduler", "EulerDiscreteScheduler"])
def test_a_class_that_cannot_clip_need_not_say_so(name):
    assert obstacle_to_inversion({}, name) == ""


# what a class leaves unsaid


def schedulers_with_a_spacing():
    """Every scheduler class of diffusers that lets its runs be spaced."""
    for name in dir(diffusers):
        kind = getattr(diffusers, name) if name.endswith("Scheduler") else None
        words = getattr(kind, "__init__", None) and signature(kind.__init__).parameters
        if words and "timestep_spacing" in words:
            yield kind, words["timestep_spacing"].default


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of diffusers, about numpy
def test_a_spacing_that_nobody_set_is_the_one_that_ddim_would_take_over():
    found = dict(schedulers_with_a_spacing())
    assert len(found) >= 15
    assert set(found.values()) == {"leading", "linspace"}
    for kind in found:
        named = {**CONFIG, "_class_name": kind.__name__}
        taken_over = DDIMScheduler.from_config(kind.from_config(named).config)
        assert described(named).spacing == taken_over.config.timestep_spacing == "leading", kind


@pytest.mark.parametrize(
    "kind", [DDIMScheduler, EulerDiscreteScheduler, DPMSolverMultistepScheduler, PNDMScheduler]
)
def test_a_scheduler_and_its_config_say_the_same(kind):
    config = {key: CONFIG[key] for key in CONFIG if key in signature(kind.__init__).parameters}
    for more in ({}, {"timestep_spacing": "linspace"}):
        own = kind(**config, **more)
        said = more.get("timestep_spacing", "leading")
        assert described(own).spacing == described(own.config).spacing == said
        assert described({**config, **more, "_class_name": kind.__name__}).spacing == said


def test_a_run_of_a_folder_with_another_sampler_is_ddims_unless_it_says_otherwise():
    euler = {**CONFIG, "_class_name": "EulerDiscreteScheduler"}
    assert Schedule.ddim(NoiseTable.from_scheduler(euler), 50).steps == 50
    table = NoiseTable.from_scheduler({**euler, "timestep_spacing": "linspace"})
    run = Schedule.ddim(table, 50)
    assert run.timesteps == Schedule.ddim(table, 50, "leading").timesteps
    assert run.told == (
        "DDIM, 50 steps, leading spacing with steps_offset 0, since DDIM cannot walk the linspace "
        "spacing that is set for EulerDiscreteScheduler"
    )
    with pytest.raises(ScheduleError, match=r"linspace spacing .* use spacing='leading'"):
        Schedule.ddim(table, 50, "linspace")


def test_a_spacing_that_can_be_walked_is_kept_and_the_other_numbers_of_steps_are_ddims():
    turbo = {**CONFIG, "_class_name": "EulerAncestralDiscreteScheduler"}
    table = NoiseTable.from_scheduler({**turbo, "timestep_spacing": "trailing", "steps_offset": 1})
    assert Schedule.ddim(table, 50).timesteps[0] == 999
    assert Schedule.ddim(table, 50).told == "DDIM, 50 steps, trailing spacing"
    assert Schedule.ddim(table, 30).timesteps == Schedule.ddim(table, 30, "leading").timesteps
    assert "cannot walk the trailing spacing" in Schedule.ddim(table, 30).told


def test_a_number_of_steps_that_no_spacing_has_is_refused_whatever_the_sampler():
    euler = {**CONFIG, "_class_name": "EulerDiscreteScheduler", "timestep_spacing": "linspace"}
    table = NoiseTable.from_scheduler({**euler, "steps_offset": 100})
    with pytest.raises(ScheduleError, match=r"runs from 1080 to 100; take fewer steps$"):
        Schedule.ddim(table, 50)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("use_flow_sigmas", True),
        ("timestep_type", "continuous"),
        ("variance_type", "learned_range"),
        ("snr_shift_scale", 3.0),
    ],
)
def test_a_scheduler_of_a_network_that_is_told_something_else_is_refused(setting, value):
    with pytest.raises(ScheduleError, match=f"{setting} must be .*, got {value!r} in the schedul"):
        described({**CONFIG, setting: value})


@pytest.mark.parametrize("offset", ["1", 1.5])
def test_an_offset_that_is_no_number_is_refused(offset):
    with pytest.raises(ScheduleError, match=f"steps_offset must be a whole number, got {offset!r}"):
        described({**CONFIG, "steps_offset": offset})


def test_settings_that_are_null_are_those_that_are_left_out():
    names = ("steps_offset", "timestep_spacing", "trained_betas", "thresholding", "variance_type")
    null, out = described({**CONFIG, **dict.fromkeys(names)}), described(CONFIG)
    assert torch.equal(null.alpha_bars, out.alpha_bars)
    assert null[1:] == out[1:]
