"""One-step maps: laws they must obey, then agreement with diffusers over whole paths."""

from itertools import pairwise

import pytest
import torch
from diffusers import DDIMScheduler

from featurekit.core.errors import NoiseLevelError, ShapeError
from featurekit.diffusion.flow_steps import eps_from_flow, x0_from_flow
from featurekit.diffusion.noise_schedule import NoiseTable, Schedule
from featurekit.diffusion.steps import (
    ddim_step,
    denoised,
    eps_from_v,
    eps_from_x0,
    noised,
    v_from_eps,
)

LEVELS = [0.9, 0.5, 0.0946, 0.0047]


def level(value):
    return torch.tensor(value, dtype=torch.float64)


def normal(seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 4, 6, 5, dtype=dtype, generator=generator)


@pytest.fixture
def pair():
    return normal(0), normal(1)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


# laws


@pytest.mark.parametrize(("a", "b"), [(0.9, 0.2), (0.01, 0.99), (1.0, 0.3)])
def test_there_and_back_with_one_eps_is_exact(pair, a, b):
    z, eps = pair
    there = ddim_step(z, eps, alpha_bar_from=level(a), alpha_bar_to=level(b))
    back = ddim_step(there, eps, alpha_bar_from=level(b), alpha_bar_to=level(a))
    close(back, z)


def test_a_step_to_the_same_level_changes_nothing(pair):
    z, eps = pair
    close(ddim_step(z, eps, alpha_bar_from=level(0.3), alpha_bar_to=level(0.3)), z)


def test_two_steps_with_one_eps_are_one_long_step(pair):
    z, eps = pair
    half = ddim_step(z, eps, alpha_bar_from=level(0.2), alpha_bar_to=level(0.5))
    whole = ddim_step(half, eps, alpha_bar_from=level(0.5), alpha_bar_to=level(0.8))
    close(whole, ddim_step(z, eps, alpha_bar_from=level(0.2), alpha_bar_to=level(0.8)))


def test_a_step_to_level_one_is_the_clean_estimate(pair):
    z, eps = pair
    x0 = ddim_step(z, eps, alpha_bar_from=level(0.2), alpha_bar_to=level(1.0))
    close(x0, denoised(z, eps, alpha_bar=level(0.2)))


@pytest.mark.parametrize("a", LEVELS)
def test_denoised_undoes_noised(pair, a):
    x0, eps = pair
    close(denoised(noised(x0, eps, alpha_bar=level(a)), eps, alpha_bar=level(a)), x0)


@pytest.mark.parametrize("a", LEVELS)
def test_noised_keeps_unit_variance(a):
    generator = torch.Generator().manual_seed(0)
    x0, eps = torch.randn(2, 1, 4, 300, 300, dtype=torch.float64, generator=generator)
    assert float(noised(x0, eps, alpha_bar=level(a)).var()) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("a", LEVELS)
def test_v_and_eps_are_inverse(pair, a):
    z, eps = pair
    v = v_from_eps(eps, z, alpha_bar=level(a))
    close(eps_from_v(v, z, alpha_bar=level(a)), eps)
    close(v_from_eps(eps_from_v(z, eps, alpha_bar=level(a)), eps, alpha_bar=level(a)), z)


@pytest.mark.parametrize("a", LEVELS)
def test_v_is_the_velocity_of_the_paper(pair, a):
    x0, eps = pair
    z = noised(x0, eps, alpha_bar=level(a))
    close(v_from_eps(eps, z, alpha_bar=level(a)), a**0.5 * eps - (1 - a) ** 0.5 * x0)


@pytest.mark.parametrize("a", LEVELS)
def test_x0_and_eps_are_inverse(pair, a):
    z, eps = pair
    x0 = denoised(z, eps, alpha_bar=level(a))
    close(eps_from_x0(x0, z, alpha_bar=level(a)), eps)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_flow_gives_back_its_two_ends(pair, share):
    x0, eps = pair
    sigma = level(share)
    z = (1 - sigma) * x0 + sigma * eps
    close(eps_from_flow(eps - x0, z, sigma=sigma), eps)
    close(x0_from_flow(eps - x0, z, sigma=sigma), x0)


