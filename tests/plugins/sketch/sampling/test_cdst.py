"""The drift of conditions: the table of weights, its laws, and a mix that is exact at both ends."""

from itertools import pairwise

import pytest
import torch

from featurekit.core.errors import ConfigError, ShapeError
from featurekit_sketch.sampling.cdst import mixed, source_weight

SPAN = 1000
TABLE = {
    0: 1, 1: 0.9693, 10: 0.9087, 50: 0.8134, 100: 0.7500, 250: 0.6340, 500: 0.5000, 750: 0.3660,
    900: 0.2500, 950: 0.1866, 990: 0.0913, 999: 0.0307, 1000: 0, 1001: 0, 1199: 0,
}  # fmt: skip


def states(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("i", "weight"), TABLE.items())
def test_the_weights_are_those_of_the_paper(i, weight):
    assert source_weight(i, SPAN) == pytest.approx(weight, abs=5e-5)


def test_the_mean_weight_is_that_of_the_paper():
    mean = sum(source_weight(i, SPAN) for i in range(SPAN)) / SPAN
    assert mean == pytest.approx(0.5005, abs=5e-5)


@pytest.mark.parametrize("span", [1, 2, 7, 40, SPAN])
def test_the_weight_only_falls_and_mirrors_itself_about_the_middle(span):
    weights = [source_weight(i, span) for i in range(span + 3)]
    assert weights[0] == 1
    assert weights[span:] == [0, 0, 0]
    assert all(a > b for a, b in pairwise(weights[: span + 1]))
    for i in range(span + 1):
        assert weights[i] + weights[span - i] == pytest.approx(1, abs=1e-12)


def test_the_two_shares_sum_to_one():
    one = torch.ones(1, 3, 4)
    for i in range(0, SPAN + 2, 7):
        assert (mixed(one, one, source_weight(i, SPAN)) - 1).abs().max() <= 1e-7


def test_a_mix_lies_on_the_line_between_the_two():
    source, drawn = states(0, 1, 5, 3), states(1, 1, 5, 3)
    torch.testing.assert_close(mixed(source, drawn, 0.75), drawn + 0.75 * (source - drawn))


@pytest.mark.parametrize(("weight", "which"), [(1, 0), (1.0, 0), (0, 1), (0.0, 1)])
def test_at_the_ends_it_is_one_of_the_two_bit_for_bit(weight, which):
    pair = states(0, 1, 5, 3), states(1, 1, 5, 3)
    pair[which][0, 0] = -0.0  # a sum with 0 would make it 0.0
    pair[1 - which][0, 1] = torch.nan  # a product with 0 would keep it
    found = mixed(*pair, weight)
    assert torch.equal(found.view(torch.int32), pair[which].view(torch.int32))


def test_the_given_states_are_not_changed():
    pair = states(0, 1, 5, 3), states(1, 1, 5, 3)
    copies = [one.clone() for one in pair]
    mixed(*pair, 0.3)
    assert all(map(torch.equal, pair, copies))


@pytest.mark.parametrize(
    ("i", "span", "message"),
    [
        (-1, 10, "an iteration must be 0 or more, got -1"),
        (0, 0, "a drift must last at least 1 iteration, got 0"),
        (5, -3, "a drift must last at least 1 iteration, got -3"),
    ],
)
def test_no_weight_before_the_start_or_without_a_span(i, span, message):
    with pytest.raises(ConfigError, match=message):
        source_weight(i, span)


@pytest.mark.parametrize("drawn", [torch.zeros(1, 5, 1), torch.zeros(2, 5, 3), torch.zeros(5, 3)])
def test_states_that_would_only_broadcast_are_refused(drawn):
    with pytest.raises(ShapeError, match=r"one shape, dtype and device to be mixed, got \(\(1, 5"):
        mixed(torch.zeros(1, 5, 3), drawn, 0.5)


def test_two_dtypes_are_refused_at_every_weight():
    for weight in (0, 0.5, 1):
        with pytest.raises(ShapeError, match="one shape, dtype and device"):
            mixed(torch.zeros(1, 5, 3), torch.zeros(1, 5, 3, dtype=torch.bfloat16), weight)


@pytest.mark.parametrize("weight", [-0.01, 1.01, float("nan")])
def test_a_weight_that_is_no_share_is_refused(weight):
    with pytest.raises(ConfigError, match="the source's weight must lie in 0 to 1, got"):
        mixed(torch.zeros(1, 5, 3), torch.zeros(1, 5, 3), weight)
