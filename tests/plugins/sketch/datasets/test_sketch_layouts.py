"""Layouts of data sets with drawings, generated: what is found, in which order, what is refused."""

import re

import numpy as np
import pytest
import torch
from PIL import Image
from sketch_data import (
    PEOPLE,
    SIDE,
    boundaries,
    drawing,
    lines,
    photo,
    write_bsds500,
    write_contours,
    write_fs2k,
    write_own,
    write_photographs,
    write_table,
)

from featurekit.core.errors import ConfigError, ImageError
from featurekit.images.io import load_image
from featurekit_sketch.datasets.layouts import open_dataset
from featurekit_sketch.drawing.xdog import xdog


@pytest.mark.parametrize(
    "write", [write_bsds500, write_contours, write_fs2k, write_own, write_photographs]
)
def test_styles_are_known_before_drawings_are_read(tmp_path, write):
    for item in open_dataset(write(tmp_path)).items:
        assert item.styles == tuple(item.read().drawings)


def truth(seed, person=0):
    ink = np.asarray(lines(seed, person), dtype=np.float32) / 255
    return torch.from_numpy(ink)[None, None]


def test_bsds500_has_five_drawings_a_picture_the_test_part_first(tmp_path):
    data = open_dataset(write_bsds500(tmp_path))
    assert (data.name, data.broken, data.automatic) == ("BSDS500", (), False)
    assert [item.name for item in data.items] == ["test/100", "test/101", "val/102", "train/103"]
    pair = data.items[1].read()
    assert torch.equal(pair.image, load_image(tmp_path / "images/test/101.jpg"))
    assert list(pair.drawings) == ["boundaries"]
    assert pair.resized == 0
    found = pair.drawings["boundaries"]
    assert len(found) == PEOPLE
    for person, ink in enumerate(found):
        assert ink.dtype == torch.float32
        assert torch.equal(ink, truth(101, person))


def test_bsds500_may_have_one_part_and_one_person(tmp_path):
    photo(tmp_path / "images/val/7.jpg", 7)
    boundaries(tmp_path / "groundTruth/val/7.mat", 7, people=1, packed=False)
    (item,) = open_dataset(tmp_path).items
    assert len(item.read().drawings["boundaries"]) == 1


def test_what_bsds500_lacks_is_named(tmp_path):
    write_bsds500(tmp_path)
    (tmp_path / "images/test/100.jpg").unlink()
    (tmp_path / "groundTruth/val/102.mat").unlink()
    data = open_dataset(tmp_path)
    assert [item.name for item in data.items] == ["test/101", "train/103"]
    assert data.broken == (
        "test/100: there is no picture of it in images/test",
        "val/102: there is no groundTruth/val/102.mat",
    )


def test_contours_are_taken_at_the_thinnest_width(tmp_path):
    data = open_dataset(write_contours(tmp_path))
    assert (data.name, data.broken) == ("Photo-Sketching contours", ())
    assert [item.name for item in data.items] == ["300_x", "301_x"]
    found = data.items[1].read().drawings["contours"]
    assert len(found) == PEOPLE
    for person, ink in enumerate(found):
        assert torch.equal(ink, truth(1, person))


def test_what_contours_lack_is_named(tmp_path):
    write_contours(tmp_path)
    for person in range(PEOPLE):
        (tmp_path / f"sketch-rendered/width-3/300_x_0{person + 1}.png").unlink()
    drawing(tmp_path / "sketch-rendered/width-3/9_01.png", 3)
    data = open_dataset(tmp_path)
    assert [item.name for item in data.items] == ["301_x"]
    assert data.broken == (
        "300_x: there is no width-3/300_x_01.png",
        "9: there is no picture of it in image",
    )


def test_fs2k_has_one_style_a_picture_the_test_part_first(tmp_path):
    data = open_dataset(write_fs2k(tmp_path))
    assert (data.name, data.broken) == ("FS2K", ())
    names = ["photo1/image0001", "photo3/image0002", "photo1/image0007"]
    assert [item.name for item in data.items] == names
    first, second, _ = (item.read() for item in data.items)
    assert torch.equal(first.drawings["style 1"][0], truth(1))
    assert list(second.drawings) == ["style 3"]
    assert torch.equal(second.drawings["style 3"][0], truth(2))


