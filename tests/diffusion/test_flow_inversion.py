"""Inversion along flows: what is exact comes back, what is not falls with the order of its step."""

import math
from functools import cache
from itertools import pairwise

import pytest
import torch
from flow_families import MADE, schedule
from safetensors.torch import load_file, save_file

from featurekit.core.errors import ConfigError, NotFiniteError, ScheduleError, UnknownNameError
from featurekit.diffusion.backbone import Predictor, guided
from featurekit.diffusion.flow_schedule import FlowSchedule
from featurekit.diffusion.flow_steps import eps_from_flow, flow_step
from featurekit.diffusion.flow_table import FlowTable
from featurekit.diffusion.invert import invert
from featurekit.diffusion.methods.edict import edict_down, edict_up
from featurekit.diffusion.methods.kinds import FLOW_METHODS, METHODS
from featurekit.diffusion.noise_schedule import NoiseTable, Schedule
from featurekit.diffusion.sample import sample
from featurekit.diffusion.steps import ddim_step
from featurekit.diffusion.trajectory import Trajectory
from featurekit.diffusion.trajectory_file import load_trajectory, save_trajectory
from featurekit.testing import MixtureDenoiser, MixtureFlow

LENGTHS = (4, 10, 20, 50)
SPREAD = 0.6
KEPT = ("ddim", "anderson", "residual", "midpoint", "fireflow")  # told relative to the stored way
EVEN = FlowTable()


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


FLOW = MixtureFlow(normal(6, 1, 2, 2, seed=1), SPREAD)
Z0 = FLOW.templates[:3] + SPREAD * normal(3, 1, 2, 2, seed=2)


def rms(a, b):
    return float((a - b).square().mean().sqrt())


def most(a, b):
    return float((a - b).abs().max())


def rough(z, t):
    return torch.sin(30 * z + t)  # no contraction, no smoothness worth the name


def spying(predict):
    seen = []

    def spy(z, t):
        seen.append((t, z))
        return predict(z, t)

    return spy, seen


# exact


