"""The quotes that `run` asks for make a backbone's folder unknown.

Expected: backbone='"my model (v1), final"' is the folder, as it is for extract and for
backbone.source. Seen: a folder with a comma is refused with the advice to give the value quotes of
its own; with them it is "no backbone/. named ...". Without a comma, quotes are taken for a part of
the path: a run then says "got '"./my model (v1)"', which is neither". Without quotes where there is
no comma, and as backbone=sd15 backbone.source=... with quotes, it works.
"""

import sys

import featurekit as fk

wrong = 0
for word, folder in (
    ("backbone=./my model (v1)", "./my model (v1)"),
    ("backbone='./my model (v1)'", "./my model (v1)"),
    ('backbone="./my model (v1)"', "./my model (v1)"),
    ("backbone='./my model, final'", "./my model, final"),
):
    try:
        told = fk.compose(["plugin=drag", word]).backbone.source
    except fk.errors.FeatureKitError as error:
        told = error
    wrong += told != folder
    print(f"{word:30} -> {told}")
sys.exit(1 if wrong else 0)
