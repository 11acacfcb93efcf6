"""Controls: each does just what it is named for, inside the region only, and scores as recorded."""

import numpy as np
import pytest
import torch

from featurekit.core.errors import MaskError, PointsError, ShapeError
from featurekit.scenes import held_out_moves
from featurekit.scenes.controls import CONTROLS, blur, erase, mse_ratio, noop, shifted_copy


def tensor(picture):
    pixels = torch.from_numpy(np.asarray(picture).copy())
    return pixels.permute(2, 0, 1)[None].float() / 127.5 - 1


def region_of(array):
    return torch.from_numpy(np.asarray(array).copy())[None, None] != 0


def box(top, bottom, left, right, size=32):
    region = torch.zeros(1, 1, size, size, dtype=torch.bool)
    region[..., top:bottom, left:right] = True
    return region


def disc(x, y, radius=4.0, size=32):
    """A white disc on a grey ground that gets lighter to the right; x, y in px."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    distance = torch.hypot(columns + 0.5 - x, rows + 0.5 - y)
    inside = (radius + 0.5 - distance).clamp(0, 1)
    ground = (columns / size - 0.8).expand(1, 3, -1, -1)
    return ground * (1 - inside) + inside


RIGHT = [((10.0, 16.0), (20.0, 16.0))]
AROUND = box(8, 24, 4, 27)


@pytest.mark.parametrize("target", [(20.0, 16.0), (19.3, 14.7)])
@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_leaves_everything_outside_the_region_alone(name, target):
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    before = image.clone()
    edited = CONTROLS[name](image, AROUND, [((10.0, 16.0), target)])
    assert edited.shape == image.shape
    assert torch.equal(torch.where(AROUND, 0, edited), torch.where(AROUND, 0, before))
    assert torch.equal(image, before)


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_leaves_one_colour_as_it_is(name):
    grey = torch.full((1, 3, 32, 32), 0.25)
    torch.testing.assert_close(CONTROLS[name](grey, AROUND, RIGHT), grey, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", [name for name in CONTROLS if name != "noop"])
def test_a_control_changes_the_region(name):
    edited = CONTROLS[name](disc(10, 16), AROUND, RIGHT)
    assert (edited - disc(10, 16)).abs().max() > 0.3


def test_noop_is_the_source():
    assert noop(disc(10, 16), AROUND, RIGHT) is not None
    assert torch.equal(noop(disc(10, 16), AROUND, RIGHT), disc(10, 16))


def test_erase_leaves_the_ground_without_the_object():
    ground = disc(-90, 16)
    torch.testing.assert_close(erase(disc(10, 16), AROUND, RIGHT), ground, atol=1e-5, rtol=0)


def test_blur_keeps_the_mean_and_takes_the_edges_away():
    image = disc(16, 16)
    everywhere = box(0, 32, 0, 32)
    blurred = blur(image, everywhere, RIGHT)
    assert float(blurred.mean()) == pytest.approx(float(image.mean()), abs=0.01)
    assert blurred.diff(dim=3).abs().max() < 0.5 * image.diff(dim=3).abs().max()


def test_blurs_width_grows_with_the_picture():
    spreads = []
    for size in (32, 64):
        dot = torch.zeros(1, 3, size, size)
        dot[..., size // 2, size // 2] = 1
        blurred = blur(dot, box(0, size, 0, size, size), RIGHT)[0, 0]
        offset = torch.arange(size) - size // 2
        spreads.append(float((blurred.sum(0) * offset**2).sum().sqrt()))
    assert spreads == pytest.approx([2, 4], rel=0.05)


def test_a_shifted_copy_of_a_translation_over_flat_ground_is_the_truth():
    flat = torch.full((1, 3, 32, 32), -0.5)
    before, after = (torch.where(disc(x, 16) > 0.3, 1.0, flat) for x in (10, 20))
    torch.testing.assert_close(shifted_copy(before, AROUND, RIGHT), after, atol=1e-5, rtol=0)


@pytest.mark.parametrize("target", [20.0, 19.5, 19.25])
def test_a_shifted_copy_ends_between_pixels_where_the_drag_does(target):
    before = torch.where(disc(10, 16) > 0.3, 1.0, torch.full((1, 3, 32, 32), -0.5))
    copied = shifted_copy(before, AROUND, [((10.0, 16.0), (target, 16.0))])
    weight = (copied - copied.min())[0, 0].sum(0)
    centre = (weight * (torch.arange(32) + 0.5)).sum() / weight.sum()
    assert float(centre) == pytest.approx(target, abs=0.02)


def test_with_several_drags_each_copies_what_is_nearer_to_its_handle_to_the_pixel():
    before = torch.full((1, 3, 32, 32), -0.5)
    after = before.clone()
    before[..., 14:18, 12:20] = 1
    after[..., 6:10, 12:16] = 1
    after[..., 22:26, 16:20] = 1
    drags = [((10.0, 16.0), (10.0, 8.0)), ((22.0, 16.0), (22.0, 24.0))]
    copied = shifted_copy(before, box(2, 30, 2, 30), drags)
    assert torch.equal(copied > 0.9, after > 0.9)


def test_the_ratio_is_one_for_nothing_zero_for_the_truth_and_a_quarter_half_way():
    source, truth, region = disc(10, 16), disc(20, 16), AROUND
    assert mse_ratio(source, truth, source, region) == 1
    assert mse_ratio(truth, truth, source, region) == 0
    assert mse_ratio((source + truth) / 2, truth, source, region) == pytest.approx(0.25)


def test_the_ratio_counts_the_region_only():
    source, truth = disc(10, 16), disc(20, 16)
    edit = torch.where(AROUND, truth, -truth)
    assert mse_ratio(edit, truth, source, AROUND) == 0
    assert mse_ratio(edit, truth, source, box(0, 32, 0, 32)) > 0


def held_out_scores(deforms):
    """Mean error ratio of each control on the first held-out moves of a sort."""
    ratios = {name: [] for name in CONTROLS}
    for made in held_out_moves(20, deforms=deforms):
        source, truth = tensor(made.before.image()), tensor(made.after.image())
        mask, changed = region_of(made.mask()), region_of(made.changed())
        # An object that goes from end to end leaves nothing to fill a hole from.
        usable = [name for name in CONTROLS if name != "erase" or not bool(mask.all())]
        for name in usable:
            edit = CONTROLS[name](source, mask, made.drags_px())
            ratios[name].append(mse_ratio(edit, truth, source, changed))
    assert min(map(len, ratios.values())) >= 19
    return {name: float(np.mean(each)) for name, each in ratios.items()}


@pytest.fixture(scope="module")
def scores():
    return {deforms: held_out_scores(deforms) for deforms in (False, True)}


@pytest.mark.parametrize(
    ("deforms", "recorded"),
    [
        (False, {"noop": 1.0, "erase": 0.69, "blur": 0.66, "shifted_copy": 0.1}),
        (True, {"noop": 1.0, "erase": 0.73, "blur": 0.62, "shifted_copy": 0.71}),
    ],
)
def test_the_controls_score_on_the_held_out_moves_as_recorded(scores, deforms, recorded):
    assert scores[deforms] == pytest.approx(recorded, abs=0.02)


def test_a_shifted_copy_is_far_worse_where_something_deforms(scores):
    assert scores[True]["shifted_copy"] > 2 * scores[False]["shifted_copy"]


@pytest.mark.parametrize("name", CONTROLS)
def test_unusable_arguments_are_refused(name):
    control, image = CONTROLS[name], disc(10, 16)
    with pytest.raises(ShapeError, match=r"image must be \(1 3 h w\), got \(2, 3, 32, 32\)"):
        control(image.repeat(2, 1, 1, 1), AROUND, RIGHT)
    with pytest.raises(ShapeError, match=r"region must be \(1 1 h=32 w=32\), got \(32, 32\)"):
        control(image, AROUND[0, 0], RIGHT)
    with pytest.raises(MaskError, match="region must hold a pixel, got none"):
        control(image, AROUND & False, RIGHT)
    with pytest.raises(PointsError, match="at least one drag, got none"):
        control(image, AROUND, [])
    with pytest.raises(PointsError, match="coordinates of drags must be finite"):
        control(image, AROUND, [((1.0, float("nan")), (2.0, 2.0))])


def test_a_copy_that_nothing_can_follow_is_refused():
    with pytest.raises(MaskError, match=r"must hold what moves from .* before and after"):
        shifted_copy(disc(10, 16), box(12, 20, 6, 14), [((10.0, 16.0), (28.0, 16.0))])


def test_a_ratio_without_any_change_is_refused():
    with pytest.raises(MaskError, match="source and truth must differ in the region"):
        mse_ratio(disc(10, 16), disc(20, 16), disc(20, 16), AROUND)
