"""Whether a picture is a photograph or one in colours, where a drawing or a mask was asked for."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LARGEST, SMALLEST = (
    512,
    32,
)  # px: a larger picture is made smaller, of a smaller one nothing is said
WINDOW = 25  # levels; two windows hold nearly all of a drawing: its paper and its ink
TWO_TONES = 0.8  # share of the pixels in them above which no picture is a photograph
COLOURED = 10.0  # levels: how far, in the mean, colours are from one line between paper and ink
CELLS, PAPER = 32, 0.25  # cells along the shorter side; how near paper, or ink, counts as it
BETWEEN = 0.32  # share of the cells that show neither; of thick soft strokes on a scan 0.30 do
TEXTURE, SHARP = 1.0, 5.0  # levels of a median second difference; flat paint and soft brushes: 0
GREY = (0.299, 0.587, 0.114)  # of red, green and blue; ITU-R BT.601
# What is painted in one colour on one ground lies on a line of colours, all but the edges of small
# JPEGs: at 48 px and quality 20 a fifth lies farther off. Paint in several colours is told by its
# ground: dark grey, or darker.
ASTRAY, ASTRAY_SHARE = 24.0, 0.25  # levels from the line, and the share of pixels beyond that
GROUND, TINTED, GROUND_SHARE = 128, 32, 0.4  # lightest channel, levels between channels, share

Grey = NDArray[np.float64]


def is_photograph(picture: Image.Image) -> bool:
    """Tell a photograph from what is drawn or painted in two tones.

    Drawings and masks have two tones, paper and ink, and a way from one to the other. A photograph
    has neither: less than four fifths of its pixels lie within two windows of 25 grey levels, and
    besides it is textured and either its colours leave the line between two tones, or a third
    of its small cells show neither the lightest tone nor the darkest (nor, for light lines on
    dark, the other way round). In doubt it is none: grey photographs pass in part, a drawing never
    should.

    Args:
        picture: mode RGB or L.
    """
    if min(picture.size) < SMALLEST:
        return False
    small = picture.convert("RGB")
    small.thumbnail((LARGEST, LARGEST))
    pixels = np.asarray(small).astype(np.float64)
    grey = pixels @ GREY
    roughness = _roughness(grey)
    if roughness < TEXTURE or _in_two_tones(grey) >= TWO_TONES:
        return False
    if _off_line(pixels.reshape(-1, 3)) > COLOURED:
        return True
    return roughness >= SHARP and _between(grey) > BETWEEN


def is_in_colours(picture: Image.Image) -> bool:
    """Tell a picture in several colours, flat ones too, from paint on one ground.

    Paint in one colour, on whatever colour, has all its colours on a line, soft edges included.
    What has not, a quarter of it, is a picture, unless two fifths of it are a ground of black or of
    dark grey, on which paint may have many colours. In doubt it is none: pictures of few colours,
    or on black, pass.

    Args:
        picture: mode RGB or L.
    """
    if min(picture.size) < SMALLEST:
        return False
    small = picture.convert("RGB")
    small.thumbnail((LARGEST, LARGEST))
    colours = np.asarray(small).astype(np.float64).reshape(-1, 3)
    light, tint = colours.max(axis=1), np.ptp(colours, axis=1)
    if ((light < GROUND) & (tint < TINTED)).mean() >= GROUND_SHARE:
        return False
    away = colours - colours.mean(axis=0)
    across = np.linalg.eigh(np.cov(colours, rowvar=False)).eigenvectors[:, :-1]  # of the line
    astray = np.linalg.norm(away @ across, axis=1) > ASTRAY
    return float(astray.mean()) > ASTRAY_SHARE


def _roughness(grey: Grey) -> float:
    """Median of the second differences, across and down together."""
    inside = 2 * grey[1:-1, 1:-1]
    across = np.abs(grey[1:-1, :-2] - inside + grey[1:-1, 2:])
    down = np.abs(grey[:-2, 1:-1] - inside + grey[2:, 1:-1])
    return float(np.median(across + down))


def _in_two_tones(grey: Grey) -> float:
    """Share of the pixels in the fullest window of levels and the fullest beside it."""
    counts = np.bincount(grey.round().astype(int).ravel(), minlength=256)
    below = np.concatenate([[0], counts.cumsum()])
    windows = below[WINDOW:] - below[:-WINDOW]
    first = int(windows.argmax())
    rest = windows.copy()
    rest[max(0, first - WINDOW + 1) : first + WINDOW] = 0
    return float((windows[first] + rest.max()) / grey.size)


def _off_line(colours: Grey) -> float:
    """Root mean square distance of colours (n 3) from the line that fits them best."""
    spread = np.linalg.eigvalsh(np.cov(colours, rowvar=False))  # rising
    return float(np.sqrt(max(0.0, spread[:-1].sum())))


def _between(grey: Grey) -> float:
    """Share of small cells that show neither paper nor ink, for dark lines or for light ones."""
    low, high = np.percentile(grey, [2, 98])
    return min(_neither(grey, low, high), _neither(-grey, -high, -low))


def _neither(grey: Grey, ink: float, paper: float) -> float:
    side = max(4, round(min(grey.shape) / CELLS))
    rows, columns = (size // side for size in grey.shape)
    cells = grey[: rows * side, : columns * side].reshape(rows, side, columns, side)
    lightest = np.percentile(cells.transpose(0, 2, 1, 3).reshape(rows * columns, -1), 90, axis=1)
    margin = PAPER * (paper - ink)
    return float(((lightest > ink + margin) & (lightest < paper - margin)).mean())
