"""The user's drawing: every mode reads as the same ink, and what does not fit is said or mended."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageOps
from two_tones import drawn, landscape, portrait

from featurekit.core.errors import ImageError, ShapeError
from featurekit.images.io import load_image
from featurekit.scenes import scene
from featurekit.scenes.drawings import STYLES
from featurekit_sketch.drawing.read_drawing import UNSURE, fit_drawing, overlay, read_drawing

SIDE = 64
BLACK_ON_NOTHING, WHITE_ON_NOTHING = (0, 0, 0, 255), (255, 255, 255, 255)


def lines(width=SIDE, height=SIDE, by=(0, 0)):
    """A closed outline with nothing symmetric about it, "L", black on white."""
    x, y = by
    at = [(0.2, 0.25), (0.7, 0.15), (0.8, 0.6), (0.45, 0.85), (0.3, 0.6)]
    corners = [(u * width + x, v * height + y) for u, v in at]
    sheet = Image.new("L", (width, height), 255)
    ImageDraw.Draw(sheet).line([*corners, corners[0]], fill=0, width=max(1, width // 32))
    return sheet


def picture(width=SIDE, height=SIDE):
    """What ``lines`` draws: the outline's inside red on blue, (1 3 h w)."""
    at = [(0.2, 0.25), (0.7, 0.15), (0.8, 0.6), (0.45, 0.85), (0.3, 0.6)]
    sheet = Image.new("RGB", (width, height), (30, 60, 160))
    ImageDraw.Draw(sheet).polygon([(u * width, v * height) for u, v in at], fill=(220, 90, 60))
    return torch.from_numpy(np.array(sheet)).permute(2, 0, 1)[None].float() / 127.5 - 1


def on_nothing(colour):
    sheet = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0))
    sheet.paste(Image.new("RGBA", sheet.size, colour), mask=ImageOps.invert(lines()))
    return sheet


def expected(sheet=None):
    return torch.from_numpy(np.array(sheet or lines(), dtype=np.float32) / 255)[None, None]


def alike(a, b):
    return torch.corrcoef(torch.stack((a.flatten(), b.flatten())))[0, 1]


def read(source, height=SIDE, width=SIDE):
    return read_drawing(source, height=height, width=width)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "1", "P", "LA", "CMYK", "I;16"])
def test_a_drawing_of_any_mode_is_the_same_ink(tmp_path, mode):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    sheet = lines()
    made = Image.fromarray(np.array(sheet, dtype=np.uint16) * 257) if "I" in mode else None
    (made or sheet.convert("RGB" if mode == "P" else "L").convert(mode)).save(path)
    with Image.open(path) as opened:
        for source in (path, str(path), opened):
            for drawing in (read(source), fit_drawing(source, image=picture())):
                assert torch.equal(drawing.ink, expected())
                assert drawing.ink.dtype == torch.float32
                assert drawing.mended == ()


def test_an_array_is_a_drawing_too():
    assert torch.equal(read(np.array(lines())).ink, expected())
    coloured = np.array(lines().convert("RGB"))
    assert torch.equal(fit_drawing(coloured, image=picture()).ink, expected())


def test_a_drawing_may_lie_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    on_nothing(WHITE_ON_NOTHING).save(tmp_path / "drawn.png")
    assert torch.equal(fit_drawing("~/drawn.png", image=picture()).ink, expected())


def test_black_lines_on_nothing_are_black_lines_on_white():
    assert torch.equal(read(on_nothing(BLACK_ON_NOTHING)).ink, expected())


def test_a_drawing_that_fits_is_not_touched_by_mending():
    drawing = fit_drawing(lines(), image=picture())
    assert torch.equal(drawing.ink, expected())
    assert drawing.mended == ()


def test_mending_a_negative_gives_the_positive():
    drawing = fit_drawing(ImageOps.invert(lines()), image=picture())
    assert torch.equal(drawing.ink, expected())
    assert drawing.mended == ("inverted: lines were light on dark",)


@pytest.mark.parametrize("colour", [WHITE_ON_NOTHING, (255, 250, 180, 255)])
def test_lines_as_light_as_paper_are_taken_from_the_transparency(colour):
    drawing = fit_drawing(on_nothing(colour), image=picture())
    assert torch.equal(drawing.ink, expected())
    assert drawing.mended == ("lines taken from the transparency: their colour was that of paper",)


def test_lines_cut_out_of_white_paper_are_ink():
    paper = Image.new("RGBA", (SIDE, SIDE), WHITE_ON_NOTHING)
    paper.putalpha(lines())
    assert torch.equal(fit_drawing(paper, image=picture()).ink, expected())


