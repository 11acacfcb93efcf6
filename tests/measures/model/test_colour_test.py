"""The colour test: how captions are read, what passes, and how it is calibrated."""

from random import Random

import pytest
from PIL import Image

from featurekit.core.errors import ConfigError
from featurekit.measures.held_out import scenes_of
from featurekit.measures.model import colour_test
from featurekit.measures.model.colour_test import ColourTest, Phrase, calibrate, colour_shares
from featurekit.scenes.colours import COLOURS, darker, lighter

CAPTION = "a sad face with long orange hair and a checkered red shirt on a tiled purple background"
TEST = ColourTest({"shirt": 0.1, "background": 0.3})


def painted(*colours):
    """Stripes of equal width."""
    picture = Image.new("RGB", (len(colours) * 10, 10))
    for place, colour in enumerate(colours):
        picture.paste(colour, (place * 10, 0, place * 10 + 10, 10))
    return picture


def test_each_colour_of_a_caption_has_the_noun_it_is_said_of():
    assert colour_test.phrases(CAPTION) == (
        Phrase("orange", "hair", 5),
        Phrase("red", "shirt", 10),
        Phrase("purple", "background", 15),
    )
    assert colour_test.phrases("a tall white brick house") == (Phrase("white", "house", 2),)
    assert colour_test.phrases("a face with no hair") == ()


@pytest.mark.parametrize("name", COLOURS)
def test_a_colour_counts_as_itself_lighter_or_darker(name):
    colour = COLOURS[name]
    for variant in (colour, darker(colour, 0.75), lighter(colour, 0.3)):
        assert colour_shares(painted(variant))[name] == 1


@pytest.mark.parametrize("name", COLOURS)
def test_no_other_named_colour_counts_as_it(name):
    # gray is what shadows make of white and lights of black
    others = [c for n, c in COLOURS.items() if n != name and {n, name} - {"black", "white", "gray"}]
    assert colour_shares(painted(*others))[name] == 0


def test_shares_are_of_the_whole_picture():
    shares = colour_shares(painted(COLOURS["red"], COLOURS["red"], COLOURS["blue"], (0, 255, 0)))
    assert shares["red"] == 0.5
    assert shares["blue"] == 0.25
    assert shares["green"] == 0


def test_a_picture_in_the_colours_passes_and_one_in_others_does_not():
    right = painted(COLOURS["red"], COLOURS["purple"])
    wrong = painted(COLOURS["blue"], COLOURS["purple"])
    assert TEST.passes(colour_shares(right), CAPTION)
    assert not TEST.passes(colour_shares(wrong), CAPTION)


def test_too_little_of_a_colour_does_not_pass():
    stripes = [COLOURS["red"], *[COLOURS["purple"]] * 12]
    assert not TEST.passes(colour_shares(painted(*stripes)), CAPTION)


def test_a_noun_that_is_not_tested_is_not_asked_for():
    assert [phrase.noun for phrase in TEST.tested(CAPTION)] == ["shirt", "background"]


def test_an_exchanged_colour_is_one_the_caption_does_not_name():
    for seed in range(20):
        other = colour_test.swapped(CAPTION, TEST.tested(CAPTION), Random(seed))
        before, after = CAPTION.split(), other.split()
        changed = [place for place in range(len(before)) if before[place] != after[place]]
        colours = [place for place in changed if after[place] in COLOURS]
        assert len(colours) == 1
        assert colours[0] in (10, 15)
        assert after[colours[0]] not in before


def test_an_exchanged_colour_keeps_its_article_right():
    assert colour_test.recoloured("an orange house", 1, "red") == "a red house"
    assert colour_test.recoloured("a red house", 1, "orange") == "an orange house"


def test_a_calibrated_test_passes_true_scenes_and_is_the_strictest_that_does():
    shares = [{"red": 0.2 + 0.001 * i, "blue": 0.001} for i in range(100)]
    examples = [(one, "a red house with a blue knob") for one in shares]
    test = calibrate(examples)
    assert set(test.least) == {"house"}
    assert test.least["house"] == pytest.approx(0.204, abs=0.0015)
    assert colour_test.pass_rate(test, examples) >= colour_test.WANTED
    stricter = ColourTest({"house": test.least["house"] + 0.003})
    assert colour_test.pass_rate(stricter, examples) < colour_test.WANTED


def test_scenes_without_a_large_colour_cannot_calibrate():
    examples = [({"blue": 0.001}, "a blue knob")] * 30
    with pytest.raises(ConfigError, match="large coloured parts, got 30 scenes"):
        calibrate(examples)


def test_it_tells_true_captions_of_real_scenes_from_others():
    scenes = scenes_of("face", 60)
    examples = [(colour_shares(scene.image(32)), scene.caption()) for scene in scenes]
    test = calibrate(examples)
    wrong = [
        (shares, colour_test.swapped(caption, test.tested(caption), Random(caption)))
        for shares, caption in examples
        if test.tested(caption)
    ]
    assert colour_test.pass_rate(test, examples) >= 0.95
    assert colour_test.pass_rate(test, wrong) < 0.5
