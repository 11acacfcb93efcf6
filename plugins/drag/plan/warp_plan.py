"""From a request to the plan of its drag: grid, features, layer, field."""

from dataclasses import dataclass, replace
from math import ceil, floor

import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from torch import Tensor

from featurekit.core.types import Progress, silent
from featurekit.diffusion.backbone import Backbone
from featurekit.images.coordinates import Window
from featurekit.images.parts import Box, enlarged
from featurekit.measures.denoising_error import latent_error
from featurekit_drag.engine.request import Request
from featurekit_drag.engine.settings import PlanSettings
from featurekit_drag.plan.around_handles import around_handles
from featurekit_drag.plan.choice import Choice
from featurekit_drag.plan.fields import Drags
from featurekit_drag.plan.grid import UNITS_PER_CELL, Grid, cell_px_of, grown, read_at
from featurekit_drag.plan.layer import Appearance, layer_at
from featurekit_drag.plan.layer_by_colours import layer_by_colours
from featurekit_drag.plan.laying import Laid, Moved, lay
from featurekit_drag.plan.pixel_features import pixel_features

LOOKS = 2  # draws of noise by which the model is asked whether it knows the picture
LEAST_LAYER = 0.01  # mean alpha inside the mask, below which nothing stands out
# Share of the noise that a model must find all but: 40 scenes of the embedded one's training miss
# 0.03 to 0.12, 16 of the kinds that it never saw 0.26 to 0.39, ten parts of photographs 0.19
# to 0.62.
KNOWN = 0.16
SEEN = 0.5  # alpha of a unit that shows a layer rather than the ground
MARGIN = 5  # units around layers: what they colour, what is redrawn there, and its ring
# Without a mask: units around handles and targets that may change at first, in lengths of the
# longest drag at least, how often they grow by half, and the mean alpha on their rim that ends it.
LEAST_RADIUS, LONG, GROWTHS, ENDED = 4 * UNITS_PER_CELL, 1.5, 5, 0.25


