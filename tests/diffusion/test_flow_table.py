"""What a flow's scheduler config means: every field judged, every level looked up."""

import math
from inspect import signature

import diffusers
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from flow_families import MADE, SOLVER

from featurekit.core.errors import NoiseLevelError, ScheduleError, ShapeError, UnknownNameError
from featurekit.diffusion.flow_steps import flow_noised, flow_step
from featurekit.diffusion.flow_table import FlowTable
from featurekit.diffusion.flows.config import EULER, READ, SOLVERS, UNREAD, is_flow
from featurekit.diffusion.flows.sigmas import SPACINGS, DynamicShift
from featurekit.diffusion.noise_schedule import NoiseTable
from featurekit.diffusion.steps import noised

EVERY = [EULER, *SOLVERS]


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def config_of(name, **more):
    return {"_class_name": name, **({} if name == EULER else SOLVER), **more}


# levels


@pytest.mark.parametrize("t", [0, 1, 250, 999.5, 1000, 1e-9])
def test_a_level_is_the_share_of_noise_at_any_real_timestep(t):
    found = FlowTable().level(t)
    assert found.dtype == torch.float64
    assert found.ndim == 0
    assert float(found) == t / 1000
    assert float(FlowTable(train_timesteps=2000).level(t)) == t / 2000


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.bfloat16])
def test_levels_of_a_batch_stand_over_its_pictures(dtype):
    found = FlowTable().level(torch.tensor([250, 500], dtype=dtype))
    assert found.shape == (2, 1, 1, 1)
    assert found.dtype == torch.float64
    assert found.flatten().tolist() == [0.25, 0.5]


@pytest.mark.parametrize("t", [-1e-9, 1000.001, math.nan, math.inf, torch.tensor([5.0, -1.0])])
def test_a_timestep_outside_is_refused(t):
    with pytest.raises(NoiseLevelError, match=r"t must lie in \[0, 1000\], got (-|1000|nan|inf)"):
        FlowTable().level(t)


def test_what_is_no_number_of_one_axis_is_refused():
    with pytest.raises(NoiseLevelError, match=r"t must be a number, got torch\.bool"):
        FlowTable().level(torch.tensor([True]))
    with pytest.raises(ShapeError, match=r"t must be \(b\), got \(1, 1\)"):
        FlowTable().level(torch.ones(1, 1))


# noise


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_noising_is_the_straight_line_from_picture_to_noise(dtype):
    x0, eps = (normal(2, 4, 3, 3, seed=seed, dtype=dtype) for seed in range(2))
    table = FlowTable()
    assert torch.equal(table.noised(x0, eps, 0), x0)
    assert torch.equal(table.noised(x0, eps, 1000), eps)
    found = table.noised(x0, eps, 261.5)
    assert found.dtype == dtype
    wanted = 0.7385 * x0.double() + 0.2615 * eps.double()
    torch.testing.assert_close(found.double(), wanted, atol=4 * torch.finfo(dtype).eps, rtol=0)
    rows = table.noised(x0, eps, torch.tensor([261.5, 700.0]))
    both = torch.cat([found[:1], table.noised(x0, eps, 700)[1:]])
    torch.testing.assert_close(rows, both, atol=4 * torch.finfo(dtype).eps, rtol=0)


def test_noising_is_that_of_the_scheduler_at_its_own_timesteps():
    scheduler = MADE["sd3"]()
    scheduler.set_timesteps(20)
    x0, eps = normal(1, 4, 3, 3), normal(1, 4, 3, 3, seed=1)
    for t in scheduler.timesteps:
        found = FlowTable.from_scheduler(scheduler, family="sd3").noised(x0, eps, t[None])
        wanted = scheduler.scale_noise(x0, t[None], eps)
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)


def test_a_table_of_diffusion_noises_in_the_same_words():
    table, x0, eps = NoiseTable.scaled_linear(), normal(2, 4, 3, 3), normal(2, 4, 3, 3, seed=1)
    for t in (261, torch.tensor([1, 981])):
        assert torch.equal(table.noised(x0, eps, t), noised(x0, eps, alpha_bar=table.level(t)))
    assert table.train_timesteps == FlowTable().train_timesteps == 1000
    assert FlowTable().prediction == "flow"


@pytest.mark.parametrize("sigma", [-0.1, 1.1, math.nan])
def test_a_share_of_noise_outside_is_refused(sigma):
    z, level = normal(1, 1, 2, 2), torch.tensor(sigma, dtype=torch.float64)
    half = torch.tensor(0.5, dtype=torch.float64)
    for call in (lambda: flow_noised(z, z, sigma=level),
                 lambda: flow_step(z, z, sigma_from=level, sigma_to=half),
                 lambda: flow_step(z, z, sigma_from=half, sigma_to=level)):  # fmt: skip
        with pytest.raises(NoiseLevelError, match=r"sigma must lie in \[0, 1\], got"):
            call()


# configs


@pytest.mark.parametrize("name", EVERY)
def test_every_setting_of_a_scheduler_is_judged(name):
    said = set(signature(getattr(diffusers, name).__init__).parameters) - {"self"}
    # a newer diffusers may ask for more: judge it in flows/config.py
    assert said <= READ[name] | UNREAD[name]
    assert not READ[name] & UNREAD[name]


