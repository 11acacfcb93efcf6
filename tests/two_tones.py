"""Pictures for the tests of masks and drawings: painted in every style, and photographs made up."""

from io import BytesIO

import matplotlib.cbook
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from featurekit.scenes import scene


def jpeg(picture, quality=75):
    stream = BytesIO()
    picture.convert("RGB").save(stream, "JPEG", quality=quality)
    with Image.open(stream) as opened:
        return opened.convert("RGB")


def portrait(side):
    """A real photograph, in the public domain, that matplotlib carries."""
    with (
        matplotlib.cbook.get_sample_data("grace_hopper.jpg") as stream,
        Image.open(stream) as opened,
    ):
        photo = opened.convert("RGB")
    photo.thumbnail((side, side))
    return photo


def landscape(side, seed=0):
    """Hills of a fractal under a sky, with haze, texture and the noise of a sensor."""
    draw = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side] / side
    relief, ground = np.zeros((side, side)), np.zeros((side, side))
    for octave in range(1, 7):
        for field in (relief, ground):
            angle, phase = draw.uniform(0, 2 * np.pi, 2)
            along = np.cos(angle) * columns + np.sin(angle) * rows
            field += np.sin(2**octave * 3 * along + phase) / 1.5**octave
    far = rows + 0.15 * relief > 0.45
    sky = np.stack([110 + 90 * rows, 150 + 70 * rows, 215 + 20 * rows], -1)
    earth = np.stack([105 + 50 * ground, 95 + 40 * relief, 55 + 25 * ground], -1)
    lit = np.where(far[..., None], earth + 60 * (0.7 - rows)[..., None], sky)
    return Image.fromarray(np.clip(lit + draw.normal(0, 5, lit.shape), 0, 255).astype(np.uint8))


def flat_house(side):
    """A house, a tree and a sun in flat colours, under a sky that pales."""
    rows = np.linspace(0, 1, side)[:, None, None]
    sky = np.array([90, 150, 220]) + rows * np.array([110, 70, 30])
    sheet = Image.fromarray(np.broadcast_to(sky, (side, side, 3)).astype(np.uint8))
    pen, at = ImageDraw.Draw(sheet), side / 48
    pen.rectangle((0, 32 * at, side, side), fill=(95, 150, 70))
    pen.rectangle((10 * at, 20 * at, 28 * at, 38 * at), fill=(200, 120, 90))
    pen.polygon((7 * at, 20 * at, 19 * at, 9 * at, 31 * at, 20 * at), fill=(120, 42, 42))
    pen.ellipse((33 * at, 16 * at, 43 * at, 30 * at), fill=(50, 110, 50))
    pen.ellipse((36 * at, 3 * at, 44 * at, 11 * at), fill=(250, 220, 90))
    return sheet


def scanned(sheet, *, shade=30, noise=4, seed=0):
    """A drawing "L" on yellowish paper, darker towards the corners, with grain."""
    ink = np.asarray(sheet).astype(float)[..., None] / 255
    height, width = ink.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    away = np.hypot(rows / height - 0.5, columns / width - 0.5)[..., None] / 0.7
    paper = np.array([250, 244, 228]) * (1 - shade / 255 * away**2)
    grain = np.random.default_rng(seed).normal(0, noise, ink.shape)
    return Image.fromarray(np.clip(30 + (paper - 30) * ink + grain, 0, 255).astype(np.uint8))


def hatched(side, grey):
    """An outline with hatching of one grey behind it."""
    sheet = Image.new("L", (side, side), 255)
    pen, gap = ImageDraw.Draw(sheet), max(3, side // 24)
    for start in range(-side, side, gap):
        pen.line((start, 0, start + side, side), fill=grey, width=max(1, side // 128))
    pen.ellipse((side // 5, side // 5, side * 4 // 5, side * 4 // 5), outline=30, width=2)
    return sheet


def soft_brush(side):
    """Thick strokes of a brush without an edge."""
    sheet = Image.new("L", (side, side), 255)
    pen, draw = ImageDraw.Draw(sheet), np.random.default_rng(3)
    for _ in range(6):
        way = [tuple(point) for point in draw.uniform(0.15, 0.85, (3, 2)) * side]
        pen.line(way, fill=int(draw.integers(0, 90)), width=max(2, side // 24), joint="curve")
    return sheet.filter(ImageFilter.GaussianBlur(side / 64))


def drawings(side):
    """Sheets "L" by style."""
    found = {
        f"{kind} {style}": scene(7, kind).drawing(side, style).convert("L")
        for kind in ("face", "building")
        for style in ("brush", "hatching", "inline")
    }
    return found | {
        "pale hatching": hatched(side, 190),
        "grey hatching": hatched(side, 120),
        "soft brush": soft_brush(side),
        "silhouette": scene(7, "face")
        .drawing(side)
        .convert("L")
        .point(lambda level: 255 * (level > 128)),
    }


def drawn(side):
    """The same as they reach us: as they are, as JPEG, in pencil, scanned, and light on dark."""
    for name, sheet in drawings(side).items():
        yield name, sheet
        yield f"{name}, JPEG", jpeg(sheet, 50)
        yield f"{name}, pencil", sheet.point(lambda level: 255 - (255 - level) * 0.6)
        yield f"{name}, scanned", scanned(sheet)
        yield f"{name}, scanned as JPEG", jpeg(scanned(sheet, shade=50, noise=8), 60)
        yield f"{name}, light on dark", ImageOps.invert(sheet)


def shape(side):
    """A blob and a stroke, white on black, "L"."""
    sheet = Image.new("L", (side, side), 0)
    pen = ImageDraw.Draw(sheet)
    pen.ellipse((side * 0.3, side * 0.3, side * 0.6, side * 0.65), fill=255)
    pen.line((side * 0.5, side * 0.5, side * 0.85, side * 0.8), fill=255, width=side // 10)
    return sheet


def painted(side):
    """Masks of one shape as paint programs and cameras give them."""
    sheet = shape(side)
    levels = np.asarray(sheet).astype(float)
    grain = np.random.default_rng(1).normal(0, 6, levels.shape)
    red = Image.new("RGB", sheet.size)
    red.paste((230, 30, 20), mask=sheet)
    yield "as painted", sheet
    for quality in (30, 75, 95):
        yield f"JPEG {quality}", jpeg(sheet, quality)
    yield "black is 1", Image.fromarray(np.maximum(levels, 1).astype(np.uint8))
    yield "black is 16", Image.fromarray((16 + levels * (219 / 255)).astype(np.uint8))
    yield "soft brush", sheet.filter(ImageFilter.GaussianBlur(side / 32))
    yield "soft brush as JPEG", jpeg(sheet.filter(ImageFilter.GaussianBlur(side / 32)), 50)
    yield "grain", Image.fromarray(np.clip(levels * 0.9 + 12 + grain, 0, 255).astype(np.uint8))
    yield "red", red
    yield "red as JPEG", jpeg(red, 60)
    yield "numbers", Image.fromarray((levels > 0).astype(np.uint8))
    yield "one bit", sheet.convert("1")
