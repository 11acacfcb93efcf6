"""On real weights an inverted picture comes back far above the autoencoder's own error."""

import pytest
import torch

import featurekit as fk
from featurekit.core.metrics import psnr
from featurekit.images.coordinates import crop
from featurekit.scenes import scene

STEPS = 5
FLOOR_DB = 58.0  # against the autoencoder's picture
CALLS = 2.5  # of those of DDIM there and back


@pytest.fixture(scope="module")
def backbone():
    return fk.load_backbone("embedded", device="cpu")


@pytest.fixture(scope="module")
def subject(backbone):
    """Latent of one held-out scene, what predicts for it, and how often that was called."""
    shown = scene(1_000_001, "landscape")
    with torch.no_grad():
        latent = backbone.encode(fk.load_image(shown.image(64)))
        predict = backbone.predictor(backbone.embed(shown.caption()))
    calls = []

    def counting(z, t):
        calls.append(t)
        return predict(z, t)

    return latent, counting, calls


@torch.no_grad()
def there_and_back(backbone, subject, steps, **settings):
    """PSNR against the autoencoder's picture, dB, and calls as a share of DDIM's."""
    latent, predict, calls = subject
    calls.clear()
    schedule = fk.Schedule.ddim(backbone.noise, steps)
    way = fk.invert(predict, latent, schedule, **settings)
    carried = way if way.residuals is not None or way.states == 2 else None
    back = fk.sample(predict, way.at(steps), schedule, trajectory=carried)
    pictures = [crop(backbone.decode(z), 64, 64).clamp(-1, 1) for z in (back, latent)]
    return float(psnr(*pictures)), len(calls) / (2 * steps)


@pytest.mark.parametrize("method", ["residual", "edict", "edit_friendly"])
def test_an_exact_method_comes_back_in_few_calls(backbone, subject, method):
    draws = torch.Generator().manual_seed(0) if method == "edit_friendly" else None
    likeness, calls = there_and_back(backbone, subject, STEPS, method=method, generator=draws)
    assert likeness > 100
    assert calls <= CALLS


def test_anderson_comes_back_from_the_noise_alone_in_few_calls(backbone, subject):
    settings = {"method": "anderson", "keep_residuals": False}
    likeness, calls = there_and_back(backbone, subject, 25, **settings)
    assert likeness >= FLOOR_DB
    assert calls <= CALLS


def test_plain_ddim_does_not(backbone, subject):
    likeness, calls = there_and_back(backbone, subject, STEPS, keep_residuals=False)
    assert likeness < FLOOR_DB - 10
    assert calls == 1


def test_encoding_draws_nothing(backbone):
    image = fk.load_image(scene(1_000_001, "landscape").image(64))
    before = torch.get_rng_state()
    with torch.no_grad():
        assert torch.equal(backbone.encode(image), backbone.encode(image))
    assert torch.equal(torch.get_rng_state(), before)
