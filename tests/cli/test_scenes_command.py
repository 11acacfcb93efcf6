"""``featurekit scenes``: sheets of every kind and move, and the captions beside them."""

import pytest
from PIL import Image

from featurekit.cli.router import main
from featurekit.scenes import KINDS, scene


def test_the_sheets_and_the_captions_of_every_kind_are_written(tmp_path, capsys):
    out = tmp_path / "sheets"
    assert main(["scenes", f"out={out}", "count=1", "size=32", "seed=5"]) == 0
    assert capsys.readouterr().out.split() == [
        str(out / name) for name in ("kinds.png", "moves.png", "captions.txt")
    ]
    lines = (out / "captions.txt").read_text().splitlines()
    assert lines == [f"{kind} 5: {scene(5, kind).caption()}" for kind in KINDS]
    sizes = {}
    for name in ("kinds", "moves"):
        with Image.open(out / f"{name}.png") as sheet:
            sizes[name] = sheet.size
    # a picture, its foreground and three drawings beside each other; a row for every kind
    assert sizes["kinds"][0] > 5 * 256
    assert sizes["kinds"][1] > len(KINDS) * 256
    assert sizes["moves"][1] > len(KINDS) * 384


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("count=0", "count must be 1 to 12 scenes of every kind, got 0"),
        ("size=4", "a scene's size must be 8 to 2048 px, got 4"),
        ("seed=-1", "a scene's seed must be 0 or more, got -1"),
        ("kind=face", "no setting named 'kind'"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_no_folder(tmp_path, capsys, word, sentence):
    assert main(["scenes", f"out={tmp_path / 'sheets'}", word]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "sheets").exists()
