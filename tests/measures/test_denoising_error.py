"""What the embedded model knows: scenes of its training, and no photograph."""

from pathlib import Path
from types import SimpleNamespace

import matplotlib
import pytest
import torch

import featurekit as fk
from featurekit.backbones import load
from featurekit.images.io import load_image
from featurekit.measures.denoising_error import (
    EMBEDDED_KNOWS,
    denoising_error,
    latent_error,
    missed_noise,
    timestep_of,
)
from featurekit.scenes import HELD_OUT_KINDS, TRAINED_KINDS, held_out_scenes

PHOTO = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"


@pytest.fixture(scope="module")
def backbone():
    return load("embedded", device="cpu")


@pytest.mark.parametrize("kind", TRAINED_KINDS)
def test_scenes_like_those_of_its_training_are_known_at_any_size(backbone, kind):
    for one, size in zip(held_out_scenes(3, (kind,)), (64, 64, 256), strict=True):
        assert denoising_error(backbone, load_image(one.image(size))) < 0.75 * EMBEDDED_KNOWS


@pytest.mark.parametrize("kind", HELD_OUT_KINDS)
def test_kinds_that_were_kept_from_it_are_not(backbone, kind):
    (one,) = held_out_scenes(1, (kind,))
    assert denoising_error(backbone, load_image(one.image(64))) > EMBEDDED_KNOWS


def test_a_photograph_is_not_known_whole_or_in_part(backbone):
    photo = load_image(PHOTO)
    for part in (photo, photo[..., 50:250, 150:350]):
        assert denoising_error(backbone, part) > 1.5 * EMBEDDED_KNOWS


def test_the_figure_depends_on_nothing_but_the_picture(backbone):
    picture = torch.zeros(1, 3, 40, 64)
    state = torch.random.get_rng_state()
    assert denoising_error(backbone, picture) == denoising_error(backbone, picture)
    assert torch.equal(torch.random.get_rng_state(), state)


def model_of(predict, noise):
    """A model in closed form, which reads no words."""
    return SimpleNamespace(noise=noise, embed=lambda prompt: None, predictor=lambda words: predict)


def test_a_flow_misses_as_much_as_the_diffusion_model_of_the_same_data():
    seeded = torch.Generator().manual_seed(0)
    templates = torch.randn(4, 3, 6, 6, generator=seeded).double()
    latent = torch.randn(1, 3, 6, 6, generator=seeded).double()
    denoiser = fk.testing.MixtureDenoiser(templates, sigma=0.3)
    flow = fk.testing.MixtureFlow(templates, spread=0.3)
    errors = [
        missed_noise(model_of(one, one.noise), latent, draws=3).double() for one in (denoiser, flow)
    ]
    assert errors[0].shape == (3, 3, 6, 6)
    torch.testing.assert_close(errors[0], errors[1], rtol=1e-5, atol=1e-7)
    model = model_of(flow, flow.noise)
    assert latent_error(model, latent, draws=3) == pytest.approx(float(errors[1].mean()))


def test_every_model_is_asked_at_one_ratio_of_noise_to_signal():
    stable = fk.NoiseTable.scaled_linear()
    assert timestep_of(stable) == 261
    linear = fk.NoiseTable.from_scheduler(
        {"_class_name": "DDPMScheduler", "beta_schedule": "linear", "beta_start": 1e-4,
         "beta_end": 0.02}
    )  # fmt: skip
    found = timestep_of(linear)
    assert isinstance(found, int)
    assert abs(float(linear.level(found) - stable.level(261))) < 0.003
    t = timestep_of(fk.FlowTable())
    signal = stable.level(261)
    assert (t / (1000 - t)) ** 2 == pytest.approx(float((1 - signal) / signal))
