"""Drawing with learnt networks: any size, mixes of styles, and styles that do not fit."""

from dataclasses import replace

import pytest
import torch
from two_scale_runs import RANKS, STEPS, counted

import featurekit as fk
from featurekit.core.errors import ConfigError
from featurekit_sketch.settings import Reading
from featurekit_sketch.training.sketcher import Reader
from featurekit_sketch.training.style_file import TONES
from featurekit_sketch.two_scales.drawer import TwoScaleDrawer, new_network
from featurekit_sketch.two_scales.moments import moments_of
from featurekit_sketch.two_scales.reading import TwoScaleReader, map_specs
from featurekit_sketch.working_size import Size

BOTH = ("unet", "vae")


@pytest.fixture(scope="module")
def backbone():
    return fk.load_backbone("random")


def picture(height=64, width=64, seed=0):
    lots = torch.Generator().manual_seed(seed)
    coarse = 2 * torch.rand(1, 3, 8, 8, generator=lots) - 1
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")


@pytest.fixture(scope="module")
def reader(backbone):
    return TwoScaleReader(Reader.of(backbone, Reading(steps=STEPS)), RANKS)


@pytest.fixture(scope="module")
def styles(reader):
    """Three styles whose networks have learnt nothing, and draw all the same."""
    maps = reader(picture())
    found = []
    for seed in range(3):
        network = new_network(reader, BOTH, 1, seed)
        network.standardise(moments_of([maps]))
        lots = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            network.ink.weight.add_(0.2 * torch.randn(network.ink.weight.shape, generator=lots))
        offset = (0.5, -0.25, 1.0)[seed]
        found.append(TwoScaleDrawer(reader, [network.eval()], 64, offset=offset))
    return found


def logit(drawer, image):
    return drawer.logit(drawer.reader(image), Size(*image.shape[-2:]))


@pytest.mark.parametrize("size", [(64, 64), (1, 1), (300, 40), (33, 50), (128, 128)])
def test_a_picture_of_any_size_is_drawn_at_it_in_one_part(backbone, styles, size):
    told = []
    with counted(backbone) as rows:
        drawn = styles[0](picture(*size), progress=lambda *at: told.append(at))
    assert drawn.shape == (1, 1, *size)
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert not drawn.requires_grad
    assert sum(rows) == 4
    assert told == [(1, 1)]
    assert styles[0].parts(*size) == 1


def test_a_mix_of_one_style_is_the_style(styles):
    image = picture(seed=2)
    for share in (1.0, 3.0):
        mixed = styles[0].mixed([], [share])
        assert torch.equal(mixed(image), styles[0](image))
        assert mixed.offset == styles[0].offset


def test_a_share_of_nothing_counts_nothing(styles):
    image = picture(seed=2)
    assert torch.equal(styles[0].mixed(styles[1:], [2, 0, 0])(image), styles[0](image))
    assert torch.equal(styles[0].mixed(styles[1:], [0, 0, 2])(image), styles[2](image))


def test_a_mix_is_the_mean_of_logits_and_offsets_by_share(styles):
    image = picture(seed=2)
    mixed = styles[0].mixed(styles[1:2], [3, 1])
    wanted = 0.75 * logit(styles[0], image) + 0.25 * logit(styles[1], image)
    assert torch.allclose(logit(mixed, image), wanted, atol=1e-5)
    assert mixed.offset == pytest.approx(0.75 * 0.5 - 0.25 * 0.25)


def test_mixes_can_be_mixed(styles):
    image = picture(seed=2)
    first = styles[0].mixed(styles[1:2], [1, 1])
    wanted = styles[0].mixed(styles[1:], [1, 1, 2])
    for found in (first.mixed(styles[2:], [1, 1]), styles[2].mixed([first], [1, 1])):
        assert torch.allclose(logit(found, image), logit(wanted, image), atol=1e-5)
        assert found.offset == pytest.approx(wanted.offset)


def test_a_mix_reads_its_picture_once(backbone, styles):
    with counted(backbone) as rows:
        styles[0].mixed(styles[1:], [1, 1, 1])(picture())
    assert sum(rows) == 4


@pytest.mark.parametrize(
    "change",
    [
        lambda one: {"side_px": 96},
        lambda one: {"made_of": TONES},
        lambda one: {"reader": replace(one.reader, ranks=(1, 5))},
        lambda one: {"networks": [new_network(one.reader, BOTH, 3)]},
        lambda one: {
            "reader": replace(
                one.reader, reader=replace(one.reader.reader, reading=Reading(steps=20, seed=9))
            )
        },
    ],
    ids=["size", "ink", "timesteps", "colours", "seed"],
)
def test_styles_that_read_or_draw_otherwise_are_not_mixed(styles, change):
    other = replace(styles[1], **change(styles[1]))
    with pytest.raises(ConfigError, match=r"must read pictures alike .*plugin\.drawings="):
        styles[0].mixed([other], [1, 1])


