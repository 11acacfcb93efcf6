"""Pictures as the released code prepares them: ImageNet's constants, and no antialiasing."""

import pytest
import torch

from featurekit.backbones import open_clip
from featurekit.measures.perceptual.distances import ClipPerceptual
from featurekit_sketch.losses.released_preparation import (
    MEAN,
    STD,
    ReleasedEncoder,
    ReleasedPerceptual,
)


@pytest.fixture(scope="module")
def clip():
    return open_clip.load(device="cpu", dtype="float32")


@pytest.fixture
def seen(clip, monkeypatch):
    """What the image encoder is shown."""
    given = []

    def keep(pixels, **words):
        given.append(pixels)
        return called(pixels, **words)

    called = clip.network.encode_image
    monkeypatch.setattr(clip.network, "encode_image", keep)
    return given


def board(side):
    places = torch.arange(side)
    return ((places[:, None] + places) % 2 * 2.0 - 1).expand(1, 3, -1, -1)


def test_clip_is_shown_imagenets_constants(clip, seen):
    ReleasedEncoder.of(clip).encode_image(torch.full((1, 3, 512, 512), 0.5))
    for channel, mean, std in zip(seen[0][0], MEAN, STD, strict=True):
        assert (channel - (0.75 - mean) / std).abs().max() < 1e-5


def test_a_checkerboard_of_single_pixels_stays_one(clip, seen):
    side = 512 * clip.size[0] // 224
    ReleasedEncoder.of(clip).encode_image(board(side))
    clip.encode_image(board(side))
    raw, smoothed = (one[0, 0, 2:-2, 2:-2].std() for one in seen)
    assert raw * STD[0] > 0.1
    assert smoothed * clip.std[0] < 0.02


def test_the_perceptual_distance_is_shown_the_same_and_gradients_reach_the_picture(clip):
    plain = ClipPerceptual(clip)
    distance = ReleasedPerceptual.of(plain, clip)
    a = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    b = a.flip(-1)
    asked = a.clone().requires_grad_()
    found = distance.prepared(b)(asked)
    found.backward()
    assert asked.grad.abs().sum() > 0
    assert torch.equal(found, distance.distance(a, b))
    assert float(distance.distance(a, a)) == 0
    assert abs(float(found.detach()) - float(plain.distance(a, b))) > 1e-5
    assert distance.name == f"{plain.name}, as released"
