"""sample: it walks the path of diffusers, and residuals make it exact without bending it."""

import diffusers
import pytest
import torch
from torch.nn import functional

from featurekit.core.errors import ConfigError, NoiseLevelError, ScheduleError, ShapeError
from featurekit.diffusion.backbone import Predictor
from featurekit.diffusion.invert import invert
from featurekit.diffusion.noise_schedule import NoiseTable, Schedule
from featurekit.diffusion.sample import sample
from featurekit.testing import MixtureDenoiser, blob_templates, line_centres

NOISE = NoiseTable.scaled_linear()
SCHEDULE = Schedule.ddim(NOISE, steps=50)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def denoiser():
    return MixtureDenoiser(blob_templates(line_centres()), 0.05, NOISE)


@pytest.fixture(scope="module")
def z0(denoiser):
    """Two images, drawn from two components; a single template would be too easy."""
    return denoiser.templates[[5, 13]] + 0.05 * normal(2, 4, 32, 32)


@pytest.fixture(scope="module")
def trajectory(denoiser, z0):
    return invert(denoiser, z0, SCHEDULE)


def spying(predict):
    seen = []

    def spy(z, t):
        seen.append(t)
        return predict(z, t)

    return spy, seen


def test_from_level_0_it_changes_nothing(denoiser, z0):
    assert sample(denoiser, z0, SCHEDULE, start=0) is z0


def test_it_shows_the_network_every_timestep_once_noisiest_first(denoiser):
    spy, seen = spying(denoiser)
    sample(spy, normal(1, 4, 32, 32), SCHEDULE)
    assert seen == list(range(981, 0, -20))
    spy, seen = spying(denoiser)
    sample(spy, normal(1, 4, 32, 32), SCHEDULE, start=35)
    assert seen == list(range(681, 0, -20))


def test_two_walks_make_the_whole_way(denoiser):
    z, halfway = normal(1, 4, 32, 32), {}
    whole = sample(denoiser, z, SCHEDULE, on_step=lambda level, now: halfway.update({level: now}))
    assert torch.equal(sample(denoiser, halfway[30], SCHEDULE, start=30), whole)
    assert torch.equal(halfway[0], whole)


def test_from_noise_it_arrives_at_a_template(denoiser):
    arrived = sample(denoiser, normal(4, 4, 32, 32), SCHEDULE)
    rms = (arrived[:, None] - denoiser.templates).square().mean((2, 3, 4)).sqrt()
    assert rms.amin(1).max() < 0.06  # the spread of a component is 0.05


@pytest.mark.parametrize("steps", [5, 50])
def test_it_walks_the_path_of_diffusers(denoiser, steps):
    scheduler = diffusers.DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    scheduler.set_timesteps(steps)
    theirs, way = normal(1, 4, 32, 32), []
    for t in scheduler.timesteps:
        theirs = scheduler.step(denoiser(theirs, int(t)), t, theirs).prev_sample
        way.append(theirs)
    ours = []
    schedule = Schedule.ddim(NoiseTable.from_scheduler(scheduler), steps=steps)
    sample(denoiser, normal(1, 4, 32, 32), schedule, on_step=lambda level, z: ours.append(z))
    assert len(ours) == len(way) == steps
    torch.testing.assert_close(torch.stack(ours), torch.stack(way), atol=1e-6, rtol=0)


@pytest.mark.parametrize("start", [1, 20, 35, 50])
def test_with_residuals_it_returns_to_the_origin_from_any_level(denoiser, z0, trajectory, start):
    back = sample(denoiser, trajectory.at(start), SCHEDULE, start=start, trajectory=trajectory)
    assert (back - z0).abs().max() <= 1e-15
    if start > 1:  # without them it does not, so the zero above is not for nothing
        plain = sample(denoiser, trajectory.at(start), SCHEDULE, start=start)
        assert (plain - z0).square().mean().sqrt() > 1e-3


@pytest.mark.parametrize("start", [10, 35, 50])
def test_with_residuals_an_edit_gets_the_answer_of_plain_ddim(denoiser, z0, trajectory, start):
    edit = 1e-4 * normal(2, 4, 32, 32, seed=1)
    latent = trajectory.at(start)
    plain = [sample(denoiser, z, SCHEDULE, start=start) for z in (latent, latent + edit)]
    true_answer = (plain[1] - plain[0]).flatten(1)
    carried = sample(denoiser, latent + edit, SCHEDULE, start=start, trajectory=trajectory)
    answer = (carried - z0).flatten(1)
    assert functional.cosine_similarity(answer, true_answer).min() > 0.999
    assert (answer.norm(dim=1) / true_answer.norm(dim=1) - 1).abs().max() < 0.01
    # not carried on the edited row, inversion's error drowns the answer
    uncarried = (plain[1] - z0).flatten(1)
    assert functional.cosine_similarity(uncarried, true_answer).max() < 0.5


def test_residuals_of_one_image_are_carried_on_every_row(denoiser, z0):
    one = invert(denoiser, z0[:1], SCHEDULE)
    rows = one.at(35).repeat(2, 1, 1, 1)
    back = sample(denoiser, rows, SCHEDULE, start=35, trajectory=one)
    assert (back - z0[:1]).abs().max() <= 1e-15


def test_what_on_step_returns_is_gone_on_with(denoiser, z0):
    levels = []

    def replace_at_10(level, z):
        levels.append(level)
        return z0 * 0 if level == 10 else None

    replaced = sample(denoiser, normal(2, 4, 32, 32), SCHEDULE, start=12, on_step=replace_at_10)
    assert levels == list(range(11, -1, -1))
    assert torch.equal(replaced, sample(denoiser, z0 * 0, SCHEDULE, start=10))


