"""Layouts of published data sets, generated: what is found, in which order, and what is refused."""

import re

import numpy as np
import pytest
import torch
from drag_data import (
    COUNTS,
    a_mask,
    picture,
    write_all_of_dragbench,
    write_dragbench,
    write_own,
    write_vfd,
)
from PIL import Image

from featurekit.core.errors import ConfigError, FeatureKitError
from featurekit_drag.datasets.layouts import open_dataset


@pytest.fixture(scope="module")
def dragbench(tmp_path_factory):
    root = tmp_path_factory.mktemp("drag_bench_data")
    return root, write_all_of_dragbench(root)


def read_only(root):
    data = open_dataset(root)
    assert len(data.samples) == 1
    return data.layout.read(data.samples[0])


def test_dragbench_has_its_samples_and_drags_by_category(dragbench):
    root, lengths = dragbench
    data = open_dataset(root)
    assert (data.name, len(data.samples), data.broken) == ("DragBench-DR", 205, ())
    found = {}
    moved = []
    for sample in data.samples:
        subject = data.layout.read(sample)
        samples, drags = found.get(sample.category, (0, 0))
        found[sample.category] = (samples + 1, drags + len(subject.request.points.rows))
        moved += subject.request.points.lengths.tolist()
    assert found == COUNTS
    assert len(moved) == 349
    assert np.mean(moved) == pytest.approx(np.mean(lengths), abs=1e-9)


def test_samples_come_in_the_order_of_their_names(dragbench):
    names = [sample.name for sample in open_dataset(dragbench[0]).samples]
    assert names == sorted(names)
    assert names[0] == "animals/JH_2023-09-14-0000"


@pytest.mark.parametrize("protocol", range(6))
def test_a_sample_of_dragbench_becomes_a_subject(tmp_path, protocol):
    points = [[3, 4], [10, 12], [5, 6], [7, 8]]
    write_dragbench(tmp_path / "animals" / "JH_1", points, protocol=protocol)
    subject = read_only(tmp_path)
    assert subject.name == "animals/JH_1"
    assert subject.request.prompt == "a thing"
    assert subject.truth is None
    # pixels counted from 0: the centre of pixel 3 is 3.5
    assert subject.request.points.rows == [[3.5, 4.5, 10.5, 12.5], [5.5, 6.5, 7.5, 8.5]]
    mask = torch.from_numpy(a_mask(24, 20).astype(np.float32))[None, None]
    torch.testing.assert_close(subject.request.mask, mask)
    with Image.open(tmp_path / "animals/JH_1/original_image.png") as image:
        levels = ((subject.request.image[0] + 1) * 127.5).round().permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(levels, np.asarray(image))


@pytest.mark.parametrize(
    ("points", "mask"),
    [
        (np.array([[3, 4], [10, 12]]), a_mask(24, 20)[..., None]),  # DragBench-SR's may be arrays
        ([(3, 4), (10, 12)], a_mask(24, 20).astype(bool)),
        ([[np.int64(3), np.int64(4)], [np.int64(10), np.int64(12)]], a_mask(24, 20) * 255.0),
    ],
)
def test_points_and_masks_of_other_kinds_say_the_same(tmp_path, points, mask):
    write_dragbench(tmp_path / "art" / "one", points, mask=mask)
    subject = read_only(tmp_path)
    assert subject.request.points.rows == [[3.5, 4.5, 10.5, 12.5]]
    assert float(subject.request.mask.sum()) == a_mask(24, 20).sum()


def test_an_empty_mask_is_none(tmp_path):
    write_dragbench(tmp_path / "art" / "one", [[3, 4], [9, 9]], mask=np.zeros((20, 24), np.uint8))
    assert read_only(tmp_path).request.mask is None


def test_dragbench_sr_lies_flat_and_names_its_categories(tmp_path):
    for name in ("art_0", "art_1", "human_10"):
        folder = write_dragbench(tmp_path / name, [[3, 4], [10, 12]])
        (folder / "meta_data_region.pkl").write_bytes(b"not read")
    data = open_dataset(tmp_path)
    assert data.name == "DragBench-SR"
    assert [one.category for one in data.samples] == ["art", "art", "human"]
    assert data.layout.read(data.samples[0]).request.points.rows == [[3.5, 4.5, 10.5, 12.5]]


@pytest.mark.parametrize("below", ["", "Pexels"])
def test_vfd_bench_has_true_pictures(tmp_path, below):
    write_vfd(tmp_path / below / "Pexels_1_deer_0", [[3, 4], [10, 12]])
    subject = read_only(tmp_path)
    assert open_dataset(tmp_path).name == "VFD-Bench"
    assert subject.truth.shape == subject.request.image.shape
    assert not torch.equal(subject.truth, subject.request.image)
    assert subject.request.points.rows == [[3.5, 4.5, 10.5, 12.5]]
    assert float(subject.request.mask.sum()) == a_mask(24, 20).sum()