def test_a_level_per_image_is_one_level_after_the_other(pair):
    z, eps = pair
    start, end = torch.tensor([[0.2, 0.5], [0.7, 0.9]], dtype=torch.float64)
    both = ddim_step(
        z, eps, alpha_bar_from=start.reshape(2, 1, 1, 1), alpha_bar_to=end.reshape(2, 1, 1, 1)
    )
    for i in range(2):
        one = ddim_step(z[i], eps[i], alpha_bar_from=start[i], alpha_bar_to=end[i])
        close(both[i], one)


MAPS = {
    "denoised": lambda z, y, a: denoised(z, y, alpha_bar=a),
    "ddim_step": lambda z, y, a: ddim_step(z, y, alpha_bar_from=a, alpha_bar_to=a / 2),
    "noised": lambda z, y, a: noised(z, y, alpha_bar=a),
    "eps_from_v": lambda z, y, a: eps_from_v(y, z, alpha_bar=a),
    "v_from_eps": lambda z, y, a: v_from_eps(y, z, alpha_bar=a),
    "eps_from_x0": lambda z, y, a: eps_from_x0(y, z, alpha_bar=a),
    "eps_from_flow": lambda z, y, a: eps_from_flow(y, z, sigma=a),
    "x0_from_flow": lambda z, y, a: x0_from_flow(y, z, sigma=a),
}
each_map = pytest.mark.parametrize("step", MAPS.values(), ids=MAPS)


@each_map
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(), (2, 1, 1, 1)])
def test_the_dtype_of_the_latent_stays(step, dtype, shape):
    z = normal(0, torch.float32).to(dtype)
    assert step(z, z, level(0.5).expand(shape)).dtype == dtype


@each_map
def test_gradients_reach_both_tensors(step, pair):
    z, other = (tensor.requires_grad_() for tensor in pair)
    step(z, other, level(0.5)).square().sum().backward()
    assert float(z.grad.abs().min()) > 0
    assert float(other.grad.abs().min()) > 0


# reference: diffusers, over whole paths, with a model that depends on its input


def model(z, t):
    """Mix neighbours and channels, nonlinearly and differently at each timestep."""
    return torch.tanh(z.roll(1, -1) - 0.5 * z.roll(1, 1) + 0.3 * z + t / 1000)


def scheduler_for(prediction="epsilon", offset=1, to_one=False, dtype=torch.float32):
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=to_one,
        steps_offset=offset,
        prediction_type=prediction,
    )
    # diffusers takes square roots in the precision of its table
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.to(dtype)
    scheduler.final_alpha_cumprod = scheduler.final_alpha_cumprod.to(dtype)
    return scheduler


def diffusers_path(scheduler, predict, z, steps):
    scheduler.set_timesteps(steps)
    for t in scheduler.timesteps:
        z = scheduler.step(predict(z, int(t)), t, z).prev_sample
        yield z


def our_path(schedule, predict, z):
    for high, low in pairwise(range(schedule.steps, -1, -1)):
        eps = predict(z, schedule.timestep(high))
        z = ddim_step(
            z, eps, alpha_bar_from=schedule.alpha_bars[high], alpha_bar_to=schedule.alpha_bars[low]
        )
        yield z


