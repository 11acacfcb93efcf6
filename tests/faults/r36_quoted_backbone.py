"""The quotes that `run` asks for make a backbone's folder unknown.

Expected: backbone='"my model (v1), final"' is the folder, as it is for extract and for
backbone.source.
Seen: a folder with a comma is refused with the advice to give the value quotes of its own; with
them it is "no backbone/. named ...". Without a comma, quotes are taken for a part of the path:
a run then says "got '"./my model (v1)"', which is neither". Works: without quotes where there
is no comma, and backbone=sd15 backbone.source=... with quotes.
"""

import featurekit as fk
from featurekit.core.errors import FeatureKitError

for word in (
    "backbone=./my model (v1)",
    "backbone='./my model (v1)'",
    'backbone="./my model (v1)"',
    "backbone=./my model, final",
    "backbone='./my model, final'",
):
    try:
        print(f"{word:32} -> source {fk.compose(['plugin=drag', word]).backbone.source!r}")
    except FeatureKitError as error:
        print(f"{word:32} -> {error}")
