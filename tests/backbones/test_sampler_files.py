"""Folders saved with any sampler: the training table is read, and runs are spaced as DDIM's."""

import json
from inspect import signature

import diffusers
import pytest
import torch
from diffusers import DDIMScheduler, PNDMScheduler

from featurekit.backbones import load
from featurekit.backbones.unet.configs import noise_table
from featurekit.core.errors import ScheduleError
from featurekit.diffusion.noise_schedule import Schedule
from featurekit.diffusion.sample import sample
from featurekit.features.extract import extract

FIRST = PNDMScheduler(
    beta_start=0.00085,
    beta_end=0.012,
    beta_schedule="scaled_linear",
    skip_prk_steps=True,
    steps_offset=1,
)
SAMPLERS = [
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "UniPCMultistepScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "DEISMultistepScheduler",
    "SASolverScheduler",
    "LCMScheduler",
    "TCDScheduler",
    "PNDMScheduler",
    "DDPMScheduler",
    "DDIMScheduler",
]
READ = {  # what of a scheduler's file decides what is read of it, or refuses it
    *("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas"),
    *("prediction_type", "set_alpha_to_one", "steps_offset", "timestep_spacing"),
    *("clip_sample", "thresholding", "rescale_betas_zero_snr"),
    *("use_flow_sigmas", "timestep_type", "variance_type"),
}
SAMPLING = {  # how its own steps go, which are never taken
    *("algorithm_type", "solver_order", "solver_type", "solver_p", "lower_order_final"),
    *("predictor_order", "corrector_order", "disable_corrector", "predict_x0", "tau_func"),
    *("euler_at_final", "final_sigmas_type", "lambda_min_clipped", "sigma_min", "sigma_max"),
    *("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas"),
    *("interpolation_type", "skip_prk_steps", "original_inference_steps", "timestep_scaling"),
    *("clip_sample_range", "sample_max_value", "dynamic_thresholding_ratio"),
    # of flow sigmas alone, which are refused
    *("flow_shift", "use_dynamic_shifting", "time_shift_type", "shift_terminal"),
}

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of diffusers, about numpy


def saved(name, folder, **settings):
    """The file that diffusers writes for a sampler that took over the settings of another."""
    getattr(diffusers, name).from_config(FIRST.config, **settings).save_pretrained(folder)
    return json.loads((folder / "scheduler_config.json").read_text())


def test_every_setting_of_the_samplers_is_judged():
    known = set()
    for name in SAMPLERS:
        known |= set(signature(getattr(diffusers, name).__init__).parameters) - {"self"}
    assert known == READ | SAMPLING
    assert not READ & SAMPLING


@pytest.mark.parametrize("steps", [10, 30, 50])
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_run_is_ddims_on_the_levels_of_the_file(name, steps, tmp_path):
    config = saved(name, tmp_path)
    table, expected = noise_table(config), noise_table(dict(FIRST.config))
    torch.testing.assert_close(table.alpha_bars, expected.alpha_bars, rtol=1e-9, atol=0)
    run = Schedule.ddim(table, steps)
    theirs = DDIMScheduler.from_config(
        FIRST.config, clip_sample=False, timestep_spacing="leading", steps_offset=1
    )
    theirs.set_timesteps(steps)
    assert list(run.timesteps) == theirs.timesteps.tolist()
    said = config.get("timestep_spacing", "leading")
    assert (f"cannot walk the {said} spacing that is set for {name}" in run.told) is (
        said == "linspace"
    )
    assert ("clip_sample is left out" in run.told) is bool(config.get("clip_sample"))


@pytest.mark.parametrize("settings", [{}, {"timestep_spacing": "linspace"}])
def test_a_ddim_file_that_clips_or_cannot_be_walked_is_run_all_the_same(settings, tmp_path):
    config = saved("DDIMScheduler", tmp_path, **settings)
    assert config["clip_sample"]
    del config["clip_sample"]  # which leaves it on
    run = Schedule.ddim(noise_table(config), 50)
    assert run.timesteps[:2] == (981, 961)
    assert run.told.endswith("; its clip_sample is left out, it is not for latents")


@pytest.mark.parametrize("setting", ["thresholding", "rescale_betas_zero_snr"])
@torch.no_grad()
def test_features_are_read_where_no_run_can_be_walked(setting, folder):
    path = folder / "scheduler/scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {setting: True}))
    model = load(str(folder), "cpu")
    found = extract(model, torch.zeros(1, 3, 64, 64), taps=["up1"], timesteps=[261])
    assert found["up1", 261].tensor.std() > 0
    with pytest.raises(ScheduleError, match=f"{setting} must be false, got true: .* to false in"):
        Schedule.ddim(model.noise)


@pytest.mark.parametrize("prediction", ["sample", "v_prediction", "epsilon"])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
@torch.no_grad()
def test_whatever_a_network_predicts_a_run_is_that_of_the_stock_scheduler(
    prediction, guidance, folder
):
    path = folder / "scheduler/scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"prediction_type": prediction}))
    model = load(str(folder), "cpu")
    words, none = model.embed("a face"), model.embed("")
    theirs = DDIMScheduler.from_pretrained(path.parent, clip_sample=False)
    theirs.set_timesteps(10)
    start = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    z = start
    for t in theirs.timesteps:
        answer = model.unet(z, t, words.states, return_dict=False)[0]
        if guidance != 1:
            without = model.unet(z, t, none.states, return_dict=False)[0]
            answer = without + guidance * (answer - without)
        z = theirs.step(answer, t, z).prev_sample
    ours = sample(model.predictor(words, guidance), start, Schedule.ddim(model.noise, 10))
    torch.testing.assert_close(ours, z, rtol=1e-3, atol=1e-3 * float(z.abs().max()))
    found = extract(model, torch.zeros(1, 3, 64, 64), taps=["up1"], timesteps=[261])
    assert found["up1", 261].tensor.std() > 0


def test_a_squared_cosine_file_is_read(folder):
    path = folder / "scheduler/scheduler_config.json"
    config = json.loads(path.read_text()) | {"beta_schedule": "squaredcos_cap_v2"}
    path.write_text(json.dumps(config))
    theirs = DDIMScheduler(beta_schedule="squaredcos_cap_v2").alphas_cumprod.double()
    table = load(str(folder), "cpu").noise
    torch.testing.assert_close(table.alpha_bars, theirs, rtol=1e-4, atol=0)
    assert Schedule.ddim(table, 20).steps == 20


@pytest.mark.parametrize("value", [None, 0, 1])
def test_an_offset_may_be_null(value, folder):
    path = folder / "scheduler/scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"steps_offset": value}))
    assert load(str(folder), "cpu").noise.steps_offset == (value or 0)
