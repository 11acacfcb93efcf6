"""Enlarged pictures with steep rims: where a rim lies, and what has none, stays."""

import pytest
import torch
from torch.nn import functional

from featurekit_sketch.two_scales.steepening import steepened


def rim(*, softness, place=16.0, width=32):
    """A soft rim from one colour to another along x, (1 3 8 width)."""
    share = torch.sigmoid((torch.arange(width) + 0.5 - place) / softness)
    low, high = torch.tensor([-0.5, 0.3, -0.9]), torch.tensor([0.8, -0.4, 0.1])
    row = low[:, None] + (high - low)[:, None] * share
    return row[None, :, None].expand(1, 3, 8, width).contiguous()


def widest(image):
    """Columns of each colour in which a rim is less than nine tenths of the way, (3)."""
    row = image[0, :, 4]
    share = (row - row[:, :1]) / (row[:, -1:] - row[:, :1])
    return ((share > 0.1) & (share < 0.9)).sum(-1)


def test_a_rim_is_steeper_where_it_was():
    soft = rim(softness=1.0)
    steep = steepened(soft)
    assert (widest(soft) >= 4).all()
    assert (widest(steep) <= 2).all()
    row, kept = soft[0, :, 4], steep[0, :, 4]
    assert torch.allclose(kept[:, 15] + kept[:, 16], row[:, 15] + row[:, 16], atol=0.02)
    assert torch.allclose(kept[:, :11], row[:, :1], atol=0.02)
    assert torch.allclose(kept[:, -11:], row[:, -1:], atol=0.02)


@pytest.mark.parametrize("turn", [lambda x: x.flip(-1), lambda x: x.mT, lambda x: -x])
def test_no_side_and_no_colour_is_preferred(turn):
    lots = torch.Generator().manual_seed(1)
    image = 2 * torch.rand(1, 3, 6, 6, generator=lots) - 1
    soft = functional.interpolate(image, (24, 24), mode="bilinear")
    assert torch.allclose(steepened(turn(soft)), turn(steepened(soft)), atol=1e-4)
    assert not torch.allclose(steepened(soft), soft, atol=0.05)


def test_what_is_flat_or_slopes_evenly_stays():
    flat = torch.tensor([0.2, -1.0, 1.0]).view(1, 3, 1, 1).expand(1, 3, 5, 7)
    assert torch.equal(steepened(flat.contiguous()), flat)
    slope = torch.linspace(-1, 1, 64).expand(1, 3, 8, 64).contiguous()
    assert torch.allclose(steepened(slope)[..., 12:-12], slope[..., 12:-12], atol=0.01)


@pytest.mark.parametrize("sides", [(1, 1), (2, 9), (64, 33)])
def test_any_size_keeps_its_range(sides):
    lots = torch.Generator().manual_seed(2)
    image = 2 * torch.rand(2, 3, *sides, generator=lots) - 1
    found = steepened(image)
    assert found.shape == image.shape
    assert found.min() >= image.min()
    assert found.max() <= image.max()
    assert torch.equal(found[:1], steepened(image[:1]))
