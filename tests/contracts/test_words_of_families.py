"""Words of a person over ten families: exact, a glob, or an error that suggests what was meant."""

import random
import string
from itertools import islice

import pytest
from fuzz import fuzzed
from small_transformers import SMALL

from featurekit.backbones.describe import describe_backbone
from featurekit.core.errors import UnknownNameError
from featurekit.taps.addresses import is_glob, resolve

UNETS = ("sd15", "sdxl")
TRANSFORMERS = ("flux_dev", "flux2", "sd35", "pixart_sigma", "sana", "lumina2", "qwen_image",
                "z_image")  # fmt: skip
COUNT = 100  # words of a kind and family: a thousand over all ten


@pytest.fixture(scope="module", params=[*UNETS, *TRANSFORMERS])
def taps(request):
    if request.param in UNETS:
        return tuple(describe_backbone(request.param))
    return tuple(SMALL[request.param]().wrapped().activations.values())


@pytest.fixture(scope="module")
def meanings(taps):
    """Every word that means something by itself, with what it means."""
    found = {}
    for one in [word for tap in taps for word in (tap.name, tap.address, tap.role)]:
        found.setdefault(one, frozenset(tap.name for tap in resolve([one], taps)))
    return found


def answer(word, taps):
    """What a word means, or what is suggested for it."""
    try:
        return frozenset(tap.name for tap in resolve([word], taps)), []
    except UnknownNameError as error:
        refusal = str(error)
    assert "\n" not in refusal
    assert f"no tap named {word!r}; " in refusal
    assert "a glob may be given as well" in refusal
    hint = refusal.partition("did you mean ")[2].partition("?; ")[0]
    return None, hint.split(", ") if hint else []


def slipped(words):
    """Words with one letter changed, dropped, added or swapped with the next, without end."""
    choose = random.Random(1)
    letters = string.ascii_lowercase + string.digits + "._"
    while True:
        word = choose.choice(words)
        at, letter = choose.randrange(len(word)), choose.choice(letters)
        yield choose.choice(
            (
                word[:at] + letter + word[at + 1 :],
                word[:at] + word[at + 1 :],
                word[:at] + letter + word[at:],
                word[:at] + word[at : at + 2][::-1] + word[at + 2 :],
            )
        )


def one_letter_apart(word, other):
    """Whether one is the other after a slip: by trying all of them."""
    if abs(len(word) - len(other)) > 1:
        return False
    short, long = sorted((word, other), key=len)
    if len(short) < len(long):
        return any(short == long[:at] + long[at + 1 :] for at in range(len(long)))
    differing = [at for at in range(len(word)) if word[at] != other[at]]
    swapped = len(differing) == 2 and differing[1] == differing[0] + 1
    crossed = [word[at] for at in differing] == [other[at] for at in reversed(differing)]
    return len(differing) == 1 or (swapped and crossed)


def test_every_word_is_exact_a_glob_or_an_error_with_a_way_on(taps, meanings):
    words = list(meanings)
    outcomes = {"exact": 0, "glob": 0, "unknown": 0}
    for word in fuzzed(words, COUNT):
        found, suggested = answer(word, taps)
        if found is None:
            outcomes["unknown"] += 1
            assert len(suggested) <= 3
            for one in suggested:
                assert answer(one, taps)[0], (word, one)
        else:
            assert found
            assert is_glob(word) or word in words
            outcomes["glob" if is_glob(word) else "exact"] += 1
    assert min(outcomes.values()) >= 3


def test_one_letter_amiss_is_answered_with_the_one_that_lies_that_near(taps, meanings):
    known, alone = meanings, 0
    suffixes = ends(taps)
    for word in islice(slipped(list(known)), 3 * COUNT):
        near = {known[one] for one in known if one_letter_apart(word, one)}
        if word in known or word in suffixes or len(near) != 1:
            continue
        alone += 1
        found, suggested = answer(word, taps)
        assert found is None
        assert suggested, word
        assert answer(suggested[0], taps)[0] in near, (word, suggested)
    assert alone >= COUNT


def ends(taps):
    """Ends of module paths, whole parts."""
    paths = {tap.address for tap in taps}
    return {path.split(".", cut)[cut] for path in paths for cut in range(1, path.count(".") + 1)}


def test_the_end_of_a_path_is_answered_with_the_glob_of_all_that_end_so(taps, meanings):
    suffixes = sorted(ends(taps) - meanings.keys())
    assert len(suffixes) > 10
    for word in suffixes:
        found, suggested = answer(word, taps)
        assert found is None
        assert suggested[0] == f"**.{word}"
        expected = {tap.name for tap in taps if f".{tap.address}".endswith(f".{word}")}
        assert expected <= answer(suggested[0], taps)[0]  # names that end so are meant as well


def test_the_example_of_the_page(taps):
    path = next(tap.address for tap in taps if tap.address.endswith(".to_q"))
    word = ".".join(path.split(".")[-2:])
    assert answer(word, taps)[1][0] == f"**.{word}"
