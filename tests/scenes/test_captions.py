"""Captions: short English of a known wording, with kind and colours always in it."""

import re

import pytest

from featurekit.scenes import KINDS, scene
from featurekit.scenes.colours import COLOURS

A = "an? "  # which of the two is checked apart
COLOUR = f"({'|'.join(COLOURS)})"
PRINT = "(striped|checkered|dotted|wavy|tiled)"
GROUND = f"( on {A}({PRINT} )?{COLOUR} background)?"
ON_GROUND, SKY = f"( on {COLOUR} ground)?", f"( under {A}({PRINT} )?{COLOUR} sky)?"
WORN = (
    f"(no hair|{A}{COLOUR} hat|(short|long) {COLOUR} hair|{COLOUR} eyes"
    f"|{A}({PRINT} )?{COLOUR} shirt|(pale|tan|dark) skin|glasses|a beard|an open mouth)"
)
THING = (
    f"({A}{COLOUR} (snowy )?mountain|{A}{COLOUR} (round|pine) tree|the moon|the sun|clouds"
    f"|{A}(striped )?{COLOUR} (brick )?house with {A}{COLOUR} roof"
    f"( and ({A}{COLOUR} door|a chimney))?)"
)
OF_ANIMAL = f"({A}{COLOUR} (collar|ball)|long ears|a long tail|a raised paw|white paws)"
WINDOWS = "(an? (lit|dark) window|(two|three|many) (lit|dark) windows)"
SHAPE = (
    f"{A}((large|small) )?({PRINT} )?{COLOUR} (circle|square|triangle|star|heart|cross|crescent)"
)
GRAMMAR = {
    "face": f"{A}(smiling|sad|neutral) face with {WORN}( and {WORN})*{GROUND}",
    "landscape": f"a landscape with {THING}( and {THING})*( under {A}{COLOUR} sky)?"
    f"( on {PRINT} {COLOUR} ground)?",
    "animal": f"{A}({PRINT} )?{COLOUR} (cat|dog|rabbit|bird)"
    f"( with {OF_ANIMAL}( and {OF_ANIMAL}){{0,2}})?{ON_GROUND}{GROUND}",
    "building": f"{A}((tall|small) )?{COLOUR} ((brick|striped) )?"
    f"(house|barn|church|castle|tower|skyscraper) with {A}{COLOUR} roof"
    f"( and {A}(open )?{COLOUR} door)?( and {WINDOWS})?{SKY}{ON_GROUND}",
    "shapes": f"{SHAPE}( and {SHAPE}){{0,2}}{GROUND}",
    "vehicle": f"{A}({PRINT} )?{COLOUR} (car with {A}{COLOUR} roof"
    f"|(truck|boat) with {A}(raised )?({PRINT} )?{COLOUR} (box|sail))"
    f"( on {COLOUR} (ground|water))?{SKY}",
    "flowers": f"{A}((round|square|pointed) )?({PRINT} )?{COLOUR} vase with "
    f"((two|three) {COLOUR} flowers|{A}{COLOUR} flower( and {A}{COLOUR} flower){{0,2}})"
    f"( on {A}{COLOUR} table)?{GROUND}",
}
LONGEST = 27  # words; with its two marks a text encoder of 32 places holds them

every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
def test_captions_are_english_of_the_known_wording(kind):
    for seed in range(150):
        text = scene(seed, kind).caption(seed % 5)
        assert re.fullmatch(GRAMMAR[kind], text), text


@every_kind
def test_an_stands_before_vowels_and_a_before_all_else(kind):
    articles = set()
    for seed in range(150):
        text = scene(seed, kind).caption()
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]|  ", text), text
        articles |= set(re.findall(r"\ban?\b", text))
    assert articles == {"a", "an"}


@every_kind
def test_captions_are_short_and_always_name_a_colour(kind):
    for seed in range(150):
        text = scene(seed, kind).caption()
        assert len(text.split()) <= LONGEST, text
        assert set(text.split()) & set(COLOURS), text


@every_kind
def test_another_caption_seed_says_it_differently_and_the_same_one_does_not(kind):
    assert len({scene(3, kind).caption(seed) for seed in range(16)}) > 1
    assert scene(3, kind).caption(4) == scene(3, kind).caption(4)


@every_kind
def test_no_caption_knows_left_from_right(kind):
    words = {word for seed in range(150) for word in scene(seed, kind).caption().split()}
    assert not words & {"left", "right"}
    assert len(words) > 20
