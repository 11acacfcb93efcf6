"""Rendering: no specks, no grey rims, as much ink as the logit says, whatever the size."""

import pytest
import torch

from featurekit_sketch.two_scales.rendering import OFFSETS, crisp, offset_of, toned

SURE, FAINT, PAPER = 3.0, 0.4, -4.0  # logits of chances .95, .60 and .02


def sheet(*blocks, side=32):
    """Logit of paper with blocks (rows, columns, logit) on it."""
    logit = torch.full((1, 1, side, side), PAPER)
    for rows, columns, value in blocks:
        logit[..., rows, columns] = value
    return logit


def disc(side, radius, slope):
    """Logit of a disc whose rim is as steep as ``slope`` per px."""
    at = torch.arange(side) - (side - 1) / 2
    away = torch.hypot(at[:, None], at[None])
    return (slope * (radius - away)).clamp(-6, 6)[None, None]


def blots(seed, height=24, width=24, channels=1):
    """Smooth logits of noise."""
    lots = torch.Generator().manual_seed(seed)
    noise = torch.randn(1, channels, height // 4, width // 4, generator=lots)
    return 3 * torch.nn.functional.interpolate(noise, (height, width), mode="bicubic") - 1


def share(ink):
    return float(1 - ink.mean())


def test_faint_ink_stays_as_far_as_it_is_connected_to_sure_ink_and_specks_go():
    stroke = slice(8, 11)
    logit = sheet(
        (stroke, slice(4, 8), SURE),
        (stroke, slice(8, 28), FAINT),
        (slice(20, 23), slice(20, 23), FAINT),
    )
    drawn = crisp(logit, 32, 32)
    assert drawn[0, 0, 9, 4:27].max() < 0.25
    assert drawn[0, 0, 17:].min() > 0.99


def test_a_speck_that_is_sure_is_ink():
    drawn = crisp(sheet((slice(20, 23), slice(20, 23), SURE)), 32, 32)
    assert drawn[0, 0, 21, 21] < 0.01


@pytest.mark.parametrize(("apart", "stays"), [(0, True), (1, False)])
def test_ink_is_connected_over_its_corners_too(apart, stays):
    first = 13 + apart
    logit = sheet(
        (slice(10, 13), slice(10, 13), SURE),
        (slice(first, first + 4), slice(first, first + 4), FAINT),
    )
    drawn = crisp(logit, 32, 32)[0, 0, first + 1 : first + 3, first + 1 : first + 3]
    assert bool(drawn.max() < 0.3) is stays
    assert bool(drawn.min() > 0.7) is not stays


@pytest.mark.parametrize(
    ("times", "slope"), [*((times, 1.0) for times in (1, 2, 3, 4, 8)), (3, 4.0), (4, 4.0), (8, 4.0)]
)
def test_a_rim_is_about_a_pixel_wide_whatever_the_size(times, slope):
    ramp = (slope * (torch.arange(32.0) - 15.5)).clamp(-4, 4)
    drawn = crisp(ramp.expand(1, 1, 32, 32), 32 * times, 32 * times)[0, 0, 16 * times]
    grey = int(((drawn > 0.1) & (drawn < 0.9)).sum())
    assert 1 <= grey <= 2


@pytest.mark.parametrize("side", [16, 24, 32, 64, 100, 128, 256])
@pytest.mark.parametrize("slope", [1.0, 4.0])
def test_as_much_is_inked_at_every_size(side, slope):
    logit = disc(64, 14.0, slope)
    assert share(crisp(logit, side, side)) == pytest.approx(share(crisp(logit, 64, 64)), rel=0.03)


@pytest.mark.parametrize("side", [12, 16, 24, 32, 48])
def test_a_thin_line_is_not_lost_where_the_picture_is_smaller_than_the_working_size(side):
    logit = sheet((slice(30, 32), slice(8, 56), 5.0), side=64)
    drawn = crisp(logit, side, side)
    assert share(drawn) == pytest.approx(share(crisp(logit, 64, 64)), rel=0.15)


def test_a_picture_that_is_no_square_is_drawn_at_its_own_size():
    assert crisp(blots(0, 24, 48), 31, 62).shape == (1, 1, 31, 62)
    assert toned(blots(0, 24, 48, channels=3), 31, 62).shape == (1, 3, 31, 62)


def test_more_offset_is_more_ink():
    logit = disc(32, 8.0, 1.0)
    shares = [share(crisp(logit, 32, 32, offset=offset)) for offset in OFFSETS]
    assert shares == sorted(shares)
    assert len(set(shares)) == len(shares)


@pytest.mark.parametrize("offset", [-0.5, 0.0, 0.4])
def test_at_the_offset_ink_is_half(offset):
    logit = torch.full((1, 1, 32, 32), -offset)
    logit[..., :4] = SURE  # what it is connected to
    assert crisp(logit, 32, 32, offset=offset)[..., 16:] == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize("known", [-1.2, 0.0, 0.7])
def test_the_offset_that_drawings_were_made_with_is_found(known):
    logits = [blots(0), blots(1, 32, 20)]
    inks = [crisp(one, *one.shape[-2:], offset=known) for one in logits]
    assert offset_of(logits, inks) == pytest.approx(known)


def test_the_offset_is_that_of_the_drawings_together():
    logits = [blots(0), blots(1)]
    more, less = (crisp(logits[0], 24, 24, offset=0.8), crisp(logits[1], 24, 24, offset=-0.8))
    assert -0.8 < offset_of(logits, [more, less]) < 0.8


def test_pictures_and_colours_of_one_batch_do_not_touch_each_other():
    logit = torch.cat([blots(seed, channels=3) for seed in range(2)])
    drawn, tones = crisp(logit, 40, 40), toned(logit, 40, 40)
    for number in range(2):
        for colour in range(3):
            at = slice(number, number + 1), slice(colour, colour + 1)
            assert torch.equal(drawn[at], crisp(logit[at], 40, 40))
            assert torch.equal(tones[at], toned(logit[at], 40, 40))


def test_faint_ink_of_one_picture_is_not_kept_by_sure_ink_of_another():
    where = slice(10, 14), slice(10, 14)
    faint, sure = sheet((*where, FAINT)), sheet((*where, SURE))
    for pair in (torch.cat([faint, sure]), torch.cat([faint, sure], 1).transpose(0, 1)):
        drawn = crisp(pair, 32, 32)
        assert drawn[0].min() > 0.99
        assert drawn[1].min() < 0.01


def test_tones_are_as_grey_as_the_chance_at_every_size():
    logit = torch.logit(torch.linspace(0.1, 0.9, 32)).expand(1, 1, 32, 32)
    assert torch.allclose(toned(logit, 32, 32), 1 - torch.sigmoid(logit))
    for side in (8, 20, 64):
        drawn = toned(logit, side, side)
        assert share(drawn) == pytest.approx(0.5, abs=0.01)
        assert ((drawn > 0.1) & (drawn < 0.9)).float().mean() > 0.9


def test_tones_of_fine_lines_keep_their_ink_when_the_picture_is_small():
    logit = sheet((slice(30, 31), slice(8, 56), 3.0), side=64)
    assert share(toned(logit, 16, 16)) == pytest.approx(share(toned(logit, 64, 64)), rel=0.02)


def test_all_ink_lies_in_0_to_1_and_nothing_needs_a_gradient():
    logit = (
        30 * torch.randn(1, 1, 24, 24, generator=torch.Generator().manual_seed(3))
    ).requires_grad_()
    for side in (10, 24, 50):
        for drawn in (crisp(logit, side, side), toned(logit, side, side)):
            assert drawn.min() >= 0
            assert drawn.max() <= 1
