"""The inversion's measure, on networks whose round trip is known."""

from types import SimpleNamespace

import pytest
import torch

from featurekit.backbones import random
from featurekit.core.types import Conditioning
from featurekit.diffusion.noise_schedule import NoiseTable, Schedule
from featurekit.measures import measure_inversion
from featurekit.measures.held_out import EQUAL_DB, conditioned, image_of, scenes_of
from featurekit.scenes import KINDS

SIZE = 16


def backbone(predict):
    """A backbone without an autoencoder that answers as told."""
    return SimpleNamespace(
        sample_size=(SIZE, SIZE),
        stride=1,
        device=torch.device("cpu"),
        noise=NoiseTable.scaled_linear(),
        encode=lambda image: image,
        decode=lambda latent: latent,
        embed=lambda prompt: Conditioning(torch.zeros(1, 1, 1), prompt),
        predictor=lambda conditioning: predict,
    )


def test_a_network_that_sees_no_noise_comes_back_exactly():
    still = backbone(lambda z, t: torch.zeros_like(z))
    figures = measure_inversion(still, count=1, steps=5).figures
    assert figures["trained"]["psnr"] == EQUAL_DB
    assert figures["held_out"]["psnr_to_picture"] == EQUAL_DB


def test_the_end_is_measured_where_the_climb_ended():
    still = backbone(lambda z, t: torch.zeros_like(z))
    figures = measure_inversion(still, count=1, steps=5).figures
    levels = Schedule.ddim(still.noise, 5).alpha_bars
    end = image_of(scenes_of("face", 1)[0], SIZE) * (levels[-1] / levels[0]).sqrt().float()
    assert figures["kinds"]["face"]["end_std"] == pytest.approx(end.std().item(), rel=1e-4)
    assert figures["kinds"]["face"]["end_mean"] == pytest.approx(end.mean().item(), abs=1e-4)


def test_fewer_steps_miss_by_more_where_the_network_bends():
    bent = backbone(lambda z, t: torch.tanh(3 * z))
    coarse = measure_inversion(bent, count=1, steps=5).figures["trained"]["psnr"]
    fine = measure_inversion(bent, count=1, steps=50).figures["trained"]["psnr"]
    assert coarse < fine - 3


@pytest.mark.filterwarnings("ignore:the prompt has")
def test_each_row_of_a_batch_has_its_own_caption():
    model = random.load("cpu")
    both = conditioned(model, ["a red face", "a blue star"])
    assert torch.equal(both.states[1], model.embed("a blue star").states[0])
    assert not torch.equal(both.states[0], both.states[1])


@pytest.mark.filterwarnings("ignore:the prompt has")
def test_a_real_network_is_measured_for_every_kind():
    told = []
    figures = measure_inversion(
        random.load("cpu"), count=1, steps=2, progress=lambda *numbers: told.append(numbers)
    ).figures
    assert set(figures["kinds"]) == set(KINDS)
    assert told[-1] == (len(KINDS), len(KINDS))