@pytest.mark.parametrize("sources", [("unet",), ("vae",), BOTH])
def test_a_style_is_taken_up_as_it_was(backbone, reader, sources):
    network = new_network(reader, sources, 1, 4).eval()
    with torch.no_grad():
        network.ink.weight.add_(0.1)
    drawer = TwoScaleDrawer(reader, [network], 64, offset=-0.3)
    style = drawer.style(Size(64, 64), prompt="a face")
    again = TwoScaleDrawer.from_style(style, backbone)
    assert (again.offset, again.side_px, again.made_of) == (-0.3, 64, drawer.made_of)
    assert again.reader.timesteps == reader.timesteps
    assert set(style.sources) == set(sources)
    assert torch.equal(again(picture()), drawer(picture()))


def test_networks_of_one_style_draw_their_mean_and_are_taken_up_in_their_order(
    backbone, reader, styles
):
    networks = [one.networks[0] for one in styles[:2]]
    drawer = TwoScaleDrawer.of_networks(reader, networks, 64)
    image = picture(seed=2)
    wanted = (logit(styles[0], image) + logit(styles[1], image)) / 2
    assert torch.allclose(logit(drawer, image), wanted, atol=1e-5)
    style = drawer.style(Size(64, 64), prompt="a face")
    back = dict(reversed(style.state.items()))
    again = TwoScaleDrawer.from_style(replace(style, state=back), backbone)
    assert torch.equal(again(image), drawer(image))
    for found, network in zip(again.networks, networks, strict=True):
        assert torch.equal(found.ink.weight, network.ink.weight)
    mixed = logit(again.mixed(styles[2:], [2, 1]), image)
    assert torch.allclose(mixed, (2 * wanted + logit(styles[2], image)) / 3, atol=1e-5)


def test_a_style_that_learnt_from_every_map_is_taken_up_and_mixed(backbone, reader, styles):
    """As styles did before the coarse maps were left out."""
    every = {spec.name for spec in map_specs(reader.reader.feature_taps, len(RANKS), BOTH)}
    network = new_network(reader, BOTH, 1, 4, maps=every).eval()
    with torch.no_grad():
        network.ink.weight.add_(0.1)
    drawer = TwoScaleDrawer(reader, [network], 64)
    style = drawer.style(Size(64, 64), prompt="a face")
    assert set(style.channels) == every > set(styles[0].style(Size(64, 64), prompt="").channels)
    again = TwoScaleDrawer.from_style(style, backbone)
    image = picture()
    assert torch.equal(again(image), drawer(image))
    wanted = (logit(drawer, image) + logit(styles[0], image)) / 2
    assert torch.allclose(logit(again.mixed(styles[:1], [1, 1]), image), wanted, atol=1e-5)


def test_a_style_of_other_timesteps_or_weights_is_refused(backbone, styles):
    style = styles[0].style(Size(64, 64), prompt="")
    with pytest.raises(ConfigError, match=r"must be read at timesteps of .*; learn the style ag"):
        TwoScaleDrawer.from_style(replace(style, timesteps=(51, 302)), backbone)
    fewer = {name: one for name, one in style.state.items() if not name.startswith("coarse")}
    other = {**style.state, "ink.weight": torch.zeros(1, 7, 3, 3)}
    several = {f"{n}.{name}": one for n in range(2) for name, one in style.state.items()}
    part = {name: one for name, one in several.items() if name != "1.ink.bias"}
    for state in (fewer, other, part, {}):
        with pytest.raises(ConfigError, match=r"must hold the weights of a sketch network"):
            TwoScaleDrawer.from_style(replace(style, state=state), backbone)
    with pytest.raises(ConfigError, match=r"must hold the weights of a sketch network"):
        TwoScaleDrawer.from_style(replace(style, sources=("vae",)), backbone)


def test_first_weights_hang_on_the_seed_alone(reader):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(5)
        before = torch.default_generator.get_state()
        first = new_network(reader, BOTH, 1, 3).state_dict()
        assert torch.equal(torch.default_generator.get_state(), before)
    again, other = (new_network(reader, BOTH, 1, seed).state_dict() for seed in (3, 4))
    assert all(torch.equal(again[name], one) for name, one in first.items())
    assert not torch.equal(other["coarse.0.first.weight"], first["coarse.0.first.weight"])
