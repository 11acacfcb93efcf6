"""What is told of a prompt or file name with other letters or signs names the wrong cause.

Expected: the text is taken as it is, or the message names the sign that has to be quoted and
shows this value quoted.
Seen: `run` of a comma ends in "ambiguous value for argument" without a word on what to do;
letters beyond ASCII, an apostrophe, `=`, `&`, `#`, `!`, `~` are refused with advice about
spaces, brackets and commas, of which there are none; a single name where a list is wanted gets
"str is not a ListConfig". Works: with inner quotes all of them.
"""

import featurekit as fk
from featurekit.cli.options import ExtractOptions
from featurekit.core.errors import FeatureKitError
from featurekit.pipeline.overrides import fill


def told(make, word):
    try:
        make(word)
    except FeatureKitError as error:
        return str(error)
    return "accepted"


def run(word):
    return fk.compose(["plugin=drag", word])


def extract(word):
    return fill(ExtractOptions, ["image=me.png", word])


for make, word in (
    (run, "prompt=a face, smiling"),
    (run, "prompt=ein Häuschen"),
    (run, "prompt=房子"),
    (run, "image=house's.png"),
    (run, "image=a&b.png"),
    (run, "out=ergebnisse/köln"),
    (extract, "taps=up1"),
    (extract, "timesteps=261"),
):
    print(f"{word}\n    {told(make, word)}")