@pytest.mark.parametrize("inverted", [False, True])
def test_a_dark_frame_does_not_make_the_paper_dark(inverted):
    sheet = ImageOps.expand(lines().crop((2, 2, 62, 62)), border=2, fill=0)
    given = ImageOps.invert(sheet) if inverted else sheet
    drawing = fit_drawing(given, image=torch.zeros(1, 3, SIDE, SIDE))
    assert torch.equal(drawing.ink, expected(sheet))


def test_a_drawing_of_more_ink_than_paper_is_told_by_its_rim():
    sheet = Image.new("L", (SIDE, SIDE), 255)
    sheet.paste(0, (8, 8, 58, 58))
    assert expected(sheet).mean() < 0.5
    assert torch.equal(read(sheet).ink, expected(sheet))


@pytest.mark.parametrize("size", [(128, 128), (32, 32), (81, 80)])
def test_another_size_of_the_same_proportions_is_resized(size):
    drawing = fit_drawing(lines(*size), image=picture())
    assert drawing.ink.shape == (1, 1, SIDE, SIDE)
    assert drawing.mended == (f"resized from {size[0]}x{size[1]} px to 64x64 px",)
    assert alike(drawing.ink, expected()) > 0.65


def test_shrinking_is_antialiased():
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (256, 128))
    stripes[:16] = 0
    ink = fit_drawing(stripes, image=torch.zeros(1, 3, SIDE, SIDE)).ink[0, 0, 8:, 2:-2]
    assert (ink - 0.5).abs().max() < 0.02


@pytest.mark.parametrize("by", [(0, 0), (-2, 1)])
def test_a_page_of_the_pictures_proportions_is_cropped_if_it_was_drawn_on_as_it_is(by):
    page = Image.new("L", (SIDE + 22, SIDE + 22), 255)
    page.paste(lines(), (11 + by[0], 11 + by[1]))
    drawing = fit_drawing(page, image=picture())
    assert drawing.mended[0] == "cropped from 86x86 px to 64x64 px"
    assert alike(drawing.ink, expected()) > 0.99


def test_a_page_that_may_be_meant_either_way_is_resized_and_told():
    page = lines(SIDE + 22, SIDE + 22)
    drawing = fit_drawing(page, image=torch.zeros(1, 3, SIDE, SIDE))
    assert drawing.mended == ("resized from 86x86 px to 64x64 px", UNSURE)


@pytest.mark.parametrize("style", STYLES)
def test_a_drawing_of_twice_the_size_is_never_cropped(style):
    for kind in ("face", "building", "vehicle"):
        one = scene(11, kind)
        large = one.drawing(2 * SIDE, style).convert("L")
        drawing = fit_drawing(large, image=load_image(one.image(SIDE)))
        assert drawing.mended[0] == "resized from 128x128 px to 64x64 px"


def test_a_larger_sheet_at_the_same_scale_is_cropped_around_the_middle():
    page = Image.new("L", (SIDE, SIDE + 24), 255)
    page.paste(lines(), (0, 12))
    drawing = fit_drawing(page, image=picture())
    assert torch.equal(drawing.ink, expected())
    assert drawing.mended == ("cropped from 64x88 px to 64x64 px",)


def test_other_proportions_are_padded_with_paper_and_never_stretched():
    circle = Image.new("L", (120, 60), 255)
    ImageDraw.Draw(circle).ellipse((35, 5, 85, 55), outline=0, width=4)
    drawing = fit_drawing(circle, image=torch.zeros(1, 3, SIDE, SIDE))
    assert drawing.mended == (
        "resized from 120x60 px to 64x32 px",
        "padded with paper from 64x32 px to 64x64 px",
    )
    dark = (drawing.ink[0, 0] < 0.5).nonzero()
    tall, wide = (dark.max(0).values - dark.min(0).values + 1).tolist()
    assert abs(tall - wide) <= 1
    assert (drawing.ink[0, 0, :15] == 1).all()


def test_a_drawing_that_lies_beside_its_picture_is_moved_onto_it():
    drawing = fit_drawing(lines(by=(2, -3)), image=picture())
    assert drawing.mended == ("moved by (-2, 3) px",)
    assert torch.equal(drawing.ink, expected())


@pytest.mark.parametrize("contrast", [0.0, 1.0])
def test_a_picture_without_edges_of_its_own_gives_no_reason_to_move(contrast):
    draw = torch.Generator().manual_seed(0)
    image = contrast * (2 * torch.rand(1, 3, SIDE, SIDE, generator=draw) - 1)
    drawing = fit_drawing(lines(by=(2, 0)), image=image)
    assert drawing.mended == ()
    assert torch.equal(drawing.ink, expected(lines(by=(2, 0))))


def test_everything_is_mended_at_once_and_in_order():
    given = ImageOps.invert(lines(128, 128, by=(6, 4)))
    drawing = fit_drawing(given, image=picture())
    assert drawing.mended == (
        "inverted: lines were light on dark",
        "resized from 128x128 px to 64x64 px",
        "moved by (-3, -2) px",
    )
    assert alike(drawing.ink, expected()) > 0.75


