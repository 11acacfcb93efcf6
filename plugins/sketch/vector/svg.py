"""Ink as an SVG of filled outlines, in which no thin line is lost."""

import io
import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor
from torch.nn import functional

from featurekit.core.atomic import replacing
from featurekit.core.errors import ConfigError
from featurekit.pipeline.extras import from_extra

SCALE, LARGE_SCALE = 8, 4  # px that a pixel is traced at; the tracer widens lines by about 2
LARGE_PX = 1024 * 1024  # pixels of a drawing from which memory counts more than that
SOFT_PX = 0.35  # standard deviation of what rounds the corners of pixels, px of the drawing
LINE = 0.4  # darkest pixel of a stroke, at least, as in the measures of drawings
NEAR_PX = 2  # within which a pixel belongs to a stroke
LEVELS = (64, 160)  # of 255, between which lies the grey where ink begins
TURN = 60  # degrees at which an outline has a corner
SHORT = 4  # traced px that a piece of an outline has at least
PRECISION = 1  # digits of a coordinate in traced px
TRACER, EXTRA = "vtracer:convert_raw_image_to_svg", "svg"
PATH = re.compile(r'<path d="(?P<d>[^"]+)" fill="[^"]*" transform="(?P<move>[^"]*)"/>')


def check_tracer() -> None:
    """Refuse to begin work whose drawings could not be traced.

    Raises:
        ConfigError: vtracer is not installed.
    """
    from_extra(TRACER, extra=EXTRA, what="plugin.svg")


def traced(ink: Tensor) -> str:
    """Trace a drawing.

    vtracer counts pixels that touch at a corner as apart, and throws away what is small: of a
    slanted line of one pixel nothing is left. So the ink is enlarged first, smoothly, by which
    such a line becomes one band, and nothing is too small to be kept.

    Args:
        ink: (1 1 h w) in [0, 1], white paper is 1.

    Returns:
        SVG: black outlines, filled by the even-odd rule, on white paper; a unit of its
        coordinates is a pixel of the drawing.

    Raises:
        ConfigError: vtracer is not installed, or ink is not finite.
    """
    trace = from_extra(TRACER, extra=EXTRA, what="plugin.svg")
    if not bool(ink.isfinite().all()):
        raise ConfigError("a drawing to trace must hold finite numbers, got NaN or infinity")
    height, width = ink.shape[-2:]
    scale = SCALE if height * width < LARGE_PX else LARGE_SCALE
    content = io.BytesIO()
    _enlarged(ink, scale).save(content, "PNG", compress_level=1)
    found = trace(
        content.getvalue(),
        img_format="png",
        colormode="binary",
        mode="spline",
        filter_speckle=0,
        corner_threshold=TURN,
        length_threshold=SHORT,
        path_precision=PRECISION,
    )
    paths = [
        f'<path d="{one["d"].strip()}" transform="{one["move"]}"/>' for one in PATH.finditer(found)
    ]
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}">',
            f'<rect width="{width}" height="{height}" fill="#fff"/>',
            f'<g fill="#000" fill-rule="evenodd" transform="scale({1 / scale:g})">',
            *paths,
            "</g>",
            "</svg>",
            "",
        )
    )


def write_svg(ink: Tensor, path: Path | str) -> Path:
    """Write a drawing as SVG; the file at ``path`` is replaced as a whole.

    Raises:
        ConfigError: as ``traced``.
        OutputError: it cannot be written.
    """
    text = traced(ink)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def _enlarged(ink: Tensor, scale: int) -> Image.Image:
    """Black lines on white at the scale that is traced."""
    lines = _sure(1 - ink.detach().float().cpu().clamp(0, 1))
    small = Image.fromarray((255 * (1 - lines[0, 0])).round().to(torch.uint8).numpy())
    large = small.resize((scale * small.width, scale * small.height), Image.Resampling.BICUBIC)
    soft = np.asarray(large.filter(ImageFilter.GaussianBlur(scale * SOFT_PX)))
    # as much black as there is ink, so that thin lines get no wider
    level = np.clip(np.quantile(soft, float(lines.mean())), *LEVELS)
    return Image.fromarray(np.where(soft < level, 0, 255).astype(np.uint8)).convert("RGB")


def _sure(lines: Tensor) -> Tensor:
    """Strokes (1 1 h w), 1 is black: each as black as it would be if it were not drawn faintly."""
    darkest = functional.max_pool2d(lines, 2 * NEAR_PX + 1, stride=1, padding=NEAR_PX)
    return torch.where(darkest >= LINE, lines / darkest.clamp(min=LINE), lines)
