"""What a run shows: pictures beside their sketches, and the way of the training."""

from collections.abc import Mapping, Sequence

from PIL import Image
from torch import Tensor

from featurekit.pictures import contact_sheet, curve

from .judging import Draw, Exam

SHOWN = 3  # scenes of each kind


def ink_picture(ink: Tensor) -> Tensor:
    """Ink (1 1 h w) as a picture (1 3 h w) in [-1, 1]."""
    return (2 * ink - 1).clamp(-1, 1).expand(-1, 3, -1, -1)


def exam_sheet(exam: Exam, drawn: Mapping[str, Tensor], draw_edges: Draw) -> Image.Image:
    """The first scenes of every kind, none chosen: picture, sketch, true drawing, edges."""
    rows = {}
    for kind, inks in drawn.items():
        row = []
        truths = exam.truths(kind)
        for i, image in enumerate(exam.images(kind)[:SHOWN]):
            shown = (inks[i : i + 1], truths[i : i + 1], draw_edges(image))
            row += [image, *map(ink_picture, shown)]
        rows[kind] = row
    return contact_sheet(rows, ["picture", "sketch", "true drawing", "edge map"] * SHOWN)


def target_sheet(pairs: Mapping[str, tuple[Tensor, Tensor]]) -> Image.Image:
    """Pictures (1 3 h w) beside their sketches (1 1 h w), by name."""
    rows = {name: [image, ink_picture(ink)] for name, (image, ink) in pairs.items()}
    return contact_sheet(rows, ["picture", "sketch"])


def pair_sheet(image: Tensor, ink: Tensor, drawn: Tensor) -> Image.Image:
    """What was learnt from: picture, its drawing, and what is drawn of it now."""
    row = [image, ink_picture(ink), ink_picture(drawn)]
    return contact_sheet({"": row}, ["picture", "drawing", "sketch"])


def loss_curve(trace: Sequence[Mapping[str, float]]) -> Image.Image:
    """The loss over iterations, each the mean of itself and the ones shortly before."""
    totals = [row["total"] for row in trace]
    smooth: list[float] = []
    for total in totals:
        smooth.append(total if not smooth else 0.9 * smooth[-1] + 0.1 * total)
    return curve({"loss": smooth}, title="Learning the style", x_label="iteration", y_label="loss")
