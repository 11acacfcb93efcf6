"""A person's labelled picture labels a folder: masks in the pictures' sizes, classes as painted."""

import numpy as np
import pytest
import torch
from PIL import Image

from featurekit.backbones import random
from featurekit.core.types import FeatureMap
from featurekit.features.recipes import Recipe
from featurekit.images.class_masks import Classes
from featurekit.measures.points import label_folder as measure
from featurekit.measures.points import label_transfer as labels_measure

COLOURS = ((-1.0, -1.0, -1.0), (1.0, -1.0, -1.0), (-1.0, 1.0, -1.0))


@pytest.fixture
def model(monkeypatch):
    """Features that are the colours themselves."""

    def read(backbone, image, *, taps, timesteps, ensemble, seed):
        field = torch.cat((image, torch.ones_like(image[:, :1])), dim=1)
        return [FeatureMap(field, taps[0], timesteps[0], 1)]

    monkeypatch.setattr(labels_measure, "extract", read)
    return random.load("cpu")


def painted(indices):
    """A picture in which each class has its own colour."""
    return torch.tensor(COLOURS)[torch.as_tensor(indices)].permute(2, 0, 1)[None]


def classes(indices):
    found = torch.as_tensor(indices)
    return Classes(
        (0, 5, 9),
        ((0, 0, 0), (200, 0, 0), (0, 0, 200)),
        torch.stack([found == k for k in range(3)]).float()[None],
    )


def blocks(rows, columns):
    indices = np.zeros((rows, columns), dtype=np.int64)
    indices[: rows // 2, columns // 2 :] = 1
    indices[rows // 2 :, : columns // 2] = 2
    return indices


def test_every_class_is_found_in_pictures_of_other_sizes(model):
    here = blocks(32, 32)
    others = {"wide.jpg": blocks(20, 64), "tall.png": blocks(80, 40).T.copy().T[::-1].copy()}
    told = []
    found = measure.label_pictures(
        model,
        (painted(here), classes(here)),
        {name: painted(one) for name, one in others.items()},
        recipe=Recipe(("a",), (1,)),
        progress=lambda *both: told.append(both),
    )
    assert told == [(1, 2), (2, 2)]
    for name, stem in (("wide.jpg", "masks/wide"), ("tall.png", "masks/tall")):
        mask = np.asarray(found.pictures[stem])
        truth = np.array([0, 5, 9])[others[name]]
        assert mask.shape == truth.shape
        assert (mask == truth).mean() > 0.93
        row = found.figures["pictures"][name]
        assert row["mask"] == f"{stem}.png"
        assert row["shares"]["9"] == pytest.approx((mask == 9).mean())
        assert 0.9 < row["agreement"] <= 1
    assert found.figures["labelled"] == {"0": 0.5, "5": 0.25, "9": 0.25}


def test_pictures_that_differ_by_their_ending_have_masks_of_their_own(model):
    image = painted(blocks(16, 16))
    labelled = (image, classes(blocks(16, 16)))
    found = measure.label_pictures(
        model, labelled, {"a.png": image, "a.jpg": image, "b.png": image}
    )
    assert set(found.pictures) == {"labels", "masks/a.png", "masks/a.jpg", "masks/b"}


def test_what_is_no_thing_is_shown_as_it_is(model):
    indices = blocks(16, 16)
    image = painted(indices)
    shown = measure.laid_on(image, classes(indices).labels, classes(indices))
    assert shown.getpixel((0, 0)) == (0, 0, 0)
    tinted = round(255 * (1 - measure.TINT) + 200 * measure.TINT)
    assert abs(shown.getpixel((12, 2))[0] - tinted) <= 1


def test_a_large_picture_is_compared_on_a_coarser_grid(model, monkeypatch):
    monkeypatch.setattr(labels_measure, "CELLS", 16 * 16)
    indices = blocks(64, 64)
    labeller = labels_measure.Labeller(
        model, (painted(indices), classes(indices).labels), Recipe(("a",), (1,))
    )
    assert labeller._here.shape[2:] == (16, 16)
    found = labeller(painted(indices))
    assert found.shape == (1, 3, 64, 64)
    assert (found.argmax(1)[0].numpy() == indices).mean() > 0.9


def test_the_sheet_has_a_tile_for_each_picture(model):
    image = painted(blocks(16, 16))
    labelled = (image, classes(blocks(16, 16)))
    few, many = (
        measure.label_pictures(model, labelled, {f"{i}.png": image for i in range(n)})
        for n in (1, measure.COLUMNS)
    )
    assert isinstance(few.pictures["labels"], Image.Image)
    assert many.pictures["labels"].height > 1.5 * few.pictures["labels"].height