@pytest.mark.parametrize("steps", LENGTHS)
@pytest.mark.parametrize("family", MADE)
def test_exact_methods_come_back_whatever_the_levels(family, steps):
    run = schedule(family, steps)
    for method in FLOW_METHODS:
        up = invert(FLOW, Z0, run, method=method)
        for start in {steps, steps // 2, 1}:
            error = most(sample(FLOW, up.at(start), run, start=start, trajectory=up), Z0)
            assert error <= 1e-10, (method, start)
            assert error == 0 or method == "edict", (method, start)


@pytest.mark.parametrize("steps", LENGTHS)
@pytest.mark.parametrize("family", MADE)
def test_a_step_iterated_to_its_end_comes_back_from_the_noise_alone(family, steps):
    run = schedule(family, steps)
    for method, refine in (("ddim", 400), ("anderson", 60)):
        up = invert(FLOW, Z0, run, method=method, refine=refine, tol=1e-13, keep_residuals=False)
        assert most(sample(FLOW, up.at(steps), run), Z0) <= 1e-10, method


@pytest.mark.parametrize("method", KEPT)
def test_they_come_back_whatever_the_network_answers(method):
    run = schedule("flux", 10)
    up = invert(rough, Z0, run, method=method)
    assert torch.equal(sample(rough, up.at(10), run, trajectory=up), Z0)


@pytest.mark.parametrize("family", MADE)
@pytest.mark.parametrize("level", [1, 10, 20])
def test_edicts_steps_undo_each_other_on_a_flow(level, family):
    run, pair = schedule(family, 20), normal(4, 4, 3, 3)
    for first, second in ((edict_down, edict_up), (edict_up, edict_down)):
        back = second(rough, first(rough, pair, run, level), run, level)
        torch.testing.assert_close(back, pair, atol=1e-12, rtol=0)


@pytest.mark.parametrize("method", FLOW_METHODS)
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_guidance_and_part_of_the_way_change_nothing(guidance, method):
    other = MixtureFlow(FLOW.templates[:2], SPREAD)
    predict, run = guided(other, FLOW, guidance), schedule("sd3", 20)
    top = run.level_for(0.7)
    up = invert(predict, Z0, run, method=method, until=top)
    assert up.until == top == 14
    back = sample(predict, up.at(top), run, start=top, trajectory=up)
    assert most(back, Z0) <= 1e-10


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("method", KEPT)
def test_stored_residuals_come_back_to_the_bit_in_any_precision(method, dtype):
    run, z0 = schedule("flux", 10), Z0.to(dtype)
    up = invert(FLOW, z0, run, method=method)
    assert {z.dtype for z in up.latents} == {dtype}
    for start in (10, 6, 1):
        assert torch.equal(sample(FLOW, up.at(start), run, start=start, trajectory=up), z0)


@pytest.mark.parametrize("method", KEPT)
def test_one_inverted_picture_serves_a_batch(method):
    run = schedule("flux", 10)
    up = invert(FLOW, Z0[:1], run, method=method)
    for start in (10, 6):
        z = up.at(start).repeat(3, 1, 1, 1)
        back = sample(FLOW, z, run, start=start, trajectory=up)
        assert most(back, Z0[:1].expand_as(back)) <= 1e-12


@pytest.mark.parametrize("start", [20, 12, 5])
@pytest.mark.parametrize("method", ["residual", "edict", "midpoint", "fireflow"])
def test_an_edit_is_answered_as_plain_steps_answer_it(method, start):
    run, edit = schedule("flux", 20), 1e-3 * normal(3, 1, 2, 2, seed=5)
    up = invert(FLOW, Z0, run, method=method)
    told = sample(FLOW, up.edited(start, edit), run, start=start, trajectory=up) - Z0
    alike = method if method in ("midpoint", "fireflow") else "ddim"
    sigma = FlowSchedule(run.timesteps[-start:], run.sigmas[: start + 1])
    where = up.at(start)[:3]
    plain = [sample(FLOW, z, sigma, method=alike) for z in (where + edit, where)]
    answer = plain[0] - plain[1]
    gain = float((told * answer).sum() / answer.square().sum())
    assert gain == pytest.approx(1, abs=0.1)
    assert float(torch.cosine_similarity(told.flatten(), answer.flatten(), dim=0)) > 0.99


# order


@cache
def sampled(method, steps):
    return sample(FLOW, normal(3, 1, 2, 2, seed=3), FlowSchedule.euler(EVEN, steps), method=method)


@pytest.mark.parametrize(("method", "order"), [("ddim", 1), ("midpoint", 2), ("fireflow", 2)])
def test_the_error_of_a_walk_falls_with_the_order_of_its_step(method, order):
    exact = sampled("midpoint", 2000)
    errors = [rms(sampled(method, steps), exact) for steps in (80, 160, 320)]
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert orders == pytest.approx([order] * 2, abs=0.1)


@pytest.mark.parametrize(("method", "order"), [("ddim", 1), ("midpoint", 2), ("fireflow", 2)])
def test_so_does_that_of_a_way_there_and_back(method, order):
    errors = []
    for steps in (40, 80, 160):
        run = FlowSchedule.euler(EVEN, steps)
        up = invert(FLOW, Z0, run, method=method, keep_residuals=False)
        errors.append(rms(sample(FLOW, up.at(steps), run, method=method), Z0))
    # symmetric errors of the two ways cancel: the second-order ones fall faster than promised
    assert all(a / b > 2 ** (order - 0.15) for a, b in pairwise(errors))


def test_a_step_of_second_order_is_rf_solvers_taylor_step():
    run, z = schedule("flux", 10), normal(3, 1, 2, 2, seed=4)
    level = 6
    h = run.sigmas[level - 1] - run.sigmas[level]
    v = FLOW(z, run.timestep(level))
    t, _ = run.halfway(level, level - 1)
    slope = (FLOW(z + h / 2 * v, t) - v) / (h / 2)
    taylor = z + h * v + h**2 / 2 * slope
    short = FlowSchedule(run.timesteps[-level:], run.sigmas[: level + 1])
    seen = {}
    sample(FLOW, z, short, method="midpoint", on_step=seen.setdefault)
    torch.testing.assert_close(seen[level - 1], taylor, atol=1e-12, rtol=0)


# one with diffusion


def test_eulers_step_is_ddims_in_other_variables():
    run = schedule("sd3", 20)
    z, v = normal(3, 4, 3, 3), normal(3, 4, 3, 3, seed=1)
    for level in range(19, 0, -1):  # the noisiest has no signal, which DDIM refuses
        before, after = run.sigmas[level], run.sigmas[level - 1]
        scale = [((1 - s) ** 2 + s**2).sqrt() for s in (before, after)]
        alpha_bar = [((1 - s) / c) ** 2 for s, c in zip((before, after), scale, strict=True)]
        eps = eps_from_flow(v, z, sigma=before)
        ddim = ddim_step(z / scale[0], eps, alpha_bar_from=alpha_bar[0], alpha_bar_to=alpha_bar[1])
        flow = flow_step(z, v, sigma_from=before, sigma_to=after) / scale[1]
        torch.testing.assert_close(flow, ddim, atol=1e-12, rtol=0)


def test_a_whole_way_is_ddims_in_other_variables():
    noise = NoiseTable.scaled_linear()
    ddim = Schedule.ddim(noise, 20)
    signal, sigma = ddim.alpha_bars.sqrt(), (1 - ddim.alpha_bars).sqrt()
    share = sigma / (signal + sigma)
    # both begin where diffusion's clean end is, which has a little noise
    z = invert(MixtureDenoiser(FLOW.templates, SPREAD, noise), Z0, ddim, keep_residuals=False)
    for level in range(1, 21):
        below = z.at(level - 1) / (signal + sigma)[level - 1]
        denoiser = MixtureDenoiser(FLOW.templates, SPREAD, noise)
        eps = denoiser(z.at(level - 1), ddim.timestep(level))
        clean = (z.at(level - 1) - sigma[level - 1] * eps) / signal[level - 1]
        step = flow_step(below, eps - clean, sigma_from=share[level - 1], sigma_to=share[level])
        wanted = z.at(level) / (signal + sigma)[level]
        torch.testing.assert_close(step, wanted, atol=1e-12, rtol=0)


# calls


CALLS = {"ddim": 12, "anderson": 30, "residual": 12, "edict": 12, "midpoint": 24, "fireflow": 14}


@pytest.mark.parametrize("method", FLOW_METHODS)
def test_the_network_is_called_as_often_as_promised(method):
    run = schedule("flux", 10)
    spy, seen = spying(FLOW)
    heard = []
    up = invert(spy, Z0, run, method=method, until=6,
                progress=lambda done, total: heard.append((done, total)))  # fmt: skip
    assert len(seen) == CALLS[method]
    assert heard == [(done, CALLS[method]) for done in range(1, CALLS[method] + 1)]
    seen.clear()
    sample(spy, up.at(6), run, start=6, trajectory=up)
    assert len(seen) == {"edict": 12, "midpoint": 12, "fireflow": 7}.get(method, 6)


def test_euler_asks_at_the_target_time_and_second_order_halfway():
    run = schedule("flux", 4)
    spy, seen = spying(FLOW)
    invert(spy, Z0, run, keep_residuals=False)
    assert [t for t, _ in seen] == list(reversed(run.timesteps))
    seen.clear()
    invert(spy, Z0, run, method="midpoint", keep_residuals=False)
    rising = (0.0, *reversed(run.timesteps))
    half = [(a + b) / 2 for a, b in pairwise(rising)]
    assert [t for t, _ in seen] == [t for pair in zip(rising[:-1], half, strict=True) for t in pair]
    seen.clear()
    invert(spy, Z0, run, method="fireflow", keep_residuals=False)
    assert [t for t, _ in seen] == [0.0, *half]


def test_no_level_at_all_asks_nothing():
    for method in FLOW_METHODS:
        spy, seen = spying(FLOW)
        assert invert(spy, Z0, schedule("flux", 4), method=method, until=0).until == 0
        assert not seen


# files


@pytest.mark.parametrize("method", FLOW_METHODS)
def test_a_flows_trajectory_is_saved_and_loaded(method, tmp_path):
    run = schedule("cogview4", 10)
    predict = Predictor(FLOW, lambda: "flow")
    way = invert(predict, Z0, run, method=method, until=7)
    read = load_trajectory(save_trajectory(way, tmp_path / "way.safetensors"))
    assert isinstance(read.schedule, FlowSchedule)
    assert read.schedule.fingerprint == run.fingerprint
    assert (read.method, read.fingerprint, read.fixed_point_rms) == (
        method, "flow", way.fixed_point_rms,
    )  # fmt: skip
    assert torch.equal(read.at_timestep(run.timestep(7)), way.at(7))
    back = [sample(FLOW, one.at(5), run, start=5, trajectory=one) for one in (read, way)]
    assert torch.equal(*back)
    assert repr(read).startswith(
        f"Trajectory({method}, levels 0..7 t={run.timestep(7):g} of n=10, "
    )


def test_a_file_with_no_levels_or_with_strange_ones_is_refused(tmp_path):
    path = save_trajectory(invert(FLOW, Z0, schedule("sd3", 4)), tmp_path / "way.safetensors")
    tensors = load_file(path)
    said = {"format": "featurekit.trajectory", "version": "2", "method": "ddim"}
    save_file({name: one for name, one in tensors.items() if name != "sigmas"}, path, said)
    with pytest.raises(ConfigError, match="but it has no alpha_bars"):
        load_trajectory(path)
    save_file({**tensors, "sigmas": tensors["sigmas"] + 1}, path, said)
    with pytest.raises(ConfigError, match="but sigmas must rise from 0 to 1"):
        load_trajectory(path)


# refusals


def test_methods_of_the_other_kind_are_refused():
    run, ddim = schedule("flux", 4), Schedule.ddim(NoiseTable.scaled_linear(), 4)
    assert set(METHODS) ^ set(FLOW_METHODS) == {"edit_friendly", "midpoint", "fireflow"}
    draws = torch.Generator().manual_seed(0)
    words = r"edit_friendly must walk a schedule of diffusion, .* got FlowSchedule\(.* use residual"
    with pytest.raises(ConfigError, match=words):
        invert(FLOW, Z0, run, method="edit_friendly", generator=draws)
    with pytest.raises(ConfigError, match=words):
        Trajectory((Z0, Z0), run, (Z0,), method="edit_friendly")
    for method in ("midpoint", "fireflow"):
        words = rf"{method} must walk a schedule of a flow, .* got Schedule\(.*; use anderson"
        with pytest.raises(ConfigError, match=words):
            invert(FLOW, Z0, ddim, method=method)
        with pytest.raises(ConfigError, match=words):
            sample(FLOW, Z0, ddim, method=method)
        with pytest.raises(ConfigError, match=f"refine must be left out for {method}"):
            invert(FLOW, Z0, run, method=method, refine=2)


def test_steps_that_do_not_go_with_the_way_are_refused():
    run = schedule("flux", 4)
    up = invert(FLOW, Z0, run, method="midpoint")
    with pytest.raises(ConfigError, match=r"has its own steps \(midpoint\), got 'fireflow'"):
        sample(FLOW, up.at(4), run, trajectory=up, method="fireflow")
    with pytest.raises(ConfigError, match="midpoint, fireflow without a trajectory, got 'edict'"):
        sample(FLOW, up.at(4), run, method="edict")
    with pytest.raises(UnknownNameError, match="method named 'midpint'; did you mean midpoint"):
        sample(FLOW, up.at(4), run, method="midpint")
    with pytest.raises(ScheduleError, match="must come from the schedule of this run"):
        sample(FLOW, up.at(4), schedule("sd3", 4), trajectory=up)
    other = Predictor(FLOW, lambda: "other")
    bound = invert(Predictor(FLOW, lambda: "one"), Z0, run, method="fireflow")
    with pytest.raises(ConfigError, match="residuals must be walked with what they were found"):
        sample(other, bound.at(4), run, trajectory=bound)


@pytest.mark.parametrize("method", FLOW_METHODS)
def test_a_step_that_is_not_finite_is_named(method):
    def broken(z, t):
        return FLOW(z, t) if t < 600 else torch.full_like(z, math.nan)

    with pytest.raises(NotFiniteError, match=r"at level \d \(timestep [\d.]+\)"):
        invert(broken, Z0, schedule("flux", 4), method=method)