def test_records_of_fs2k_that_lead_nowhere_are_named(tmp_path):
    write_fs2k(tmp_path)
    (tmp_path / "sketch/sketch3/sketch0002.png").unlink()
    (tmp_path / "photo/photo1/image0007.jpg").unlink()
    (tmp_path / "anno_train.json").write_text(
        '[{"image_name": "photo1/image0007"}, {"image_name": "../photo1/image0001"}, {}]'
    )
    data = open_dataset(tmp_path)
    assert [item.name for item in data.items] == ["photo1/image0001"]
    assert data.broken == (
        "photo3/image0002: there is no picture sketch/sketch3/sketch0002",
        "photo1/image0007: there is no picture photo/photo1/image0007",
        "../photo1/image0001: image_name must be such as photo1/image0110",
        "a record without image_name: image_name must be such as photo1/image0110",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "anno_test.json of FS2K must be JSON"),
        ('{"a": 1}', "must be a list of mappings"),
        ('["a"]', "must be a list of mappings"),
    ],
)
def test_records_of_another_form_are_refused(tmp_path, text, message):
    write_fs2k(tmp_path)
    (tmp_path / "anno_test.json").write_text(text)
    with pytest.raises(ConfigError, match=message):
        open_dataset(tmp_path)


def test_our_own_folders_have_a_drawing_in_each_style(tmp_path):
    data = open_dataset(write_own(tmp_path))
    assert (data.name, data.broken) == ("featurekit's own", ())
    assert [item.name for item in data.items] == ["p0", "p1"]
    drawings = data.items[1].read().drawings
    assert list(drawings) == ["a", "b"]
    assert torch.equal(drawings["b"][0], truth(1, 1))


def test_what_our_own_folders_lack_is_named(tmp_path):
    write_own(tmp_path)
    photo(tmp_path / "pictures/alone.png", 5)
    drawing(tmp_path / "drawings/a/other.png", 5)
    (tmp_path / "drawings/b/p1.png").unlink()
    data = open_dataset(tmp_path)
    assert [item.name for item in data.items] == ["p0", "p1"]
    assert list(data.items[1].read().drawings) == ["a"]
    assert data.broken == (
        "alone: there is no drawing of it in drawings/a",
        "alone: there is no drawing of it in drawings/b",
        "p1: there is no drawing of it in drawings/b",
        "a/other: there is no picture of it in pictures/",
    )


def test_our_own_table_names_people_by_repeating_a_style(tmp_path):
    photo(tmp_path / "x/1.jpg", 1)
    photo(tmp_path / "2.jpg", 2)
    for person in range(3):
        drawing(tmp_path / f"y/{person}.png", 1, person)
    rows = [("x/1.jpg", "y/0.png", "ink"), ("2.jpg", "y/2.png", ""), ("x/1.jpg", "y/1.png", "ink")]
    data = open_dataset(write_table(tmp_path, rows, ("picture", "drawing", "style")))
    assert [item.name for item in data.items] == ["x/1.jpg", "2.jpg"]
    first, second = (item.read().drawings for item in data.items)
    assert [torch.equal(ink, truth(1, i)) for i, ink in enumerate(first["ink"])] == [True, True]
    assert list(second) == ["drawing"]
    assert [item.styles for item in data.items] == [("ink",), ("drawing",)]


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ([("a", "b")], ("photo", "sketch"), "got no drawing and no picture"),
        ([("a.png", "b.png"), ("a.png",)], ("picture", "drawing"), "in every row, not in 3"),
    ],
)
def test_a_table_of_another_form_is_refused(tmp_path, rows, columns, message):
    with pytest.raises(ConfigError, match=message):
        open_dataset(write_table(tmp_path, rows, columns))


def test_a_table_that_is_none_is_refused(tmp_path):
    (tmp_path / "pairs.csv").write_bytes(b"picture,drawing\n\xff\xfe,b.png\n")
    with pytest.raises(ConfigError, match=r"pairs.csv must be a table that can be read"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("below", ["", "val2017"])
def test_photographs_without_drawings_are_drawn_by_rules(tmp_path, below):
    write_photographs(tmp_path / below)
    (tmp_path / "notes.txt").write_text("no picture")
    data = open_dataset(tmp_path, edge_model=lambda image: (image[:, :1] + 1) / 2)
    assert (data.name, len(data.items), data.automatic) == ("photographs", 3, True)
    pair = data.items[0].read()
    assert list(pair.drawings) == ["XDoG", "edge model"]
    assert data.items[0].styles == ("XDoG", "edge model")
    assert torch.equal(pair.drawings["XDoG"][0], xdog(pair.image))
    assert torch.equal(pair.drawings["edge model"][0], (pair.image[:, :1] + 1) / 2)
    assert list(open_dataset(tmp_path).items[0].read().drawings) == ["XDoG"]


def test_cocos_pictures_to_validate_come_first(tmp_path):
    photo(tmp_path / "train2017/1.jpg", 1)
    photo(tmp_path / "val2017/2.jpg", 2)
    names = [item.name for item in open_dataset(tmp_path).items]
    assert names == ["val2017/2.jpg", "train2017/1.jpg"]


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda image: image, r"\(1, 1, 32, 32\) here, got \(1, 3, 32, 32\)"),
        (lambda image: [0], "here, got a list"),
        (lambda image: image[:, :1] * 2, r"in \[0, 1\], white paper is 1, got -0.8"),
        (lambda image: image[:, :1] * float("nan"), "got nan to nan"),
    ],
)
def test_an_edge_model_that_draws_no_ink_is_refused(tmp_path, draw, message):
    write_photographs(tmp_path)
    data = open_dataset(tmp_path, edge_model=draw)
    with pytest.raises(ConfigError, match=f"plugin.edge_model must draw ink.*{message}"):
        data.items[0].read()


