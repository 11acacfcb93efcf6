"""Noise levels: the numbers of Stable Diffusion, agreement with diffusers, and what is refused."""

from dataclasses import replace

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    PNDMScheduler,
)

from featurekit.core.errors import NoiseLevelError, ScheduleError, ShapeError
from featurekit.diffusion.noise_schedule import NoiseTable, Schedule

SD15 = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "clip_sample": False,
}
SD15_FILE = {
    **SD15,
    "_class_name": "PNDMScheduler",
    "_diffusers_version": "0.6.0",
    "skip_prk_steps": True,
    "trained_betas": None,
}


@pytest.fixture(scope="module")
def sd():
    return NoiseTable.scaled_linear()


def levels(*values):
    return torch.tensor(values, dtype=torch.float64)


# laws


def test_a_table_falls_from_nearly_clean_to_nearly_noise(sd):
    assert sd.alpha_bars.shape == (1000,)
    assert (sd.alpha_bars.diff() < 0).all()
    assert float(sd.alpha_bars[0]) == pytest.approx(1 - 0.00085)
    assert sd.alpha_bars.dtype == torch.float64


def test_the_clean_end_is_the_first_level_unless_it_is_set_to_one(sd):
    assert sd.final_alpha_bar == float(sd.alpha_bars[0])
    assert NoiseTable.scaled_linear(set_alpha_to_one=True).final_alpha_bar == 1.0


def test_one_timestep_gives_a_level_without_axes(sd):
    level = sd.level(681)
    assert level.shape == ()
    assert level.dtype == torch.float64


def test_a_timestep_without_axes_reads_like_an_integer(sd):
    assert torch.equal(sd.level(torch.tensor(681)), sd.level(681))


def test_a_timestep_per_image_gives_a_level_that_broadcasts(sd):
    level = sd.level(torch.tensor([0, 681, 999]))
    assert level.shape == (3, 1, 1, 1)
    assert level.flatten().tolist() == [float(sd.level(t)) for t in (0, 681, 999)]


def test_levels_and_timesteps_of_a_schedule_are_those_of_the_table(sd):
    schedule = Schedule.ddim(sd, 50)
    assert float(schedule.alpha_bars[0]) == sd.final_alpha_bar
    for level in range(1, 51):
        assert schedule.alpha_bars[level] == sd.level(schedule.timestep(level))


def test_the_table_decides_spacing_and_offset_unless_told_otherwise(sd):
    table = replace(sd, spacing="trailing", steps_offset=0)
    assert Schedule.ddim(table, 4).timesteps == (999, 749, 499, 249)
    assert Schedule.ddim(table, 4, "leading").timesteps == (750, 500, 250, 0)
    assert Schedule.ddim(table, 4, "leading", 1).timesteps == (751, 501, 251, 1)


# numbers of Stable Diffusion


def test_fifty_steps_run_from_981_to_1(sd):
    schedule = Schedule.ddim(sd, 50)
    assert schedule.timesteps == tuple(range(981, 0, -20))
    assert schedule.steps == 50


def test_strength_07_of_50_steps_starts_at_681(sd):
    schedule = Schedule.ddim(sd, 50)
    level = schedule.level_for(0.7)
    assert level == 35
    assert schedule.timestep(level) == 681
    assert schedule.timestep(level - 1) == 661


def test_strength_07_of_20_steps_starts_at_651(sd):
    schedule = Schedule.ddim(sd, 20)
    assert schedule.level_for(0.7) == 14
    assert schedule.timestep(14) == 651


@pytest.mark.parametrize(("t", "expected"), [(681, 0.0946), (661, 0.1087), (0, 0.99915)])
def test_known_levels(sd, t, expected):
    assert float(sd.level(t)) == pytest.approx(expected, abs=5e-5)


def test_full_strength_is_the_noisiest_level(sd):
    assert Schedule.ddim(sd, 50).level_for(1.0) == 50


# agreement with diffusers


@pytest.mark.parametrize(
    "scheduler",
    [
        DDIMScheduler(**SD15),
        PNDMScheduler.from_config(SD15_FILE),
        DDPMScheduler(
            **{k: SD15[k] for k in SD15 if k not in ("set_alpha_to_one", "steps_offset")}
        ),
        EulerDiscreteScheduler.from_config({**SD15, "timestep_spacing": "leading"}),
    ],
    ids=lambda scheduler: type(scheduler).__name__,
)
def test_a_scheduler_keeps_its_own_levels(scheduler):
    table = NoiseTable.from_scheduler(scheduler)
    assert torch.equal(table.alpha_bars, scheduler.alphas_cumprod.double())