def test_our_own_layout_takes_places_as_they_are(tmp_path):
    write_own(tmp_path / "faces" / "one", [[3.25, 4, 10, 12]], prompt="a face")
    subject = read_only(tmp_path)
    assert subject.request.points.rows == [[3.25, 4, 10, 12]]
    assert subject.request.prompt == "a face"
    assert subject.truth is not None


def test_mask_target_and_prompt_may_be_left_out(tmp_path):
    write_own(tmp_path / "one", [[3, 4, 10, 12]], target=False, mask=False)
    request = read_only(tmp_path).request
    assert (request.mask, request.prompt, read_only(tmp_path).truth) == (None, "", None)


# what is refused


def test_a_folder_without_its_files_is_named_and_the_others_are_found(tmp_path):
    write_dragbench(tmp_path / "animals" / "JH_1", [[3, 4], [10, 12]])
    (tmp_path / "animals" / "JH_2").mkdir()
    data = open_dataset(tmp_path)
    assert [one.name for one in data.samples] == ["animals/JH_1"]
    assert data.broken == ("animals/JH_2: there is no meta_data.pkl",)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ([], "has nothing"),
        (["pictures/one.png", "readme.txt"], r"has none of these \(pictures/, readme\.txt\)"),
        (["a/b/c/meta_data.pkl"], r"has a data set in a/; give plugin\.dataset="),
        (["x/drag_data.json"], "meta_data.pkl and original_image.png"),
    ],
)
def test_another_layout_is_one_sentence_that_says_what_was_found_and_what_is_needed(
    tmp_path, made, said
):
    for name in made:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with pytest.raises(ConfigError, match=said) as error:
        open_dataset(tmp_path)
    assert "plugin.dataset must hold [CATEGORY/]SAMPLE/ with" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_that_is_none_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for name in ("none", "file"):
        with pytest.raises(ConfigError, match=f"must be a folder that can be read, .*{name}"):
            open_dataset(tmp_path / name)


def test_two_data_sets_in_one_folder_are_refused(tmp_path):
    write_dragbench(tmp_path / "dragbench-sr" / "art_0", [[3, 4], [10, 12]])
    write_dragbench(tmp_path / "dragbench-dr" / "animals" / "JH_1", [[3, 4], [10, 12]])
    with pytest.raises(ConfigError, match=r"more than one: samples lie at different depths"):
        open_dataset(tmp_path)
    assert open_dataset(tmp_path / "dragbench-sr").name == "DragBench-SR"
    assert open_dataset(tmp_path / "dragbench-dr").name == "DragBench-DR"
    write_vfd(tmp_path / "dragbench-sr" / "Pexels_1", [[3, 4], [10, 12]])
    with pytest.raises(ConfigError, match="has samples of DragBench-DR and VFD-Bench"):
        open_dataset(tmp_path / "dragbench-sr")


@pytest.mark.parametrize(
    ("points", "changed", "said"),
    [
        ([[3, 4]], {}, "list of handle, target"),
        ([[3, 4], [5]], {}, "must be pairs"),
        ([[3, 4], [5, "6"]], {}, "pairs of numbers"),
        ("text", {}, "list of handle, target|must be pairs"),
        ([], {}, "at least one drag"),
        ([[3, 4], [24, 6]], {}, "inside the image"),
        ([[3, 4], [5, 6]], {"mask": np.ones((24, 20), np.uint8)}, "24x20 px, got an array of"),
        ([[3, 4], [5, 6]], {"mask": [[1]]}, "array of rows and columns"),
        ([[3, 4], [5, 6]], {"prompt": 5}, "prompt must be text, got a int"),
    ],
)
def test_a_sample_that_cannot_be_used_says_why(tmp_path, points, changed, said):
    write_dragbench(tmp_path / "art" / "one", points, **changed)
    with pytest.raises(FeatureKitError, match=said) as error:
        read_only(tmp_path)
    assert "\n" not in str(error.value)


def test_a_missing_picture_or_entry_is_named(tmp_path):
    folder = write_dragbench(tmp_path / "art" / "one", [[3, 4], [10, 12]])
    (folder / "original_image.png").unlink()
    with pytest.raises(FeatureKitError, match=re.escape("must be a picture original_image.png")):
        read_only(tmp_path)
    own = write_own(tmp_path / "own" / "one", [[3, 4, 10, 12]])
    (own / "drag.json").write_text('{"prompt": "x"}')
    with pytest.raises(FeatureKitError, match="must be an entry 'points', got prompt"):
        read_only(tmp_path / "own")
    (own / "drag.json").write_text('{"points": {"a": 1}}')
    with pytest.raises(FeatureKitError, match="must be a list of"):
        read_only(tmp_path / "own")


def test_a_true_picture_of_another_size_is_refused(tmp_path):
    folder = write_own(tmp_path / "one", [[3, 4, 10, 12]])
    picture(30, 20).save(folder / "target.png")
    with pytest.raises(FeatureKitError, match="size of its source, 24x20 px, got 30x20 px"):
        read_only(tmp_path)
