"""Which pairs are kept: by the amount of ink and of grey, with every reject named and shown."""

import pytest
import torch

from featurekit.core.errors import ConfigError
from featurekit_sketch.distillation.filtering import (
    Rule,
    grey_share,
    ink_share,
    rejects_sheet,
    sort_out,
)
from featurekit_sketch.distillation.pair_shards import Pair, Pairs, places_in, write_shard

SIDE = 40


def drawn(share, grey=0.0):
    """Lines on a share of the paper, each of a grey."""
    ink = torch.ones(1, 1, SIDE, SIDE)
    ink[..., : round(share * SIDE), :] = grey
    return ink


def pairs_of(folder, inks):
    picture = torch.zeros(1, 3, SIDE, SIDE)
    rows = [Pair(name, picture, ink) for name, ink in inks.items()]
    write_shard(rows, folder, 0, key="k")
    return Pairs(places_in(folder, key="k"))


def test_ink_and_grey_are_what_they_are_called():
    assert ink_share(drawn(0.1)) == pytest.approx(0.1)
    assert grey_share(drawn(0.1)) == 0
    assert grey_share(drawn(0.5, grey=0.5)) == pytest.approx(2)


@pytest.mark.parametrize(
    ("ink", "fault"),
    [
        (drawn(0.1), ""),
        (drawn(0.25), ""),
        (drawn(0.025), "too little ink, 2.5%"),
        (drawn(0.0), "too little ink, 0.0%"),
        (drawn(0.35), "too much ink, 35.0%"),
        (drawn(1.0), "too much ink, 100.0%"),
        (drawn(0.3, grey=0.5), "too grey, 2.00"),
        (torch.full((1, 1, 8, 8), torch.nan), "not finite"),
    ],
)
def test_a_fault_is_named_with_its_figure(ink, fault):
    assert Rule(0.1).fault(ink) == fault


def test_black_is_never_kept_however_dark_the_example():
    assert Rule(0.5).fault(drawn(0.7)).startswith("too much ink")


def test_pairs_are_sorted_by_the_rule_and_the_rule_is_told(tmp_path):
    inks = {"good": drawn(0.1), "blank": drawn(0), "fine": drawn(0.15), "black": drawn(1)}
    found = sort_out(pairs_of(tmp_path, inks), drawn_ink=0.1)
    assert found.kept.names == ("good", "fine")
    assert set(found.rejected) == {"blank", "black"}
    assert "2 of 4 pairs are left out: kept are sketches with ink on 3.3% to 30.0%" in found.told


def test_without_a_drawing_the_median_is_usual(tmp_path):
    inks = {"a": drawn(0.1), "b": drawn(0.125), "c": drawn(0.15), "blank": drawn(0)}
    found = sort_out(pairs_of(tmp_path, inks))
    assert found.rule.ink == pytest.approx(0.1125)
    assert set(found.rejected) == {"blank"}


def test_too_few_pairs_are_refused_with_the_rule(tmp_path):
    pairs = pairs_of(tmp_path, {"good": drawn(0.1), "blank": drawn(0)})
    with pytest.raises(ConfigError, match="at least 2 pairs to learn from, got 1 of 2: kept are"):
        sort_out(pairs, drawn_ink=0.1)


def test_the_first_rejects_are_shown(tmp_path):
    inks = {str(number): drawn(0) for number in range(20)}
    pairs = pairs_of(tmp_path, inks)
    sheet = rejects_sheet(pairs, dict.fromkeys(inks, "blank"))
    few = rejects_sheet(pairs, {"0": "blank"})
    assert 11 * few.height > sheet.height > 5 * few.height
