"""What is said of a prompt or file name with other letters or signs names the wrong cause.

Expected: the text is taken as it is, or the message shows this value as it has to be quoted.
Seen: `run` of a comma ends in "ambiguous value for argument" without a word on what to do; letters
beyond ASCII, an apostrophe, `=`, `&`, `#`, `!`, `~` are refused with advice about spaces, brackets
and commas, of which there are none; a single name where a list is wanted gets "str is not a
ListConfig". All of them work with inner quotes.
"""

import sys

import featurekit as fk
from featurekit.cli.options import ExtractOptions
from featurekit.pipeline.overrides import fill


def told(make, word):
    try:
        make(word)
    except fk.errors.FeatureKitError as error:
        return str(error)
    return "accepted"


def run(word):
    return fk.compose(["plugin=drag", word])


def extract(word):
    return fill(ExtractOptions, ["image=me.png", word])


wrong = 0
for make, word, shown in (
    (run, "prompt=a face, smiling", "'a face, smiling'"),
    (run, "prompt=ein Häuschen", "'ein Häuschen'"),
    (run, "prompt=房子", "'房子'"),
    (run, "image=house's.png", "'house's.png'"),
    (run, "image=a&b.png", "'a&b.png'"),
    (run, "out=ergebnisse/köln", "'ergebnisse/köln'"),
    (extract, "taps=up1", "[up1]"),
    (extract, "timesteps=261", "[261]"),
):
    answer = told(make, word)
    wrong += answer != "accepted" and shown not in answer.replace('"', "'")
    print(f"{word}\n    {answer}")
print(f"{wrong} of 8 refused without this value as it has to be written")
sys.exit(1 if wrong else 0)
