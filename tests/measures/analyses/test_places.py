"""Positions, norms and timesteps of a model: what is planted in its features comes out."""

import pytest
import torch

from featurekit.analysis.artefacts import places
from featurekit.backbones import random
from featurekit.core.errors import ConfigError
from featurekit.core.types import FeatureMap
from featurekit.measures.analyses import norms, positions, timesteps
from featurekit.measures.analyses.timesteps import Asked


@pytest.fixture(scope="module")
def model():
    return random.load("cpu")


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(1, 3, 32, 32, generator=generator) * 2 - 1 for _ in range(4)]


def features(image, channels=6, side=8):
    """Noise that the picture alone decides."""
    seed = int(image.abs().sum() * 1000)
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, channels, side, side, generator=generator)


def reading(leak):
    def read(backbone, image, *, taps, timesteps, seed):
        return [FeatureMap(leak(backbone, features(image)), tap, timesteps[0], 4) for tap in taps]

    return read


def test_a_network_that_tells_places_is_told_from_its_controls(model, images, monkeypatch):
    def leak(backbone, field):
        where = places(field)[None].float()
        return torch.cat((field, where), dim=1) if backbone is model else field

    monkeypatch.setattr(positions, "extract", reading(leak))
    found = positions.measure_positions(model, images, taps=["a", "b"], timestep=1)
    for tap in ("a", "b"):
        assert min(found.figures["r2"]["network"][tap].values()) > 0.95
        assert max(found.figures["r2"]["random"][tap].values()) < 0.3
        assert max(found.figures["r2"]["pixels"][tap].values()) < 0.3
    assert set(found.pictures) == {"positions"}


@pytest.mark.parametrize(
    ("module", "name"), [(positions, "measure_positions"), (norms, "measure_norms")]
)
def test_every_picture_has_a_noise_of_its_own(model, images, monkeypatch, module, name):
    seeds = []
    read = reading(lambda backbone, field: field)

    def spy(backbone, image, *, seed, **rest):
        seeds.append((backbone is model, seed))
        return read(backbone, image, seed=seed, **rest)

    monkeypatch.setattr(module, "extract", spy)
    getattr(module, name)(model, images, taps=["a"], timestep=1, seed=3)
    assert len({seed for trained, seed in seeds if trained}) == len(images)


def test_every_picture_is_shifted_by_a_step_of_its_own(images):
    generator = torch.Generator().manual_seed(0)
    shifted = [positions._shifted(images[0], generator) for _ in range(3)]
    for one in shifted:
        assert sorted(one.flatten().tolist()) == sorted(images[0].flatten().tolist())
    assert not torch.equal(shifted[0], shifted[1])


def test_raw_patches_lie_on_the_grid_of_the_features(images):
    patches = positions._patches(images[0], 4, 2)
    assert patches.shape == (1, 3 * 16, 4, 2)
    flat = positions._patches(torch.arange(16.0).reshape(1, 1, 4, 4).expand(1, 3, 4, 4), 4, 4)
    assert flat[0, 0].flatten().tolist() == list(range(16))


def test_tokens_and_channels_that_were_planted_are_reported(model, images, monkeypatch):
    def leak(backbone, field):
        field[:, :, 0, 0] += 100
        field[:, 2] += 300
        return field

    monkeypatch.setattr(norms, "extract", reading(leak))
    found = norms.measure_norms(model, images, taps=["a"], timestep=1)
    row = found.figures["taps"]["a"]
    assert list(row["massive"]) == [2]
    assert row["high_share"] == 1 / 64
    assert row["corner_excess"] > 1.05
    assert row["threshold"] > row["median"]
    assert set(found.pictures) == {"norms"}


def test_counts_of_high_tokens_are_scaled_to_their_largest():
    field = torch.ones(4, 3, 4, 4)
    field[:2, :, 1, 2] = 100
    high = norms.high_norms(field)
    *_, counts = norms._shown(high, 1)
    tile = counts.crop((0, 0, 256, 256))
    bright, dark = tile.getpixel((2 * 64 + 32, 64 + 32)), tile.getpixel((32, 32))
    assert bright == norms.heat_scale(2, 1).getpixel((1, 0))
    assert dark == norms.heat_scale(2, 1).getpixel((0, 0))


def test_a_grid_without_an_inside_has_no_corners_to_compare(model, images, monkeypatch):
    def read(backbone, image, *, taps, timesteps, seed):
        return [FeatureMap(features(image, side=2), "a", timesteps[0], 16)]

    monkeypatch.setattr(norms, "extract", read)
    found = norms.measure_norms(model, images, taps=["a"], timestep=1)
    assert found.figures["taps"]["a"]["corner_excess"] is None


def test_timesteps_are_chosen_from_what_the_network_computes(model, images):
    told = []
    found = timesteps.measure_timesteps(
        model,
        images[:3],
        Asked(("mid",), 5, 2),
        progress=lambda *both: told.append(both),
    )
    assert len(found.figures["timesteps"]) == 2
    assert set(found.figures["timesteps"]) <= {1, 201, 401, 601, 801}
    assert set(found.figures["distances"]) == {"selected", "segments", "equal", "random"}
    assert told[-1] == (3, 3)
    assert found.pictures["timesteps"].width > 1000


def test_a_seed_is_of_the_noise_of_pictures(model, images):
    asked = (Asked(("mid",), 5, 2, seed=seed) for seed in (0, 0, 1))
    first, again, other = (timesteps.measure_timesteps(model, images[:1], one) for one in asked)
    assert first.figures == again.figures
    assert first.figures["distances"] != other.figures["distances"]


def test_runs_are_sampled_from_seeds_or_inverted_from_pictures(model, images):
    told, asked = [], Asked(("mid",), 5, 2)
    kept = timesteps.SHOWN + 1
    found = timesteps.measure_runs(
        model, range(kept), asked, progress=lambda *both: told.append(both)
    )
    assert found.figures["images"] == kept
    assert told[-1] == (kept, kept)
    inverted = timesteps.measure_runs(model, images[:2], asked).figures
    assert inverted["distances"] != found.figures["distances"]
    assert set(inverted["segment_timesteps"]) <= {1, 201, 401, 601, 801}
    again = timesteps.measure_runs(model, range(kept), asked)
    assert again.figures == found.figures


def test_pictures_of_two_sizes_are_read_each_as_it_is(model, images):
    wide = torch.zeros(1, 3, 32, 64)
    found = timesteps.measure_timesteps(model, [images[0], wide], Asked(("mid",), 5, 2))
    assert found.figures["images"] == 2
    with pytest.raises(ConfigError, match="norms need pictures of one size to be compared"):
        norms.measure_norms(model, [images[0], wide], taps=["mid"], timestep=1)


def test_too_few_pictures_are_refused(model, images):
    with pytest.raises(ConfigError, match=r"a probe needs 4 pictures or more, .* got 3"):
        positions.measure_positions(model, images[:3], taps=["mid"], timestep=1)
    with pytest.raises(ConfigError, match="timesteps must be chosen on an image, got none"):
        timesteps.measure_timesteps(model, [])
    with pytest.raises(ConfigError, match=r"norms need pictures of one size.* got none"):
        norms.measure_norms(model, [], taps=["mid"], timestep=1)
    with pytest.raises(ConfigError, match="timesteps must be chosen on a run, got none"):
        timesteps.measure_runs(model, [])
