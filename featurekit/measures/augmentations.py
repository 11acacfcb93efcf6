"""More lessons from one drawing: the same scene in other colours, bent, nearer and aside."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

NEARER = 0.2  # largest change of scale, of height and width apart
ASIDE = 0.12  # largest shift, in shares of the side
BENT = 0.07  # largest shift of a knot, in shares of the side
KNOTS = 5  # along each side
WAVES = 24  # of a map from colours to colours
TURNS = 2.0  # standard deviation of their frequency, radians a unit of a channel
FAINT, STRONG = 0.3, 0.7  # least and most share of the new colours


@dataclass(frozen=True, eq=False)
class View:
    """A picture and how it is drawn."""

    image: Tensor  # (1 3 h w) in [-1, 1]
    ink: Tensor  # (1 1 h w) in [0, 1], white paper is 1


def views_of(image: Tensor, ink: Tensor, *, count: int, seed: int) -> list[View]:
    """Make views of a drawn picture; the first is the picture itself.

    Each other view has one smooth map from colours to colours, so that two surfaces swap what is
    bright and what is faint while every line stays where it is: what is drawn must be known by
    what it belongs to. Then picture and ink are bent, scaled and shifted together; beyond the
    border they are mirrored.

    Args:
        image: (1 3 h w) in [-1, 1].
        ink: (1 1 h w) in [0, 1], white paper is 1.
        count: of views, 1 or more.
        seed: of colours and shapes.

    Returns:
        Views; the first ones are the same for any count.
    """
    draw = torch.Generator().manual_seed(seed)
    found = [View(image, ink)]
    for _ in range(count - 1):
        other, places = _recoloured(image, draw), _places(image.shape[-2], image.shape[-1], draw)
        found.append(View(_moved(other, places, low=-1.0), _moved(ink, places, low=0.0)))
    return found


def _recoloured(image: Tensor, draw: torch.Generator) -> Tensor:
    """Send every colour to another one; near colours stay near, (1 3 h w) in [-1, 1]."""
    frequencies = TURNS * torch.randn(WAVES, 3, generator=draw)
    phases = 2 * math.pi * torch.rand(WAVES, 1, 1, generator=draw)
    mix = torch.randn(3, WAVES, generator=draw) / math.sqrt(WAVES / 2)
    share = FAINT + (STRONG - FAINT) * float(torch.rand((), generator=draw))
    waves = torch.sin(
        torch.einsum("kc,nchw->nkhw", frequencies.to(image), image) + phases.to(image)
    )
    new = torch.tanh(torch.einsum("ck,nkhw->nchw", mix.to(image), waves))
    return image.lerp(new, share)


def _places(height: int, width: int, draw: torch.Generator) -> Tensor:
    """Where each pixel of a view is taken from, (1 h w 2) in shares of [-1, 1]."""
    knots = BENT * (2 * torch.rand(1, 2, KNOTS, KNOTS, generator=draw) - 1)
    bent = functional.interpolate(knots, (height, width), mode="bicubic", align_corners=True)
    scale = 1 + NEARER * (2 * torch.rand(2, generator=draw) - 1)
    shift = ASIDE * (2 * torch.rand(2, generator=draw) - 1)
    straight = functional.affine_grid(torch.eye(2, 3)[None], [1, 1, height, width], False)
    return scale * (straight + 2 * bent.movedim(1, -1)) + 2 * shift


def _moved(picture: Tensor, places: Tensor, *, low: float) -> Tensor:
    moved: Tensor = functional.grid_sample(
        picture, places.to(picture), "bicubic", "reflection", align_corners=False
    )
    return moved.clamp(low, 1)  # bicubic weights overshoot at lines
