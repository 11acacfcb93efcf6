"""Measures: their fixed points, hand-computed cases and a slow, plain SSIM to agree with."""

import math

import numpy as np
import pytest
import torch

from featurekit.core.errors import ConfigError, MaskError, ShapeError
from featurekit.core.metrics import distance_px, line_f1, mse, pearson, psnr, ssim


def image(seed=0, height=20, width=24, batch=2):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 3, height, width, dtype=torch.float64, generator=generator) * 2 - 1


def drawing(*pixels, size=12):
    """White picture with black pixels at (x, y)."""
    paper = torch.ones(1, 3, size, size)
    for x, y in pixels:
        paper[:, :, y, x] = -1
    return paper


def column(x, size=12):
    return [(x, y) for y in range(size)]


# squared error and PSNR


def test_equal_images_have_no_error_and_infinite_psnr():
    a = image()
    assert mse(a, a).tolist() == [0.0, 0.0]
    assert psnr(a, a.clone()).tolist() == [math.inf, math.inf]


def test_black_against_white_is_zero_decibel():
    white = torch.ones(1, 3, 4, 4)
    assert mse(white, -white).item() == 4.0
    assert psnr(white, -white).item() == pytest.approx(0)


def test_a_tenth_of_the_error_is_twenty_decibel_more():
    a = torch.zeros(1, 3, 4, 4, dtype=torch.float64)
    assert psnr(a, a + 0.2).item() == pytest.approx(20)
    assert psnr(a, a + 0.02).item() == pytest.approx(40)


def test_every_image_has_a_number_of_its_own():
    a = torch.zeros(3, 3, 4, 4)
    b = a + torch.tensor([0.0, 1.0, 2.0]).reshape(3, 1, 1, 1)
    assert mse(a, b).tolist() == [0.0, 1.0, 4.0]


def test_a_mask_counts_only_what_it_covers():
    a, b = image(), image()
    b[:, :, :10] += 0.3
    below = torch.zeros(1, 1, 20, 24)
    below[:, :, 10:] = 1
    assert mse(a, b, mask=below).tolist() == [0.0, 0.0]
    assert psnr(a, b, mask=below).tolist() == [math.inf, math.inf]
    torch.testing.assert_close(mse(a, b, mask=1 - below), torch.full((2,), 0.09).double())


def test_a_full_mask_is_no_mask():
    a, b = image(0), image(1)
    torch.testing.assert_close(mse(a, b, mask=torch.ones(2, 1, 20, 24)), mse(a, b))


def test_a_mask_may_differ_from_image_to_image():
    a, b = image(0), image(1)
    masks = torch.zeros(2, 1, 20, 24)
    masks[0, 0, 3, 4] = masks[1, 0, 5, 6] = 1
    expected = [float((a - b)[i, :, y, x].square().mean()) for i, y, x in ((0, 3, 4), (1, 5, 6))]
    assert mse(a, b, mask=masks).tolist() == pytest.approx(expected)


def test_an_empty_mask_is_refused_with_its_image():
    masks = torch.ones(2, 1, 20, 24)
    masks[1] = 0
    with pytest.raises(MaskError, match="mask must leave a pixel to compare, got none for image 1"):
        mse(image(0), image(1), mask=masks)


@pytest.mark.parametrize("shape", [(1, 1, 20, 23), (1, 3, 20, 24), (3, 1, 20, 24), (20, 24)])
def test_a_mask_that_does_not_fit_is_refused(shape):
    with pytest.raises(ShapeError, match="mask must be"):
        psnr(image(0), image(1), mask=torch.ones(shape))


# SSIM


def slow_ssim(a, b):
    """Structural similarity window by window, from the definition."""
    offsets = torch.arange(11, dtype=torch.float64) - 5
    bell = torch.exp(-(offsets**2) / (2 * 1.5**2))
    weights = bell[:, None] * bell[None, :]
    weights = weights / weights.sum()
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    scores = []
    for channel in range(a.shape[0]):
        for top in range(a.shape[1] - 10):
            for left in range(a.shape[2] - 10):
                x = a[channel, top : top + 11, left : left + 11]
                y = b[channel, top : top + 11, left : left + 11]
                mx, my = (weights * x).sum(), (weights * y).sum()
                vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
                cov = (weights * (x - mx) * (y - my)).sum()
                likeness = (2 * mx * my + c1) * (2 * cov + c2)
                scores.append(likeness / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    return torch.stack(scores).mean()


def test_ssim_agrees_with_its_definition():
    a = image(0)
    b = 0.7 * a + 0.3 * image(1) + 0.05
    expected = torch.stack([slow_ssim(*pair) for pair in zip(a, b, strict=True)])
    torch.testing.assert_close(ssim(a, b), expected, rtol=0, atol=1e-12)


def waves(phase, height=24, width=32):
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float64),
        torch.arange(width, dtype=torch.float64),
        indexing="ij",
    )
    return torch.stack([torch.sin(0.3 * c * x + phase) * torch.cos(0.2 * y) for c in (1, 2, 3)])[
        None
    ]


