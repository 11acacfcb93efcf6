"""CLIP's tokenizer from open_clip's list numbers words as open_clip does."""

import random
import string

import open_clip
import pytest

from featurekit.backbones.single_file import byte_pairs
from featurekit.backbones.single_file.byte_pairs import END, EXCLAMATION, clip_tokenizer
from featurekit.core.errors import BackboneError

PLAIN = [
    "",
    "a photo of a cat",
    "A PHOTO of the Eiffel Tower, at night!!",
    "it's they've we're I'll you'd I'm don't",
    "3 cats, 12 dogs and 1984 mice; 3.14159",
    "ein Häuschen im Grünen, crème brûlée à la façon",
    "房子 と 猫 и дом и кошка",
    "emoji 🎨🖼️ and 👩‍👩‍👧",
    "  many   spaces\tand\nlines  ",
    "hyphen-ated under_scored camelCase",
    "(masterpiece:1.2), [best quality], {sharp}",
    "µ ½ ² ™ © ° …",
    "antidisestablishmentarianism pneumonoultramicroscopic",
    "!!!!! ?!?! ---",
]


def texts(count=4000):
    """Plain texts, then sentences of words and signs drawn at random."""
    dice = random.Random(5)
    words = [
        *["a", "an", "the", "red", "blue", "house", "cat", "running", "style", "painting", "of"],
        *["by", "on", "under", "masterpiece", "4k", "HDR", "don't", "photo-realistic", "naïve"],
        *["Größe", "東京", "кот", "café", "10", "200", "3000", "trending", "artstation"],
    ]
    letters = string.ascii_letters + string.digits + "äöüßéèñçøåж猫語한글!?.,:;-_()[]{}/*+=#@~^|'\""
    yield from PLAIN
    for _ in range(count):
        drawn = [dice.choice(words) for _ in range(dice.randrange(1, 12))]
        if dice.random() < 0.5:
            drawn.append("".join(dice.choice(letters) for _ in range(dice.randrange(1, 15))))
        yield " ".join(drawn)


def test_every_text_gets_the_numbers_that_open_clip_gives_it():
    ours, theirs = clip_tokenizer(END), open_clip.tokenizer.SimpleTokenizer()
    for text in texts():
        cleaned = open_clip.tokenizer.whitespace_clean(open_clip.tokenizer.basic_clean(text))
        found = ours(cleaned)["input_ids"]
        assert found == [49406, *theirs.encode(text), 49407], text


def test_words_are_all_there_and_filled_up_as_the_families_do():
    first, second = clip_tokenizer(END), clip_tokenizer(EXCLAMATION)
    assert len(first) == len(second) == 49408
    padded = [one("cat", padding="max_length")["input_ids"] for one in (first, second)]
    assert padded[0] == [49406, 2368] + [49407] * 75
    assert padded[1] == [49406, 2368, 49407] + [0] * 74
    assert second.pad_token_id == 0
    theirs = open_clip.tokenizer.SimpleTokenizer()
    own, ours = theirs.encoder, first.get_vocab()
    assert {word: ours[word] for word, number in own.items() if number < 49406} == {
        word: number for word, number in own.items() if number < 49406
    }


def test_a_list_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr(byte_pairs, "_LIST", "open_clip/nothing.gz")
    with pytest.raises(BackboneError, match=r"must lie beside open_clip as .*nothing\.gz"):
        clip_tokenizer(END)
