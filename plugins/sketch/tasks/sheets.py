"""What a run shows: pictures beside their sketches, and the curve of the training."""

from collections.abc import Mapping, Sequence

from PIL import Image
from torch import Tensor

from featurekit.images.pictures import contact_sheet, curve
from featurekit_sketch.metrics.held_out import Draw, HeldOutDrawings

ACROSS = 4  # scenes side by side
TITLES = ("picture", "sketch", "true drawing", "edge map")


def ink_picture(ink: Tensor) -> Tensor:
    """Ink (1 1 h w) as a picture (1 3 h w) in [-1, 1]."""
    return (2 * ink - 1).clamp(-1, 1).expand(-1, 3, -1, -1)


def held_out_sheet(
    held_out: HeldOutDrawings, drawn: Mapping[str, Tensor], draw_edges: Draw, *, shown: int = ACROSS
) -> Image.Image:
    """The first scenes of every kind, none chosen: picture, sketch, true drawing, edges.

    Args:
        held_out: the scenes.
        drawn: ink by kind, (n 1 h w).
        draw_edges: the edge map of a picture.
        shown: scenes of each kind, if there are so many.
    """
    rows = {}
    for kind, inks in drawn.items():
        truths = held_out.truths(kind)
        images = held_out.images(kind)[:shown]
        for first in range(0, len(images), ACROSS):
            row = []
            for i, image in enumerate(images[first : first + ACROSS], first):
                parts = (inks[i : i + 1], truths[i : i + 1], draw_edges(image))
                row += [image, *map(ink_picture, parts)]
            rows[f"{kind} {first + 1}" if first else kind] = row
    across = max(len(row) for row in rows.values()) // len(TITLES)
    return contact_sheet(rows, TITLES * across)


def target_sheet(pairs: Mapping[str, tuple[Tensor, Tensor]]) -> Image.Image:
    """Pictures (1 3 h w) beside their sketches (1 1 h w), by name."""
    rows = {name: [image, ink_picture(ink)] for name, (image, ink) in pairs.items()}
    return contact_sheet(rows, ["picture", "sketch"])


def pair_sheet(pairs: Sequence[tuple[Tensor, Tensor, Tensor]]) -> Image.Image:
    """What was learnt from: each picture, its drawing, and what is drawn of it now."""
    rows = {
        str(number) if len(pairs) > 1 else "": [image, ink_picture(ink), ink_picture(drawn)]
        for number, (image, ink, drawn) in enumerate(pairs, start=1)
    }
    return contact_sheet(rows, ["picture", "drawing", "sketch"])


def loss_curve(trace: Sequence[Mapping[str, float]]) -> Image.Image:
    """The loss over iterations, each the mean of itself and the ones shortly before."""
    totals = [row["total"] for row in trace]
    smooth: list[float] = []
    for total in totals:
        smooth.append(total if not smooth else 0.9 * smooth[-1] + 0.1 * total)
    return curve({"loss": smooth}, title="Learning the style", x_label="iteration", y_label="loss")
