"""Lessons that a network gives itself: late, bent like the view, and only where it is sure."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from featurekit.measures.model.lines import soft_f1
from featurekit_sketch.two_scales.reading import TwoScaleMaps
from featurekit_sketch.two_scales.self_training import (
    BEGINS,
    CUT,
    RISES,
    UNSURE,
    WEIGHT,
    WIDEST,
    Lesson,
    SelfTraining,
    Undrawn,
    cores,
    thickest,
)

SIDE = 16
LATE = 0.9


class Traced(nn.Module):
    """A mean network that gives the picture's first channel as its logit."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, given):
        self.watched = torch.is_grad_enabled()
        return self.gain * given.image[:, :1]


def maps_of(chances):
    """Maps whose picture is the logit of these chances."""
    return TwoScaleMaps({}, torch.logit(chances).expand(1, 3, SIDE, SIDE))


def strokes():
    """Chances of ink: .9 on a stroke left of the middle, .05 elsewhere."""
    chances = torch.full((1, 1, SIDE, SIDE), 0.05)
    chances[..., 3:9, 4:6] = 0.9
    return chances


def undrawn(chances, bent=lambda ink: ink):
    return Undrawn(maps_of(chances), maps_of(1 - chances), bent)


def self_training(*pictures):
    return SelfTraining([lambda one=one: one for one in pictures], WIDEST)


def lesson(*pictures, share=LATE, seed=0, mean=None):
    lots = torch.Generator().manual_seed(seed)
    return self_training(*pictures).lesson(mean or Traced(), share, lots)


@pytest.mark.parametrize("share", [0.0, 0.2, BEGINS - 1e-6])
def test_there_is_no_lesson_before_its_start(share):
    assert lesson(undrawn(strokes()), share=share) is None


def test_there_is_no_lesson_without_pictures():
    assert lesson() is None


def test_a_view_must_be_drawn_as_the_picture_is_drawn_bent_like_the_view():
    def bent(ink):
        return ink.roll(5, -1).flip(-2)

    picture = undrawn(strokes(), bent)
    found = lesson(picture)
    assert found.maps is picture.view
    assert torch.equal(found.lines, (strokes() > CUT).float().roll(5, -1).flip(-2))
    assert torch.equal(found.sure, torch.ones(1, 1, SIDE, SIDE))


def test_what_is_bent_is_ink_on_white_paper():
    seen = []
    lesson(undrawn(strokes(), lambda ink: seen.append(ink) or ink))
    assert torch.allclose(seen[0], 1 - strokes(), atol=1e-5)


def test_chances_near_the_cut_ask_for_nothing():
    chances = strokes()
    near = (CUT - 0.9 * UNSURE, CUT, CUT + 0.9 * UNSURE)
    far = (CUT - 1.1 * UNSURE, CUT + 1.1 * UNSURE)
    for column, chance in enumerate((*near, *far)):
        chances[..., 12, column] = chance
    found = lesson(undrawn(chances))
    assert found.sure[0, 0, 12, :5].tolist() == [0, 0, 0, 1, 1]
    assert found.lines[0, 0, 12, 2:5].tolist() == [1, 0, 1]
    logit = torch.randn(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    logit.requires_grad_()
    (found.loss(logit) - 1 + soft_f1(torch.sigmoid(logit), found.lines)).backward()
    assert torch.equal(logit.grad[0, 0, 12, :3], torch.zeros(3))
    assert logit.grad[0, 0, 12, 3:].abs().min() > 0


def test_the_loss_is_cross_entropy_where_it_is_sure_over_all_pixels_and_lines():
    lines, sure = (strokes() > CUT).float(), torch.ones(1, 1, SIDE, SIDE)
    sure[..., :8, :] = 0
    logit = torch.randn(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    found = Lesson(maps_of(strokes()), lines, sure, 1.0).loss(logit)
    each = functional.binary_cross_entropy_with_logits(logit[..., 8:, :], lines[..., 8:, :])
    wanted = each / 2 + 1 - soft_f1(torch.sigmoid(logit), lines)
    assert float(found) == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize(
    ("share", "weight"),
    [
        (BEGINS, 0.0),
        (BEGINS + RISES / 4, WEIGHT / 4),
        (BEGINS + RISES, WEIGHT),
        (0.99, WEIGHT),
    ],
)
def test_the_weight_rises_to_its_whole(share, weight):
    assert lesson(undrawn(strokes()), share=share).weight == pytest.approx(weight)


def test_no_gradient_reaches_the_mean_network():
    mean = Traced()
    found = lesson(undrawn(strokes()), mean=mean)
    assert not mean.watched  # nor is anything kept for one
    assert not found.lines.requires_grad
    logit = torch.zeros(1, 1, SIDE, SIDE, requires_grad=True)
    found.loss(logit).backward()
    assert logit.grad.abs().max() > 0
    assert mean.gain.grad is None


def test_the_lots_alone_decide_which_picture_and_each_has_its_turn():
    pictures = [undrawn(strokes()) for _ in range(3)]
    chosen = [lesson(*pictures, seed=seed).maps for seed in range(24)]
    again = [lesson(*pictures, seed=seed).maps for seed in range(24)]
    assert [id(one) for one in chosen] == [id(one) for one in again]
    assert {id(one) for one in chosen} == {id(one.view) for one in pictures}


def test_a_mean_network_that_draws_nothing_gives_a_finite_lesson():
    found = lesson(undrawn(torch.full((1, 1, SIDE, SIDE), 1e-4)))
    logit = torch.zeros(1, 1, SIDE, SIDE, requires_grad=True)
    found.loss(logit).backward()
    assert logit.grad.isfinite().all()
    assert logit.grad.mean() > 0  # less ink


def test_masses_wider_than_any_stroke_ask_for_nothing():
    lines = torch.zeros(1, 1, 40, 40)
    lines[..., 5:20, 5:20] = 1  # a mass
    lines[..., 30, :] = 1  # a line
    found = cores(lines, 3)
    assert torch.equal(found[..., :25, :], lines[..., :25, :])
    assert found[..., 25:, :].sum() == 0
    assert cores(lines, 8).sum() == 0


@pytest.mark.parametrize(("width", "radius"), [(1, 1), (2, 1), (4, 2), (7, 4)])
def test_the_thickest_stroke_is_half_its_width(width, radius):
    ink = torch.ones(1, 1, 60, 60)
    ink[..., 20 : 20 + width, :] = 0
    assert thickest([ink]) == radius
    assert thickest([torch.ones_like(ink)]) == 1
