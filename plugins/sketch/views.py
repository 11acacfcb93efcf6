"""More lessons from one drawing: the same scene in other colours, nearer, farther and aside."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from featurekit.measures.lines import recoloured

NEARER = 0.15  # largest change of scale; lines keep about their width
ASIDE = 0.12  # largest shift, in shares of the side


@dataclass(frozen=True, eq=False)
class View:
    """A picture and how it is drawn."""

    image: Tensor  # (1 3 h w) in [-1, 1]
    ink: Tensor  # (1 1 h w) in [0, 1], white paper is 1


def views_of(image: Tensor, ink: Tensor, *, count: int, seed: int) -> list[View]:
    """Make views of a drawn picture; the first is the picture itself.

    Colours are turned, made fainter and shifted, which changes no line. Shifts and scales move the
    lines along with the picture, whose border is mirrored.

    Args:
        image: (1 3 h w) in [-1, 1].
        ink: (1 1 h w) in [0, 1], white paper is 1.
        count: of views, 1 or more.
        seed: of colours, shifts and scales.

    Returns:
        Views; the first ones are the same for any count.
    """
    draw = torch.Generator().manual_seed(seed)
    found = [View(image, ink)]
    for other in recoloured(image, count, seed=seed)[1:]:
        scale = 1 + NEARER * (2 * float(torch.rand((), generator=draw)) - 1)
        shift = ASIDE * (2 * torch.rand(2, generator=draw) - 1)
        found.append(View(_moved(other, scale, shift), _moved(ink, scale, shift)))
    return found


def _moved(picture: Tensor, scale: float, shift: Tensor) -> Tensor:
    theta = torch.tensor([[scale, 0.0, 0.0], [0.0, scale, 0.0]])
    theta[:, 2] = 2 * shift
    grid = functional.affine_grid(theta[None], list(picture.shape), align_corners=False)
    moved: Tensor = functional.grid_sample(
        picture, grid.to(picture), mode="bicubic", padding_mode="reflection", align_corners=False
    )
    low = 0.0 if picture.shape[1] == 1 else -1.0
    return moved.clamp(low, 1)  # bicubic weights overshoot at lines
