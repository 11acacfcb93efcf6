"""The words and the pictures at the end of a drag: the judges' verdict, never the tracker's."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from featurekit.core.types import Stop
from featurekit_drag.engine.edit import Edit
from featurekit_drag.engine.latent_optimisation import DraggedLatent
from featurekit_drag.engine.points import read_points
from featurekit_drag.engine.request import Request
from featurekit_drag.inputs import Subject
from featurekit_drag.tasks.animation import STRIP_PX, animation
from featurekit_drag.tasks.summary import ended, summary
from featurekit_drag.working_size import screen_of

ROWS = [[20, 30, 30, 30], [40, 10, 40, 22]]


def point(reached, left=1.0, at=(25.0, 30.0)):
    return {"reached": reached, "final_px_error": left, "reached_px": list(at)}


def scores(**left):
    return {
        name: {"error_px": {"patch": px, "feature": px + 1}, "mse_ratio": None}
        for name, px in left.items()
    }


@pytest.fixture
def subject():
    request = Request(
        torch.zeros(1, 3, 48, 64), read_points(ROWS, height=48, width=64), torch.ones(1, 1, 48, 64)
    )
    return Subject(request, name="me.png")


def edit(stop):
    z = torch.zeros(1, 4, 6, 8)
    return Edit(torch.zeros(1, 3, 48, 64), stop, dragged=DraggedLatent(z, stop, (), (), ()))


@pytest.mark.parametrize(
    ("stop", "reached", "sentence"),
    [
        (
            Stop.REACHED,
            [False, False],
            "by the judges no handle arrived; the tracker saw every handle at its target",
        ),
        (
            Stop.REACHED,
            [True, True],
            "by the judges every handle arrived; the tracker saw every handle at its target",
        ),
        (
            Stop.MAX_UPDATES,
            [True, False],
            "by the judges 1 of 2 handles arrived; the allowed number of updates is used up",
        ),
        (
            Stop.DIVERGED,
            [True],
            "by the judges the handle arrived; the loss left the finite numbers; the last good "
            "latent is kept",
        ),
    ],
)
def test_the_end_is_the_judges_verdict_and_then_why_the_updates_ended(stop, reached, sentence):
    assert ended(stop, [point(one) for one in reached]) == sentence


def test_a_drag_that_leads_out_of_its_mask_is_named(subject):
    def told(mask):
        request = replace(subject.request, mask=mask)
        done, points = edit(Stop.DONE), [point(reached=False)] * 2
        return summary(replace(subject, request=request), done, points, scores(edit=1.0))

    free = torch.ones(1, 1, 48, 64)
    assert "outside" not in told(free)
    free[..., 21:, :] = 0  # the second drag ends at row 22
    free[..., 30, :30] = 1
    assert "; drags 1, 2 end outside, where nothing changes: paint the mask over" in told(free)
    free[..., 30, 30] = 1
    assert "; drag 2 ends outside, where nothing changes: paint the mask over" in told(free)
    free[..., 22, 40] = 1
    assert "outside" not in told(free)


def test_a_control_that_came_nearer_is_named_with_both_figures(subject):
    table = scores(edit=9, noop=12, erase=9, blur=8.6, shifted_copy=2)
    lines = summary(subject, edit(Stop.REACHED), [point(False), point(False)], table).splitlines()
    assert lines[2] == "mask: 100.0% of the picture may move"
    assert lines[3] == (
        "without any model, by the same judges, shifted_copy (2.5 px left) came nearer than this "
        "edit (9.5 px left)"
    )
    assert lines[4].startswith("to try: the features arrived but the picture did not")


def test_an_edit_that_is_nearest_is_compared_with_nobody(subject):
    table = scores(edit=1, noop=12, erase=9, blur=8, shifted_copy=1.2)
    text = summary(subject, edit(Stop.REACHED), [point(True), point(True)], table)
    assert "without any model" not in text
    assert "to try" not in text


def test_where_the_model_does_not_know_the_picture_that_is_said_in_place_of_advice(subject):
    table = scores(edit=9, noop=12)
    told = summary(
        subject, edit(Stop.MAX_UPDATES), [point(False), point(False)], table, "it does not know"
    )
    assert told.splitlines()[-1] == "it does not know"
    assert "to try" not in told


def test_the_animation_ends_with_the_judges_view_and_every_frame_says_whose_it_shows():
    images = [torch.zeros(1, 3, 48, 64)] * 2
    ways = [[[20, 30], [40, 10]], [[30, 30], [40, 22]]]
    judged = [point(False, at=(22, 30)), point(True, at=(40, 22))]
    frames = animation(images, ROWS, ways, judged, screen_of(images[0]))
    assert len(frames) == 3
    assert len({frame.size for frame in frames}) == 1
    first, tracked, last = (np.asarray(frame).astype(int) for frame in frames)
    picture, strip = slice(None, -STRIP_PX), slice(-STRIP_PX, None)
    assert (first[strip] == tracked[strip]).all()
    assert (last[strip] != tracked[strip]).any()  # another caption
    assert strip is not None
    assert first[strip].min() < 100 < first[strip].max()  # ink on paper
    changed = (last[picture] != tracked[picture]).any(axis=2)
    scale = frames[0].width / 64
    rows, columns = changed.nonzero()
    near = [abs(columns / scale - x) + abs(rows / scale - y) < 8 for x, y in ((22, 30), (40, 22))]
    assert changed.any()
    assert (near[0] | near[1]).all()
    assert all(isinstance(frame, Image.Image) for frame in frames)
