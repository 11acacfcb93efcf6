"""Animals: what is named is there and seen, and every mover moves what it says, nothing else."""

import math
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from featurekit.scenes.kinds.animals.animal import RANGES, SPECIES, extent
from featurekit.scenes.kinds.animals.moves import ANIMAL
from featurekit.scenes.painting import Matte, Painting

SIZE = 64
MOVERS = {mover.name: mover for mover in ANIMAL.movers}
SCENES = [ANIMAL.sample(Random(seed)) for seed in range(120)]


def painted(animal, size=SIZE):
    canvas = Painting(size)
    ANIMAL.backdrop(canvas, animal)
    ANIMAL.figure(canvas, animal)
    return np.asarray(canvas.image()).astype(int)


def mask(animal, size=SIZE):
    canvas = Matte(size)
    ANIMAL.figure(canvas, animal)
    return np.asarray(canvas.image()).astype(float) / 255


def moved(name, count=4, tries=600):
    """Pairs of scenes that a mover made at its reach."""
    mover, rng, found = MOVERS[name], Random(3), []
    for _ in range(tries):
        pair = mover.vary(ANIMAL.sample(rng), rng, mover.reach)
        if pair is not None:
            found.append(pair)
        if len(found) == count:
            break
    return found


def test_sampled_animals_fit_and_all_species_occur():
    assert all(map(ANIMAL.fits, SCENES))
    assert {animal.species for animal in SCENES} == set(SPECIES)
    assert {animal.turned for animal in SCENES} == {True, False}


@pytest.mark.parametrize("name", RANGES)
def test_a_length_outside_its_range_does_not_fit(name):
    low, high = RANGES[name]
    assert not any(ANIMAL.fits(replace(a, **{name: low - 0.001})) for a in SCENES[:20])
    assert not any(ANIMAL.fits(replace(a, **{name: high + 0.001})) for a in SCENES[:20])


@pytest.mark.parametrize("wrong", ["wall", "floor", "collar"])
def test_a_coat_of_the_colour_of_what_is_next_to_it_does_not_fit(wrong):
    assert not any(ANIMAL.fits(replace(a, **{wrong: a.coat})) for a in SCENES[:20])


def test_only_cats_and_dogs_raise_a_paw():
    raised = {a.species for a in SCENES if a.paw_deg > 0}
    assert raised == {"cat", "dog"}


def test_a_raised_paw_of_a_bird_does_not_fit():
    birds = [a for a in SCENES if a.species == "bird"]
    assert birds
    assert not any(ANIMAL.fits(replace(a, paw_deg=20.0)) for a in birds)


def test_the_frame_cuts_no_animal():
    for animal in SCENES[:40]:
        cover = mask(animal)
        assert cover[0].max() == cover[-1].max() == 0
        assert cover[:, 0].max() == cover[:, -1].max() == 0
        assert 0.08 < cover.mean() < 0.6


def test_every_keypoint_lies_on_the_animal_or_the_ball():
    for animal in SCENES[:60]:
        cover = mask(animal, 128)
        for name, (x, y) in ANIMAL.keypoints(animal).items():
            column, row = int(x * 128), int(y * 128)
            near = cover[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3]
            assert near.max() > 0.5, (animal.species, name)


def test_an_animal_has_six_points_at_least_and_only_birds_have_no_ear():
    for animal in SCENES:
        points = ANIMAL.keypoints(animal)
        assert len(points) >= 6
        assert ("ear" in points) is (animal.species != "bird")
        assert ("ball" in points) is (animal.ball is not None)


def test_a_turned_animal_looks_the_other_way_from_the_same_place():
    for animal in SCENES[:20]:
        one, other = (ANIMAL.keypoints(replace(animal, turned=t)) for t in (False, True))
        assert one["nose"][0] > one["tail"][0]
        for name in one.keys() - {"ball"}:
            assert other[name] == pytest.approx((2 * animal.x - one[name][0], one[name][1]))


@pytest.mark.parametrize("name", MOVERS)
def test_every_mover_keeps_its_promise_at_its_reach(name):
    pairs = moved(name)
    assert len(pairs) == 4
    for before, after in pairs:
        assert ANIMAL.fits(before)
        assert ANIMAL.fits(after)
        handles = [MOVERS[name].handles(end) for end in (before, after)]
        for start, end in zip(*handles, strict=True):
            assert math.dist(start, end) >= MOVERS[name].reach - 1e-9
        assert (np.abs(painted(before) - painted(after)).max(2) > 20).sum() > 40


@pytest.mark.parametrize(
    ("name", "still"),
    [
        ("ball", {"eye", "nose", "rump", "tail", "fore_foot", "hind_foot"}),
        ("head", {"rump", "tail", "fore_foot", "hind_foot"}),
        ("tail", {"eye", "nose", "rump", "fore_foot", "hind_foot"}),
        ("ears", {"eye", "nose", "rump", "tail", "fore_foot", "hind_foot"}),
        ("rise", {"hind_foot"}),
        ("longer", {"rump", "tail"}),
        ("paw", {"eye", "nose", "rump", "tail", "hind_foot"}),
    ],
)
def test_what_a_mover_does_not_move_stays(name, still):
    for before, after in moved(name):
        points = [ANIMAL.keypoints(end) for end in (before, after)]
        for kept in still:
            assert points[1][kept] == pytest.approx(points[0][kept])


def test_a_slide_moves_all_of_the_animal_alike():
    for before, after in moved("slide"):
        one, other = ANIMAL.keypoints(before), ANIMAL.keypoints(after)
        step = (after.x - before.x, after.ground - before.ground)
        for name in one.keys() - {"ball"}:
            assert other[name] == pytest.approx((one[name][0] + step[0], one[name][1] + step[1]))


def test_a_swung_tail_keeps_its_length():
    for pair in moved("tail"):
        points = [ANIMAL.keypoints(end) for end in pair]
        lengths = [math.dist(p["rump"], p["tail"]) for p in points]
        assert lengths[0] == pytest.approx(lengths[1]) == pair[0].tail_length


def test_captions_name_species_and_coat_and_only_what_is_there():
    for number, animal in enumerate(SCENES):
        text = ANIMAL.caption(animal, Random(number))
        marking = f"{animal.print_name} " if animal.print_name else ""
        assert f"{marking}{animal.coat} {animal.species}" in text
        assert ("ball" in text) <= (animal.ball is not None)
        assert ("collar" in text) <= (animal.collar is not None)
        assert ("raised paw" in text) <= (animal.paw_deg > 25)
        assert ("white paws" in text) <= animal.socks
        assert len(text.split()) <= 26


def test_an_animal_differs_from_what_is_behind_it():
    for animal in SCENES[:30]:
        canvas = Painting(SIZE)
        ANIMAL.backdrop(canvas, animal)
        bare = np.asarray(canvas.image()).astype(int)
        inside = mask(animal) > 0.9
        difference = np.abs(painted(animal) - bare).max(2)[inside]
        assert np.median(difference) > 30, (animal.coat, animal.wall, animal.floor)


def test_the_extent_covers_the_mask():
    for animal in SCENES[:30]:
        rows, columns = np.nonzero(mask(replace(animal, ball=None), 128) > 0.5)
        left, top, right, bottom = (edge * 128 for edge in extent(animal))
        assert columns.min() >= left - 5
        assert rows.min() >= top - 5
        assert columns.max() <= right + 5
        assert rows.max() <= bottom + 5
