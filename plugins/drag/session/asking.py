"""What a person asks of a session: read with care, and the engine that does it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from featurekit.core.cache import cache_at
from featurekit.core.errors import ConfigError, ImageError, MaskError, UnknownNameError
from featurekit.core.shapes import expect
from featurekit.diffusion.backbone import Backbone
from featurekit.images.io import load_image
from featurekit.images.masks import load_mask
from featurekit.images.photo import Source
from featurekit.taps.attention_sharing import self_attention_paths
from featurekit_drag.config import settings_of, warp_settings_of
from featurekit_drag.engine.drag import Drag
from featurekit_drag.engine.edit import Editor
from featurekit_drag.engine.masks import check_mask
from featurekit_drag.engine.points import Points
from featurekit_drag.engine.request import Request
from featurekit_drag.engine.settings import MODES, DragSettings, PlanSettings, WarpSettings
from featurekit_drag.inputs import read_asked
from featurekit_drag.plan.warp_plan import Planner
from featurekit_drag.presets import own_settings
from featurekit_drag.redraw.warp_drag import WarpDrag
from featurekit_drag.session.history import Asked, Moment

LEAST_PX = 8  # of a picture's side, as for files

Rows = Sequence[Any]  # whatever a person wrote


@dataclass(frozen=True)
class Asking:
    """Turns what is asked for into requests and engines."""

    backbone: Backbone
    settings: WarpSettings | DragSettings

    def __post_init__(self) -> None:
        """Refuse what cannot work, before any work.

        Raises:
            ConfigError, NoiseLevelError, UnknownNameError: the settings, on this backbone.
        """
        for tap in self.warp.plan.taps:
            if tap not in self.backbone.taps:
                raise UnknownNameError("tap", tap, self.backbone.taps)
        _known_mode(self.warp.plan.mode)
        self_attention_paths(self.backbone.unet, self.warp.redraw.attention)
        self.editor(None, None)

    @classmethod
    def settings_of(cls, backbone: Backbone) -> WarpSettings:
        """Find what ``featurekit run plugin=drag`` takes on a backbone, without an animation."""
        config = own_settings(backbone.name)
        settings_of(config)  # checks it
        return replace(warp_settings_of(config), animation_frames=0)

    @cached_property
    def warp(self) -> WarpSettings:
        """Settings of the previews: of the warp itself, or what the backbone's own is."""
        own = self.settings
        return own if isinstance(own, WarpSettings) else self.settings_of(self.backbone)

    @property
    def changes_network(self) -> bool:
        """Whether the engine changes the network while it works."""
        return self.editor(None, None).changes_network

    def asked(self, now: Moment, rows: tuple[Rows, Rows, Rows], mode: str | None) -> Asked:
        """Read points, pins and regions for the present picture.

        Raises:
            PointsError, MaskError, ConfigError, UnknownNameError: what is asked for cannot be.
        """
        height, width = now.image.shape[-2:]
        points, pins, regions = read_asked(*rows, height=height, width=width)
        for one in regions:
            expect(one.mask, "1 1 h w", of="mask of a region", h=height, w=width)
        _known_mode(mode)
        if now.mask is not None and not regions:
            check_mask(now.mask, points)
        asked = Asked(_table(points.rows), _table(pins.tolist()), regions, mode)
        self.editor(asked, None)  # refuses what it cannot do
        return asked

    def request(self, now: Moment, asked: Asked, *, prompt: str, seed: int) -> Request:
        """Put what was asked for into a request for an engine."""
        table = torch.tensor(asked.points, dtype=torch.float64)
        pins = torch.tensor(asked.pins, dtype=torch.float64).reshape(-1, 2)
        points = Points(table[:, :2], table[:, 2:])
        return Request(now.image, points, now.mask, prompt, seed, pins, asked.regions)

    def plan_of(self, asked: Asked) -> PlanSettings:
        """The settings of a plan, with the mode that was asked for."""
        plan = self.warp.plan
        return plan if asked.mode is None else replace(plan, mode=asked.mode)

    def editor(self, asked: Asked | None, planner: Planner | None) -> Editor:
        """Make the engine.

        Args:
            asked: for the mode.
            planner: of the picture, which a warp then does not read again.

        Raises:
            ConfigError: a method that optimises was asked for what only a warp can do.
        """
        if isinstance(self.settings, WarpSettings):
            plan = self.settings.plan if asked is None else self.plan_of(asked)
            return WarpDrag(self.backbone, replace(self.settings, plan=plan), planner)
        if asked is not None and (asked.pins or asked.regions or asked.mode):
            raise ConfigError(
                "pins, regions and a mode must go with WarpSettings, got them for DragSettings; "
                "other methods drag points only"
            )
        return Drag(self.backbone, self.settings, cache=cache_at("auto"))


def image_of(image: Source | Tensor) -> Tensor:
    """Read a picture, (1 3 h w) in [-1, 1], float32 on the CPU.

    Raises:
        ImageError, ShapeError: it cannot be used.
    """
    if not isinstance(image, Tensor):
        return load_image(image)
    size = expect(image, "1 3 h w", of="image")
    if min(size["h"], size["w"]) < LEAST_PX:
        raise ImageError(
            f"an image must have sides of at least {LEAST_PX} px, got {size['w']}x{size['h']} px"
        )
    found = image.detach().to("cpu", torch.float32)
    if not (found.abs() <= 1).all():
        raise ImageError(
            f"an image must hold numbers in [-1, 1], got {float(found.min()):g} to "
            f"{float(found.max()):g}; use load_image"
        )
    return found.clone()


def mask_of(mask: Source | Tensor | None, image: Tensor) -> Tensor | None:
    """Read a mask of a picture, (1 1 h w) of 0 and 1, float32 on the CPU.

    Raises:
        ImageError, ShapeError, MaskError: it cannot be used.
    """
    height, width = image.shape[-2:]
    if mask is None:
        return None
    if not isinstance(mask, Tensor):
        return load_mask(mask, height, width)
    expect(mask, "1 1 h w", of="mask", h=height, w=width)
    found = mask.detach().to("cpu", torch.float32)
    if not ((found == 0) | (found == 1)).all() or not found.any():
        raise MaskError(
            "a mask must hold 0 and 1, and 1 where the image may change, got "
            f"{float(found.min()):g} to {float(found.max()):g}; leave the mask out to change all"
        )
    return found.clone()


def _known_mode(mode: str | None) -> None:
    if mode is not None and mode not in MODES:
        raise UnknownNameError("mode", mode, MODES)


def _table(rows: Sequence[Sequence[float]]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in rows)