@pytest.mark.parametrize(
    "source",
    [
        DDIMScheduler(**SD15),
        DDIMScheduler(**SD15).config,
        PNDMScheduler(skip_prk_steps=True, **{k: SD15[k] for k in SD15 if k != "clip_sample"}),
        PNDMScheduler.from_config(SD15_FILE),
        PNDMScheduler.from_config(SD15_FILE).config,
        SD15_FILE,
        SD15,
    ],
    ids=["ddim", "ddim config", "pndm", "pndm file", "pndm config", "file", "plain"],
)
def test_sd15_is_one_table_wherever_it_comes_from(sd, source):
    table = NoiseTable.from_scheduler(source)
    # diffusers multiplies in float32
    torch.testing.assert_close(table.alpha_bars, sd.alpha_bars, rtol=2e-5, atol=0)
    assert table.final_alpha_bar == float(table.alpha_bars[0])
    assert (table.prediction, table.spacing, table.steps_offset) == ("epsilon", "leading", 1)
    assert Schedule.ddim(table).timesteps[0] == 981


def test_v_prediction_and_spacing_are_read():
    config = {**SD15, "prediction_type": "v_prediction", "timestep_spacing": "trailing"}
    table = NoiseTable.from_scheduler(DDIMScheduler(**config))
    assert (table.prediction, table.spacing) == ("v_prediction", "trailing")


