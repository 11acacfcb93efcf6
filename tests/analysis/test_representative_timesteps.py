"""Representative timesteps: read in groups or at once the same, one to each planted stop."""

import pytest
import torch

from featurekit.analysis import representative_timesteps as representative
from featurekit.analysis.gram import gram_of
from featurekit.analysis.representative_timesteps import (
    blocks_of,
    feature_gram,
    representatives,
    resnet_taps,
)
from featurekit.backbones import random
from featurekit.core.errors import ConfigError
from featurekit.features.extract import extract

TAPS, TIMESTEPS = ("up_blocks.0.resnets.0.conv2", "up1", "mid"), (1, 301, 601, 901)


@pytest.fixture(scope="module")
def model():
    return random.load("cpu")


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture(scope="module")
def gram(model, images):
    return feature_gram(model, images, taps=TAPS, timesteps=TIMESTEPS, seed=3)


def runs(lengths, seed=0):
    """Gram matrix of a path that stands nearly still in each of some runs."""
    generator = torch.Generator().manual_seed(seed)
    stops = torch.randn(len(lengths), 400, generator=generator)
    rows = torch.cat([stop.expand(n, -1) for stop, n in zip(stops, lengths, strict=True)])
    return gram_of(rows + 0.02 * torch.randn(rows.shape, generator=generator).cumsum(0))


def test_the_products_are_those_of_all_features_in_one_vector(model, images, gram):
    rows = []
    with torch.no_grad():
        for image in images:
            maps = extract(model, image[None], taps=TAPS, timesteps=TIMESTEPS, seed=3)
            rows += [torch.cat([maps[tap, t].tensor.flatten() for tap in TAPS]) for t in TIMESTEPS]
    whole = torch.stack(rows).double()
    torch.testing.assert_close(gram, whole @ whole.T, rtol=1e-5, atol=1e-5)
    first, second = blocks_of(gram, 2)
    assert torch.equal(first, gram[:4, :4])
    assert torch.equal(second, gram[4:, 4:])


def test_what_may_be_held_changes_the_calls_and_not_the_products(model, images, gram, monkeypatch):
    asked = []

    def spy(*args, taps, **rest):
        asked.append(tuple(taps))
        return extract(*args, taps=taps, **rest)

    monkeypatch.setattr(representative, "extract", spy)
    monkeypatch.setattr(representative, "HELD_BYTES", 1)
    alone = feature_gram(model, images, taps=TAPS, timesteps=TIMESTEPS, seed=3)
    assert [len(taps) for taps in asked] == [3, 1, 1, 1]
    torch.testing.assert_close(alone, gram, rtol=1e-5, atol=1e-5)


def test_the_taps_of_the_paper_are_what_resnets_add(model):
    taps = resnet_taps(model)
    assert taps[0] == "up_blocks.0.resnets.0.conv2"
    assert len(taps) == 8
    assert all(tap.endswith("conv2") for tap in taps)


def test_planted_stops_are_counted_and_each_has_one_timestep():
    lengths = (3, 5, 4, 6, 2, 4, 6)
    timesteps = list(range(1, 601, 20))
    found = representatives([runs(lengths, seed) for seed in range(3)], timesteps)
    assert found.knees["share"] == 7
    ends = torch.tensor(lengths).cumsum(0).tolist()
    for choice in (found.chosen, found.in_segments):
        starts = [0, *ends[:-1]]
        assert all(a <= one < b for a, one, b in zip(starts, choice, ends, strict=True))
    assert found.chosen_timesteps == tuple(timesteps[place] for place in found.chosen)
    assert found.distances["selected"] < 0.5 * found.distances["equal"]
    assert found.distances["selected"] < 0.5 * found.distances["random"]
    assert list(found.curve) == list(found.segments) == list(range(2, 25))


def test_a_number_that_is_asked_for_is_chosen():
    found = representatives([runs((5, 5, 5))], range(15), count=4)
    assert len(found.chosen) == 4
    assert found.knees["share"] == 3


def test_what_cannot_be_chosen_from_is_refused():
    gram = runs((2, 2, 2))
    with pytest.raises(ConfigError, match="an image and 4 timesteps that rise, got 0 images"):
        representatives([], range(6))
    with pytest.raises(ConfigError, match=r"that rise, got 1 images and \[3, 2, 1, 0\]"):
        representatives([gram], [3, 2, 1, 0])
    with pytest.raises(ConfigError, match=r"count must lie in \[1, 5\], got 6"):
        representatives([gram], range(6), count=6)