def test_an_edge_model_is_refused_where_drawings_are_known(tmp_path):
    with pytest.raises(ConfigError, match="those of BSDS500 have them; leave it out"):
        open_dataset(write_bsds500(tmp_path), edge_model=lambda image: image[:, :1])


def test_a_drawing_of_another_size_is_resized_and_counted(tmp_path):
    write_own(tmp_path, 1)
    drawing(tmp_path / "drawings/a/p0.png", 0, size=(3 * SIDE, 3 * SIDE))
    pair = open_dataset(tmp_path).items[0].read()
    assert pair.resized == 1
    ink = pair.drawings["a"][0]
    assert ink.shape == (1, 1, SIDE, SIDE)
    assert 0 <= float(ink.min()) <= float(ink.max()) <= 1
    assert float((ink - truth(0)).abs().mean()) < 0.05


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: drawing(root / "drawings/a/p0.png", 0, size=(40, 32)), "the proportions of"),
        (
            lambda root: Image.new("L", (SIDE, SIDE), 20).save(root / "drawings/a/p0.png"),
            "dark lines on white paper, got one that is 92% ink",
        ),
        (lambda root: photo(root / "pictures/p0.jpg", 0, (10, 40)), "at least 11 px"),
        (lambda root: (root / "pictures/p0.jpg").write_bytes(b"x"), "must be a picture"),
        (lambda root: (root / "drawings/a/p0.png").write_bytes(b"x"), "drawing must be a picture"),
    ],
)
def test_what_cannot_be_compared_is_refused_when_its_turn_comes(tmp_path, spoil, message):
    spoil(write_own(tmp_path))
    first, second = open_dataset(tmp_path).items
    second.read()
    with pytest.raises(ImageError, match=message):
        first.read()


def test_another_layout_is_refused_with_what_was_looked_for_and_found(tmp_path):
    (tmp_path / "stuff").mkdir()
    (tmp_path / "readme.txt").write_text("hello")
    with pytest.raises(ConfigError) as caught:
        open_dataset(tmp_path)
    sentence = str(caught.value)
    assert sentence.count("\n") == 0
    for part in (
        "images/{test,val,train}/*.jpg with groundTruth/{test,val,train}/*.mat (BSDS500)",
        "image/*.jpg with sketch-rendered/width-*/NAME_01.png",
        "anno_test.json (FS2K)",
        "pictures/NAME.jpg with drawings/STYLE/NAME.png, or pairs.csv",
        "such as 4SKST, brought into this form as plugins/sketch/README.md says",
        "COCO's val2017/",
        "has none of these (readme.txt, stuff/)",
    ):
        assert part in sentence


@pytest.mark.parametrize("place", ["data", "BSR/BSDS500/data"])
def test_a_set_further_in_is_pointed_at(tmp_path, place):
    write_bsds500(tmp_path / place, {"test": 1})
    photo(tmp_path / "cover.png", 3)  # does not make it a folder of photographs
    with pytest.raises(ConfigError, match=re.escape(f"give plugin.dataset={tmp_path / place}")):
        open_dataset(tmp_path)


def test_two_sets_in_one_folder_are_refused(tmp_path):
    write_own(write_bsds500(tmp_path))
    with pytest.raises(ConfigError, match="is BSDS500 and featurekit's own; part it"):
        open_dataset(tmp_path)


def test_no_folder_and_an_empty_one_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"a folder that can be read, .* No such file"):
        open_dataset(tmp_path / "none")
    with pytest.raises(ConfigError, match="has nothing"):
        open_dataset(tmp_path)


def test_a_set_of_which_nothing_can_be_used_is_refused(tmp_path):
    photo(tmp_path / "pictures/p.png", 0)
    (tmp_path / "drawings").mkdir()
    with pytest.raises(ConfigError, match="a folder for each style, got none"):
        open_dataset(tmp_path)
    drawing(tmp_path / "drawings/a/q.png", 0)
    with pytest.raises(ConfigError, match="got none; p: there is no drawing of it in drawings/a"):
        open_dataset(tmp_path)
