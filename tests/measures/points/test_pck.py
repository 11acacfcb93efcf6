"""PCK: hits by picture and by box, on scenes and on a folder laid out like SPair-71k."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from featurekit.analysis.plots import INK
from featurekit.backbones import random
from featurekit.core.errors import ConfigError, ImageError, PointsError, UnknownNameError
from featurekit.core.types import FeatureMap
from featurekit.features.recipes import Recipe
from featurekit.images.io import load_image
from featurekit.measures.points import pck as measure
from featurekit.measures.points import pck_sheet, point_features
from featurekit.measures.points.correspondence import paired
from featurekit.measures.points.pck import Asked, PointPair, pck, scene_pair
from featurekit.measures.points.point_features import Reader, network_maps
from featurekit.measures.points.spair import spair_pairs


@pytest.fixture(scope="module")
def model():
    return random.load("cpu")


@pytest.fixture
def perfect(model, monkeypatch):
    """Features that are the hue of each pixel: a picture with a colour a point is matched."""

    def read(backbone, image, *, taps, timesteps, prompt, ensemble, seed):
        spread = torch.cat((image, image.square(), torch.ones_like(image[:, :1])), dim=1)
        return [FeatureMap(spread, taps[0], timesteps[0], 1)]

    monkeypatch.setattr(point_features, "extract", read)
    return model


COLOURS = ((255, 0, 0), (0, 200, 0), (0, 0, 255))


def dotted(size, points):
    picture = Image.new("RGB", size, "white")
    for (x, y), colour in zip(points, COLOURS, strict=False):
        picture.paste(colour, (int(x) - 2, int(y) - 2, int(x) + 3, int(y) + 3))
    return picture


TARGET = ((30, 10), (50, 40), (10, 30))


def pair(target_xy=TARGET, **changes):
    source = ((10, 10), (40, 20), (20, 50))
    told = {
        "source": dotted((64, 64), source),
        "target": dotted((64, 64), TARGET),
        "source_xy": source,
        "target_xy": target_xy,
        "box": (0, 0, 40, 20),
        "category": "dot",
    }
    return PointPair(**{**told, **changes})


def test_features_that_tell_points_apart_find_all(perfect):
    figures = pck(perfect, [pair()], Asked(side_px=64)).figures
    assert figures["image"] == figures["box"] == {"points": 1.0, "pairs": 1.0}
    assert figures["same_place"] == {"points": 0.0, "pairs": 0.0}
    assert figures["points"] == 3


def test_a_picture_that_is_made_smaller_is_answered_in_its_own_pixels(perfect):
    target = ((60, 20), (100, 80), (20, 60))
    big = dotted((128, 100), ())
    for (x, y), colour in zip(target, COLOURS, strict=True):
        big.paste(colour, (x - 6, y - 6, x + 7, y + 7))
    both = pair(target, target=big, box=(0, 0, 70, 10))
    reader = Reader(network_maps(perfect, measure.RECIPE, 0), 64)
    found = measure._matched(reader, both, Asked())
    assert all(found.box_hits)
    for (x, y), (u, v) in zip(found.matches, target, strict=True):
        assert abs(x - u) < 7
        assert abs(y - v) < 7


def test_the_box_and_the_picture_set_tolerances_of_their_own(perfect):
    # the true place is said to be 5.7 px away: within .1 of 64, beyond .1 of 40
    off = tuple((x + 4, y) for x, y in TARGET)
    figures = pck(perfect, [pair(target_xy=off)], Asked(side_px=64)).figures
    assert figures["image"]["points"] == 1.0
    assert figures["box"]["points"] == 0.0
    assert (
        pck(perfect, [pair(target_xy=off)], Asked(alpha=0.08, side_px=64)).figures["image"][
            "points"
        ]
        == 0.0
    )
    assert (
        pck(perfect, [pair(target_xy=off)], Asked(alpha=0.16, side_px=64)).figures["box"]["points"]
        == 1.0
    )


def test_pairs_count_alike_in_one_mean_and_points_in_the_other(perfect):
    miss = pair(source_xy=((10, 10),), target_xy=((60, 60),), category="other")
    figures = pck(perfect, [pair(), miss], Asked(side_px=64)).figures
    assert figures["box"] == {"points": 3 / 4, "pairs": 1 / 2}
    assert figures["categories"]["dot"]["box"]["points"] == 1.0
    assert figures["categories"]["other"]["box"]["points"] == 0.0


def test_scenes_are_pairs_with_the_box_of_their_things():
    both = paired("face", 1)[0]
    found = scene_pair(both, 64)
    assert len(found.source_xy) == len(found.target_xy) > 3
    left, top, right, bottom = found.box
    assert 0 <= left < right <= 64
    assert 0 <= top < bottom <= 64
    xs, ys = zip(*found.target_xy, strict=True)
    assert left <= min(xs) <= max(xs) <= right
    assert top <= min(ys) <= max(ys) <= bottom


def test_the_network_is_told_the_category_of_each_pair(model, monkeypatch):
    told = []

    def read(backbone, image, *, taps, timesteps, prompt, ensemble, seed):
        told.append((prompt, seed))
        return [FeatureMap(image, taps[0], timesteps[0], 1)]

    monkeypatch.setattr(point_features, "extract", read)
    recipe = Recipe(("up1",), (1,), prompt="a photo of a {}, a {category}")
    pairs = [pair(), pair(category="dog")]
    pck(model, pairs, Asked(recipe, side_px=64, seed=5))
    dot, dog = ((f"a photo of a {name}, a {name}", 5) for name in ("dot", "dog"))
    assert told == [dot, dot, dog, dog]


def test_controls_are_measured_beside_the_network(perfect):
    found = pck(perfect, [pair()], Asked(side_px=64, controls=("random", "pixels"))).figures
    assert list(found["controls"]) == ["random", "pixels"]
    for one in found["controls"].values():
        assert set(one) == {"image", "box", "same_place", "categories"}
    # dots of one colour each: raw patches find them all
    assert found["controls"]["pixels"]["box"]["points"] == 1.0


def test_the_control_of_random_weights_is_another_network(model, monkeypatch):
    asked = []

    def read(backbone, image, **rest):
        asked.append(backbone.name)
        return [FeatureMap(image, "a", 1, 1)]

    monkeypatch.setattr(point_features, "extract", read)
    twin = replace(model, name="twin")
    pck(twin, [pair()], Asked(side_px=64, controls=("random",)))
    assert asked == ["twin", "twin", "random", "random"]


def test_a_miss_is_joined_to_its_true_point_which_is_ringed():
    blank = Image.new("RGB", (64, 64), "white")
    points = (((8.0, 8.0),), ((16.0, 48.0),), ((48.0, 48.0),))  # asked for, found, true
    miss, hit = (
        np.asarray(pck_sheet._joined(pck_sheet.Drawn("dot", (blank, blank), points, (found,))))
        for found in (False, True)
    )
    scale = pck_sheet.TILE_PX // 64
    true = slice(48 * scale - 6, 48 * scale + 7)
    beside = slice(pck_sheet.TILE_PX + 48 * scale + 3, pck_sheet.TILE_PX + 48 * scale + 7)
    between = slice(pck_sheet.TILE_PX + 24 * scale, pck_sheet.TILE_PX + 40 * scale)
    assert (miss[true, beside] == INK).all(-1).any()  # on the side that no dash reaches
    assert 0 < (miss[48 * scale, between] == INK).all(-1).mean() < 1
    assert not (hit == INK).all(-1).any()


# a folder like that of SPair-71k


@pytest.fixture
def folder(tmp_path):
    for kind, skip in (("face", 1), ("vehicle", 2)):
        pictures = tmp_path / "JPEGImages" / kind
        pictures.mkdir(parents=True)
        annotations = tmp_path / "PairAnnotation" / "test"
        annotations.mkdir(parents=True, exist_ok=True)
        for number, both in enumerate(paired(kind, skip)):
            names = [f"{number}_{side}.jpg" for side in ("a", "b")]
            one = scene_pair(both, 64)
            for name, picture in zip(names, (one.source, one.target), strict=True):
                picture.save(pictures / name)
            record = {
                "src_imname": names[0],
                "trg_imname": names[1],
                "src_kps": one.source_xy,
                "trg_kps": one.target_xy,
                "trg_bndbox": one.box,
                "category": kind,
                "pair_id": number,
            }
            path = annotations / f"{number:06}-{kind}.json"
            path.write_text(json.dumps(record))
    return tmp_path


def changed(folder, **changes):
    path = next((folder / "PairAnnotation" / "test").glob("*face.json"))
    record = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in record.items() if value != "gone"}))
    return folder


def test_a_folder_gives_its_pairs_by_name(folder):
    pairs = spair_pairs(folder)
    assert [one.category for one in pairs] == ["face", "vehicle", "vehicle"]
    face = scene_pair(paired("face", 1)[0], 64)
    assert pairs[0].source_xy == face.source_xy
    assert pairs[0].target_xy == face.target_xy
    assert pairs[0].box == face.box
    assert pairs[0].source == folder / "JPEGImages" / "face" / "0_a.jpg"
    assert len(spair_pairs(folder, most=1)) == 2
    assert [one.category for one in spair_pairs(folder, categories=["vehicle"])] == ["vehicle"] * 2


def test_what_macos_leaves_beside_records_is_passed_over(folder):
    before = spair_pairs(folder)
    for path in list((folder / "PairAnnotation" / "test").iterdir()):
        (path.parent / f"._{path.name}").write_bytes(b"\0\5\x16\7")
    (folder / "PairAnnotation" / ".trash").mkdir()
    assert spair_pairs(folder) == before
    with pytest.raises(UnknownNameError, match=r"no split named '\.trash'"):
        spair_pairs(folder, split=".trash")


def test_the_files_are_matched_as_their_pictures_are(folder, model):
    pairs = spair_pairs(folder, most=1)
    opened = [
        PointPair(*(Image.open(path) for path in (one.source, one.target)), one.source_xy,
                  one.target_xy, one.box, one.category)
        for one in pairs
    ]  # fmt: skip
    found, again = (pck(model, some, Asked(side_px=64)).figures for some in (pairs, opened))
    assert found == again
    assert set(found["categories"]) == {"face", "vehicle"}
    assert found["points"] == sum(len(one.source_xy) for one in pairs)


def test_a_broken_picture_is_passed_over_by_name(folder, perfect):
    (folder / "JPEGImages" / "vehicle" / "1_b.jpg").write_bytes(b"no picture")
    found = pck(perfect, spair_pairs(folder), Asked(side_px=64)).figures
    assert found["pairs"] == 2
    assert list(found["skipped"]) == ["1_a.jpg and 1_b.jpg"]
    for one in (folder / "JPEGImages").rglob("*.jpg"):
        one.write_bytes(b"no picture")
    with pytest.raises(ImageError, match="a pair must have two pictures that can be read"):
        pck(perfect, spair_pairs(folder), Asked(side_px=64))


def test_a_picture_of_many_pairs_is_read_once(folder, perfect, monkeypatch):
    read = []
    monkeypatch.setattr(
        point_features, "load_image", lambda photo: read.append(1) or load_image(photo)
    )
    pck(perfect, spair_pairs(folder, categories=["face"]) * 3, Asked(side_px=64))
    assert len(read) == 2


def test_the_oldest_picture_is_forgotten_first(folder, perfect, monkeypatch):
    monkeypatch.setattr(point_features, "REMEMBERED", 2)
    reader = Reader(network_maps(perfect, measure.RECIPE, 0), 64)
    paths = sorted((folder / "JPEGImages").rglob("*.jpg"))[:3]
    for path in paths:
        reader(path, "")
    assert [path for path, _ in reader._kept] == paths[1:]


# refusals


@pytest.mark.parametrize("part", ["PairAnnotation", "JPEGImages"])
def test_a_folder_that_is_none_is_refused(folder, tmp_path, part):
    (folder / part).rename(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=f"must hold PairAnnotation and JPEGImages.*no {part}"):
        spair_pairs(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trg_kps": "gone"}, r"a pair must name .*json lacks trg_kps"),
        ({"src_imname": "none.jpg"}, r"must lie in JPEGImages/face, but .* names none.jpg"),
        ({"src_kps": [[1, 2, 3]]}, "points must be lists of x and y and a box four numbers"),
        ({"trg_bndbox": [1, 2, 3]}, "points must be lists of x and y and a box four numbers"),
        ({"trg_bndbox": [9, 2, 3, 8]}, r"a box must run from left .* got \[9, 2, 3, 8\]"),
    ],
)
def test_a_damaged_record_is_refused_by_name(folder, changes, message):
    with pytest.raises(ConfigError, match=message):
        spair_pairs(changed(folder, **changes))


def test_names_that_do_not_exist_are_refused(folder):
    with pytest.raises(UnknownNameError, match="no split named 'tst'; did you mean test"):
        spair_pairs(folder, split="tst")
    with pytest.raises(UnknownNameError, match="no category named 'fase'; did you mean face"):
        spair_pairs(folder, categories=["fase"])
    (folder / "PairAnnotation" / "val").mkdir()
    with pytest.raises(ConfigError, match="a split must hold a pair, but 'val'"):
        spair_pairs(folder, split="val")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source_xy": (), "target_xy": ()}, "a pair must have points.*got 0 and 0"),
        ({"source_xy": ((1, 1),)}, "equally many in both pictures, got 1 and 3"),
        ({"target_xy": ((1, 1), (2, 2), (65, 1))}, r"inside its picture of 64 x 64 px, got \(65,"),
    ],
)
def test_points_that_make_no_pair_are_refused(perfect, changes, message):
    with pytest.raises(PointsError, match=message):
        pck(perfect, [pair(**changes)], Asked(side_px=64))


def test_nothing_to_measure_is_refused(model):
    with pytest.raises(ConfigError, match="pck needs a pair of pictures, got none"):
        pck(model, [])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alpha": 0}, "alpha must be above 0, got 0"),
        ({"alpha": float("nan")}, "alpha must be above 0, got nan"),
        ({"side_px": 7}, "side must be 8 px or more, got 7"),
        ({"controls": ("pixel",)}, "no control named 'pixel'; did you mean pixels"),
        ({"prompt": "a {kind}"}, "may have {category} in braces and nothing else, got 'a {kind}'"),
        ({"prompt": "a {category"}, "may have {category} in braces and nothing else"),
        ({"prompt": "a {category!r}"}, "may have {category} in braces and nothing else"),
    ],
)
def test_each_setting_is_refused_alone(changes, message):
    words = changes.pop("prompt", "")
    with pytest.raises((ConfigError, UnknownNameError), match=re.escape(message)):
        Asked(Recipe(("up1",), (1,), prompt=words), **changes)


def test_a_missing_picture_is_noticed_before_anything_is_read(folder):
    Path(folder / "JPEGImages" / "vehicle" / "1_b.jpg").unlink()
    with pytest.raises(ConfigError, match=r"names 1_b.jpg, which does not"):
        spair_pairs(folder)
