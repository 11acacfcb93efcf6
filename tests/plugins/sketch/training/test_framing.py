"""A picture in its frame: each border is its own in some corner, and filling is never learnt."""

import invented
import pytest
import torch
from torch import nn

from featurekit.core.errors import ShapeError
from featurekit.images import coordinates
from featurekit_sketch.losses.sketch_loss import SketchLoss
from featurekit_sketch.settings import Learning
from featurekit_sketch.training.framing import Corner, corners, framed, unframed
from featurekit_sketch.training.published_course import Examples, PublishedCourse
from featurekit_sketch.training.trainer import Trainer

SIZES = [(32, 32), (20, 32), (32, 27), (20, 27), (70, 33), (5, 3)]


def picture(height, width, channels=3):
    return torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_corners_bring_the_picture_to_every_border_of_its_frame(height, width):
    image = picture(height, width)
    found = corners(height, width, 32)
    assert found[0] == Corner()
    assert len(set(found)) == len(found) == 2 ** ((height % 32 > 0) + (width % 32 > 0))
    frames = [framed(image, corner, 32) for corner in found]
    assert torch.equal(frames[0], coordinates.pad(image, 32))
    touched = {
        side
        for corner, frame in zip(found, frames, strict=True)
        for side, (rows, columns) in {
            "top": (0, slice(None)), "bottom": (-1, slice(None)),
            "left": (slice(None), 0), "right": (slice(None), -1),
        }.items()
        if own(frame, image, corner)[rows, columns].any()
    }  # fmt: skip
    assert touched == {"top", "bottom", "left", "right"}


def own(frame, image, corner):
    """Which pixels of a frame are the picture's, found by marking them."""
    marked = framed(torch.ones_like(image), corner, 32).zero_()
    unframed_view = torch.arange(frame[0, 0].numel()).view(1, 1, *frame.shape[-2:])
    kept = unframed(unframed_view, corner, *image.shape[-2:])
    marked[0, 0].view(-1)[kept.flatten()] = 1
    return marked[0, 0]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_out_of_the_frame_comes_what_was_laid_into_it(height, width):
    image = picture(height, width)
    for corner in corners(height, width, 32):
        frame = framed(image, corner, 32)
        assert all(side % 32 == 0 for side in frame.shape[-2:])
        assert torch.equal(unframed(frame, corner, height, width), image)


def test_the_filling_is_the_reflection_of_what_it_touches():
    row = torch.arange(5.0).view(1, 1, 1, 5)
    assert framed(row, Corner(), 8)[0, 0, 0].tolist() == [0, 1, 2, 3, 4, 3, 2, 1]
    assert framed(row, Corner(right=True), 8)[0, 0, 0].tolist() == [3, 2, 1, 0, 1, 2, 3, 4]


def test_a_frame_smaller_than_its_picture_is_refused():
    with pytest.raises(ShapeError, match="must lie inside"):
        unframed(picture(8, 8), Corner(right=True), 9, 8)


# learning


class Clip:
    def encode_image(self, image):
        return image.mean((2, 3))


class MeanSquare:
    name = "mean square"

    def prepared(self, reference):
        return lambda a: (a - reference).square().mean()


class Painter(nn.Module):
    """Draws a picture that is its weights, whatever it sees."""

    def __init__(self, side):
        super().__init__()
        self.ink = nn.Parameter(torch.full((1, 1, side, side), 0.5))

    def forward(self, features):
        return self.ink.expand(len(features.image), -1, -1, -1)


def test_the_picture_is_learnt_in_each_corner_and_the_filling_in_none(tmp_path):
    """Every pixel of the frame is learnt where the picture lay on it, and from nowhere else."""
    height, width, side = 20, 27, 32
    ink = torch.ones(1, 1, height, width)
    ink[..., -1] = ink[..., 0] = 0  # a line along both borders
    clip, places = Clip(), corners(height, width, side)
    loss = SketchLoss(clip, MeanSquare(), source_image=picture(height, width), drawing=ink)
    taps = invented.feature_taps("embedded")
    seen = []

    def features(number):
        seen.append(number)
        return invented.features(taps, side, side, timesteps=2, seed=0)

    def learnt(corner, folder):
        given = Examples(features, [loss], features, [], corners=[corner])
        network = Painter(side)
        learning = Learning(iterations=3, learning_rate=0.05)
        course = PublishedCourse(given, learning, 0)
        Trainer(network, course, folder / f"{corner}.safetensors", "key")()
        return (network.ink.detach() != 0.5)[0, 0]

    changed = {corner: learnt(corner, tmp_path) for corner in places}
    for corner, where in changed.items():
        expected = own(torch.zeros(1, 1, side, side), picture(height, width), corner) == 1
        assert torch.equal(where, expected), corner
    assert torch.stack([*changed.values()]).any(0)[:, [0, -1]].all()


def test_the_drawing_as_it_is_takes_its_corners_in_turns():
    given = Examples(None, [None] * 9, None, [], corners=[Corner()] * 9, drawings=4)
    chosen = [given.chosen(iteration, 4000, seed=0)[0] for iteration in range(4000)]
    shares = [chosen.count(view) / 4000 for view in range(9)]
    assert all(abs(share - (0.5 / 4 + 0.5 / 9)) < 0.02 for share in shares[:4])
    assert all(abs(share - 0.5 / 9) < 0.02 for share in shares[4:])


def test_of_a_picture_that_fills_its_frame_the_same_views_are_chosen_as_ever():
    given = Examples(None, [None] * 3, None, [])
    chosen = [given.chosen(iteration, 12, seed=5)[0] for iteration in range(12)]
    assert chosen == [2, 0, 2, 0, 0, 2, 1, 0, 1, 2, 0, 0]
