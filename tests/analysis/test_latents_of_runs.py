"""Features along a run: those of the latents that the network itself meets on its way."""

import pytest
import torch

from featurekit.analysis.latents_of_runs import inverted_run, run_gram, sampled_run
from featurekit.backbones import random
from featurekit.diffusion.noise_schedule import Schedule
from featurekit.diffusion.sample import sample
from featurekit.features.extract import extract_latents
from featurekit.features.reading import encoded

STEPS, TAPS = 4, ("mid", "up1")


@pytest.fixture(scope="module")
def model():
    return random.load("cpu")


@pytest.fixture(scope="module")
def schedule(model):
    return Schedule.ddim(model.noise, STEPS)


def test_a_sampled_run_is_what_the_network_is_shown(model, schedule):
    run = sampled_run(model, schedule, (8, 8), seed=3)
    shown = []
    predict = model.predictor(model.embed(""))

    def spy(z, t):
        shown.append((t, z))
        return predict(z, t)

    with torch.no_grad():
        sample(spy, run[-1], schedule)
    assert [t for t, _ in shown] == list(schedule.timesteps)
    for (_, z), kept in zip(shown, reversed(run), strict=True):
        assert torch.equal(z, kept)
    assert torch.equal(run[-1], sampled_run(model, schedule, (8, 8), seed=3)[-1])
    assert not torch.equal(run[-1], sampled_run(model, schedule, (8, 8), seed=4)[-1])


def test_an_inverted_run_leads_back_to_its_picture(model, schedule):
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    run = inverted_run(model, schedule, image)
    assert len(run) == STEPS
    with torch.no_grad():
        z0 = encoded(model, image)
        back = sample(model.predictor(model.embed("")), run[0], schedule, start=1)
    assert float((back - z0).abs().mean()) < 0.1 * float((run[-1] - z0).abs().mean())


def test_the_products_are_those_of_the_features_of_each_latent(model, schedule):
    runs = [sampled_run(model, schedule, (8, 8), seed=seed) for seed in (0, 1)]
    gram = run_gram(model, runs, schedule, taps=TAPS)
    rows = []
    with torch.no_grad():
        for run in runs:
            for t, latent in zip(sorted(schedule.timesteps), run, strict=True):
                maps = extract_latents(model, {t: latent}, taps=TAPS)
                rows.append(torch.cat([one.tensor.flatten() for one in maps]))
    whole = torch.stack(rows).double()
    torch.testing.assert_close(gram, whole @ whole.T, rtol=1e-5, atol=1e-5)
