"""The class that ``fk.ray_map`` makes, without Ray: what it takes, gives and refuses."""

import io

import numpy as np
import pytest
from PIL import Image

import featurekit as fk
from featurekit.core.errors import ConfigError, ImageError

RECIPE = fk.Recipe(["mid"], [261])


@pytest.fixture(scope="module")
def reads():
    return fk.ray_map("random", RECIPE, batch=2, device="cpu")()


def pictures(*sizes):
    return [
        np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
        for seed, size in enumerate(sizes)
    ]


def objects(items):
    column = np.empty(len(items), dtype=object)
    column[:] = items
    return column


def png(array):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


def test_a_batch_gives_the_features_of_an_extractor_beside_its_other_columns(reads):
    images = pictures((32, 32), (32, 32), (32, 32))
    names = ["a.png", "b.png", "c.png"]
    extractor = fk.Extractor(fk.load_backbone("random", device="cpu"), RECIPE, batch=2)
    alone = {
        name: maps[0].tensor[0].numpy()
        for name, maps in extractor(
            [fk.Sample(name, image) for name, image in zip(names, images, strict=True)]
        )
    }
    given = reads({"image": np.stack(images), "id": np.array(names), "label": np.arange(3)})
    assert list(given) == ["id", "label", "mid/261"]
    assert given["label"].tolist() == [0, 1, 2]
    for name, row in zip(given["id"], given["mid/261"], strict=True):
        assert np.abs(row - alone[name]).max() < 1e-5
    encoded = reads({"image": objects(list(map(png, images))), "path": np.array(names)})
    assert np.array_equal(encoded["mid/261"], given["mid/261"])
    assert encoded["id"].tolist() == names


def test_pictures_of_several_sizes_give_a_row_each(reads):
    given = reads({"image": objects(pictures((32, 32), (64, 32))), "id": np.array(["a", "b"])})
    first, second = given["mid/261"]
    assert second.shape == (first.shape[0], 2 * first.shape[1], first.shape[2])


def test_what_a_batch_lacks_is_one_sentence(reads):
    with pytest.raises(ConfigError, match=r"columns image and id \(or path\), got picture, id"):
        reads({"picture": np.zeros(1), "id": np.array(["a"])})
    with pytest.raises(ImageError, match="a picture in a known format"):
        reads({"image": objects([b"words"]), "id": np.array(["a"])})


def test_a_loaded_backbone_does_not_go_to_other_processes():
    with pytest.raises(ConfigError, match="the name or folder of a backbone"):
        fk.ray_map(fk.load_backbone("random", device="cpu"), RECIPE)
