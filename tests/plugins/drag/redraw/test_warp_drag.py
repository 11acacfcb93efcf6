"""A drag by a plan, from request to edit: on random weights, and once on the embedded model."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it

from featurekit.backbones import load
from featurekit.core.errors import MaskError, NoiseLevelError, ShapeError
from featurekit.core.types import Stop
from featurekit.scenes import held_out_moves
from featurekit_drag import working_size
from featurekit_drag.engine.edit import Made
from featurekit_drag.engine.points import Points, read_points
from featurekit_drag.engine.request import Region, Request
from featurekit_drag.engine.settings import PlanSettings, RedrawSettings, WarpSettings
from featurekit_drag.inputs import from_move
from featurekit_drag.plan import warp_plan
from featurekit_drag.redraw.remarks import KINDS, remarks_on
from featurekit_drag.redraw.warp_drag import WarpDrag, blurred, view_of

FAST = WarpSettings(
    PlanSettings(shifts=1), RedrawSettings(steps=4, candidates=1, fill="model"), feather_px=0
)
HEIGHT, WIDTH = 40, 48


@pytest.fixture(scope="module")
def backbone():
    return load("random", device="cpu")


def picture(height=HEIGHT, width=WIDTH):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (1, 3, height, width), generator=generator) / 127.5 - 1


def box(left, top, right, bottom, height=HEIGHT, width=WIDTH):
    mask = torch.zeros(1, 1, height, width)
    mask[..., top:bottom, left:right] = 1
    return mask


def request_for(*rows, mask=None, image=None, **more):
    image = picture() if image is None else image
    height, width = image.shape[-2:]
    return Request(image, read_points(rows, height=height, width=width), mask, **more)


ROW, MASK = [14, 14, 26, 17], box(6, 6, 38, 30)


def brushed(move=(12.0, 3.0), **more):
    """Fixed layers, so that the hole does not depend on what the model finds."""
    region = Region(box(8, 8, 18, 18), torch.tensor(move).double())
    row = torch.tensor([region.row], dtype=torch.float64)
    return Request(picture(), Points(row[:, :2], row[:, 2:]), MASK, regions=(region,), **more)


def changed(**parts):
    redraw = {name: parts.pop(name) for name in ("strength", "candidates", "settle", "attention")
              if name in parts}  # fmt: skip
    return replace(FAST, redraw=replace(FAST.redraw, **redraw), **parts)


def as_bytes(image):
    return ((image + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(backbone):
    drag = WarpDrag(backbone, FAST)
    before = torch.get_rng_state()
    first = drag(brushed())
    torch.manual_seed(99)
    again, other = WarpDrag(backbone, FAST)(brushed()), drag(brushed(seed=1))
    assert torch.equal(first.image, again.image)
    assert not torch.equal(first.image, other.image)
    assert first.stop is Stop.DONE
    assert first.image.shape == picture().shape
    torch.set_rng_state(before)


@pytest.mark.parametrize("feather_px", [0, 3])
def test_outside_mask_and_seam_the_pixels_stay_and_moved_ones_are_the_pictures(
    backbone, feather_px
):
    edit = WarpDrag(backbone, changed(feather_px=feather_px))(brushed())
    outside = (MASK == 0).expand_as(edit.image)
    assert torch.equal(as_bytes(edit.image)[outside], as_bytes(picture())[outside])
    assert torch.equal(
        as_bytes(edit.image[..., 12:20, 21:29]), as_bytes(picture()[..., 9:17, 9:17])
    )
    redrawn = (edit.image - edit.stages["warp"])[..., 9:17, 9:17]
    assert redrawn.abs().max() > 1e-3
    assert edit.image.abs().max() <= 1


def test_strength_0_is_the_plan_alone(backbone):
    drag, request = WarpDrag(backbone, changed(strength=0.0, candidates=4)), brushed()
    edit = drag(request)
    assert torch.equal(edit.image, edit.stages["warp"])
    assert edit.candidates == ()
    laid = drag.planner(request).plan(request, FAST.plan).laid(request.image)
    assert torch.equal(edit.image, laid.picture.clamp(-1, 1))
    with pytest.raises(NoiseLevelError, match=r"must reach the first of 4 steps, got 0\.01"):
        WarpDrag(backbone, changed(strength=0.01))


def test_nothing_is_redrawn_where_a_copy_leaves_no_hole(backbone):
    copy = replace(FAST, plan=replace(FAST.plan, mode="copy"))
    edit = WarpDrag(backbone, copy)(brushed())
    assert torch.equal(edit.image, edit.stages["warp"])
    assert edit.facts["uncovered_share"] == 0
    assert torch.equal(as_bytes(edit.image[..., 8:11, :]), as_bytes(picture()[..., 8:11, :]))


def test_candidates_differ_in_the_hole_only_and_one_of_them_is_taken(backbone):
    edit = WarpDrag(backbone, changed(candidates=3))(brushed())
    assert len(edit.candidates) == 3
    assert edit.image is edit.candidates[edit.facts["chosen"]]
    one, other = edit.candidates[:2]
    apart = (one - other).abs().amax(dim=1)[0]
    assert apart[9:17, 9:17].max() > 1e-3
    assert apart[12:20, 21:29].max() == 0
    assert apart[MASK[0, 0] == 0].max() == 0


def test_facts_and_remarks(backbone):
    edit = WarpDrag(backbone, FAST)(brushed())
    assert edit.facts["kind"] == "regions"
    assert edit.facts["layer_found"] is True
    assert 0.02 < edit.facts["uncovered_share"] < 0.2
    assert edit.remarks == (KINDS["regions"],)
    drag, request = WarpDrag(backbone, FAST), request_for(ROW, mask=MASK)
    plan = drag.planner(request).plan(request, FAST.plan)
    for kind, told in KINDS.items():
        seen = replace(plan, kind=kind, stands_out=True)
        (remark,) = remarks_on(seen, "auto")
        assert remark.startswith(told)
        assert ("plugin.mode=" in remark) == (kind != "regions")
        assert remarks_on(seen, "move") == (told,)
    assert remarks_on(replace(plan, kind="move", stands_out=True), "auto")[0].endswith(
        "; plugin.mode=reshape asks otherwise"
    )
    (remark,) = remarks_on(replace(plan, stands_out=False), "auto")
    assert "nothing stands out under the handle" in remark


def test_where_nothing_stands_out_all_inside_the_mask_moves_and_the_edit_says_so(
    backbone, monkeypatch
):
    for find in ("layer_at", "layer_by_colours"):
        monkeypatch.setattr(warp_plan, find, lambda _, inside, *rest: 0 * inside)
    settings = replace(FAST, plan=replace(FAST.plan, mode="move"))
    edit = WarpDrag(backbone, settings)(request_for(ROW, mask=MASK))
    assert edit.facts["layer_found"] is False
    assert "draw plugin.mask around one thing" in edit.remarks[0]
    assert torch.equal(as_bytes(edit.image[..., 9:30, 18:38]), as_bytes(picture()[..., 6:27, 6:26]))


def test_frames_go_the_way_and_the_last_is_the_edit(backbone):
    edit = WarpDrag(backbone, changed(animation_frames=3))(brushed())
    assert len(edit.frames) == 3
    assert edit.frames[-1].image is edit.image
    start, end = brushed().points.handles, brushed().points.targets
    for number, frame in enumerate(edit.frames, start=1):
        torch.testing.assert_close(frame.handles, start + (end - start) * number / 3)
    moved = as_bytes(edit.frames[0].image)[..., 11:17, 14:20]  # by 4 and 1 px
    assert torch.equal(moved, as_bytes(picture())[..., 10:16, 10:16])


def test_frames_of_a_large_picture_are_shrunk_and_its_edit_is_not(backbone, monkeypatch):
    monkeypatch.setattr(working_size, "SCREEN_PX", 24)
    edit = WarpDrag(backbone, changed(animation_frames=3))(brushed())
    assert [frame.image.shape[-2:] for frame in edit.frames] == [(20, 24)] * 3
    assert edit.image.shape == picture().shape
    assert torch.equal(edit.frames[-1].handles, brushed().points.targets)
    last = F.interpolate(edit.image, (20, 24), mode="bicubic", antialias=True).clamp(-1, 1)
    torch.testing.assert_close(edit.frames[-1].image, last)


def test_pictures_that_are_not_looked_at_are_not_made(backbone):
    made = []
    pictures = Made(3, lambda number: made.append(number) or torch.full((1,), number), {1: "held"})
    assert (len(pictures), pictures[1], made) == (3, "held", [])
    assert pictures[-1] == 2
    assert pictures[1:] == ("held", torch.full((1,), 2))
    assert made == [2, 2]
    with pytest.raises(IndexError):
        pictures[3]


SMALLER, LARGER = ([[14, 18, 18, 20], [30, 18, 26, 16]], [[14, 18, 10, 22], [30, 18, 34, 14]])


def whole(monkeypatch):
    """The layer is all that is inside the mask, whatever random weights see."""
    for find in ("layer_at", "layer_by_colours"):
        monkeypatch.setattr(warp_plan, find, lambda _, inside, *rest: 1 * inside)


@pytest.mark.parametrize("rows", [SMALLER, LARGER])  # the larger one leaves no hole
def test_settling_redraws_all_inside_the_mask_after_a_turn_only(backbone, monkeypatch, rows):
    whole(monkeypatch)
    asked = request_for(*rows, mask=MASK)
    turned = replace(FAST, plan=replace(FAST.plan, mode="move"))
    settled = replace(turned, redraw=replace(FAST.redraw, settle=0.25))
    plain, soft = (WarpDrag(backbone, one)(asked) for one in (turned, settled))
    assert plain.facts["kind"] == soft.facts["kind"] == "similarity"
    apart = (plain.image - soft.image).abs().amax(dim=1)[0]
    assert apart[MASK[0, 0] > 0].median() > 1e-3
    assert apart[MASK[0, 0] == 0].max() == 0
    moved = WarpDrag(backbone, changed(settle=0.25))(brushed())
    assert torch.equal(moved.image, WarpDrag(backbone, FAST)(brushed()).image)


@pytest.mark.parametrize("name", ["plan of the warp", "redraw of what was uncovered", "settling"])
def test_ctrl_c_passes_and_leaves_no_hook(backbone, monkeypatch, name):
    whole(monkeypatch)

    def stopped(done, of):
        raise KeyboardInterrupt

    def stage(told):
        return nullcontext(stopped if told == name else lambda done, of: None)

    unet = backbone.unet
    processors = [m.processor for m in unet.modules() if hasattr(m, "processor")]
    turned = replace(changed(settle=0.25), plan=replace(FAST.plan, mode="move"))
    with pytest.raises(KeyboardInterrupt):
        WarpDrag(backbone, turned)(request_for(*SMALLER, mask=MASK), stage=stage)
    after = [m.processor for m in unet.modules() if hasattr(m, "processor")]
    assert all(one is other for one, other in zip(processors, after, strict=True))
    assert not [m for m in unet.modules() if m._forward_hooks or m._forward_pre_hooks]


@pytest.mark.parametrize("size", [(16, 16), (16, 300), (300, 16), (37, 53)])
@pytest.mark.parametrize("side_px", [0, 64])
def test_pictures_of_any_size(backbone, size, side_px):
    image = picture(*size)
    edit = WarpDrag(backbone, changed(side_px=side_px))(
        request_for([6, 6, 11, 9], image=image, mask=None)
    )
    assert edit.image.shape == image.shape
    assert edit.image.isfinite().all()


def test_a_large_picture_keeps_its_pixels_whatever_the_model_sees(backbone):
    image = F.interpolate(picture(16, 16), size=(128, 160), mode="nearest")
    image = image + 0.2 * torch.rand(image.shape, generator=torch.Generator().manual_seed(1)) - 0.1
    region = Region(box(20, 20, 60, 60, 128, 160), torch.tensor([50.0, 31.0]).double())
    row = torch.tensor([region.row], dtype=torch.float64)
    asked = Request(image.clamp(-1, 1), Points(row[:, :2], row[:, 2:]), regions=(region,))
    edit = WarpDrag(backbone, changed(side_px=40))(asked)
    torch.testing.assert_close(
        edit.image[..., 61:81, 80:100], asked.image[..., 30:50, 30:50], rtol=0, atol=1e-3
    )


@pytest.mark.parametrize("mode", ["auto", "move", "reshape", "copy"])
def test_a_mask_of_one_pixel(backbone, mode):
    mask = box(14, 14, 15, 15)
    edit = WarpDrag(backbone, replace(FAST, plan=replace(FAST.plan, mode=mode)))(
        request_for([14.5, 14.5, 20, 14.5], mask=mask)
    )
    outside = (mask == 0).expand_as(edit.image)
    assert torch.equal(edit.image[outside], picture()[outside])
    assert edit.image.isfinite().all()


def test_a_mask_that_is_everything(backbone):
    edit = WarpDrag(backbone, FAST)(request_for(ROW, mask=torch.ones(1, 1, HEIGHT, WIDTH)))
    assert edit.image.isfinite().all()


def test_what_cannot_be_is_one_sentence(backbone):
    drag = WarpDrag(backbone, FAST)
    with pytest.raises(MaskError, match=r"every handle must lie inside the mask .* \(14, 14\)"):
        drag(request_for(ROW, mask=box(20, 20, 38, 30)))
    with pytest.raises(ShapeError, match="mask"):
        drag(request_for(ROW, mask=torch.ones(1, 1, 8, 8)))
    with pytest.raises(ShapeError, match="image"):
        drag(replace(request_for(ROW), image=picture()[0]))
    # brushed things say themselves what moves: their middle may lie outside the mask
    far = replace(brushed(), mask=box(30, 6, 38, 30))
    assert drag(far).facts["kind"] == "regions"


def test_the_model_sees_the_longer_side_at_most():
    assert view_of(picture(30, 60), 0).work_px == (30, 60)
    assert view_of(picture(30, 60), 90).work_px == (30, 60)
    assert view_of(picture(30, 60), 20).work_px == (10, 20)


def test_a_hole_is_softened_by_a_box():
    hole = box(10, 10, 20, 16)
    soft = blurred(hole, 2)
    kernel = torch.full((1, 1, 5, 5), 1 / 25)
    torch.testing.assert_close(soft, F.conv2d(hole, kernel, padding=2))
    assert torch.equal(blurred(hole, 0), blurred(hole, 1))


def test_on_the_embedded_model_a_bundled_scene_is_nearer_to_its_truth():
    embedded = load("embedded", device="cpu")
    move = held_out_moves(2, deforms=False)[1]
    subject = from_move(move, size=64, seed=0)
    edit = WarpDrag(embedded)(subject.request)
    before, after = (
        ((one - subject.truth) ** 2).mean() for one in (subject.request.image, edit.image)
    )
    assert after < 0.5 * before
    assert len(edit.candidates) == 4
    assert edit.facts["layer_found"]
