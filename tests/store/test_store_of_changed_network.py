"""A store never counts as present what a changed network would give otherwise."""

from copy import deepcopy

import pytest
import torch
from PIL import Image
from reduced import reduced_configs

from featurekit.backbones.unet import sd
from featurekit.core.errors import ConfigError
from featurekit.features.recipes import Recipe
from featurekit.store.export import store_pictures
from featurekit.store.picture_reader import PictureReader
from featurekit.store.trajectory_reader import Inversion, TrajectoryReader, recomputed

RECIPE = Recipe(("mid",), (261,))


@pytest.fixture(scope="module")
def kept():
    return sd.build("sd15", reduced_configs("sd15"), device="cpu", seed=1)


@pytest.fixture
def model(kept):
    return deepcopy(kept)


@pytest.fixture
def photo(tmp_path):
    Image.new("RGB", (64, 64), "teal").save(tmp_path / "me.png")
    return tmp_path / "me.png"


def of_unet(model):
    model.unet.conv_in.weight.data.mul_(1.5)


def of_vae(model):
    model.vae.encoder.conv_in.weight.data.mul_(1.5)


def of_text(model):
    model.text_encoder.get_input_embeddings().weight.data.mul_(1.5)


READERS = {
    "features": lambda model: PictureReader(model, RECIPE, prompt="a cat", batch=1),
    "trajectories": lambda model: TrajectoryReader(model, Inversion(steps=2), prompt="a cat"),
}


@pytest.mark.parametrize("change", [of_unet, of_vae, of_text])
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_a_store_of_the_network_as_it_was_is_refused(kept, photo, tmp_path, reader, change):
    model, again = deepcopy(kept), deepcopy(kept)
    folder = tmp_path / "store"
    assert store_pictures(folder, [photo], reader=reader(model))[0].samples == 1
    assert store_pictures(folder, [photo], reader=reader(again))[0].samples == 0
    change(model)
    with pytest.raises(ConfigError, match="changed after it was loaded"):
        store_pictures(folder, [photo], reader=reader(model))
    assert store_pictures(tmp_path / "another", [photo], reader=reader(model))[0].samples == 1


def test_features_are_not_recomputed_with_a_changed_network(model, photo, tmp_path):
    folder = tmp_path / "store"
    store_pictures(folder, [photo], reader=READERS["trajectories"](model))
    recipe = Recipe(("mid",), (1,))
    found = recomputed(folder, model, recipe, prompt="a cat")
    with torch.no_grad():
        assert found[0][1]["mid/1"].isfinite().all()
    of_unet(model)
    with pytest.raises(ConfigError, match="model and prompt of the inversion, whose weights"):
        recomputed(folder, model, recipe, prompt="a cat")
