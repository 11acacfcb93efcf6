"""Photographs without drawings, such as COCO's: their truth is what a rule draws of them.

Such a truth measures how well the manner of the rule was learnt, not of any person.
"""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from featurekit.core.errors import ConfigError
from featurekit_sketch.datasets.items import Drawings, Item, Listed, listed_pictures
from featurekit_sketch.drawing.xdog import xdog
from featurekit_sketch.metrics.controls import XDOG, Draw

NAME, EDGE_MODEL = "photographs", "edge model"
NEEDED = "pictures, as of COCO's val2017/ (drawn automatically)"
FOLDERS = ("val2017", "test2017", "train2017")  # of COCO; and the folder itself


def fits(folder: Path) -> bool:
    """Whether a folder has pictures, itself or in COCO's folders."""
    return any(listed_pictures(one)[0] for one in _places(folder))


def listed(folder: Path, edge_model: Draw | None) -> Listed:
    """The pictures by name, of COCO those of ``val2017`` first.

    Args:
        folder: of photographs.
        edge_model: the user's own rule, beside XDoG; drawn and checked when its turn comes.
    """
    styles = (XDOG,) if edge_model is None else (XDOG, EDGE_MODEL)
    items: list[Item] = []
    broken: list[str] = []
    for place in _places(folder):
        pictures, unreadable = listed_pictures(place)
        broken += unreadable
        for path in pictures:
            name = path.relative_to(folder).as_posix()
            items.append(Item(name, path, styles, partial(_drawings, edge_model)))
    return Listed(tuple(items), tuple(broken))


def checked(ink: object, image: Tensor) -> Tensor:
    """Ink of a user's edge model as it must be.

    Raises:
        ConfigError: it is no tensor (1 1 h w) of floats in [0, 1] of the picture's size.
    """
    wanted = (1, 1, *image.shape[-2:])
    if not isinstance(ink, Tensor) or tuple(ink.shape) != wanted:
        shape = tuple(ink.shape) if isinstance(ink, Tensor) else f"a {type(ink).__name__}"
        raise ConfigError(f"plugin.edge_model must draw ink (1 1 h w), {wanted} here, got {shape}")
    drawn = ink.detach().cpu().float()
    if not bool(((drawn >= 0) & (drawn <= 1)).all()):
        raise ConfigError(
            f"plugin.edge_model must draw ink in [0, 1], white paper is 1, "
            f"got {float(drawn.min()):.4g} to {float(drawn.max()):.4g}"
        )
    return drawn


def _places(folder: Path) -> list[Path]:
    return [folder, *(one for name in FOLDERS if (one := folder / name).is_dir())]


@torch.no_grad()
def _drawings(edge_model: Draw | None, image: Tensor) -> Drawings:
    drawn = {XDOG: [xdog(image)]}
    if edge_model is not None:
        drawn[EDGE_MODEL] = [checked(edge_model(image), image)]
    return drawn
