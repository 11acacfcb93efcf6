"""What the embedded model knows: scenes of its training, and no photograph."""

from pathlib import Path

import matplotlib
import pytest
import torch

from featurekit.backbones import load
from featurekit.images.io import load_image
from featurekit.measures.denoising_error import EMBEDDED_KNOWS, denoising_error
from featurekit.scenes import HELD_OUT_KINDS, TRAINED_KINDS, held_out_scenes

PHOTO = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"


@pytest.fixture(scope="module")
def backbone():
    return load("embedded", device="cpu")


@pytest.mark.parametrize("kind", TRAINED_KINDS)
def test_scenes_like_those_of_its_training_are_known_at_any_size(backbone, kind):
    for one, size in zip(held_out_scenes(3, (kind,)), (64, 64, 256), strict=True):
        assert denoising_error(backbone, load_image(one.image(size))) < 0.75 * EMBEDDED_KNOWS


@pytest.mark.parametrize("kind", HELD_OUT_KINDS)
def test_kinds_that_were_kept_from_it_are_not(backbone, kind):
    (one,) = held_out_scenes(1, (kind,))
    assert denoising_error(backbone, load_image(one.image(64))) > EMBEDDED_KNOWS


def test_a_photograph_is_not_known_whole_or_in_part(backbone):
    photo = load_image(PHOTO)
    for part in (photo, photo[..., 50:250, 150:350]):
        assert denoising_error(backbone, part) > 1.5 * EMBEDDED_KNOWS


def test_the_figure_depends_on_nothing_but_the_picture(backbone):
    picture = torch.zeros(1, 3, 40, 64)
    state = torch.random.get_rng_state()
    assert denoising_error(backbone, picture) == denoising_error(backbone, picture)
    assert torch.equal(torch.random.get_rng_state(), state)
