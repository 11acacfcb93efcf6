"""The shipped styles: each draws faces that it has not seen, and its student nearly as well."""

from pathlib import Path

import pytest
from drag_sessions import backbone

from featurekit.core.errors import ConfigError
from featurekit.core.file_bytes import sha256_of
from featurekit.core.metrics import line_f1
from featurekit.measures.held_out import image_of, scenes_of
from featurekit.measures.model.lines import DARK, drawing_of
from featurekit_sketch.bundled_styles import FOLDER, NAMES, student_file, style_file
from featurekit_sketch.config import SketchConfig
from featurekit_sketch.distillation.student_drawer import student_drawer
from featurekit_sketch.tasks.drawers import DrawingFiles
from featurekit_sketch.training.style_file import digest, load_style
from featurekit_sketch.two_scales.drawer import TwoScaleDrawer

SIDE, FACES = 128, 4
MOST_BYTES = 12_000_000
REACHED = {  # F1 by the style, and by its student
    "brush": (0.819, 0.781),
    "hatching": (0.780, 0.748),
    "inline": (0.748, 0.700),
}
MARGIN = 0.02  # of F1, for other processors


def f1(draw, style):
    """Mean F1 of lines of the first held-out faces that no training was watched by."""
    found = []
    for scene in scenes_of("face", FACES):
        ink, truth = draw(image_of(scene, SIDE)), drawing_of(scene, style, SIDE)
        found.append(float(line_f1(2 * ink - 1, truth, threshold=DARK)))
    return sum(found) / len(found)


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_style_draws_faces_that_it_has_not_seen(name):
    own = backbone()
    style = load_style(style_file(name), own.name, digest(own.weights))
    assert f1(TwoScaleDrawer.from_style(style, own), name) > REACHED[name][0] - MARGIN


@pytest.mark.parametrize("name", NAMES)
def test_its_student_draws_nearly_as_well_and_knows_whose_it_is(name):
    draw = student_drawer(student_file(name), style=sha256_of(style_file(name)))
    assert f1(draw, name) > REACHED[name][1] - MARGIN


def test_they_are_small():
    assert sum(one.stat().st_size for one in FOLDER.iterdir()) < MOST_BYTES
    assert {one.name for one in FOLDER.iterdir()} == {
        "README.md", *(f"{name}{end}.safetensors" for name in NAMES for end in ("", "-student")),
    }  # fmt: skip


def test_a_file_counts_before_a_name_and_other_names_are_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert style_file("brush") == FOLDER / "brush.safetensors"
    assert student_file("brush") == FOLDER / "brush-student.safetensors"
    assert style_file("mine") == Path("mine")
    assert style_file("~/brush") == Path.home() / "brush"
    Path("brush").touch()
    assert style_file("brush") == student_file("brush") == Path("brush")


def test_settings_name_them():
    files = DrawingFiles.of(SketchConfig(style="inline", student="inline"))
    assert files.paths == [style_file("inline"), student_file("inline")]
    assert files.student_drawer() is not None
    other = DrawingFiles.of(SketchConfig(style="brush", student="inline"))
    with pytest.raises(ConfigError, match="was distilled from another"):
        other.student_drawer()


def test_shipped_styles_are_mixed_without_a_style():
    config = SketchConfig(mix={"brush": 0.6, "hatching": 0.4})
    assert [path.name for path in DrawingFiles.of(config).styles] == [
        "brush.safetensors",
        "hatching.safetensors",
    ]
    assert all(path.is_file() for path in DrawingFiles.of(config).styles)
    assert DrawingFiles.of(SketchConfig(mix={"brush": 0.6, "mine": 0.4})).styles == ()
