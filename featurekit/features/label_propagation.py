"""Labels carried from one picture to another along features that are alike."""

import torch
from torch import Tensor
from torch.nn import functional

from featurekit.core.errors import ConfigError
from featurekit.core.shapes import expect

NEIGHBOURS = 5  # cells of the labelled picture that have a say in each label
AT_ONCE = 4096  # cells that are asked about at a time: a wide map's answers do not fit in memory


def propagate(
    here: Tensor, labels: Tensor, there: Tensor, *, neighbours: int = NEIGHBOURS
) -> Tensor:
    """Label each cell of a picture by the cells of a labelled one whose features are most alike.

    Features are compared by cosine; the labels of the nearest cells are averaged.

    Args:
        here: features of the labelled picture, (1 c h w).
        labels: how much of each cell is of each class, (1 k h w), any float dtype.
        there: features of the other picture, (1 c h2 w2).
        neighbours: nearest cells that are averaged, 1 to h * w.

    Returns:
        Labels of the other picture, (1 k h2 w2), dtype of ``labels``.

    Raises:
        ShapeError: the axes do not fit each other.
        ConfigError: ``neighbours`` is out of range.

    Source: nearest neighbours as in DIFT, Tang et al. 2023, arXiv:2306.03881, from one frame alone.
    """
    sizes = expect(here, "1 c h w", of="features of the labelled picture")
    expect(labels, "1 k h w", of="labels", h=sizes["h"], w=sizes["w"])
    cells = sizes["h"] * sizes["w"]
    target = expect(there, "1 c h w", of="features to label", c=sizes["c"])
    if not 1 <= neighbours <= cells:
        raise ConfigError(f"neighbours must lie in [1, {cells}] (cells), got {neighbours}")
    known = functional.normalize(here[0].flatten(1), dim=0)
    asked = functional.normalize(there[0].flatten(1), dim=0)
    given = labels[0].flatten(1)
    parts = []
    for some in torch.split(asked.T, AT_ONCE):
        nearest = (some @ known).topk(neighbours, dim=1).indices
        parts.append(given[:, nearest].mean(-1))
    return torch.cat(parts, dim=1).reshape(1, -1, target["h"], target["w"])


def overlap(found: Tensor, truth: Tensor) -> float:
    """Measure how well two masks agree: what both cover, over what either covers.

    Args:
        found: mask, any shape of bool.
        truth: mask, same shape.

    Returns:
        Intersection over union in [0, 1]; 1 where both are empty.
    """
    union = int((found | truth).sum())
    return int((found & truth).sum()) / union if union else 1.0
