"""XDoG: its known values, the plain reference with a small Gaussian, and what it refuses."""

import pytest
import torch
from torch.nn import functional

from featurekit.core.errors import ConfigError, ShapeError
from featurekit.images.io import load_image
from featurekit.scenes import scene
from featurekit_sketch.drawing.xdog import xdog


def noise(*shape):
    drawn = torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return 2 * drawn - 1


def reference(image, sigma, k, gamma, eps, phi):
    """The same by convolution, where the Gaussian is narrower than the picture."""
    red, green, blue = (image[:, i : i + 1] for i in range(3))
    grey = (1 + 0.299 * red + 0.587 * green + 0.114 * blue) / 2

    def blurred(wide):
        reach = int(-(-4 * wide // 1))
        at = torch.arange(-reach, reach + 1, dtype=grey.dtype)
        line = (-((at / wide) ** 2) / 2).exp()
        kernel = torch.outer(line, line) / line.sum() ** 2
        return functional.conv2d(
            functional.pad(grey, (reach,) * 4, mode="reflect"), kernel[None, None]
        )

    u = blurred(sigma) - gamma * blurred(k * sigma)
    return torch.where(u >= eps, 1.0, 1 + torch.tanh(phi * (u - eps)))


@pytest.mark.parametrize("size", [(64, 64), (9, 200), (1, 1)])
@pytest.mark.parametrize(("level", "ink"), [(1.0, 0.3360), (-1.0, 0.2384)])
def test_a_plain_sheet_has_its_known_grey(size, level, ink):
    drawn = xdog(torch.full((2, 3, *size), level))
    assert drawn.shape == (2, 1, *size)
    assert (drawn - ink).abs().max() < 1e-4


def test_a_step_is_dark_on_one_side_and_white_on_the_other():
    step = -torch.ones(1, 3, 64, 64)
    step[..., 32:] = 1
    drawn = xdog(step)
    assert drawn.min() < 0.3
    assert drawn.max() == 1.0
    assert (drawn[..., 40:] == 1).all()
    assert (drawn[..., :24] < 0.3).all()


def test_a_small_gaussian_is_the_plain_reference():
    image = noise(2, 3, 31, 40)
    given = {"sigma": 0.8, "k": 3.0, "gamma": 0.9, "eps": 0.05, "phi": 7.0}
    assert (xdog(image, **given) - reference(image, **given)).abs().max() < 1e-12


def test_a_picture_turned_gives_the_drawing_turned():
    image = noise(1, 3, 24, 40)
    assert (xdog(image).mT - xdog(image.mT)).abs().max() < 1e-12
    assert (xdog(image).flip(-1) - xdog(image.flip(-1))).abs().max() < 1e-12


def test_rows_of_a_batch_do_not_meet():
    image = noise(3, 3, 16, 16)
    alone = torch.cat([xdog(one[None]) for one in image])
    assert (xdog(image) - alone).abs().max() < 1e-12


def test_a_scene_has_both_ink_and_paper():
    drawn = xdog(load_image(scene(5, "face").image(64)))
    assert 0 <= drawn.min() < 0.3
    assert 0.2 < (drawn == 1).float().mean() < 0.8


# refusals


def test_a_grey_picture_and_a_width_of_nothing_are_refused():
    with pytest.raises(ShapeError, match=r"image must be \(b 3 h w\)"):
        xdog(noise(1, 1, 8, 8))
    for widths in ({"sigma": 0.0}, {"k": -1.0}, {"sigma": float("nan")}):
        with pytest.raises(ConfigError, match="sigma and k must be above 0"):
            xdog(noise(1, 3, 8, 8), **widths)