def test_ssim_is_what_scikit_image_finds_and_torchmetrics_on_whole_windows():
    """Figures of scikit-image 0.26.0 and torchmetrics 1.9.0, all of whose digits agree.

    Both were told sigma 1.5 and data_range 2. scikit-image: gaussian_weights, no
    use_sample_covariance. torchmetrics: the mean of return_full_image without the 5 pixels at each
    border whose windows it fills by reflection; with them it finds 0.4310.
    """
    found = ssim(waves(0.0), 0.8 * waves(0.5) + 0.1)
    assert found.item() == pytest.approx(0.377629332954293, abs=1e-12)


def test_ssim_of_equal_images_is_one():
    torch.testing.assert_close(ssim(image(), image()), torch.ones(2, dtype=torch.float64))


def test_ssim_is_symmetric_and_falls_with_noise():
    a, b = image(0), image(1)
    torch.testing.assert_close(ssim(a, b), ssim(b, a))
    scores = [float(ssim(a, a + share * b)[0]) for share in (0.0, 0.1, 0.3, 1.0)]
    assert scores == sorted(scores, reverse=True)


def test_ssim_of_opposite_images_is_negative():
    a = torch.ones(1, 3, 16, 16)
    a[:, :, ::2, ::2] = a[:, :, 1::2, 1::2] = -1
    assert ssim(a, -a).item() == pytest.approx(-1, abs=0.01)


def test_an_image_smaller_than_the_window_is_refused():
    small = image(height=10)
    with pytest.raises(ShapeError, match=r"at least 11 px high and wide, got \(2, 3, 10, 24\)"):
        ssim(small, small)


# line drawings


def test_equal_drawings_score_one():
    lines = drawing(*column(4))
    assert line_f1(lines, lines).item() == 1.0


def test_a_line_one_pixel_off_is_forgiven_and_two_off_is_not():
    a = drawing(*column(4))
    assert line_f1(a, drawing(*column(5))).item() == 1.0
    assert line_f1(a, drawing(*column(6))).item() == 0.0
    assert line_f1(a, drawing(*column(6)), tolerance_px=2).item() == 1.0
    assert line_f1(a, drawing(*column(5)), tolerance_px=0).item() == 0.0


def test_diagonal_neighbours_are_in_reach():
    assert line_f1(drawing((4, 4)), drawing((5, 5))).item() == 1.0


def test_a_superfluous_line_costs_precision_and_a_missing_one_recall():
    one, two = drawing(*column(2)), drawing(*column(2), *column(8))
    # precision and recall are 1/2 and 1 in one order, 1 and 1/2 in the other
    assert line_f1(two, one).item() == pytest.approx(2 / 3)
    assert line_f1(one, two).item() == pytest.approx(2 / 3)


def test_precision_is_of_the_first_and_recall_of_the_second():
    # 3 of 4 pixels of a are near b, 1 of 2 pixels of b is near a
    a = drawing((1, 1), (2, 1), (1, 2), (9, 9))
    b = drawing((1, 1), (5, 9))
    assert line_f1(a, b).item() == pytest.approx(2 * 0.75 * 0.5 / 1.25)


def test_only_dark_pixels_are_lines():
    grey = torch.full((1, 3, 12, 12), 0.1)
    assert line_f1(grey, drawing()).item() == 1.0
    assert line_f1(grey, drawing(), threshold=0.2).item() == 0.0


def test_blank_paper_equals_blank_paper_and_nothing_else():
    both = torch.cat([drawing(), drawing((3, 3))])
    assert line_f1(both, torch.cat([drawing(), drawing()])).tolist() == [1.0, 0.0]


def test_a_negative_tolerance_is_refused():
    with pytest.raises(ConfigError, match="tolerance_px must not be negative, got -1"):
        line_f1(drawing(), drawing(), tolerance_px=-1)


# correlation


def test_correlation_is_one_of_a_linear_function_and_minus_one_of_its_negative():
    a = image()
    assert pearson(a, 0.3 * a + 0.2).tolist() == pytest.approx([1, 1])
    assert pearson(a, 0.2 - 0.3 * a).tolist() == pytest.approx([-1, -1])


def test_correlation_is_numpys_over_pixels_and_channels_of_each_image():
    a, b = image(), image(seed=1) + image()
    by_hand = [np.corrcoef(x.flatten(), y.flatten())[0, 1] for x, y in zip(a, b, strict=True)]
    assert pearson(a, b).tolist() == pytest.approx(by_hand)
    assert by_hand[0] != pytest.approx(by_hand[1])


def test_a_constant_image_correlates_with_nothing():
    constant = torch.full((2, 3, 20, 24), 0.25, dtype=torch.float64)
    assert pearson(image(), constant).tolist() == [0, 0]
    assert pearson(constant, constant).tolist() == [0, 0]


# points and shapes


def test_distance_is_euclidean():
    a = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    b = torch.tensor([[3.0, 4.0], [1.0, 1.0]])
    assert distance_px(a, b).tolist() == [5.0, 0.0]


def test_points_that_are_not_equally_many_are_refused():
    with pytest.raises(ShapeError, match=r"points b must be \(n=2 2\), got \(1, 2\)"):
        distance_px(torch.zeros(2, 2), torch.zeros(1, 2))


@pytest.mark.parametrize("measure", [mse, psnr, ssim, pearson, line_f1])
def test_images_of_different_shape_are_refused(measure):
    with pytest.raises(ShapeError, match=r"second image must be .*, got \(1, 3, 20, 24\)"):
        measure(image(), image(batch=1))
