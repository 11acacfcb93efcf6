"""Fitting a LoRA to a flow: what is drawn, what it is held to, and that it learns one image."""

import math
from dataclasses import replace
from statistics import NormalDist

import pytest
import torch
from small_parts import drawn
from small_transformers import SMALL

from featurekit.backbones.lora import LoraRecipe, applied, fit_lora
from featurekit.backbones.lora_progress import EVERY
from featurekit.core.errors import ConfigError
from featurekit.core.file_bytes import read_metadata
from featurekit.core.types import Conditioning
from featurekit.diffusion.denoising_objective import denoising_objective, shift_of
from featurekit.diffusion.flow_table import FlowTable
from featurekit.diffusion.flows.sigmas import DynamicShift
from featurekit.images.io import read_tensors, write_tensors

WORDS = Conditioning(torch.zeros(1, 1, 1), "")


class Told:
    """A flow that keeps what it is told and answers what it is asked to."""

    def __init__(self, noise, answer):
        self.noise, self.answer, self.seen = noise, answer, []

    def predictor(self, conditioning):
        def predict(z, t):
            self.seen.append((z, t))
            return self.answer(z, t)

        return predict


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_loss_of_the_true_velocity_is_none_and_of_another_its_square():
    """One image without spread: the noise is what z tells of it."""
    x0 = drawn(1, 2, 3, 3)

    def true(z, t):
        sigma = (t / 1000).view(-1, 1, 1, 1)
        return (z - x0) / sigma

    for off in (0.0, 2.0):
        flow = Told(FlowTable(shift=3.0), lambda z, t, off=off: true(z, t) + off)
        objective = denoising_objective(flow, (x0, torch.zeros_like(x0)), WORDS, 6)
        loss = objective(seeded())
        torch.testing.assert_close(loss, torch.tensor(off**2), rtol=0, atol=1e-4)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_levels_are_logit_normal_and_shifted(shift):
    flow = Told(FlowTable(shift=shift), lambda z, t: z)
    x0 = torch.zeros(1, 1, 1, 1)
    denoising_objective(flow, (x0, x0), WORDS, 20000)(seeded())
    ((_, t),) = flow.seen
    sigma = t.double() / 1000
    back = sigma / (shift - (shift - 1) * sigma)
    found = (back / (1 - back)).log().sort().values
    for share in (0.1, 0.5, 0.9):
        wanted = NormalDist().inv_cdf(share)
        assert abs(found[int(share * len(found))] - wanted) < 0.05


def test_a_shift_that_follows_the_size_is_that_of_its_runs():
    table = FlowTable(dynamic=DynamicShift(), patch=2)
    assert shift_of(table, (32, 32)) == pytest.approx(math.exp(0.5))  # 256 tokens
    assert shift_of(table, (128, 128)) == pytest.approx(math.exp(1.15))
    linear = replace(table, dynamic=DynamicShift(kind="linear"))
    assert shift_of(linear, (32, 32)) == pytest.approx(0.5)
    assert shift_of(FlowTable(shift=3.0), (32, 32)) == 3.0


def test_the_spread_of_the_posterior_is_drawn_with():
    flow = Told(FlowTable(), lambda z, t: torch.zeros_like(z))
    mean, std = torch.full((1, 1, 1, 1), 5.0), torch.full((1, 1, 1, 1), 2.0)
    loss = denoising_objective(flow, (mean, std), WORDS, 40000)(seeded())
    assert abs(float(loss) - (25 + 4 + 1)) < 0.5  # n - x0 has mean -5 and variance 1 + 4
    with pytest.raises(ConfigError, match="batch must be at least 1, got 0"):
        denoising_objective(flow, (mean, std), WORDS, 0)


TARGETS = ("to_q", "to_v")
RECIPE = LoraRecipe(rank=4, alpha=4, learning_rate=2e-2, steps=60, batch=4, targets=TARGETS)


@pytest.mark.parametrize("name", ["flux_schnell", "sd35", "sana", "lumina2", "z_image"])
def test_one_image_is_learnt_by_the_projections_of_a_transformer(name):
    small = SMALL[name]()
    backbone = small.wrapped()
    network = backbone.denoiser.requires_grad_(True)
    before = {key: one.clone() for key, one in network.state_dict().items()}
    cells = backbone.multiple // backbone.stride
    mean = drawn(1, backbone.latent_channels, 2 * cells, 2 * cells)
    objective = denoising_objective(backbone, (mean, torch.zeros_like(mean)), small.words, 4)
    lora = fit_lora(network, objective, recipe=RECIPE, generator=seeded())
    assert all(path.rpartition(".lora_")[0].endswith(TARGETS) for path in lora.weights)
    assert all(one.grad is None for one in network.parameters())
    assert all(torch.equal(before[key], one) for key, one in network.state_dict().items())
    with torch.no_grad():
        held_out = [float(objective(seeded(seed))) for seed in range(100, 108)]
        with applied(network, lora):
            learnt = [float(objective(seeded(seed))) for seed in range(100, 108)]
    assert sum(learnt) < 0.99 * sum(held_out)


class StoppedError(Exception):
    """Somebody pressed Ctrl-C."""


def test_a_fit_that_was_stopped_goes_on_to_the_bit(tmp_path):
    small = SMALL["flux_schnell"]()
    backbone = small.wrapped()
    mean = drawn(1, 16, 4, 4)
    objective = denoising_objective(backbone, (mean, torch.zeros_like(mean)), small.words, 2)
    recipe = replace(RECIPE, steps=2 * EVERY + 3, batch=2)
    kept = tmp_path / "fit.safetensors"

    def fitted(seed, **named):
        return fit_lora(
            backbone.denoiser, objective, recipe=recipe, generator=seeded(seed), **named
        )

    def stop(done, of):
        if done == EVERY + 4:
            raise StoppedError

    whole = fitted(3)
    with pytest.raises(StoppedError):
        fitted(3, kept=kept, progress=stop)
    assert kept.exists()
    told = []
    again = fitted(99, kept=kept, progress=lambda done, of: told.append(done))  # its own draws
    assert told[0] == EVERY + 1
    assert again.losses == whole.losses
    assert again.weights.keys() == whole.weights.keys()
    assert all(torch.equal(again.weights[name], one) for name, one in whole.weights.items())
    assert not kept.exists()


def test_what_was_kept_of_another_fit_is_refused(tmp_path):
    small = SMALL["flux_schnell"]()
    mean = drawn(1, 16, 4, 4)
    objective = denoising_objective(small.wrapped(), (mean, mean * 0), small.words, 2)
    kept, network = tmp_path / "fit.safetensors", small.pipeline.transformer

    def stop(done, of):
        if done == EVERY:
            raise StoppedError

    def fitted(**named):
        recipe = replace(RECIPE, **named)
        return fit_lora(
            network, objective, recipe=recipe, generator=seeded(), progress=stop, kept=kept
        )

    with pytest.raises(StoppedError):
        fitted(steps=EVERY + 1)
    with pytest.raises(ConfigError, match=r"go on as it was begun, .* delete it to begin anew"):
        fitted(steps=EVERY + 1, rank=2)
    tensors = read_tensors(kept)
    del tensors["generator"]
    write_tensors(tensors, kept, read_metadata(kept))
    with pytest.raises(ConfigError, match=r"from a whole file, .* delete it to begin anew"):
        fitted(steps=EVERY + 1)
