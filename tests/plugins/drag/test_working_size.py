"""A large picture: which part is dragged, at which size, and how it comes back."""

from dataclasses import replace

import pytest
import torch

from featurekit.backbones import load
from featurekit.core.types import Stop
from featurekit_drag import working_size
from featurekit_drag.engine.edit import Edit, Frame, Seam
from featurekit_drag.engine.latent_optimisation import DraggedLatent
from featurekit_drag.engine.points import read_points
from featurekit_drag.engine.request import Request
from featurekit_drag.inputs import Subject
from featurekit_drag.tasks.working_edit import edited
from featurekit_drag.working_size import screen_of, window_of, work_on

HEIGHT, WIDTH = 480, 640
SEAM = Seam(feather_px=2, composite=True)


class Editing:
    """An editor that gives what it was made with, and remembers what it was asked."""

    def __init__(self, done, seam, *, keeps_resolution):
        self.done, self.seam, self.keeps_resolution = done, seam, keeps_resolution

    def __call__(self, request, *, stage):
        self.seen = request
        return self.done


def subject(*rows, box=None, height=HEIGHT, width=WIDTH):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, height, width, generator=generator) * 2 - 1
    mask = None
    if box:
        mask = torch.zeros(1, 1, height, width)
        mask[..., box[1] : box[3], box[0] : box[2]] = 1
    points = read_points(rows or [[300, 200, 312, 200]], height=height, width=width)
    return Subject(Request(image, points, mask), name="a picture")


def test_a_picture_of_the_models_size_is_the_very_same():
    own = subject([30, 20, 40, 20], height=48, width=64)
    work = work_on(own, 64)
    assert work.is_whole
    assert work.part is own
    assert work.told(load("random", device="cpu")) == ""
    as_it_is = work_on(subject(), 0)  # 0: every picture
    assert as_it_is.is_whole
    assert as_it_is.told(load("random", device="cpu")) == (
        "the picture is 640x480 px, the random model knows 64 px: it is worked on as it is; "
        "plugin.side_px=64 is faster"
    )


def test_mask_handles_and_targets_lie_in_the_part_with_room_around():
    window = window_of(subject([300, 200, 312, 200], box=(250, 150, 350, 260)).request, 64)
    assert (window.width, window.height) == (165, 165)  # 1.5 times the mask's 110
    assert window.left < 250
    assert window.left + window.width > 350
    assert max(window.work_px) == 64


def test_a_small_drag_without_a_mask_is_worked_on_at_its_own_size():
    window = window_of(subject([300, 200, 312, 200]).request, 64)
    assert (window.width, window.height, window.shrink) == (64, 64, 1)
    long = window_of(subject([300, 200, 400, 200]).request, 64)
    assert (long.width, long.height) == (500, 480)  # five times the drag; all rows there are


def test_points_are_carried_exactly_and_the_mask_holds_every_handle():
    own = subject([300.5, 200, 412, 230.25], box=(298, 198, 303, 203))
    work = work_on(own, 64)
    asked, part = own.request.points, work.part.request
    shrink = work.window.shrink
    torch.testing.assert_close(part.points.lengths, asked.lengths / shrink, rtol=2e-3, atol=0)
    back = work.window.points_to_picture(part.points.targets)
    torch.testing.assert_close(back, asked.targets, rtol=0, atol=1e-10)
    column, row = part.points.handles[0].int().tolist()
    assert part.mask[0, 0, row, column] == 1


def test_outside_the_feathered_mask_every_pixel_is_the_pictures():
    own = subject([300, 200, 312, 200], box=(250, 150, 350, 260))
    work = work_on(own, 64)
    edit = work.pasted(-work.part.request.image, SEAM)
    changed = (edit != own.request.image).any(dim=1)[0]
    seam = round(2 * work.window.shrink)
    near = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    near[150 - seam : 260 + seam, 250 - seam : 350 + seam] = True
    assert not changed[~near].any()
    assert changed[150:260, 250:350].float().mean() > 0.99
    assert edit.shape == own.request.image.shape


@pytest.mark.parametrize("composite", [True, False])
def test_without_a_mask_every_pixel_outside_the_part_is_the_pictures(composite):
    own = subject([300, 200, 350, 200])
    work = work_on(own, 64)
    window = work.window
    edit = work.pasted(-work.part.request.image, replace(SEAM, composite=composite))
    changed = (edit != own.request.image).any(dim=1)[0]
    part = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    rows = slice(window.top, window.top + window.height)
    part[rows, window.left : window.left + window.width] = True
    assert not changed[~part].any()
    assert changed[part].float().mean() > 0.95
    middle = edit[..., 200, 325] - own.request.image[..., 200, 325]
    edge = edit[..., window.top, 325] - own.request.image[..., window.top, 325]
    assert edge.abs().max() < middle.abs().max()


def test_a_part_that_is_not_changed_comes_back_as_the_picture_shrunk_and_enlarged():
    own = subject([300, 200, 400, 200])
    work = work_on(own, 64)
    again = work.seen(work.pasted(work.part.request.image, SEAM))
    inner = (slice(None), slice(None), slice(8, -8), slice(8, -8))
    # of noise, the hardest there is; a shift by one pixel would make it 1.4
    error = (again - work.part.request.image)[inner].abs().mean()
    assert error < 0.4 * work.part.request.image[inner].abs().mean()