def test_on_step_gets_the_latent_with_its_residual(denoiser, trajectory):
    met = {}
    sample(
        denoiser,
        trajectory.at(20),
        SCHEDULE,
        start=20,
        trajectory=trajectory,
        on_step=lambda level, z: met.update({level: z}),
    )
    for level, z in met.items():
        assert (z - trajectory.at(level)).abs().max() <= 1e-15


def test_gradients_reach_the_start(denoiser):
    z = normal(1, 4, 32, 32).requires_grad_(True)
    sample(denoiser, z, SCHEDULE, start=3).sum().backward()
    assert z.grad is not None
    assert z.grad.abs().max() > 0


def test_progress_hears_of_each_step(denoiser, z0):
    heard = []
    sample(
        denoiser, z0, SCHEDULE, start=3, progress=lambda done, total: heard.append((done, total))
    )
    assert heard == [(1, 3), (2, 3), (3, 3)]


def test_half_precision_stays_half_precision(denoiser, z0):
    assert sample(denoiser, z0.bfloat16(), SCHEDULE, start=2).dtype == torch.bfloat16


@pytest.mark.parametrize("bad", [-1, 51])
def test_a_start_that_is_no_level_is_refused_with_the_range(denoiser, z0, bad):
    with pytest.raises(NoiseLevelError, match=f"start must be a level from 0 to 50, got {bad}"):
        sample(denoiser, z0, SCHEDULE, start=bad)


def test_a_latent_without_a_batch_is_refused(denoiser, z0):
    with pytest.raises(ShapeError, match=r"latent must be \(b c h w\), got \(4, 32, 32\)"):
        sample(denoiser, z0[0], SCHEDULE)


def test_a_trajectory_that_ends_below_the_start_is_refused_with_what_to_do(denoiser, z0):
    short = invert(denoiser, z0, SCHEDULE, until=3)
    with pytest.raises(NoiseLevelError, match=r"level 3; invert with until=5 or start at 3"):
        sample(denoiser, z0, SCHEDULE, start=5, trajectory=short)


def test_a_trajectory_without_residuals_is_refused_with_what_to_do(denoiser, z0):
    bare = invert(denoiser, z0, SCHEDULE, until=3, keep_residuals=False)
    with pytest.raises(ScheduleError, match="invert with keep_residuals=True"):
        sample(denoiser, z0, SCHEDULE, start=3, trajectory=bare)


@pytest.mark.parametrize(
    "other",
    [
        Schedule.ddim(NOISE, steps=20),
        Schedule.ddim(NoiseTable.scaled_linear(set_alpha_to_one=True), steps=50),
        Schedule(tuple(t + 1 for t in SCHEDULE.timesteps), SCHEDULE.alpha_bars),
    ],
)
def test_a_trajectory_of_another_schedule_is_refused(denoiser, z0, other):
    of_other = invert(denoiser, z0, other, until=3)
    with pytest.raises(ScheduleError, match="schedule of this run"):
        sample(denoiser, z0, SCHEDULE, start=3, trajectory=of_other)


def test_residuals_of_another_batch_are_refused(denoiser, z0):
    pair = invert(denoiser, z0, SCHEDULE, until=3)
    with pytest.raises(ShapeError, match=r"residuals must fit the latent \(1, 4, 32, 32\)"):
        sample(denoiser, z0[:1], SCHEDULE, start=3, trajectory=pair)


# residuals and what predicted them


def told(predict, words):
    return Predictor(predict, lambda: words)


@pytest.mark.parametrize("method", ["ddim", "anderson", "residual"])
def test_residuals_of_another_predictor_are_refused_by_both_names(denoiser, z0, method):
    up = invert(told(denoiser, "a cat, guidance 1.0"), z0, SCHEDULE, method=method, until=3)
    same, other = (told(denoiser, f"a cat, guidance {scale}") for scale in (1.0, 7.5))
    sample(same, up.at(3), SCHEDULE, start=3, trajectory=up)
    words = (
        r"found with, a cat, guidance 1\.0, got a cat, guidance 7\.5; invert with this predictor"
    )
    with pytest.raises(ConfigError, match=words):
        sample(other, up.at(3), SCHEDULE, start=3, trajectory=up)
    sample(other, up.at(3), SCHEDULE, start=3)  # without the residuals nothing is promised


@pytest.mark.parametrize(("inverted", "sampled"), [("", "a dog"), ("a cat", ""), ("", "")])
def test_what_names_no_prompt_is_not_refused(denoiser, z0, inverted, sampled):
    up = invert(told(denoiser, inverted) if inverted else denoiser, z0, SCHEDULE, until=3)
    predict = told(denoiser, sampled) if sampled else denoiser
    back = sample(predict, up.at(3), SCHEDULE, start=3, trajectory=up)
    assert (back - z0).abs().max() <= 1e-15


@pytest.mark.parametrize("method", ["edict", "edit_friendly"])
def test_another_prompt_on_the_way_back_is_what_these_methods_are_for(denoiser, z0, method):
    draws = torch.Generator().manual_seed(0) if method == "edit_friendly" else None
    up = invert(
        told(denoiser, "a cat"), z0, SCHEDULE, method=method, until=3, generator=draws
    )  # fmt: skip
    assert up.fingerprint == "a cat"
    sample(told(denoiser, "a dog"), up.at(3), SCHEDULE, start=3, trajectory=up)
