"""What a person asks of a session: read with care, and the engine that does it."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch

from featurekit.backbones.denoisers import kind_of_denoiser
from featurekit.core.cache import cache_at
from featurekit.core.errors import ConfigError
from featurekit.diffusion.backbone import Backbone
from featurekit.taps.attention_sharing import self_attention_paths
from featurekit_drag.config import settings_of, warp_settings_of
from featurekit_drag.engine.drag import Drag
from featurekit_drag.engine.edit import Editor
from featurekit_drag.engine.masks import check_mask
from featurekit_drag.engine.needs_unet import check_unet
from featurekit_drag.engine.points import Points
from featurekit_drag.engine.request import Request
from featurekit_drag.engine.settings import DragSettings, PlanSettings, WarpSettings
from featurekit_drag.of_model import completed, known_maps
from featurekit_drag.plan.warp_plan import Planner
from featurekit_drag.presets import own_settings
from featurekit_drag.redraw.warp_drag import WarpDrag
from featurekit_drag.session.history import Asked, Moment
from featurekit_drag.session.reading import Rows, known_mode, read_asked


@dataclass(frozen=True)
class Asking:
    """Turns what is asked for into requests and engines."""

    backbone: Backbone
    settings: WarpSettings | DragSettings

    def __post_init__(self) -> None:
        """Refuse what cannot work, before any work.

        Raises:
            ConfigError, NoiseLevelError, UnknownNameError: the settings, on this backbone.
            BackboneError: a method that drags latents, on a transformer.
        """
        kind = kind_of_denoiser(self.backbone)
        if isinstance(self.settings, DragSettings):
            check_unet(self.backbone)
        known_maps(self.warp.plan.taps, self.backbone.activations.values(), kind)
        known_mode(self.warp.plan.mode)
        self_attention_paths(self.backbone.denoiser, self.warp.redraw.attention)
        self.editor(None, None)

    @classmethod
    def settings_of(cls, backbone: Backbone) -> WarpSettings:
        """Find what ``featurekit run plugin=drag`` takes on a backbone, without an animation."""
        config = completed(own_settings(backbone.settings_of), backbone)
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
        asked = read_asked(now.image, rows, mode)
        if now.mask is not None and not asked.regions:
            check_mask(now.mask, self.request(now, asked, prompt="", seed=0).points)
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
