"""Plots of what an analysis found: paths of timesteps, curves with their knees, bars, heat maps."""

from collections.abc import Mapping
from math import ceil

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from featurekit.analysis.representative_timesteps import Representatives
from featurekit.core.shapes import expect
from featurekit.images.false_colour import SMALLEST_TILE_PX

BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#666666"  # Okabe and Ito's palette
NOISE = "turbo"  # colours of timesteps, from clean to noisy
HEAT = "inferno"
TEXT_PX, LINE_PX, INK = 16, 20, (34, 34, 34)  # of what is written under pictures


def timesteps_plot(found: Representatives, paths: Tensor) -> Image.Image:
    """Show the choice of timesteps: paths, the curve with its knees, what each choice leaves.

    Args:
        found: the choice.
        paths: coordinates of the timesteps of some images along two axes that they share, (b n 2).
    """
    figure = Figure(figsize=(13.5, 4.4), dpi=110, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    way, spread, bars = figure.subplots(1, 3, width_ratios=(1.5, 1.2, 1))
    _paths(figure, way, found, paths)
    _curve(spread, found)
    _bars(bars, found.distances)
    return _drawn(canvas)


def bars_plot(series: Mapping[str, Mapping[str, float]], *, title: str, label: str) -> Image.Image:
    """Show numbers as bars beside each other.

    Args:
        series: numbers by group, by name of the series; every series has the same groups.
        title: what is shown.
        label: what is measured, with its unit.
    """
    groups = list(next(iter(series.values()), {}))
    figure = Figure(figsize=(max(6.4, 1.1 * len(groups)), 3.6), dpi=120, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot(title=title, ylabel=label)
    width, colours = 0.8 / max(len(series), 1), (BLUE, ORANGE, GREEN, GREY)
    for index, (name, values) in enumerate(series.items()):
        at = np.arange(len(groups)) + (index - (len(series) - 1) / 2) * width
        heights = [values[group] for group in groups]
        axes.bar(at, heights, width, label=name, color=colours[index % len(colours)])
    axes.set_xticks(np.arange(len(groups)), groups)
    axes.axhline(0, color=GREY, linewidth=0.8)
    _plain(axes)
    axes.legend(frameon=False, fontsize=8)
    return _drawn(canvas)


def heat(values: Tensor, *, low: float, high: float) -> Image.Image:
    """Show numbers as heat, dark to bright.

    Args:
        values: (h w).
        low: what is black, and all below.
        high: what is brightest, and all above; more than ``low``.

    Returns:
        Picture with square cells, the longer side at least 256 px.
    """
    expect(values, "h w", of="values")
    shares = ((values.detach().cpu().double() - low) / (high - low)).clamp(0, 1)
    rgb = matplotlib.colormaps[HEAT](shares.numpy())[..., :3]
    return enlarged(Image.fromarray((rgb * 255).round().astype(np.uint8)))


def place_colours(places: Tensor) -> Image.Image:
    """Show places as colours: x as red, y as green; a guess of the middle is grey.

    Args:
        places: x and y as shares of the picture, (2 h w); outside [0, 1] is shown as the end.
    """
    expect(places, "2 h w", of="places")
    x, y = places.detach().cpu().double().clamp(0, 1)
    rgb = torch.stack((x, y, torch.full_like(x, 0.5)), dim=-1)
    return enlarged(Image.fromarray((rgb * 255).round().to(torch.uint8).numpy()))


def captioned(picture: Image.Image, *lines: str) -> Image.Image:
    """Write lines under a picture, on white; it is widened if they are longer.

    Args:
        picture: any size.
        lines: of text.
    """
    font = ImageFont.load_default(TEXT_PX)
    width = max(picture.width, *(ceil(font.getlength(line)) for line in lines))
    sheet = Image.new("RGB", (width, picture.height + LINE_PX * len(lines) + 6), "white")
    sheet.paste(picture, ((width - picture.width) // 2, 0))
    pen = ImageDraw.Draw(sheet)
    for index, line in enumerate(lines):
        y = picture.height + LINE_PX * index + LINE_PX // 2 + 3
        pen.text((width // 2, y), line, fill=INK, font=font, anchor="mm")
    return sheet


def heat_scale(width: int, height: int) -> Image.Image:
    """The colours of ``heat`` from its low end to its high one, left to right.

    Args:
        width: px.
        height: px.
    """
    rgb = matplotlib.colormaps[HEAT](np.linspace(0, 1, width))[None, :, :3]
    return Image.fromarray((rgb * 255).round().astype(np.uint8).repeat(height, axis=0))


def enlarged(picture: Image.Image) -> Image.Image:
    """Repeat pixels until the longer side has at least 256."""
    factor = -(-SMALLEST_TILE_PX // max(picture.size))
    size = (picture.width * factor, picture.height * factor)
    return picture.resize(size, Image.Resampling.NEAREST)


def _paths(figure: Figure, axes: Axes, found: Representatives, paths: Tensor) -> None:
    for path in paths:
        axes.plot(path[:, 0], path[:, 1], color=GREY, linewidth=0.8, alpha=0.6, zorder=1)
        dots = axes.scatter(
            path[:, 0], path[:, 1], c=found.timesteps, cmap=NOISE, s=14, zorder=2, linewidths=0
        )
        chosen = path[list(found.chosen)]
        axes.scatter(
            chosen[:, 0], chosen[:, 1], s=58, facecolors="none", edgecolors="black", zorder=3
        )
    figure.colorbar(dots, ax=axes, label="timestep")
    axes.set(
        title=f"{len(paths)} images, each a path through the features; ringed: chosen",
        xlabel="first principal axis",
        ylabel="second principal axis",
    )
    axes.title.set_fontsize(10)
    _plain(axes)


def _curve(axes: Axes, found: Representatives) -> None:
    counts = list(found.curve)
    axes.plot(counts, list(found.curve.values()), "o-", markersize=3, color=BLUE, label="K-means")
    axes.plot(
        counts, list(found.segments.values()), "--", color=ORANGE, label="best segments of the run"
    )
    rules = {"share": ("95 % of the fall", GREEN), "chord": ("furthest from the chord", GREY)}
    for rule, (words, colour) in rules.items():
        count = found.knees[rule]
        axes.axvline(count, color=colour, linewidth=1.2, linestyle=":", label=f"{words}: {count}")
    axes.set(
        title="spread within clusters, mean over images", xlabel="clusters", ylabel="sum of squares"
    )
    axes.title.set_fontsize(10)
    _plain(axes)
    axes.legend(frameon=False, fontsize=8)


def _bars(axes: Axes, distances: Mapping[str, float]) -> None:
    colours = (BLUE, ORANGE, GREEN, GREY)
    bars = axes.bar(list(distances), list(distances.values()), color=colours)
    axes.bar_label(bars, fmt="%.3g", fontsize=8)
    axes.set_title("mean distance from the nearest choice", fontsize=10)
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)


def _drawn(canvas: FigureCanvasAgg) -> Image.Image:
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
