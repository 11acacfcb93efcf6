"""Masks that the page brushes: runs of a raster become a picture of its size, or a sentence."""

import numpy as np
import pytest
import torch
from drag_studio import runs_of

from featurekit.core.errors import MaskError, UnknownNameError
from featurekit.images.masks import load_mask
from featurekit_drag.studio.masks import KEPT, Masks


@pytest.fixture
def masks(tmp_path):
    return Masks(tmp_path / "masks")


def square(size=(8, 12)):
    mask = np.zeros(size, dtype=int)
    mask[2:5, 3:9] = 1
    return mask


def test_runs_become_the_mask_that_they_are_and_come_back(masks):
    runs = runs_of(square())
    key = masks.put(runs, (8, 12), (8, 12))
    assert torch.equal(masks.tensor(key, (8, 12))[0, 0], torch.from_numpy(square()).float())
    assert masks.runs(key, (8, 12)) == runs
    assert torch.equal(load_mask(masks.file(key), 8, 12), masks.tensor(key, (8, 12)))


def test_a_mask_that_begins_inside_comes_back_too(masks):
    runs = runs_of(1 - square())
    key = masks.put(runs, (8, 12), (8, 12))
    assert masks.runs(key, (8, 12)) == runs
    assert float(masks.tensor(key, (8, 12)).mean()) == 1 - square().mean()


def test_a_raster_is_brought_to_the_size_of_its_picture(masks):
    key = masks.put(runs_of(square()), (8, 12), (80, 120))
    found = masks.tensor(key, (80, 120))
    assert float(found.mean()) == pytest.approx(square().mean(), abs=0.01)
    assert found[0, 0, 35, 60] == 1
    assert found[0, 0, 10, 60] == 0


def test_masks_are_there_for_the_next_server(masks, tmp_path):
    key = masks.put(runs_of(square()), (8, 12), (8, 12))
    again = Masks(tmp_path / "masks")
    assert torch.equal(again.tensor(key, (8, 12)), masks.tensor(key, (8, 12)))
    assert again.key_of(str(again.file(key))) == key
    assert again.key_of("elsewhere.png") is None


def test_the_oldest_files_go(masks, monkeypatch):
    monkeypatch.setattr("featurekit_drag.studio.masks.KEPT", 2)
    assert KEPT > 2
    keys = [
        masks.put(runs_of(square((8, width))), (8, width), (8, width)) for width in (10, 11, 12)
    ]
    with pytest.raises(UnknownNameError, match="no mask named"):
        masks.file(keys[0])
    assert len(list(masks._folder.iterdir())) == 2


@pytest.mark.parametrize(
    ("runs", "why"),
    [
        (b"\1\0\0", "whole runs"),
        (np.array([96], "<u4").tobytes(), "something that may change, got nothing"),
        (np.array([5, 4], "<u4").tobytes(), "come to its 12x8 px, got 9"),
        (np.array([2**32 - 1, 97], "<u4").tobytes(), "come to its"),
        (bytes(4 * 200), "whole runs"),
    ],
)
def test_what_is_no_mask_is_refused(masks, runs, why):
    with pytest.raises(MaskError, match=why):
        masks.put(runs, (8, 12), (8, 12))


def test_a_mask_of_another_picture_is_refused(masks):
    key = masks.put(runs_of(square()), (8, 12), (8, 12))
    with pytest.raises(MaskError, match="size of its image, 10x10 px, got 12x8"):
        masks.tensor(key, (10, 10))
    masks.tensor(key, (8, 12))
    with pytest.raises(MaskError, match="size of its picture, 10x10 px, got 12x8"):
        masks.tensor(key, (10, 10))


@pytest.mark.parametrize("key", ["nothing", "../escape", "a" * 24, ""])
def test_an_unknown_key_reaches_no_file(masks, key):
    with pytest.raises(UnknownNameError):
        masks.file(key)