@pytest.mark.parametrize("steps", [5, 50])
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("to_one", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_latent_of_a_path_is_that_of_diffusers(steps, offset, to_one, dtype):
    scheduler = scheduler_for(offset=offset, to_one=to_one, dtype=dtype)
    schedule = Schedule.ddim(NoiseTable.from_scheduler(scheduler), steps)
    z = normal(0, dtype)
    theirs = list(diffusers_path(scheduler, model, z, steps))
    ours = list(our_path(schedule, model, z))
    assert len(ours) == steps
    # in float32 both are some 3e-7 of the latent's norm from the path in float64 after 50 steps
    tolerance = 1e-12 if dtype == torch.float64 else 1e-6
    for mine, reference in zip(ours, theirs, strict=True):
        assert mine.dtype == dtype
        assert float((mine - reference).norm() / reference.norm()) < tolerance


def test_the_longest_path_with_an_offset_is_that_of_diffusers():
    scheduler = scheduler_for(dtype=torch.float64)
    schedule = Schedule.ddim(NoiseTable.from_scheduler(scheduler), 999)
    *_, theirs = diffusers_path(scheduler, model, normal(0), 999)
    *_, ours = our_path(schedule, model, normal(0))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


@pytest.mark.parametrize("steps", [5, 50])
def test_a_path_of_v_is_the_path_of_eps_and_that_of_diffusers(steps):
    scheduler = scheduler_for("v_prediction", dtype=torch.float64)
    table = NoiseTable.from_scheduler(scheduler)
    schedule = Schedule.ddim(table, steps)

    def v(z, t):
        return v_from_eps(model(z, t), z, alpha_bar=table.level(t))

    def eps(z, t):
        return eps_from_v(v(z, t), z, alpha_bar=table.level(t))

    z = normal(0)
    paths = (our_path(schedule, eps, z), our_path(schedule, model, z))
    for of_v, of_eps, theirs in zip(*paths, diffusers_path(scheduler, v, z, steps), strict=True):
        close(of_v, of_eps)
        close(of_v, theirs)


@pytest.mark.parametrize("steps", [5, 50])
def test_a_path_of_x0_is_the_path_of_eps_and_that_of_diffusers(steps):
    scheduler = scheduler_for("sample", dtype=torch.float64)
    table = NoiseTable.from_scheduler(scheduler)
    schedule = Schedule.ddim(table, steps)

    def x0(z, t):
        return denoised(z, model(z, t), alpha_bar=table.level(t))

    def eps(z, t):
        return eps_from_x0(x0(z, t), z, alpha_bar=table.level(t))

    z = normal(0)
    paths = (our_path(schedule, eps, z), our_path(schedule, model, z))
    for of_x0, of_eps, theirs in zip(*paths, diffusers_path(scheduler, x0, z, steps), strict=True):
        close(of_x0, of_eps)
        close(of_x0, theirs)


# refusals


@pytest.mark.parametrize("bad", [0.0, -0.1, 1.1, float("nan")])
@pytest.mark.parametrize("name", ["alpha_bar_from", "alpha_bar_to"])
def test_a_bad_level_of_a_step_is_refused_by_name_and_value(pair, bad, name):
    levels = {"alpha_bar_from": level(0.5), "alpha_bar_to": level(0.5), name: level(bad)}
    with pytest.raises(NoiseLevelError, match=rf"^{name} must lie in \(0, 1\], got {bad:.6g}$"):
        ddim_step(*pair, **levels)


@pytest.mark.parametrize("convert", [denoised, noised, eps_from_v, v_from_eps, eps_from_x0])
@pytest.mark.parametrize("bad", [0.0, -0.1, 1.1, float("nan")])
def test_a_bad_level_is_refused_with_its_value(pair, convert, bad):
    with pytest.raises(NoiseLevelError, match=rf"^alpha_bar must lie in .*, got {bad:.6g}$"):
        convert(*pair, alpha_bar=level(bad))


def test_the_one_bad_level_of_a_batch_is_named(pair):
    levels = level([0.5, 1.5]).reshape(2, 1, 1, 1)
    with pytest.raises(NoiseLevelError, match=r"alpha_bar must lie in \(0, 1\], got 1.5"):
        denoised(*pair, alpha_bar=levels)


@pytest.mark.parametrize("convert", [eps_from_flow, x0_from_flow])
@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan")])
def test_a_bad_sigma_is_refused(pair, convert, bad):
    with pytest.raises(NoiseLevelError, match=rf"sigma must lie in \[0, 1\], got {bad:.6g}"):
        convert(*pair, sigma=level(bad))


def test_a_clean_latent_says_nothing_about_its_noise(pair):
    with pytest.raises(NoiseLevelError, match=r"alpha_bar must lie in \(0, 1\) .* got 1"):
        eps_from_x0(*pair, alpha_bar=level(1.0))


@each_map
def test_a_tensor_that_would_broadcast_is_refused(step, pair):
    with pytest.raises(ShapeError, match=r"must be \(2, 4, 6, 5\) .* got \(1, 4, 6, 5\)"):
        step(pair[0], pair[1][:1], level(0.5))


@each_map
def test_a_tensor_that_would_promote_is_refused(step, pair):
    with pytest.raises(ShapeError, match=r"torch.float16 like its latent, got .* torch.float64"):
        step(pair[0].half(), pair[1], level(0.5))