OTHER = {
    "num_train_timesteps": (500, "train_timesteps", 500),
    "shift": (2.0, "shift", 2.0),
    "flow_shift": (2.0, "shift", 2.0),
    "use_karras_sigmas": (True, "respacing", "karras"),
    "use_exponential_sigmas": (True, "respacing", "exponential"),
    "use_beta_sigmas": (True, "respacing", "beta"),
    "shift_terminal": (0.1, "terminal", 0.1),
    "stochastic_sampling": (True, "obstacle", None),
    "thresholding": (True, "obstacle", None),
    "use_dynamic_shifting": (True, "dynamic", DynamicShift()),
}
DYNAMIC = {
    "base_shift": (0.25, "base_shift", 0.25),
    "max_shift": (0.75, "max_shift", 0.75),
    "base_image_seq_len": (64, "base_tokens", 64),
    "max_image_seq_len": (8192, "max_tokens", 8192),
    "time_shift_type": ("linear", "kind", "linear"),
}
REFUSED = {
    "invert_sigmas": True,
    "prediction_type": "epsilon",
    "use_flow_sigmas": False,
    "final_sigmas_type": "sigma_min",
    "variance_type": "learned",
    "use_lu_lambdas": True,
}


@pytest.mark.parametrize("name", EVERY)
def test_every_setting_that_is_read_is_honoured_or_refused(name):
    plain = FlowTable.from_scheduler(config_of(name))
    tried = set()
    for setting in READ[name]:
        refused = REFUSED.get(setting)
        if name != EULER and setting.startswith("use_") and setting.endswith("_sigmas"):
            refused = not SOLVER.get(setting)
        if refused is not None:
            with pytest.raises(
                ScheduleError, match=f"{setting} must be .* in the {name} of a flow"
            ):
                FlowTable.from_scheduler(config_of(name, **{setting: refused}))
        elif setting in DYNAMIC:
            value, field, wanted = DYNAMIC[setting]
            more = {"use_dynamic_shifting": True, setting: value}
            found = FlowTable.from_scheduler(config_of(name, **more))
            assert getattr(found.dynamic, field) == wanted
        else:
            value, field, wanted = OTHER[setting]
            found = getattr(FlowTable.from_scheduler(config_of(name, **{setting: value})), field)
            assert found != getattr(plain, field)
            assert found == wanted or (wanted is None and found.startswith(f"{setting} must be"))
        tried.add(setting)
    assert tried == READ[name]


def test_an_object_its_config_and_its_json_mean_one_table():
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0, shift_terminal=0.02)
    plain = dict(scheduler.config)
    tables = [FlowTable.from_scheduler(one) for one in (scheduler, scheduler.config, plain)]
    assert {(one.shift, one.terminal, one.remark) for one in tables} == {(3.0, 0.02, "")}
    assert repr(tables[0]) == "FlowTable(1000 timesteps, shift 3)"


@pytest.mark.parametrize("family", SPACINGS)
def test_each_family_has_its_own_way_to_ask(family):
    found = FlowTable.from_scheduler(MADE[family](), family=family)
    assert found.spacing is SPACINGS[family]
    assert not found.obstacle
    assert found.level(261) == 0.261


def test_schedulers_of_flows_are_told_from_others():
    assert all(is_flow(make()) for make in MADE.values())
    assert is_flow({"_class_name": "FlowMatchHeunDiscreteScheduler"})
    assert not is_flow(diffusers.DDIMScheduler())
    assert not is_flow({"_class_name": "DPMSolverMultistepScheduler"})


def test_tokens_are_counted_by_the_patch():
    assert FlowTable(patch=2).tokens((64, 32)) == 512
    assert FlowTable().tokens((64, 32)) == 2048


# refusals


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"_class_name": "FlowMatchHeunDiscreteScheduler"}, "must be one of .*, got FlowMatchHeun"),
        ({"_class_name": "SCMScheduler"}, "got SCMScheduler; take the scheduler that the model"),
        ({"shift": "much"}, "shift must be a finite number, got 'much'"),
        ({"shift": math.inf}, "shift must be a finite number, got inf"),
        ({"shift": 0.0}, "shift must be a positive number, got 0"),
        ({"shift_terminal": 1.5}, r"the terminal sigma must lie in \(0, 1\), got 1.5"),
        ({"num_train_timesteps": 0}, "num_train_timesteps must be a whole number above 0, got 0"),
        ({"use_dynamic_shifting": True, "time_shift_type": "cubic"}, "or linear, got 'cubic'"),
        ({"use_beta_sigmas": True, "use_karras_sigmas": True}, "may be true, got karras, beta"),
        (5, "must be a diffusers scheduler or a mapping, got int"),
    ],
)
def test_a_config_that_means_nothing_here_is_refused(config, words):
    with pytest.raises(ScheduleError, match=words):
        FlowTable.from_scheduler(config)


def test_an_unknown_family_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="no family of flows named 'fluks'; did you mean"):
        FlowTable.from_scheduler({}, family="fluks")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"train_timesteps": 0}, "train_timesteps must be a whole number above 0"),
        ({"patch": 0}, "patch must be a whole number above 0"),
        ({"end_shift": -1.0}, "end_shift must be a positive number"),
        ({"respacing": "cubic"}, "respacing must be karras, exponential, beta or empty"),
    ],
)
def test_a_table_that_cannot_be_is_refused(fields, words):
    with pytest.raises(ScheduleError, match=words):
        FlowTable(**fields)