def test_an_overlay_shows_lines_in_colour_over_the_paled_picture():
    image = picture()
    shown = np.array(overlay(image, expected())).astype(int)
    ink = np.array(lines()) == 0
    assert (shown[ink] == (213, 94, 0)).all()
    before = ((image[0].permute(1, 2, 0).numpy() + 1) * 127.5)[~ink]
    assert np.abs(shown[~ink] - (0.4 * before + 0.6 * 255)).max() <= 1


def test_a_batch_of_pictures_is_refused():
    with pytest.raises(ShapeError, match="image must be"):
        fit_drawing(lines(), image=picture().expand(2, -1, -1, -1))


def test_an_overlay_of_another_size_is_refused():
    with pytest.raises(ShapeError, match="ink must be"):
        overlay(picture(), torch.ones(1, 1, 8, 8))


# refusals


def test_another_size_is_refused_with_both_sizes_and_the_advice():
    with pytest.raises(ImageError, match=r"64x64 px, got 80x60 px; .*plugin\.fit=true"):
        read(lines(80, 60))


def test_a_negative_is_refused_with_the_advice():
    with pytest.raises(
        ImageError, match=r"dark lines on white paper, got light .*plugin\.fit=true"
    ):
        read(ImageOps.invert(lines()))


def test_one_sentence_says_all_that_differs():
    with pytest.raises(ImageError, match=r"got 80x60 px and light lines on dark; "):
        read(ImageOps.invert(lines(80, 60)))


def test_white_lines_on_nothing_are_refused_with_the_advice():
    with pytest.raises(ImageError, match=r"only its transparency tells .*plugin\.fit=true"):
        read(on_nothing(WHITE_ON_NOTHING))


@pytest.mark.parametrize("task", [read, lambda s: fit_drawing(s, image=picture())])
@pytest.mark.parametrize(
    ("sheet", "message"),
    [
        (Image.new("L", (SIDE, SIDE), 255), "must have lines"),
        (Image.new("L", (SIDE, SIDE), 128), "must have lines"),
        (Image.eval(lines(), lambda level: max(level, 200)), "must have lines"),
        (Image.fromarray(np.full((SIDE, SIDE), 65535, dtype=np.uint16)), "must have lines"),
        (Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0)), "must have lines"),
        (Image.new("RGBA", (SIDE, SIDE), WHITE_ON_NOTHING), "must have lines"),
        (Image.new("L", (SIDE, SIDE), 0), "dark all over"),
        (Image.new("RGBA", (SIDE, SIDE), BLACK_ON_NOTHING), "dark all over"),
    ],
)
def test_a_sheet_without_lines_or_without_paper_is_always_refused(task, sheet, message):
    with pytest.raises(ImageError, match=message):
        task(sheet)


def test_three_dots_in_ten_thousand_are_no_drawing_and_six_are_one():
    sheet = np.full((100, 100), 255, dtype=np.uint8)
    sheet[50, 50:53] = 0
    with pytest.raises(ImageError, match="must have lines"):
        read(sheet, 100, 100)
    sheet[50, 50:56] = 0
    assert read(sheet, 100, 100).ink.sum() == 10_000 - 6


def test_lines_that_shrink_to_nothing_are_refused():
    sheet = Image.new("L", (1280, 1280), 255)
    ImageDraw.Draw(sheet).ellipse((100, 100, 1100, 1100), outline=0, width=2)
    with pytest.raises(ImageError, match="hardly any after it was resized from 1280x1280 px"):
        fit_drawing(sheet, image=picture())


def test_a_broken_file_is_refused_by_name(tmp_path):
    path = tmp_path / "mine.png"
    lines().save(path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ImageError, match=r"drawing must be a whole picture, but .*mine\.png"):
        read(path)


def test_reading_leaves_the_given_picture_as_it_was():
    given = on_nothing(WHITE_ON_NOTHING)
    before = given.tobytes()
    fit_drawing(given, image=picture())
    assert given.tobytes() == before
    assert given.mode == "RGBA"


@pytest.mark.parametrize("read_it", [read, lambda sheet, *_: fit_drawing(sheet, image=picture())])
def test_a_photograph_is_refused_as_one(read_it):
    for photo in (portrait(SIDE), landscape(SIDE)):
        with pytest.raises(
            ImageError, match="a drawing must be lines on paper, but this looks like"
        ):
            read_it(photo, photo.height, photo.width)


def test_no_style_of_drawing_that_is_dark_enough_is_refused():
    for name, sheet in drawn(SIDE):
        if "pencil" in name:
            continue
        assert 0 < float(fit_drawing(sheet, image=picture()).ink.mean()) < 1
