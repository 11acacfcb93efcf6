"""Artefacts that are put into noise are found, and only those."""

import pytest
import torch

from featurekit.analysis.artefacts import (
    corner_excess,
    high_norms,
    massive_channels,
    places,
    position_probe,
    position_r2,
)
from featurekit.core.errors import ConfigError, ShapeError


def noise(seed=0, b=6, c=24, h=10, w=12):
    return torch.randn(b, c, h, w, generator=torch.Generator().manual_seed(seed))


def with_places(field, strength):
    """The field with the place of each cell mixed into all its channels."""
    mix = torch.randn(field.shape[1], 2, generator=torch.Generator().manual_seed(9)).double()
    leak = torch.einsum("ck,khw->chw", mix, places(field) - 0.5)
    return field + strength * leak.float()


def test_the_places_of_cells_are_their_centres():
    where = places(torch.zeros(1, 1, 2, 4))
    assert where[0, 0].tolist() == [0.125, 0.375, 0.625, 0.875]
    assert where[1, :, 0].tolist() == [0.25, 0.75]


def test_a_place_that_was_put_in_is_read_out_of_other_pictures():
    probe = position_probe([with_places(noise(0), 20.0)])
    x, y = position_r2(probe, [with_places(noise(1), 20.0)])
    assert min(x, y) > 0.97
    assert probe(with_places(noise(1), 20.0)).shape == (6, 2, 10, 12)


def test_from_noise_no_place_can_be_read():
    probe = position_probe([noise(0)])
    assert max(position_r2(probe, [noise(1)])) < 0.05


def test_only_the_axis_that_leaks_is_read():
    def across(seed):
        field = noise(seed)
        return torch.cat((field, 5 * places(field)[None, :1].float().expand(6, -1, -1, -1)), dim=1)

    x, y = position_r2(position_probe([across(0)]), [across(1)])
    assert x > 0.99
    assert y < 0.05


def test_the_size_of_channels_does_not_matter_to_the_probe():
    scales = torch.logspace(-6, 6, 24).reshape(1, -1, 1, 1)
    plain, scaled = (
        position_r2(
            position_probe([with_places(noise(0), 3.0) * by]), [with_places(noise(1), 3.0) * by]
        )
        for by in (1, scales)
    )
    assert scaled == pytest.approx(plain, abs=1e-4)


def test_a_constant_channel_says_nothing_and_breaks_nothing():
    dead = torch.cat((noise(0), torch.full((6, 1, 10, 12), 1e8)), dim=1)
    probe = position_probe([dead])
    assert position_r2(probe, [dead]) == pytest.approx(
        position_r2(position_probe([noise(0)]), [noise(0)]), abs=1e-6
    )


def test_fields_in_parts_are_fitted_as_one():
    whole = with_places(noise(0), 3.0)
    one, parts = position_probe([whole]), position_probe(list(torch.split(whole, 2)))
    torch.testing.assert_close(one.weights, parts.weights)


def test_tokens_that_were_lengthened_are_the_ones_that_are_high():
    field = noise(3, c=64)
    planted = torch.zeros(6, 10, 12, dtype=torch.bool)
    planted[0, 2, 3] = planted[4, 9, 11] = planted[5, 0, 0] = True
    field = torch.where(planted[:, None], 8 * field, field)
    found = high_norms(field)
    assert torch.equal(found.high, planted)
    assert found.share == pytest.approx(3 / (6 * 10 * 12))
    assert not high_norms(noise(3, c=64)).high.any()


def test_a_third_of_long_tokens_does_not_hide_itself():
    field = noise(4, c=64)
    field[:, :, :, :4] *= 10
    assert high_norms(field).share == pytest.approx(1 / 3)


def test_corners_are_compared_with_the_inside_alone():
    norms = torch.ones(2, 4, 5)
    assert corner_excess(norms) == 1
    norms[:, 0, 0] = norms[:, 0, -1] = norms[:, -1, 0] = norms[:, -1, -1] = 3
    norms[:, 0, 2] = 100  # an edge, no corner
    assert corner_excess(norms) == 3


def test_massive_channels_are_named_with_their_size():
    field = noise(5)
    field[:, 7] *= 50
    field[:, 3] += 200
    found = massive_channels(field)
    assert list(found) == [3, 7]
    assert found[7] == pytest.approx(50, rel=0.1)
    assert massive_channels(noise(5)) == {}


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ConfigError, match="a probe needs a field and a ridge above 0, got 0"):
        position_probe([])
    with pytest.raises(ShapeError, match=r"field must be \(b c=24 h w\)"):
        position_probe([noise()])(noise(c=3))
    with pytest.raises(ShapeError, match="must have at least one token"):
        high_norms(torch.zeros(0, 3, 4, 4))
    with pytest.raises(ConfigError, match="deviations must be positive, got 0"):
        high_norms(noise(), deviations=0)
    with pytest.raises(ShapeError, match="3 rows and columns or more"):
        corner_excess(torch.ones(1, 2, 5))