@pytest.mark.parametrize("source", [DDIMScheduler, PNDMScheduler, EulerDiscreteScheduler])
def test_an_unset_clean_end_is_the_default_of_the_class(source):
    kept = {k: SD15[k] for k in ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule")}
    named = {**kept, "_class_name": source.__name__, "clip_sample": False}
    table = NoiseTable.from_scheduler(named)
    assert (table.final_alpha_bar == 1.0) == (source is not PNDMScheduler)
    assert table.steps_offset == 0


# refusals


@pytest.mark.parametrize("setting", ["clip_sample", "thresholding", "rescale_betas_zero_snr"])
@pytest.mark.parametrize("as_object", [True, False])
def test_a_scheduler_without_inverse_is_refused(setting, as_object):
    config = {**SD15, setting: True}
    table = NoiseTable.from_scheduler(DDIMScheduler(**config) if as_object else config)
    assert 0 < float(table.level(261)) < 1  # what reading features asks for
    with pytest.raises(ScheduleError, match=f"{setting} must be false, got true"):
        Schedule.ddim(table)


def test_a_timestep_without_signal_is_refused_and_the_others_are_told():
    table = NoiseTable.from_scheduler({**SD15, "rescale_betas_zero_snr": True})
    assert 0 < float(table.level(998)) < 1e-4
    with pytest.raises(NoiseLevelError, match="t must have some signal left, got 999"):
        table.level(999)


def test_999_steps_are_refused_only_where_the_clean_end_is_cleaner_than_timestep_zero(sd):
    assert Schedule.ddim(sd, 999).timesteps == tuple(range(999, 0, -1))
    with pytest.raises(ScheduleError, match="lists the clean end after 1 and"):
        Schedule.ddim(replace(sd, final_alpha_bar=1.0), 999)


def test_a_spacing_that_diffusers_does_not_follow_is_refused(sd):
    with pytest.raises(ScheduleError, match="must lead to the next one, but linspace spacing"):
        Schedule.ddim(replace(sd, spacing="linspace"))


@pytest.mark.parametrize("prediction", ["flow_prediction", "flow"])
def test_an_unknown_prediction_is_refused(prediction):
    with pytest.raises(ScheduleError, match=f"epsilon, v_prediction, sample, got '{prediction}'"):
        NoiseTable.from_scheduler({**SD15, "prediction_type": prediction})


def test_a_level_without_signal_is_refused_by_its_timestep():
    with pytest.raises(ScheduleError, match=r"must lie in \(0, 1\], got 0 at index 1"):
        NoiseTable.from_scheduler({"trained_betas": [0.1, 1.0]})


def test_a_flow_scheduler_is_refused_with_the_reason():
    with pytest.raises(ScheduleError, match=r"got none for beta_start.*flow-matching"):
        NoiseTable.from_scheduler(FlowMatchEulerDiscreteScheduler())


def test_something_that_is_no_scheduler_is_refused():
    with pytest.raises(ScheduleError, match=r"got str; pass pipe.scheduler"):
        NoiseTable.from_scheduler("ddim")


def test_a_table_in_another_precision_is_refused(sd):
    with pytest.raises(ScheduleError, match=r"must be float64 on the CPU, got torch.float32"):
        replace(sd, alpha_bars=sd.alpha_bars.float())


def test_a_table_with_two_axes_is_refused(sd):
    with pytest.raises(ShapeError, match=r"alpha_bars must be \(t\), got \(1, 1000\)"):
        replace(sd, alpha_bars=sd.alpha_bars[None])


@pytest.mark.parametrize("rising", [levels(0.9, 0.9), levels(0.5, 0.9)])
def test_a_table_that_does_not_fall_is_refused(rising):
    with pytest.raises(ScheduleError, match="got no fall from t=0 to t=1"):
        NoiseTable(rising, 1.0, "epsilon")


@pytest.mark.parametrize("final", [0.89, 1.01, float("nan")])
def test_a_clean_end_noisier_than_the_table_is_refused(final):
    with pytest.raises(ScheduleError, match=r"final_alpha_bar must lie in .* = \[0.9, 1\]"):
        NoiseTable(levels(0.9, 0.5), final, "epsilon")


@pytest.mark.parametrize("t", [-1, -19, 1000, torch.tensor([3, 1000]), torch.tensor(-1)])
def test_a_timestep_outside_the_table_is_refused_with_its_value(sd, t):
    with pytest.raises(NoiseLevelError, match=r"t must lie in \[0, 999\], got (-1|-19|1000)$"):
        sd.level(t)


@pytest.mark.parametrize("t", [0.5, torch.tensor([1.0])])
def test_a_timestep_that_is_no_integer_is_refused(sd, t):
    with pytest.raises(NoiseLevelError, match=r"t must be an integer, got torch\.float32"):
        sd.level(t)


def test_timesteps_with_two_axes_are_refused(sd):
    with pytest.raises(ShapeError, match=r"t must be \(b\), got \(1, 1\)"):
        sd.level(torch.zeros(1, 1, dtype=torch.long))


@pytest.mark.parametrize("level", [0, 51, -1])
def test_a_level_without_timestep_is_refused(sd, level):
    with pytest.raises(NoiseLevelError, match=rf"level must lie in \[1, 50\], got {level}"):
        Schedule.ddim(sd, 50).timestep(level)


@pytest.mark.parametrize("strength", [0.0, -0.5, 1.01, float("nan")])
def test_a_strength_outside_zero_to_one_is_refused(sd, strength):
    with pytest.raises(NoiseLevelError, match=r"strength must lie in \(0, 1\]"):
        Schedule.ddim(sd, 50).level_for(strength)


def test_a_strength_of_less_than_a_step_is_refused(sd):
    with pytest.raises(NoiseLevelError, match=r"got 0.005; raise it above 0.01"):
        Schedule.ddim(sd, 50).level_for(0.005)


def test_a_schedule_needs_one_level_more_than_timesteps():
    with pytest.raises(ShapeError, match=r"alpha_bars must be \(levels=3\), got \(2,\)"):
        Schedule((2, 1), levels(0.9, 0.5))


@pytest.mark.parametrize("timesteps", [(), (1, 2), (2, 2)])
def test_a_schedule_whose_timesteps_do_not_fall_is_refused(timesteps):
    falling = levels(0.9, 0.8, 0.7)[: len(timesteps) + 1]
    with pytest.raises(ScheduleError, match="timesteps must fall, noisiest first, got"):
        Schedule(timesteps, falling)


def test_a_schedule_whose_levels_rise_is_refused():
    with pytest.raises(ScheduleError, match="alpha_bars must fall from the clean level on"):
        Schedule((2, 1), levels(0.9, 0.5, 0.6))


def test_timestep_zero_may_be_as_clean_as_the_clean_end(sd):
    schedule = Schedule.ddim(sd, 50, steps_offset=0)
    assert schedule.timestep(1) == 0
    assert schedule.alpha_bars[0] == schedule.alpha_bars[1]


# what is told of it


def test_the_terminal_snr_of_scaled_linear_is_the_published_one(sd):
    # Lin et al. 2023, arXiv:2305.08891, section 3.1: sqrt(alpha_bar) 0.068265, SNR 0.004682
    assert sd.terminal_snr == pytest.approx(0.004682, abs=5e-7)
    assert sd.terminal_snr == pytest.approx(0.068265**2 / (1 - 0.068265**2), rel=1e-4)


def test_the_terminal_snr_of_a_run_is_that_of_its_noisiest_level(sd):
    assert Schedule.ddim(sd, 50, "trailing").terminal_snr == sd.terminal_snr  # reaches t = 999
    leading = Schedule.ddim(sd, 50)  # stops at 981
    alpha_bar = float(sd.level(981))
    assert leading.terminal_snr == pytest.approx(alpha_bar / (1 - alpha_bar), rel=1e-12)
    assert leading.terminal_snr > 1.2 * sd.terminal_snr


def test_table_and_schedule_print_one_line(sd):
    assert repr(sd) == (
        "NoiseTable(1000 timesteps, epsilon, leading+1, alpha_bar 0.99915..0.00466)"
    )
    run = Schedule.ddim(sd, 50)
    words = f"Schedule(n=50, t=1..981, alpha_bar 0.99915..0.00578, {run.fingerprint})"
    assert repr(run) == words
    assert len(repr(Schedule.ddim(sd, 999))) < 100
