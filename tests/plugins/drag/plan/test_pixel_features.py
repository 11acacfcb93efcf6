"""Features at every unit: shapes, where they lie, and what a reading leaves behind."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from torch import nn

from featurekit.backbones import load
from featurekit.core.errors import ConfigError
from featurekit.core.types import Tap
from featurekit.images.coordinates import pad
from featurekit_drag.engine.settings import PlanSettings
from featurekit_drag.plan.grid import Grid
from featurekit_drag.plan.pixel_features import pixel_features


@pytest.fixture(scope="module")
def backbone():
    return load("random", device="cpu")


def picture(height, width):
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)) * 1.8 - 0.9


@pytest.mark.parametrize(
    ("size", "shifts"),
    [((16, 16), 2), ((37, 51), 2), ((16, 300), 1), ((64, 48), 1), ((1, 1), 2), ((2, 33), 2)],
)
def test_a_vector_of_finite_numbers_at_each_unit(backbone, size, shifts):
    grid = Grid.over(*size, backbone.stride)
    found = pixel_features(backbone, picture(*size), grid, PlanSettings(shifts=shifts)).features
    assert found.shape == (backbone.taps["up2"].channels, *size)
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    assert found.norm(dim=0).max() < 1 + 1e-5


def test_several_taps_are_joined_each_of_length_one(backbone):
    grid, settings = Grid.over(32, 40, backbone.stride), PlanSettings(shifts=1)
    image = picture(32, 40)
    one, other, both = (
        pixel_features(backbone, image, grid, replace(settings, taps=taps)).features
        for taps in (("up2",), ("up3",), ("up2", "up3"))
    )
    torch.testing.assert_close(both, torch.cat([one, other]))


def test_the_same_again_and_the_global_random_state_stays(backbone):
    grid, image = Grid.over(32, 32, backbone.stride), picture(32, 32)
    before = torch.get_rng_state()
    first = pixel_features(backbone, image, grid, PlanSettings()).features
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(123)
    assert torch.equal(first, pixel_features(backbone, image, grid, PlanSettings()).features)
    assert not any(module._forward_hooks for module in backbone.unet.modules())


@pytest.mark.parametrize("shifts", [0, 3, 4, 8])
def test_shifts_that_would_split_pixels_are_one_sentence(backbone, shifts):
    grid, image = Grid.over(32, 32, backbone.stride), picture(32, 32)
    with pytest.raises(ConfigError, match=f"half the stride of 4 px, got {shifts}$"):
        pixel_features(backbone, image, grid, PlanSettings(shifts=shifts))


class Coordinates(nn.Module):
    """A network whose maps are what the latent says of the picture's coordinates."""

    def __init__(self, coarser):
        super().__init__()
        self.block, self.coarser = nn.Identity(), coarser

    def forward(self, z):
        position = z[:, :2]
        if self.coarser > 1:
            position = F.avg_pool2d(position, self.coarser)
        # a third channel that makes all three one long, as they are normalised
        return self.block(torch.cat([position, (1 - position.square().sum(1, True)).sqrt()], 1))


def told_by_coordinates(stride, coarser):
    """A backbone that encodes by the mean of a cell, with no noise."""
    net = Coordinates(coarser)
    return SimpleNamespace(
        stride=stride,
        multiple=4 * stride,
        denoiser=net,
        activations={"up2": Tap("up2", "block", "up", 3, coarser * stride)},
        noise=SimpleNamespace(noised=lambda z0, eps, t: z0),
        embed=lambda prompt: prompt,
        predictor=lambda conditioning: lambda z, t: net(z),
        encode=lambda image: F.avg_pool2d(pad(image, 4 * stride), stride),
    )


@pytest.mark.parametrize("coarser", [1, 2])
@pytest.mark.parametrize(("stride", "shifts"), [(8, 1), (8, 2), (8, 4), (4, 2), (16, 2)])
def test_what_is_read_at_a_unit_is_what_lies_there(stride, shifts, coarser):
    height, width = 12 * stride, 16 * stride
    at_px = Grid(height, width, 1.0).centres.permute(2, 0, 1)[None] / (2 * width)
    image = torch.cat([at_px, torch.zeros(1, 1, height, width)], dim=1)
    grid = Grid.over(height, width, stride)
    settings = PlanSettings(shifts=shifts)
    stub = told_by_coordinates(stride, coarser)
    found = pixel_features(stub, image, grid, settings).features[:2].permute(1, 2, 0) * 2 * width
    expected = grid.centres * grid.unit_px
    inner = slice(8, -8)  # at the frame the picture is reflected
    assert (found - expected)[inner, inner].abs().max() < 0.1 * grid.unit_px


@pytest.mark.parametrize("shifts", [1, 2])
def test_the_latent_of_the_picture_is_kept_where_it_is_read_unmoved(backbone, shifts):
    image = picture(32, 40)
    grid = Grid.over(32, 40, backbone.stride)
    kept = pixel_features(backbone, image, grid, PlanSettings(shifts=shifts)).latent
    assert (kept is None) == (shifts == 2)
    if kept is not None:
        assert torch.equal(kept, backbone.encode(image))


class Tokens(nn.Module):
    """The same as a transformer gives it: tokens of squares of cells, behind those of a text."""

    def __init__(self, patch):
        super().__init__()
        self.maps, self.block = Coordinates(patch), nn.Identity()

    def forward(self, z):
        tokens = self.maps(z).flatten(2).transpose(1, 2)
        return self.block(torch.cat([torch.full_like(tokens[:, :3], 0.5), tokens], dim=1))


@pytest.mark.parametrize(
    ("stride", "patch", "shifts"), [(8, 2, 1), (8, 2, 2), (8, 2, 4), (32, 1, 2)]
)
def test_what_is_read_of_tokens_lies_where_they_are(stride, patch, shifts):
    cell = patch * stride
    height, width = 10 * cell, 12 * cell
    at_px = Grid(height, width, 1.0).centres.permute(2, 0, 1)[None] / (2 * width)
    image = torch.cat([at_px, torch.zeros(1, 1, height, width)], dim=1)
    grid = Grid.over(height, width, cell)
    stub = told_by_coordinates(stride, patch)
    stub.denoiser = net = Tokens(patch)
    stub.predictor = lambda conditioning: lambda z, t: net(z)
    tap = Tap("up2", "block", "single", 3, cell, form="tokens", place="last")
    stub.activations = {"up2": tap}
    found = pixel_features(stub, image, grid, PlanSettings(shifts=shifts)).features
    assert grid.cell_px == cell
    expected = grid.centres * grid.unit_px
    inner = slice(8, -8)  # at the frame the picture is reflected
    apart = found[:2].permute(1, 2, 0) * 2 * width - expected
    assert apart[inner, inner].abs().max() < 0.1 * grid.unit_px
