"""Words that are almost names of activations, for tests that none is passed over in silence."""

import random
import string


def fuzzed(words, count):
    """The words themselves, with a letter changed, dropped or added, and with a part globbed."""
    choose = random.Random(0)
    letters = string.ascii_lowercase + string.digits + "._*?[]:- "
    for _ in range(count):
        word, kind = choose.choice(words), choose.randrange(4)
        if kind == 0:
            parts = word.split(".")
            parts[choose.randrange(len(parts))] = choose.choice(("*", "**", "?", "[a-z]*"))
            word = ".".join(parts)
        for _ in range(max(kind - 1, 0)):
            place, letter = choose.randrange(len(word)), choose.choice(letters)
            kept = choose.choice(("", word[place]))
            word = word[:place] + choose.choice(("", letter)) + kept + word[place + 1 :]
        yield word
