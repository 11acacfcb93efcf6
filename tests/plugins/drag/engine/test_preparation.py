"""A second drag of a picture fits no LoRA and inverts nothing; any other subject does."""

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from featurekit.backbones import load
from featurekit.backbones.lora import LoraRecipe
from featurekit.core.cache import Cache
from featurekit.core.types import silent
from featurekit_drag.engine.drag import Drag
from featurekit_drag.engine.points import read_points
from featurekit_drag.engine.request import Request
from featurekit_drag.engine.settings import DragSettings, Rule

SETTINGS = DragSettings(rule=Rule(updates=2), steps=6, residuals=True)
RECIPE = LoraRecipe(rank=2, alpha=2, learning_rate=1e-2, steps=2, batch=1)
KEPT = ", kept by an earlier edit of this picture"


@pytest.fixture(scope="module")
def backbone():
    return load("random", device="cpu")


def request_for(*, seed=0, end=(20.0, 20.0), **changed):
    picture = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
    points = read_points([[12.0, 12.0, *end]], height=32, width=32)
    return replace(Request(picture * 1.8 - 0.9, points, prompt="a house"), **changed)


def stages_of(drag, request):
    """Run a drag; its picture, and the stages that it went through."""
    names = []

    @contextmanager
    def stage(name):
        names.append(name)
        yield silent

    return drag(request, stage=stage), names


def preparing(names):
    return [name for name in names if name.startswith(("LoRA", "inversion"))]


FRESH = ["LoRA on the image", "inversion"]
HELD = [name + KEPT for name in FRESH]


def test_another_drag_of_the_picture_takes_what_was_kept_and_gives_the_same_edit(
    backbone, tmp_path
):
    drag, fresh = (
        Drag(backbone, SETTINGS, RECIPE, Cache(tmp_path)),
        Drag(backbone, SETTINGS, RECIPE),
    )
    _, names = stages_of(drag, request_for())
    assert preparing(names) == FRESH
    again, names = stages_of(drag, request_for(end=(12.0, 24.0)))
    assert preparing(names) == HELD
    expected = fresh(request_for(end=(12.0, 24.0)))
    assert torch.equal(again.image, expected.image)
    assert again.lora_losses == expected.lora_losses


def test_without_a_lora_the_inversion_alone_is_kept(backbone, tmp_path):
    drag = Drag(backbone, SETTINGS, LoraRecipe(steps=0), Cache(tmp_path))
    assert preparing(stages_of(drag, request_for())[1]) == FRESH[1:]
    assert preparing(stages_of(drag, request_for(seed=0))[1]) == HELD[1:]


@pytest.mark.parametrize(
    "other",
    [
        request_for(seed=1),
        request_for(prompt="a face"),
        replace(request_for(), seed=1),
    ],
    ids=["picture", "prompt", "seed"],
)
def test_another_subject_is_prepared_anew(backbone, tmp_path, other):
    drag = Drag(backbone, SETTINGS, RECIPE, Cache(tmp_path))
    drag(request_for())
    assert preparing(stages_of(drag, other)[1]) == FRESH


def test_another_recipe_is_prepared_anew(backbone, tmp_path):
    Drag(backbone, SETTINGS, RECIPE, Cache(tmp_path))(request_for())
    drag = Drag(backbone, SETTINGS, replace(RECIPE, alpha=1.0), Cache(tmp_path))
    assert preparing(stages_of(drag, request_for())[1]) == FRESH


@pytest.mark.parametrize("changed", [{"guidance": 2.0}, {"steps": 5}, {"strength": 0.5}])
def test_other_levels_or_another_guidance_keep_the_lora_alone(backbone, tmp_path, changed):
    Drag(backbone, SETTINGS, RECIPE, Cache(tmp_path))(request_for())
    drag = Drag(backbone, replace(SETTINGS, **changed), RECIPE, Cache(tmp_path))
    assert preparing(stages_of(drag, request_for())[1]) == [HELD[0], FRESH[1]]


def test_other_weights_are_another_subject(backbone, tmp_path):
    Drag(backbone, SETTINGS, RECIPE, Cache(tmp_path))(request_for())
    drag = Drag(load("embedded", device="cpu"), SETTINGS, RECIPE, Cache(tmp_path))
    assert preparing(stages_of(drag, request_for())[1]) == FRESH


def test_a_damaged_file_is_made_anew(backbone, tmp_path):
    drag = Drag(backbone, SETTINGS, RECIPE, Cache(tmp_path))
    expected = drag(request_for())
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-4])
    again, names = stages_of(drag, request_for())
    assert preparing(names) == FRESH
    assert torch.equal(again.image, expected.image)


def held(drag, request):
    return tuple(slot.is_held for slot in drag.kept(request).values())


def test_what_is_at_hand_is_known_beforehand(backbone, tmp_path):
    drag = Drag(backbone, SETTINGS, RECIPE, Cache(tmp_path))
    assert held(drag, request_for()) == (False, False)
    drag(request_for())
    assert held(drag, request_for(end=(8.0, 20.0))) == (True, True)
    assert held(drag, request_for(seed=1)) == (False, False)
    other = Drag(backbone, replace(SETTINGS, guidance=2.0), RECIPE, Cache(tmp_path))
    assert held(other, request_for()) == (True, False)
