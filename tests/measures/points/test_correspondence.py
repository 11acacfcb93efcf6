"""Named points: a perfect field, a mean one, the controls, and how hits are counted."""

from types import SimpleNamespace

import pytest
import torch

from featurekit.backbones import random
from featurekit.measures.points import correspondence as measure
from featurekit.measures.points.correspondence import Found
from featurekit.scenes import KINDS

SIZE = 64


def pair(first, second):
    return tuple(SimpleNamespace(keypoints=lambda p=p: p) for p in (first, second))


def one_hot(scene, *, turned=0):
    """A field that is 1 in a channel of its own at each named point."""
    names = sorted(scene.keypoints())
    field = torch.zeros(1, 40, SIZE, SIZE)
    for name, (x, y) in scene.keypoints().items():
        channel = (names.index(name) + turned) % 40
        if 0 < x < 1 and 0 < y < 1:
            field[0, channel, int(y * SIZE), int(x * SIZE)] = 1
    return {"exact": field}


def test_a_perfect_field_finds_every_point_of_every_kind():
    for kind in ("face", "building", "vehicle"):
        for first, second in measure.paired(kind, 3):
            names = sorted(set(first.keypoints()) | set(second.keypoints()))
            both = pair(
                {name: point for name, point in first.keypoints().items() if name in names},
                {name: second.keypoints().get(name, (-1, -1)) for name in first.keypoints()},
            )
            found = measure.matched(both, one_hot, measure.cosine)["exact"]
            assert all(found.hits)


def test_a_field_that_confuses_two_points_misses_them():
    here, there = pair({"a": (0.2, 0.2), "b": (0.8, 0.8)}, {"a": (0.3, 0.3), "b": (0.7, 0.7)})
    turned = {id(here): 0, id(there): 1}

    def confused(scene):
        field = one_hot(scene)["exact"].roll(turned[id(scene)], dims=1)
        field[:, 0] += field[:, 2]  # what was the last of both becomes the first
        return {"exact": field}

    found = measure.matched((here, there), confused, measure.cosine)["exact"]
    assert found.hits == (False, False)
    assert found.matches[1] == pytest.approx((0.3, 0.3), abs=1 / SIZE)


def test_a_match_within_a_tenth_of_the_side_is_a_hit_and_one_beyond_is_none():
    truths = ((0.5, 0.5), (0.5, 0.5), (0.5, 0.5))
    found = Found(truths, ((0.5, 0.59), (0.5, 0.61), (0.58, 0.58)), truths)
    assert found.hits == (True, False, False)


def test_a_point_has_moved_if_its_old_place_would_be_no_hit():
    sources = ((0.5, 0.5), (0.2, 0.2), (0.9, 0.1))
    truths = ((0.5, 0.59), (0.5, 0.2), (0.9, 0.3))
    found = Found(sources, truths, truths).moved()
    assert found == Found(sources[1:], truths[1:], truths[1:])
    assert Found(truths, truths, truths).moved() == Found((), (), ())
    assert not any(Found(sources, sources, truths).moved().hits)


def test_the_same_position_hits_just_the_points_that_hardly_moved():
    both = pair(
        {"still": (0.2, 0.2), "moved": (0.5, 0.5), "crept": (0.7, 0.3)},
        {"still": (0.2, 0.2), "moved": (0.8, 0.5), "crept": (0.75, 0.3)},
    )
    assert measure.at_same_place(both).hits == (True, False, True)


def test_points_outside_a_frame_or_missing_take_no_part():
    both = pair(
        {"a": (0.1, 0.1), "b": (0.5, 1.2), "c": (0.5, 0.5)},
        {"a": (0.2, 0.3), "b": (0.5, 0.5), "d": (0.5, 0.5)},
    )
    assert measure.shared_points(*both) == [((0.1, 0.1), (0.2, 0.3))]


def test_shares_count_points_and_not_pairs():
    here = (0.5, 0.5)
    hit = Found((here,), (here,), (here,))
    missed = Found((here,) * 3, ((0.1, 0.1),) * 3, (here,) * 3)
    shares = measure.hit_shares(["face", "landscape", "vehicle"], [hit, missed, hit])
    assert shares == {
        "face": 1.0,
        "landscape": 0.0,
        "vehicle": 1.0,
        "face+landscape": 0.25,
        "trained": 0.25,
        "held_out": 1.0,
    }


def test_the_best_choice_is_the_best_on_the_headline_kinds_alone():
    shares = {
        "up0": {measure.BEST_OF: 0.2, "trained": 0.9},
        "up2": {measure.BEST_OF: 0.8, "trained": 0.1},
        "up3": {measure.BEST_OF: 0.8, "trained": 0.2},
    }
    assert measure.best_choice(shares) == "up2"


def test_raw_patches_find_a_shifted_picture():
    image = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    moved = image.roll((5, 9), dims=(2, 3))
    for side, field in measure.patches(image).items():
        there = measure.patches(moved)[side]
        found = measure._nearest(field, there, [(0.5, 0.5)], measure.closeness)
        assert found == (((32 + 9 + 0.5) / SIZE, (32 + 5 + 0.5) / SIZE),)


def test_patches_have_their_own_pixel_in_the_middle():
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    for side in measure.PATCHES_PX:
        field = measure.patches(image)[f"{side}x{side}"]
        assert torch.equal(field[:, side * side // 2], image[:, 0])


def test_pairs_have_a_point_in_common():
    pairs = measure.paired("shapes", 4)
    assert len(pairs) == 4
    assert all(measure.shared_points(*both) for both in pairs)


def test_the_untrained_twin_has_the_shape_and_other_weights_and_no_trace():
    model, before = random.load("cpu", seed=3), torch.get_rng_state()
    twin = measure.untrained(model)
    assert torch.equal(torch.get_rng_state(), before)
    ours, theirs = model.unet.state_dict(), twin.unet.state_dict()
    assert {n: w.shape for n, w in ours.items()} == {n: w.shape for n, w in theirs.items()}
    assert not torch.equal(ours["conv_in.weight"], theirs["conv_in.weight"])
    assert twin.vae is model.vae
    assert not twin.unet.training
    assert not any(weight.requires_grad for weight in twin.unet.parameters())


@pytest.mark.filterwarnings("ignore:the prompt has")
def test_the_measure_reports_every_row_beside_its_controls():
    told = []
    measured = measure.measure_correspondence(
        random.load("cpu"),
        pairs=1,
        taps=("up1", "up2"),
        timesteps=(51,),
        ensemble=1,
        progress=lambda *numbers: told.append(numbers),
    )
    figures = measured.figures
    rows = {*KINDS, measure.BEST_OF, "trained", "held_out"}
    assert set(figures["position"]) == rows == set(figures["points"])
    assert set(figures["network"]) == {"up1 t=51", "up2 t=51"} == set(figures["random"])
    assert set(figures["pixels"]) == {"7x7", "13x13"}
    assert set(figures["moved"]) == {"network", "random", "pixels"}
    best = figures["best"]["network"]
    assert best[measure.BEST_OF] == max(
        shares[measure.BEST_OF] for shares in figures["network"].values()
    )
    assert set(best) == rows | {"choice"}
    assert told[-1] == (len(KINDS), len(KINDS))
    assert "correspondence" in measured.pictures
