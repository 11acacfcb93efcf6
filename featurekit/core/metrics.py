"""How far apart two pictures, two line drawings or two sets of points are.

Images are (b 3 h w) in [-1, 1] unless said otherwise, and every measure is one number per image.
"""

import torch
from torch import Tensor
from torch.nn import functional

from featurekit.core.errors import ConfigError, MaskError, ShapeError
from featurekit.core.shapes import expect

DATA_RANGE = 2.0  # images span [-1, 1]
SSIM_WINDOW_PX = 11  # Wang et al. 2004, section III.C, as are sigma, K1 and K2
SSIM_SIGMA_PX = 1.5
SSIM_K1 = 0.01
SSIM_K2 = 0.03


def mse(a: Tensor, b: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """Measure the mean squared difference of two images.

    Args:
        a: image, (b c h w).
        b: image, same shape.
        mask: weight of each pixel, (b 1 h w) or (1 1 h w), >= 0; None counts all alike.

    Returns:
        Weighted mean over pixels and channels, (b,), >= 0.

    Raises:
        ShapeError: the images differ in shape, or the mask does not fit.
        MaskError: the mask is empty for one of the images.
    """
    _check_images(a, b)
    squared = (a - b).square().mean(1)
    if mask is None:
        return squared.mean((1, 2))
    expect(mask, "b 1 h w", of="mask", h=a.shape[2], w=a.shape[3])
    if mask.shape[0] not in (1, a.shape[0]):
        raise ShapeError(f"mask must be for 1 or {a.shape[0]} images, got {mask.shape[0]}")
    weight = mask[:, 0].to(squared.dtype).expand_as(squared)
    total = weight.sum((1, 2))
    if not bool((total > 0).all()):
        empty = int((~(total > 0)).nonzero()[0])
        raise MaskError(f"mask must leave a pixel to compare, got none for image {empty}")
    return (squared * weight).sum((1, 2)) / total


def psnr(a: Tensor, b: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """Measure the peak signal-to-noise ratio of two images in [-1, 1].

    Args:
        a: image, (b c h w), in [-1, 1].
        b: image, same shape.
        mask: weight of each pixel, as in ``mse``.

    Returns:
        Ratio, (b,), dB; infinite where the images are equal.

    Raises:
        ShapeError: the images differ in shape, or the mask does not fit.
        MaskError: the mask is empty for one of the images.
    """
    return 10 * (DATA_RANGE**2 / mse(a, b, mask=mask)).log10()


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Measure the structural similarity of two images in [-1, 1].

    Windows lie wholly inside the image, so nothing is invented at the border, which torchmetrics
    fills by reflection and counts.

    Args:
        a: image, (b c h w), in [-1, 1], at least 11 pixels high and wide.
        b: image, same shape.

    Returns:
        Mean over windows and channels, (b,), 1 for equal images.

    Raises:
        ShapeError: the images differ in shape or are smaller than the window.

    Source: Wang et al. 2004, doi:10.1109/TIP.2003.819861, eq. 13.
    """
    _check_images(a, b)
    if min(a.shape[2:]) < SSIM_WINDOW_PX:
        raise ShapeError(
            f"images must be at least {SSIM_WINDOW_PX} px high and wide, got {tuple(a.shape)}"
        )
    mean_a, mean_b = _local_mean(a), _local_mean(b)
    variance_a = _local_mean(a * a) - mean_a.square()
    variance_b = _local_mean(b * b) - mean_b.square()
    covariance = _local_mean(a * b) - mean_a * mean_b
    c1, c2 = (SSIM_K1 * DATA_RANGE) ** 2, (SSIM_K2 * DATA_RANGE) ** 2
    likeness = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    norm = (mean_a.square() + mean_b.square() + c1) * (variance_a + variance_b + c2)
    return (likeness / norm).mean((1, 2, 3))


def _local_mean(image: Tensor) -> Tensor:
    """Gaussian mean of each window that lies wholly inside the image."""
    centre = SSIM_WINDOW_PX // 2
    offsets = torch.arange(-centre, centre + 1, dtype=image.dtype, device=image.device)
    weights = (-(offsets**2) / (2 * SSIM_SIGMA_PX**2)).exp()
    weights = (weights / weights.sum()).expand(image.shape[1], 1, -1)
    across = functional.conv2d(image, weights[:, :, None, :], groups=image.shape[1])
    return functional.conv2d(across, weights[:, :, :, None], groups=image.shape[1])


def pearson(a: Tensor, b: Tensor) -> Tensor:
    """Measure how far one image is a linear function of another.

    Args:
        a: image, (b c h w).
        b: image, same shape.

    Returns:
        Correlation over pixels and channels, (b,), in [-1, 1]; 0 where an image is constant.

    Raises:
        ShapeError: the images differ in shape.
    """
    _check_images(a, b)
    first, second = (part.flatten(1) - part.flatten(1).mean(1, keepdim=True) for part in (a, b))
    return functional.cosine_similarity(first, second, dim=1)


def line_f1(a: Tensor, b: Tensor, *, tolerance_px: int = 1, threshold: float = 0.0) -> Tensor:
    """Compare two line drawings, dark on white, forgiving small displacements.

    A line pixel counts as found if the other drawing has one within a square of
    ``tolerance_px`` around it; precision is the share found of ``a``, recall that of ``b``.

    Args:
        a: drawing to judge, (b c h w), in [-1, 1]; channels are averaged.
        b: drawing it should be, same shape.
        tolerance_px: displacement that is forgiven along each axis, >= 0.
        threshold: a pixel below it is a line; 0 is the grey midway.

    Returns:
        Harmonic mean of precision and recall, (b,), in [0, 1]: 1 if both are blank, 0 if one is.

    Raises:
        ShapeError: the drawings differ in shape.
        ConfigError: ``tolerance_px`` is negative.
    """
    _check_images(a, b)
    if tolerance_px < 0:
        raise ConfigError(f"tolerance_px must not be negative, got {tolerance_px}")
    lines_a, lines_b = (
        (image.mean(1, keepdim=True) < threshold).to(torch.float32) for image in (a, b)
    )
    precision = _share_found(lines_a, lines_b, tolerance_px)
    recall = _share_found(lines_b, lines_a, tolerance_px)
    both = precision + recall
    blank = (lines_a.sum((1, 2, 3)) == 0) & (lines_b.sum((1, 2, 3)) == 0)
    return torch.where(blank, 1.0, 2 * precision * recall / both.clamp(min=1e-12))


def _share_found(lines: Tensor, wanted: Tensor, tolerance_px: int) -> Tensor:
    """Share of line pixels with a wanted one in reach, (b,); 0 where there is no line."""
    reach = functional.max_pool2d(wanted, 2 * tolerance_px + 1, stride=1, padding=tolerance_px)
    return (lines * reach).sum((1, 2, 3)) / lines.sum((1, 2, 3)).clamp(min=1)


def distance_px(a: Tensor, b: Tensor) -> Tensor:
    """Measure how far each point is from its counterpart.

    Args:
        a: points, (n 2), px.
        b: points, (n 2), px.

    Returns:
        Euclidean distances, (n,), px.

    Raises:
        ShapeError: the points are not (n 2), or not equally many.
    """
    n = expect(a, "n 2", of="points a")["n"]
    expect(b, "n 2", of="points b", n=n)
    dx, dy = (a - b).unbind(1)
    return torch.hypot(dx, dy)


def _check_images(a: Tensor, b: Tensor) -> None:
    sizes = expect(a, "b c h w", of="first image")
    expect(b, "b c h w", of="second image", **sizes)
