"""What an edit is asked to do, and how its stages are told to the outside."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from featurekit.core.types import Progress, silent
from featurekit_drag.engine.points import Points

Stage = Callable[[str], AbstractContextManager[Progress]]

HALF_LEVEL = 1 / 255  # of 8 bits, in [-1, 1]: what resizing may part equal channels by


def untimed(name: str) -> AbstractContextManager[Progress]:
    """Run a stage without a clock or a bar."""
    return nullcontext(silent)


@dataclass(frozen=True)
class Region:
    """A brushed part of a picture that moves as a whole."""

    mask: Tensor  # (1 1 h w), 1 where it is
    move: Tensor  # (2,) px, x before y

    @property
    def row(self) -> list[float]:
        """Its middle and where that goes, as a drag [x0, y0, x1, y1]."""
        rows, columns = self.mask[0, 0].nonzero(as_tuple=True)
        middle = torch.stack([columns, rows]).double().mean(dim=1) + 0.5
        moved = middle + self.move
        return [*middle.tolist(), *moved.tolist()]


@dataclass(frozen=True)
class Request:
    """What is to be done to which image."""

    image: Tensor  # (1 3 h w) in [-1, 1]
    points: Points
    mask: Tensor | None = None  # (1 1 h w), 1 where the image may change; None: everywhere
    prompt: str = ""
    seed: int = 0
    pins: Tensor = field(default_factory=lambda: torch.zeros(0, 2))  # (m 2) px: what stays
    regions: tuple[Region, ...] = ()  # what moves as brushed, in place of what the points find

    @property
    def has_colour(self) -> bool:
        """Whether any pixel of the picture is other than grey."""
        red, green, blue = self.image[0]
        return any(float((red - one).abs().max()) > HALF_LEVEL for one in (green, blue))

    def in_its_colours(self, picture: Tensor) -> Tensor:
        """What a model drew for the picture, (n 3 h w): grey where the picture is all grey."""
        return picture if self.has_colour else picture.mean(dim=1, keepdim=True).expand_as(picture)

    def up_to(self, share: float) -> "Request":
        """The same request with only a share of every way asked for."""
        points = self.points
        targets = points.handles + share * (points.targets - points.handles)
        regions = tuple(replace(one, move=one.move * share) for one in self.regions)
        return replace(self, points=Points(points.handles, targets), regions=regions)