def test_a_person_is_told_what_is_worked_on_and_how_to_change_it():
    line = work_on(subject([300, 200, 400, 200]), 64).told(load("random", device="cpu"))
    assert line == (
        "the picture is 640x480 px, the random model knows 64 px: a part of 500x480 px around the "
        "drag is worked on at 64x62 px and pasted back at full size; plugin.side_px=640 works on "
        "the whole picture as it is"
    )
    whole = subject(box=(0, 0, WIDTH, HEIGHT))
    assert "64 px: it is worked on at 64x48 px" in work_on(whole, 64).told(load("random", "cpu"))


def test_what_the_judges_saw_is_told_in_pixels_of_the_picture():
    own = subject([300, 200, 400, 200])
    work = work_on(own, 64)
    part = work.part.request.points
    row = {
        "handle": part.handles[0].tolist(),
        "target": part.targets[0].tolist(),
        "reached_px": part.targets[0].tolist(),
        "final_px_error": 2.0,
        "reached": True,
        "judges": {"patch": part.handles[0].tolist(), "feature": part.targets[0].tolist()},
    }
    (told,) = work.points_report([row])
    assert (told["handle"], told["target"]) == ([300, 200], [400, 200])
    assert told["reached_px"] == pytest.approx([400, 200], abs=1e-9)
    assert told["judges"]["patch"] == pytest.approx([300, 200], abs=1e-9)
    assert told["final_px_error"] == 2 * work.window.shrink
    scores = {"edit": {"mse_ratio": None, "error_px": {"patch": 1.5}}}
    assert work.scores_report(scores)["edit"]["error_px"] == {"patch": 1.5 * work.window.shrink}
    record = work.record()
    assert record["part_px"] == [100, 0, 500, 480]
    assert record["at_px"] == [64, 62]


def test_pictures_on_the_way_come_back_at_full_size_as_the_edit_does():
    work = work_on(subject([300, 200, 312, 200], box=(250, 150, 350, 260)), 64)
    part = torch.zeros_like(work.part.request.image)
    dragged = DraggedLatent(torch.zeros(1, 4, 6, 8), Stop.REACHED, (), (), ())
    done = Edit(part, Stop.REACHED, dragged=dragged, stages={"warp alone": part})
    editor = Editing(done, SEAM, keeps_resolution=False)
    pasted = edited(editor, work)
    assert editor.seen.image.shape == part.shape
    assert pasted.stages["warp alone"].shape == (1, 3, HEIGHT, WIDTH)
    assert torch.equal(pasted.stages["warp alone"], pasted.image)


def test_an_editor_that_keeps_pixels_gets_the_part_at_the_pictures_own_size():
    work = work_on(subject([300, 200, 312, 200], box=(250, 150, 350, 260)), 64)
    window = work.own_size
    part = torch.zeros(1, 3, window.height, window.width)
    editor = Editing(Edit(part, Stop.DONE, candidates=(part,)), SEAM, keeps_resolution=True)
    done = edited(editor, work)
    asked, image = editor.seen, work.full.request.image
    assert torch.equal(asked.image, image[..., window.top :, window.left :][..., :165, :165])
    assert asked.points.handles.tolist() == [[300 - window.left, 200 - window.top]]
    assert (
        float(done.image[..., window.top : window.top + 165, window.left :][..., :165].abs().max())
        == 0
    )
    assert torch.equal(done.image[..., : window.top, :], image[..., : window.top, :])
    assert torch.equal(done.candidates[0], done.image)


@pytest.mark.parametrize("keeps_resolution", [True, False])
def test_frames_of_a_part_lie_in_the_picture_as_a_screen_shows_it(keeps_resolution, monkeypatch):
    monkeypatch.setattr(working_size, "SCREEN_PX", 160)
    work = work_on(subject([300, 200, 312, 200], box=(250, 150, 350, 260)), 64)
    window = work.own_size
    part = torch.full((1, 3, 40, 40), 0.5)
    xy = torch.tensor([[0.0, 0.0]])
    done = Edit(torch.zeros(1, 3, 165, 165), Stop.DONE, frames=(Frame(part, xy),))
    if not keeps_resolution:
        window, done = work.window, replace(done, image=torch.zeros_like(work.part.request.image))
    edit = edited(Editing(done, SEAM, keeps_resolution=keeps_resolution), work)
    (frame,) = edit.frames
    assert edit.image.shape[-2:] == (HEIGHT, WIDTH)
    assert frame.image.shape[-2:] == (120, 160)
    assert frame.handles.tolist() == [[window.left, window.top]]
    left, top = 250 // 4, 150 // 4  # of the mask
    inner = frame.image[..., top + 2 : top + 26, left + 2 : left + 23]
    torch.testing.assert_close(inner, torch.full_like(inner, 0.5))
    whole = screen_of(work.full.request.image).take(work.full.request.image)
    far = round((window.left - 4) / 4)
    assert torch.equal(frame.image[..., :far], whole[..., :far])