@dataclass(frozen=True)
class WarpPlan:
    """Which layers move, and where to."""

    grid: Grid
    layers: tuple[Moved, ...]
    inside: Tensor  # (1 1 H W) at the picture's size, 1 where it may change
    kind: str  # move | similarity | anchored | elastic | regions | around
    stands_out: bool  # False: no layer was found; all inside the mask moves, or what is around
    copy: bool

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture, px."""
        return self.inside.shape[-2], self.inside.shape[-1]

    @property
    def box(self) -> Box:
        """The part of the picture in which layers lie, before and after, with its surroundings."""
        grid, (height, width) = self.grid, self.size
        touched = torch.zeros(1, 1, grid.height, grid.width)
        for one in self.layers:
            touched += (one.alpha > 0) + (read_at(one.alpha, one.back) > 0)
        units = Box.around(touched)
        if units is None:
            return Box.whole(self.size)
        units = units.grown(MARGIN, MARGIN, (grid.height, grid.width))
        across, along = height / grid.height, width / grid.width
        return Box(
            floor(units.top * across),
            floor(units.left * along),
            ceil(units.bottom * across),
            ceil(units.right * along),
        ).grown(0, 0, self.size)

    def laid(self, image: Tensor, box: Box | None = None) -> Laid:
        """Move the layers of the picture (1 3 H W) that was planned for.

        Args:
            image: the picture.
            box: the part that is laid, which must hold ``self.box``; None: all of it.
        """
        return lay(image, self.layers, self.inside, self.grid, copy=self.copy, box=box)

    def covered(self, box: Box) -> Tensor:
        """Where a part of the picture shows a layer before anything moves, (1 1 h w), 0 and 1."""
        union = torch.zeros(1, 1, self.grid.height, self.grid.width)
        for one in self.layers:
            union = torch.maximum(union, one.alpha)
        return enlarged((union > SEEN).float(), self.size, box, "nearest-exact")


@dataclass(frozen=True)
class Found:
    """A layer under handles, whatever their targets."""

    alpha: Tensor  # (1 1 h w) on the grid
    choice: Choice  # of its fields
    stands_out: bool  # as for ``WarpPlan``
    surrounded: bool  # False: it was looked for in the whole picture, so that nothing stays

    def is_none(self, request: Request) -> bool:
        """Whether neither a layer nor a mask says what moves, so that it is what lies around."""
        return request.mask is None and not (self.stands_out and self.surrounded)


@dataclass(frozen=True)
class Planner:
    """Makes plans for one picture; its features are read once."""

    image: Tensor
    appearance: Appearance
    missed: float  # share of the noise in the picture that the model does not find
    latent: Tensor | None = None  # of the picture as the model sees it, where it was encoded

    @property
    def grid(self) -> Grid:
        """Units over the picture."""
        return self.appearance.grid

    @property
    def is_known(self) -> bool:
        """Whether the model knows such pictures, so that its features tell things apart."""
        return self.missed < KNOWN

    @classmethod
    def of(
        cls,
        backbone: Backbone,
        request: Request,
        view: Window,
        settings: PlanSettings,
        *,
        progress: Progress = silent,
    ) -> "Planner":
        """Read what every plan of a request's picture needs.

        Args:
            backbone: its taps must be maps over the picture.
            request: for picture and prompt.
            view: the picture at the size that the model works at.
            settings: which features are read.
            progress: called before every call of the network, and at the end.
        """
        seen = view.take(request.image)
        grid = Grid.over(seen.shape[-2], seen.shape[-1], cell_px_of(backbone))
        read = pixel_features(
            backbone,
            seen,
            grid,
            settings,
            prompt=request.prompt,
            progress=progress,
        )
        colours = grid.shrunk(seen)
        wide = replace(grid, unit_px=grid.unit_px * view.shrink)
        missed = latent_error(backbone, read.any_latent, draws=LOOKS)
        return cls(request.image, Appearance.of(wide, read.features, colours), missed, read.latent)

    def at(self, view: Window) -> "Planner":
        """A planner of the whole picture at another size, with the same features."""
        unit_px = self.grid.unit_px / view.shrink
        appearance = replace(self.appearance, grid=replace(self.grid, unit_px=unit_px))
        return replace(self, image=view.take(self.image), appearance=appearance)

    def layer(self, inside: Tensor, handles: Tensor) -> Tensor:
        """Find the layer under handles (n 2) inside a mask (1 1 h w), both in units."""
        find = layer_at if self.is_known else layer_by_colours
        return find(self.appearance, inside, handles)

    def plan(self, request: Request, settings: PlanSettings) -> WarpPlan:
        """Plan a drag of the picture.

        Args:
            request: with its points, pins, regions and mask.
            settings: for the mode.
        """
        grid, copy = self.grid, settings.mode == "copy"
        if request.regions:
            layers = tuple(
                Moved(grid.shrunk(one.mask), grid.centres - one.move / grid.unit_px)
                for one in request.regions
            )
            return WarpPlan(grid, layers, self._inside(request, layers), "regions", True, copy)
        drags = self.drags(request)
        inside = self.may_change(request, drags)
        found = self.found(inside, drags)
        if found.is_none(request):
            layers = around_handles(grid, drags)
            return WarpPlan(grid, layers, self._inside(request, layers), "around", False, copy)
        field = found.choice.field(settings.mode, drags.targets)
        layers = (Moved(found.alpha, field.back),)
        return WarpPlan(grid, layers, inside, field.kind, found.stands_out, copy)

    def drags(self, request: Request) -> Drags:
        """The drags and pins of a request in units."""
        points, unit_px = request.points, self.grid.unit_px
        xy = (points.handles, points.targets, request.pins)
        return Drags(*(one.float() / unit_px for one in xy))

    def found(self, inside: Tensor, drags: Drags) -> Found:
        """Find the layer under handles.

        Args:
            inside: (1 1 H W), 1 where the picture may change.
            drags: targets are not read.
        """
        on_grid = (self.grid.shrunk(inside) > 0).float()
        alpha = self.layer(on_grid, drags.handles)
        stands_out = float(alpha[on_grid > 0].mean()) >= LEAST_LAYER
        if not stands_out:
            alpha = on_grid
        choice = Choice(self.appearance, (drags.handles, drags.pins), alpha, on_grid)
        return Found(alpha, choice, stands_out, bool((on_grid <= 0).any()))

    def may_change(self, request: Request, drags: Drags) -> Tensor:
        """The mask of a request, or without one all that is near its drags, (1 1 H W).

        The neighbourhood grows until the layer under the handles ends in it. Where it never does,
        it is the one on whose rim there is least of it.
        """
        if request.mask is not None:
            return request.mask
        grid, points = self.grid, torch.cat([drags.handles, drags.targets])
        radius = max(LEAST_RADIUS, LONG * float(drags.back.norm(dim=1).max()))
        found: list[tuple[float, Tensor]] = []
        for _ in range(GROWTHS):
            inside = grid.near(points, radius).float()[None, None]
            if bool((inside > 0).all()):
                found = found or [(1.0, inside)]
                break
            alpha = self.layer(inside, drags.handles)
            rim = inside - (1 - grown(1 - inside, 1))
            found.append((float((alpha * rim).sum() / rim.sum()), inside))
            if found[-1][0] < ENDED:
                break
            radius *= 1.5
        return self._at_full_size(min(found, key=lambda one: one[0])[1])

    def _inside(self, request: Request, layers: tuple[Moved, ...]) -> Tensor:
        """The mask of a request, or without one the regions, where they go, and their rims."""
        if request.mask is not None:
            return request.mask
        union = torch.zeros(1, 1, self.grid.height, self.grid.width)
        for one in layers:
            union = torch.maximum(union, torch.maximum(one.alpha, read_at(one.alpha, one.back)))
        return self._at_full_size(grown(union > 0, UNITS_PER_CELL))

    def _at_full_size(self, mask: Tensor) -> Tensor:
        size = self.image.shape[-2:]
        if mask.shape[-2:] == size:
            return mask
        return (F.interpolate(mask, size=size, mode="bilinear") > 0.5).float()
