"""Drawings that are dropped: read, mended, shown over their picture, kept; refused in words."""

from io import BytesIO

import pytest
from PIL import Image, ImageChops
from sketch_studio import act, blob, desk_of, drawing, face, jpeg
from two_scale_runs import drawn

from featurekit.core.errors import ConfigError, ImageError, UnknownNameError
from featurekit.images.io import load_image
from featurekit_sketch.studio import pairs
from featurekit_sketch.studio.pairs import ink_image

NAME = {"name": "mine.png"}


@pytest.fixture
def studio(tmp_path):
    return desk_of(tmp_path / "desk")


def sheet(content=None, **changed):
    """A drawing as Pillow has it."""
    return Image.open(BytesIO(content or drawing(**changed)))


def file_of(image):
    kept = BytesIO()
    image.save(kept, "PNG")
    return kept.getvalue()


def test_a_drawing_that_fits_is_shown_over_its_picture_and_kept(studio, tmp_path):
    pair = act(studio, "check", NAME, drawing=drawing())["pair"]
    assert (pair["name"], pair["ink"], pair["fit"]) == ("mine.png", "lines", False)
    assert pair["mended"] == []
    assert pair["agreement"] > 0.3
    assert pair["warning"] is None
    shown = load_image(Image.open(BytesIO(blob(studio, pair["overlay"]))))
    assert tuple(shown.shape) == (1, 3, 64, 64)
    assert len(set(shown[0].flatten(1).T.tolist()[0])) > 1  # in colour
    assert act(studio, "told")["pair"] == pair
    studio.close()
    again = desk_of(tmp_path / "desk", picture=False)
    assert act(again, "told")["pair"] == pair


def test_a_drawing_is_told_with_its_own_picture_alone_and_can_be_forgotten(studio):
    pair = act(studio, "check", NAME, drawing=drawing())["pair"]
    first = studio.shelf.get().id
    studio.put_picture(face(4), "other.png", select=True)
    assert act(studio, "told")["pair"] is None
    studio.select(first)
    assert act(studio, "told")["pair"]["key"] == pair["key"]
    assert act(studio, "unpair") == {"pair": None}
    assert act(studio, "told")["pair"] is None


def test_what_is_mended_is_told(studio):
    inverted = file_of(ImageChops.invert(sheet().convert("L")).resize((128, 128)))
    with pytest.raises(ImageError, match=r"redraw it, or turn mending on$"):
        act(studio, "check", NAME, drawing=inverted)
    pair = act(studio, "check", {**NAME, "fit": True}, drawing=inverted)["pair"]
    assert pair["mended"][0] == "inverted: lines were light on dark"
    assert "resized from 128x128 px to 64x64 px" in pair["mended"]


def test_lines_that_follow_nothing_are_warned_of(studio):
    turned = file_of(sheet().convert("L").transpose(Image.Transpose.FLIP_TOP_BOTTOM).rotate(90))
    pair = act(studio, "check", NAME, drawing=turned)["pair"]
    right = act(studio, "check", NAME, drawing=drawing())["pair"]
    assert pair["agreement"] < right["agreement"]
    blank = Image.new("L", (64, 64), 255)
    blank.paste(0, (2, 2, 6, 60))  # a bar in a corner where nothing is
    pair = act(studio, "check", NAME, drawing=file_of(blank))["pair"]
    assert "follow hardly any edge of the picture" in pair["warning"]


@pytest.mark.parametrize("style", ["brush", "hatching", "inline"])
def test_styles_of_the_world_are_not_warned_of(studio, style):
    for seed in (1, 2, 3):
        studio.put_picture(face(seed), "face.png", select=True)
        pair = act(studio, "check", NAME, drawing=drawing(seed, style=style))["pair"]
        assert pair["warning"] is None


def test_greys_and_colours_are_taken_as_they_are(studio):
    wash = jpeg(drawn(2).image)
    pair = act(studio, "check", {**NAME, "ink": "colour"}, drawing=wash)["pair"]
    assert (pair["ink"], pair["mended"]) == ("colour", [])
    assert Image.open(BytesIO(blob(studio, pair["drawing"]))).convert("RGB").getcolors(9) is None
    with pytest.raises(ConfigError, match="is learnt as it is and cannot be mended"):
        act(studio, "check", {**NAME, "ink": "grey", "fit": True}, drawing=wash)


@pytest.mark.parametrize(("content", "words"), [
    (b"no picture", "'mine.png' is none"),
    (b"", "'mine.png'"),
    (file_of(Image.new("L", (64, 64), 255)), "a drawing must have lines"),
    (face(2), "looks like a photograph; check that the picture and its drawing are not swapped"),
    (file_of(Image.new("L", (32, 64), 255).point(lambda _: 0)), "dark all over"),
], ids=["text", "nothing", "white", "photograph", "black"])  # fmt: skip
def test_what_is_no_drawing_is_one_sentence_that_names_no_place(studio, content, words, tmp_path):
    kept = act(studio, "check", NAME, drawing=drawing())["pair"]
    with pytest.raises(ImageError, match=words) as raised:
        act(studio, "check", NAME, drawing=content)
    assert str(tmp_path) not in str(raised.value)
    assert act(studio, "told")["pair"] == kept  # what was there stays
    assert not list((tmp_path / "desk/tabs/sketch/pairs").glob(".*"))


def test_only_the_latest_drawings_are_kept(studio, tmp_path, monkeypatch):
    monkeypatch.setattr(pairs, "KEPT", 2)
    keys = [
        act(studio, "check", NAME, drawing=drawing(style=style))["pair"]["key"]
        for style in ("brush", "hatching", "inline")
    ]
    kept = {one.name for one in (tmp_path / "desk/tabs/sketch/pairs").iterdir()}
    assert kept == set(keys[1:])


def test_the_example_is_a_pair_that_fits(studio):
    found = act(studio, "scene", {"style": "hatching"})
    assert found["title"]
    assert "face" in found["prompt"]
    studio.put_picture(found["parts"]["picture"], "example.png", select=True)
    assert studio.shelf.get().width == 512
    pair = act(studio, "check", NAME, drawing=found["parts"]["drawing"])["pair"]
    assert pair["mended"] == []
    assert pair["warning"] is None
    with pytest.raises(UnknownNameError, match="style"):
        act(studio, "scene", {"style": "charcoal"})


def test_ink_is_a_picture():
    ink = drawn().ink
    assert tuple(ink_image(ink).shape) == (1, 3, 64, 64)
    assert float(ink_image(ink).amax()) == 1


def test_without_a_picture_a_drawing_is_refused(tmp_path):
    empty = desk_of(tmp_path / "empty", picture=False)
    with pytest.raises(ConfigError, match="a picture must be on the desk first"):
        act(empty, "check", NAME, drawing=drawing())
    with pytest.raises(ConfigError, match="drawing must be sent as bytes"):
        act(desk_of(tmp_path / "other"), "check", NAME)
