"""Reading at two scales: the right maps in the right order, cheaply, the same each time."""

import pytest
import torch
from torch.nn import functional

import featurekit as fk
from featurekit.core.errors import ShapeError
from featurekit.images import coordinates
from featurekit_sketch.network.feature_taps import FeatureTaps
from featurekit_sketch.sampling.feature_reading import read
from featurekit_sketch.sampling.noising_paths import noised_path
from featurekit_sketch.settings import Reading
from featurekit_sketch.training.sketcher import Reader
from featurekit_sketch.two_scales.reading import (
    KEPT,
    TwoScaleMaps,
    TwoScaleReader,
    learnt_maps,
    map_specs,
)
from featurekit_sketch.two_scales.training import RANKS

SEED = 5


@pytest.fixture(scope="module")
def backbone():
    return fk.load_backbone("random")


@pytest.fixture(scope="module")
def reader(backbone):
    return TwoScaleReader(Reader.of(backbone, Reading(steps=20, seed=SEED)), RANKS)


def picture(height, width, seed=0):
    lots = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(1, 3, height, width, generator=lots) - 1


@pytest.fixture(scope="module")
def found(reader):
    """A picture, higher than wide, and what is read of it."""
    image = picture(128, 64)
    return image, reader(image)


def same(one, other):
    names = set(one.maps) | set(other.maps)
    whole = all(torch.equal(one.maps[name], other.maps[name]) for name in names)
    return whole and torch.equal(one.image, other.image)


def test_the_timesteps_are_two_of_the_representative_ones(reader):
    assert reader.timesteps == (51, 301)


def test_the_maps_have_the_names_and_shapes_of_their_specs(reader, found):
    specs = map_specs(reader.reader.feature_taps, 2, ("unet", "vae"))
    maps = found[1].maps
    assert list(maps) == [spec.name for spec in specs]
    for spec in specs:
        assert maps[spec.name].shape == (1, spec.channels, 128 // spec.stride, 64 // spec.stride)
        assert maps[spec.name].dtype == KEPT
        assert not maps[spec.name].requires_grad
    assert torch.equal(found[1].image, found[0].to(KEPT))


def test_a_style_learns_from_all_maps_but_the_coarse_ones_of_the_unet():
    embedded = fk.load_backbone("embedded")
    taps = FeatureTaps.of(embedded.unet.config, embedded.vae.config)
    both = learnt_maps(taps, ("unet", "vae"))
    fine = {"fine.u2.0", "fine.u2.1", "fine.u3.0", "fine.u3.1"}
    unet = fine | {name.replace("fine", "half") for name in fine}
    assert {name for name in both if "u" in name} == unet
    assert both - unet == {tap.name for tap in taps.vae} == learnt_maps(taps, ("vae",))
    assert learnt_maps(taps, ("unet",)) == unet


def test_a_picture_costs_a_row_for_each_timestep_and_scale(backbone, reader):
    rows = []
    hook = backbone.unet.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    reader(picture(64, 64))
    hook.remove()
    assert sum(rows) == 4


@torch.no_grad()
def test_the_timesteps_lie_along_the_channels_in_order(backbone, reader, found):
    clean = backbone.encode(found[0])
    path = noised_path(backbone, clean, reader.timesteps, seed=SEED)
    wanted = read(backbone, reader.reader.feature_taps, path, reader.reader.states)
    for name, one in wanted.unet.items():
        apart = found[1].maps[f"fine.{name}"].float().chunk(2, 1)
        for step in range(2):
            assert (apart[step] - one[:, step, 0]).abs().max() < 2e-3 * one.abs().max()
    for name, one in wanted.vae.items():
        assert (found[1].maps[name].float() - one).abs().max() < 2e-3 * one.abs().max()


def test_the_second_scale_sees_the_mean_of_each_four_pixels(reader):
    image = picture(128, 128)
    whole, half = reader(image), reader(functional.avg_pool2d(image, 2))
    for name in half.maps:
        if name.startswith("fine."):
            other = whole.maps[name.replace("fine.", "half.")].float()
            wanted = half.maps[name].float()
            assert (other - wanted).abs().max() < 2e-3 * wanted.abs().max()
            assert not torch.equal(whole.maps[name][..., :2, :2], half.maps[name][..., :2, :2])


@pytest.mark.parametrize("sides", [(50, 70), (1, 1), (3, 65), (64, 63)])
def test_a_picture_of_any_size_is_filled_up_by_reflection(reader, sides):
    image = picture(*sides)
    given = reader(image)
    frame = coordinates.pad(image, reader.multiple)
    assert given.image.shape[-2] % 64 == given.image.shape[-1] % 64 == 0
    assert given.image.shape == frame.shape
    assert torch.equal(given.image[..., : sides[0], : sides[1]], image.to(KEPT))
    assert same(given, reader(frame))


def test_the_same_picture_gives_the_same_bytes_and_the_styles_own_seed_is_the_default(
    reader, found
):
    image, first = found
    assert same(reader(image), first)
    assert same(reader(image, seed=SEED), first)
    assert same(reader(image, seed=SEED + 1), reader(image, seed=SEED + 1))


def test_another_seed_changes_the_unets_maps_alone(reader, found):
    image, first = found
    other = reader(image, seed=SEED + 1)
    for name, one in first.maps.items():
        assert torch.equal(one, other.maps[name]) is name.startswith("v")


def test_the_global_random_state_decides_nothing(reader, found):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(99)
        before = torch.default_generator.get_state()
        assert same(reader(found[0]), found[1])
        assert torch.equal(torch.default_generator.get_state(), before)


def test_inversion_reads_the_same_ranks_of_its_own_path(backbone, reader):
    inverting = TwoScaleReader(Reader.of(backbone, Reading("inversion", 16, SEED)), RANKS)
    image = picture(64, 64)
    found = inverting(image)
    maps = found.maps
    noised = TwoScaleReader(Reader.of(backbone, Reading("noise", 16, SEED)), RANKS)(image).maps
    assert {name: one.shape for name, one in maps.items()} == {
        name: one.shape for name, one in noised.items()
    }
    assert not torch.equal(maps["fine.u3.1"], noised["fine.u3.1"])
    assert same(inverting(image, seed=3), found)  # there is no noise in it


def test_pictures_of_one_size_are_joined_in_order(reader):
    parts = [reader(picture(64, 64, seed)) for seed in range(3)]
    joined = TwoScaleMaps.together(parts)
    for number, one in enumerate(parts):
        assert torch.equal(joined.image[number : number + 1], one.image)
        for name, maps in one.maps.items():
            assert torch.equal(joined.maps[name][number : number + 1], maps)


def test_memory_is_that_of_half_precision(found):
    numbers = sum(one.numel() for one in (*found[1].maps.values(), found[1].image))
    assert found[1].bytes == 2 * numbers


def test_one_picture_is_read_at_a_time(reader):
    with pytest.raises(ShapeError, match=r"image must be \(1 3 h w\), got \(2, 3, 64, 64\)"):
        reader(torch.zeros(2, 3, 64, 64))
    with pytest.raises(ShapeError, match=r"image must be \(1 3 h w\)"):
        reader(torch.zeros(1, 1, 64, 64))
