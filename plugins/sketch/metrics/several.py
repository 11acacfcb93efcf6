"""A drawing against several true ones of the same picture, and people against each other."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from featurekit.measures.perceptual.distances import Perceptual
from featurekit_sketch.metrics.figures import Row, figures, mean_row

Against: TypeAlias = Mapping[str, Row]
"""``mean`` over the true drawings, and ``best``: that with the highest F1, all its figures."""


def against(ink: Tensor, truths: Sequence[Tensor], *, lpips: Perceptual | None = None) -> Against:
    """Measure one drawing against each true one of its picture.

    Args:
        ink: (1 1 h w) in [0, 1], white paper is 1.
        truths: at least one, the same shape.
        lpips: see ``figures``.

    Raises:
        ShapeError, ImageError: see ``figures``.
    """
    drawn = ink.expand(len(truths), -1, -1, -1)
    rows = figures(drawn, torch.cat(list(truths)), lpips=lpips)
    return {"mean": mean_row(rows), "best": max(rows, key=lambda row: row["f1"])}


def people(truths: Sequence[Tensor], *, lpips: Perceptual | None = None) -> Against:
    """Measure each person's drawing against those of the others, and average over people.

    Args:
        truths: at least two, (1 1 h w) each.
        lpips: see ``figures``.

    Raises:
        ShapeError, ImageError: see ``figures``.
    """
    each = [
        against(one, [*truths[:i], *truths[i + 1 :]], lpips=lpips) for i, one in enumerate(truths)
    ]
    return mean_of(each)


def mean_of(rows: Sequence[Against]) -> Against:
    """Average over pictures or people, at least one; every one counts alike."""
    return {part: mean_row([row[part] for row in rows]) for part in rows[0]}
