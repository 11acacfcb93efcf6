"""Looking: the timesteps of a run, an early exit that changes no number, guided features."""

import pytest
import torch

from featurekit.backbones import load
from featurekit.diffusion.noise_schedule import NoiseTable, Schedule
from featurekit.diffusion.steps import ddim_step
from featurekit_drag.engine.settings import DragSettings, Rule
from featurekit_drag.engine.supervision.motion_supervision import motion_loss
from featurekit_drag.engine.unet_features import (
    feature_and_step_reader,
    feature_reader,
    fused,
    level_of,
)

SETTINGS = DragSettings(steps=6)


@pytest.fixture(scope="module")
def backbone():
    return load("random", device="cpu")


@pytest.fixture(scope="module")
def predict(backbone):
    return backbone.predictor(backbone.embed("a disc"))


@pytest.fixture
def z(backbone):
    shape = (1, backbone.latent_channels, 16, 16)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_the_published_run_reads_timestep_681_and_steps_on_to_661(backbone):
    schedule, level = level_of(backbone, DragSettings())
    assert schedule.timesteps == tuple(range(981, 0, -20))
    assert level == 35
    assert (schedule.timestep(35), schedule.timestep(34)) == (681, 661)
    assert float(schedule.alpha_bars[35]) == pytest.approx(0.0946, abs=5e-5)
    assert float(schedule.alpha_bars[34]) == pytest.approx(0.1087, abs=5e-5)


def test_twenty_steps_look_at_timestep_651(backbone):
    schedule, level = level_of(backbone, DragSettings(steps=20))
    assert (level, schedule.timestep(level)) == (14, 651)


@pytest.mark.parametrize("tap", ["up1", "up2", "up3"])
def test_leaving_early_gives_the_same_features_and_gradient(backbone, predict, z, tap):
    settings = DragSettings(steps=6, tap=tap)
    cell = backbone.taps[tap].stride / backbone.stride
    handles, targets = torch.tensor([[20.0, 24.0]]) / cell, torch.tensor([[44.0, 24.0]]) / cell
    found = []
    for read in (feature_reader, feature_and_step_reader):
        latent = z.clone().requires_grad_()
        readout = read(backbone, settings, predict)(latent)
        loss = motion_loss(readout.field, handles, targets, rule=Rule())
        found.append((readout.field, torch.autograd.grad(loss, latent)[0]))
    (early, early_gradient), (late, late_gradient) = found
    assert torch.equal(early, late)
    assert (early_gradient - late_gradient).abs().max() <= 1e-6 * late_gradient.abs().max()
    assert late_gradient.abs().max() > 0


def test_the_glimpse_does_not_run_what_lies_behind_the_tap(backbone, predict, z):
    ran = []
    handles = [
        backbone.unet.get_submodule(path).register_forward_hook(
            lambda *_, path=path: ran.append(path)
        )
        for path in ("up_blocks.2", "up_blocks.3", "conv_out")
    ]
    try:
        feature_reader(backbone, SETTINGS, predict)(z)
    finally:
        for handle in handles:
            handle.remove()
    assert "up_blocks.3" not in ran
    assert "conv_out" not in ran


def test_the_features_are_those_of_the_tap(backbone, predict, z):
    field = feature_reader(backbone, SETTINGS, predict)(z).field
    tap = backbone.taps["up2"]
    side = 16 * backbone.stride // tap.stride
    assert field.shape == (1, tap.channels, side, side)


def test_only_the_reader_of_the_step_gives_the_latent_one_step_on(backbone, predict, z):
    schedule, level = level_of(backbone, SETTINGS)
    assert feature_reader(backbone, SETTINGS, predict)(z).next_latent is None
    with torch.no_grad():
        next_latent = feature_and_step_reader(backbone, SETTINGS, predict)(z).next_latent
        expected = ddim_step(
            z,
            predict(z, schedule.timestep(level)),
            alpha_bar_from=schedule.alpha_bars[level],
            alpha_bar_to=schedule.alpha_bars[level - 1],
        )
    torch.testing.assert_close(next_latent, expected, rtol=0, atol=1e-6)


def test_from_the_last_level_it_steps_on_to_the_clean_end(backbone, predict, z):
    settings = DragSettings(steps=6, strength=0.1)
    assert level_of(backbone, settings)[1] == 1
    assert feature_and_step_reader(backbone, settings, predict)(z).next_latent.isfinite().all()


@pytest.mark.parametrize("read", [feature_reader, feature_and_step_reader])
def test_with_guidance_both_halves_are_joined(backbone, z, read):
    settings = DragSettings(steps=6, guidance=2.0)
    channels = backbone.taps["up2"].channels
    with torch.no_grad():
        guided = backbone.predictor(backbone.embed("a disc"), guidance=2.0)
        field = read(backbone, settings, guided)(z).field
        halves = [
            feature_reader(backbone, SETTINGS, backbone.predictor(backbone.embed(prompt)))(z).field
            for prompt in ("", "a disc")
        ]
    assert field.shape[:2] == (1, 2 * channels)
    torch.testing.assert_close(field[:, :channels], halves[0] / 3, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(field[:, channels:], halves[1] * 2 / 3, rtol=1e-4, atol=1e-5)


def test_the_published_weight_of_the_prompt_is_536_thousandths_at_seven_and_a_half():
    field = torch.ones(2, 3, 4, 4)
    joined = fused(field, 7.5)
    assert joined[0, :, 0, 0].tolist() == pytest.approx([0.464] * 3 + [0.536] * 3, abs=5e-4)


def test_without_guidance_the_features_are_left_alone():
    field = torch.ones(1, 3, 4, 4)
    assert fused(field, 1.0) is field


def test_reading_leaves_no_hook_and_no_gradient(backbone, predict, z):
    latent = z.clone().requires_grad_()
    for read in (feature_reader, feature_and_step_reader):
        read(backbone, SETTINGS, predict)(latent).field.sum().backward()
    assert not any(module._forward_hooks for module in backbone.unet.modules())
    assert all(parameter.grad is None for parameter in backbone.unet.parameters())


def test_the_schedule_is_the_backbones_own(backbone):
    schedule, _ = level_of(backbone, DragSettings())
    expected = Schedule.ddim(NoiseTable.scaled_linear(), steps=50)
    torch.testing.assert_close(schedule.alpha_bars, expected.alpha_bars, rtol=1e-5, atol=0)
