"""How well the shipped styles and their students sketch scenes that nothing has learnt from.

python -m benchmarks.sketch.shipped_styles                         # minutes on one core
python -m benchmarks.sketch.shipped_styles --tests 4 --record students.json

Sixteen held-out scenes of every kind at the size that the styles work at, as ``task=evaluate``
draws them: each style, its student and the tuned edge map beside the true drawings, and the student
beside its style.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

import featurekit as fk
from benchmarks.records.layouts import DRAWN
from benchmarks.records.recording import recorded, recorded_to, typed
from featurekit_sketch.bundled_styles import NAMES, student_file, style_file
from featurekit_sketch.distillation.student_drawer import student_drawer
from featurekit_sketch.metrics.figures import Row, means, scores
from featurekit_sketch.metrics.held_out import HeldOutDrawings
from featurekit_sketch.training.style_file import digest, load_style
from featurekit_sketch.two_scales.drawer import TwoScaleDrawer

SIDE_PX = 128  # that the styles work at
WAYS = ("style", "student", "tuned edges")
SIDES = {f"{DRAWN}s": lambda kind: kind == DRAWN, "other kinds": lambda kind: kind != DRAWN}
COLUMNS = [
    "style",
    "scenes",
    "drawn by",
    {"title": "SSIM", "format": ".3f"},
    {"title": "F1", "format": ".3f"},
    {"title": "ink", "format": ".3f"},
    {"title": "true ink", "format": ".3f"},
    {"title": "SSIM to the style", "format": ".3f"},
]


def main(words: Sequence[str] | None = None) -> None:
    """Draw all, and print or record the table.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tests", type=int, default=16, help="held-out scenes of each kind")
    recorded_to(parser)
    asked = parser.parse_args(words)
    torch.set_num_threads(1)
    rows = [row for style in NAMES for row in rows_of(style, asked.tests)]
    settings = {"tests": asked.tests}
    recorded(asked.record, typed("sketch.shipped_styles", words), COLUMNS, rows, settings=settings)


def rows_of(style: str, tests: int) -> list[list[object]]:
    """Rows of the table for one style."""
    held_out = HeldOutDrawings.of(style, SIDE_PX, tests=tests)
    drawn = {way: _drawn(draw, held_out) for way, draw in _ways(style, held_out).items()}
    figures = {way: held_out.figures(inks) for way, inks in drawn.items()}
    taught = {kind: scores(ink, drawn["style"][kind]) for kind, ink in drawn["student"].items()}
    rows: list[list[object]] = []
    for side, belongs in SIDES.items():
        kinds = [kind for kind in held_out.scenes if belongs(kind)]
        for way in WAYS:
            found: Row = means(figures[way], kinds)
            told = [found[name] for name in ("ssim", "f1", "ink", "ink_true")]
            like = means(taught, kinds)["ssim"] if way == "student" else None
            rows.append([style, side, way, *told, like])
    return rows


def _ways(style: str, held_out: HeldOutDrawings) -> Mapping[str, Callable[[Tensor], Tensor]]:
    backbone = fk.load_backbone("embedded", device="cpu")
    given = load_style(style_file(style), backbone.name, digest(backbone.weights))
    teacher = TwoScaleDrawer.from_style(given, backbone)
    draws = (teacher, student_drawer(student_file(style)), held_out.edges)
    return dict(zip(WAYS, draws, strict=True))


def _drawn(draw: Callable[[Tensor], Tensor], held_out: HeldOutDrawings) -> dict[str, Tensor]:
    with torch.no_grad():
        return {
            kind: torch.cat([draw(image) for image in held_out.images(kind)])
            for kind in held_out.scenes
        }


if __name__ == "__main__":
    main()
