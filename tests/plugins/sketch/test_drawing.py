"""The user's drawing: the same ink from every kind of file, mended only where that is sure."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from featurekit.errors import ImageError, ShapeError
from featurekit.io import load_image
from featurekit_sketch.drawing import SIGNAL, fit_drawing, overlay, read_drawing

SIZE = 64
BOX = (12, 15, 40, 50)
CIRCLE = (35, 6, 58, 29)


def page(size=(SIZE, SIZE), *, paper=255, line=0, dx=0, dy=0):
    """Outlines of a box and a circle, Pillow L."""
    drawn = Image.new("L", size, paper)
    pen = ImageDraw.Draw(drawn)
    for shape, outline in ((BOX, pen.rectangle), (CIRCLE, pen.ellipse)):
        left, top, right, bottom = shape
        outline((left + dx, top + dy, right + dx, bottom + dy), outline=line, width=2)
    return drawn


def picture():
    """What the page shows: the same box and circle, filled."""
    scene = Image.new("RGB", (SIZE, SIZE), (230, 220, 200))
    ImageDraw.Draw(scene).rectangle(BOX, fill=(40, 90, 160))
    ImageDraw.Draw(scene).ellipse(CIRCLE, fill=(180, 30, 40))
    return load_image(scene)


def transparent(line):
    """Lines of one colour on nothing."""
    drawn = Image.new("RGBA", (SIZE, SIZE), (line, line, line, 0))
    drawn.putalpha(page(paper=0, line=255))
    return drawn


def sixteen():
    return Image.fromarray(np.array(page(), dtype=np.uint16) * 257)


INK = (load_image(page())[:, :1] + 1) / 2
FORMS = {
    "L": page,
    "RGB": lambda: page().convert("RGB"),
    "P": lambda: page().convert("RGB").convert("P"),
    "1": lambda: page().convert("1"),
    "LA": lambda: transparent(0).convert("LA"),
    "RGBA": lambda: transparent(0),
    "16 bit": sixteen,
}


def read(source, height=SIZE, width=SIZE):
    return read_drawing(source, height=height, width=width)


def fit(source):
    return fit_drawing(source, image=picture())


# every kind of file


@pytest.mark.parametrize("form", FORMS)
def test_every_mode_gives_the_same_ink(tmp_path, form):
    made = FORMS[form]()
    made.save(tmp_path / "drawn.png")
    for source in (made, tmp_path / "drawn.png", str(tmp_path / "drawn.png")):
        for drawing in (read(source), fit(source)):
            assert torch.equal(drawing.ink, INK)
            assert drawing.mended == ()


def test_an_array_is_a_drawing_too():
    assert torch.equal(read(np.array(page())).ink, INK)
    assert torch.equal(fit(np.array(page().convert("RGB"))).ink, INK)


def test_white_lines_on_transparent_paper_are_lines(tmp_path):
    transparent(255).save(tmp_path / "drawn.png")
    assert torch.equal(fit(tmp_path / "drawn.png").ink, INK)
    assert torch.equal(fit(transparent(255)).ink, INK)
    assert torch.equal(fit(transparent(255).convert("LA")).ink, INK)


def test_white_lines_are_found_in_a_home_folder_too(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    transparent(255).save(tmp_path / "drawn.png")
    assert torch.equal(fit("~/drawn.png").ink, INK)


# polarity


def test_light_on_dark_is_refused_with_the_advice_and_mended():
    inverted = page(paper=0, line=255)
    with pytest.raises(ImageError, match=r"this one is inverted; give plugin\.fit=true"):
        read(inverted)
    drawing = fit(inverted)
    assert torch.equal(drawing.ink, INK)
    assert drawing.mended == ("it was light on dark and is inverted",)


BLANK = {
    "white": Image.new("L", (SIZE, SIZE), 255),
    "opaque white": Image.new("RGBA", (SIZE, SIZE), (255, 255, 255, 255)),
    "nothing": Image.new("RGBA", (SIZE, SIZE), (255, 255, 255, 0)),
    "black nothing": Image.new("RGBA", (SIZE, SIZE), (0, 0, 0, 0)),
    "faint": page(line=200),
    "16 bit": Image.fromarray(np.full((SIZE, SIZE), 65535, dtype=np.uint16)),
}


@pytest.mark.parametrize("kind", BLANK)
def test_a_blank_page_is_refused_by_both(tmp_path, kind):
    BLANK[kind].save(tmp_path / "drawn.png")
    for source in (BLANK[kind], tmp_path / "drawn.png"):
        for attempt in (read, fit):
            with pytest.raises(ImageError, match="must have lines, this one is blank"):
                attempt(source)


@pytest.mark.parametrize("attempt", [read, fit])
def test_a_black_page_is_refused_by_both(attempt):
    with pytest.raises(ImageError, match="must have white paper, this one is all black"):
        attempt(Image.new("L", (SIZE, SIZE), 0))


# size


def test_another_size_is_refused_naming_both():
    with pytest.raises(ImageError, match=r"of its picture, 48x64 px, got 64x64 px; give plugin"):
        read(page(), height=64, width=48)


def test_another_size_of_the_same_proportions_is_resized():
    drawing = fit(page().resize((4 * SIZE, 4 * SIZE), Image.Resampling.NEAREST))
    assert drawing.ink.shape == INK.shape
    assert ((drawing.ink < 0.5) != (INK < 0.5)).float().mean() < 0.01
    assert 0 <= drawing.ink.min() < 0.5 < drawing.ink.max() <= 1
    assert drawing.mended == ("it was 256x256 px and is resized to 64x64 px",)


def test_other_proportions_get_paper_at_the_sides_and_are_not_stretched():
    wide = Image.new("L", (4 * SIZE, 2 * SIZE), 255)
    ImageDraw.Draw(wide).rectangle((88, 24, 167, 103), fill=0)  # 80 px each way
    drawing = fit_drawing(wide, image=torch.zeros(1, 3, SIZE, SIZE))
    dark = (drawing.ink < 0.5)[0, 0]
    assert int(dark.any(0).sum()) == int(dark.any(1).sum()) == 20
    assert dark.any(1).nonzero().flatten().tolist() == list(range(22, 42))  # 6 + 16 of paper
    assert drawing.ink[..., :16, :].min() == drawing.ink[..., 48:, :].min() == 1
    assert "with white paper at the sides" in drawing.mended[0]


# shifts


@pytest.mark.parametrize(("dx", "dy"), [(2, 0), (0, -2), (-2, 2)])
def test_a_small_shift_is_taken_back(dx, dy):
    drawing = fit(page(dx=dx, dy=dy))
    assert torch.equal(drawing.ink, INK)
    assert drawing.mended == (f"it was moved by {-dx} px to the right and {-dy} px down",)


def test_what_is_no_shift_is_left_alone():
    assert fit(page()).mended == ()
    flat = fit_drawing(page(dx=2), image=torch.zeros(1, 3, SIZE, SIZE))
    assert flat.mended == ()
    assert torch.equal(flat.ink, (load_image(page(dx=2))[:, :1] + 1) / 2)


def test_noise_gives_no_reason_to_move():
    noise = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert fit_drawing(page(), image=noise).mended == ()


def test_a_batch_of_pictures_is_refused():
    with pytest.raises(ShapeError, match="image must be"):
        fit_drawing(page(), image=torch.zeros(2, 3, SIZE, SIZE))


# overlay


def test_an_overlay_shows_lines_in_the_signal_colour_over_a_paler_picture():
    shown = overlay(picture(), INK)
    pixels = torch.from_numpy(np.array(shown))
    lines = INK[0, 0] == 0
    assert (pixels[lines] == torch.tensor(SIGNAL)).all()
    pale = (picture()[0].permute(1, 2, 0) * 0.5 + 0.5 + 1) * 127.5
    assert ((pixels - pale).abs()[~lines] <= 0.51).all()
