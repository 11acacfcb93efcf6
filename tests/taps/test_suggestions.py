"""A word that means no tap is answered with words that mean one."""

import random
import string

import pytest

from featurekit.backbones.describe import describe_backbone
from featurekit.core.errors import UnknownNameError
from featurekit.taps.addresses import resolve

TAPS = tuple(describe_backbone("sd15"))
PATHS = sorted({tap.address for tap in TAPS})
NAMES = sorted({tap.name for tap in TAPS})


def suggested(word):
    """What is suggested for a word; None if it means something."""
    try:
        resolve([word], TAPS)
    except UnknownNameError as error:
        hint = str(error).partition("did you mean ")[2].partition("?")[0]
        return hint.split(", ") if hint else []
    return None


@pytest.mark.parametrize(("word", "first"), [
    ("attn1.to_q", "**.attn1.to_q"),
    ("up_block.1", "up_blocks.1"),
    ("up_blocks.1.resnet.0", "up_blocks.1.resnets.0"),
    ("resnets.0.conv2", "**.resnets.0.conv2"),
    ("attn1.to_qq", "**.attn1.to_q"),
    ("midblock", "mid_block"),
])  # fmt: skip
def test_the_likeliest_comes_first(word, first):
    assert suggested(word)[0] == first


def misspelt(word, generator):
    place = generator.randrange(len(word))
    letter = generator.choice(string.ascii_lowercase + "._0123456789")
    return generator.choice(
        [word[:place] + word[place + 1 :], word[:place] + letter + word[place:],
         word[:place] + letter + word[place + 1 :]]
    )  # fmt: skip


def test_words_almost_right_are_answered_with_words_that_mean_something():
    generator = random.Random(0)
    answered = asked = 0
    for _ in range(150):
        path = generator.choice(PATHS + NAMES).split(".")
        word = misspelt(".".join(path[generator.randrange(len(path)) :]), generator)
        found = suggested(word)
        if found is None or len(word) < 4:  # too little to go by
            continue
        asked += 1
        answered += bool(found)
        assert len(found) <= 3
        for one in found:
            assert resolve([one], TAPS)
    assert asked > 80
    assert answered > 0.9 * asked


def test_any_word_at_all_is_one_sentence():
    generator = random.Random(1)
    letters = string.ascii_lowercase + ".*[]?:_-0 (),'\\é\n"
    for _ in range(150):
        word = "".join(generator.choice(letters) for _ in range(generator.randrange(12)))
        for one in suggested(word) or []:
            assert resolve([one], TAPS)
