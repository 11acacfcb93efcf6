"""One picture with one drag, and our ways to update its latent and to edit it.

No command: scripts of this room and of ``peers/`` import it. Handles are pinned: the tracker works
and its answer is dropped, so that every update is the same work and no run ends early.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from omegaconf import OmegaConf
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn

import featurekit as fk
from featurekit.backbones.lora import Lora, LoraRecipe, fit_lora
from featurekit.backbones.unet import sd
from featurekit.core.types import Conditioning
from featurekit.diffusion.denoising_objective import denoising_objective
from featurekit_drag.config import settings_of
from featurekit_drag.engine.drag import Drag
from featurekit_drag.engine.latent_optimisation import drag_latent
from featurekit_drag.engine.masks import latent_mask
from featurekit_drag.engine.outside.choice import LatentMask
from featurekit_drag.engine.parts import Readout
from featurekit_drag.engine.points import Points, read_points, to_units
from featurekit_drag.engine.request import Request, Stage
from featurekit_drag.engine.settings import DragSettings
from featurekit_drag.engine.tracking import nearest
from featurekit_drag.engine.unet_features import feature_and_step_reader, feature_reader

PROMPT = "a face"
SIDES_PX = {"embedded": 64, "random": 64, "sd15": 256}
KINDS = {
    "published": "experiment=drag_dragdiffusion",
    "gooddrag": "experiment=drag_gooddrag",
    "default": "plugin=drag",
}
MARKED = {"freeze": "plugin.outside=hard", "no_animation": "plugin.animation_frames=0"}


@dataclass(frozen=True)
class Case:
    """What is dragged, and with which model."""

    model: str  # embedded, random, or sd15 (its shape, random weights)
    backbone: sd.StableDiffusion
    image: Tensor  # (1 3 h w) in [-1, 1]
    mask: Tensor  # (1 1 h w)
    points: Points
    conditioning: Conditioning

    @property
    def side_px(self) -> int:
        """Side of the picture."""
        return self.image.shape[-1]

    @property
    def request(self) -> Request:
        """The edit that is asked for."""
        return Request(self.image, self.points, self.mask, PROMPT)

    def latent(self, rows: int = 1) -> Tensor:
        """Noise of the picture's latent size, one row over and over."""
        cells = self.side_px // self.backbone.stride
        draw = torch.Generator().manual_seed(1)
        one = torch.randn(1, self.backbone.latent_channels, cells, cells, generator=draw)
        return one.expand(rows, -1, -1, -1).clone()


def case_of(model: str, side_px: int | None = None) -> Case:
    """Load a model and make up a picture with a mask and one drag across it."""
    if model == "sd15":
        backbone = sd.from_config("sd15", device="cpu", dtype=torch.float32, seed=0)
    else:
        backbone = fk.load_backbone(model, device="cpu")
    side = side_px or SIDES_PX[model]
    draw = torch.Generator().manual_seed(0)
    mask = torch.zeros(1, 1, side, side)
    mask[..., side // 4 : 3 * side // 4, side // 8 : 7 * side // 8] = 1
    drag = [side * 0.3, side * 0.5, side * 0.7, side * 0.5]
    return Case(
        model=model,
        backbone=backbone,
        image=torch.rand(1, 3, side, side, generator=draw) * 2 - 1,
        mask=mask,
        points=read_points([drag], height=side, width=side),
        conditioning=backbone.embed(PROMPT),
    )


def settings(case: Case, preset: str, updates: int | None = None) -> DragSettings:
    """Read a preset as a run would.

    Args:
        case: its model's own settings are those of the preset.
        preset: of ``KINDS``, then any of ``+freeze`` and ``+no_animation``.
        updates: in place of the preset's.
    """
    name, *marks = preset.split("+")
    kind = KINDS[name]
    words = [kind, f"backbone={case.model}", *(MARKED[mark] for mark in marks)]
    found = settings_of(OmegaConf.to_object(fk.compose(words).plugin))
    rule = found.rule if updates is None else replace(found.rule, updates=updates)
    return replace(found, rule=rule)


@contextmanager
def pinned() -> Iterator[None]:
    """Keep every handle where it is while a block runs; the tracker does its work in vain."""
    own = nearest.track

    def track(field: Tensor, handles: Tensor, templates: Tensor, *, radius: int) -> Tensor:
        own(field, handles, templates, radius=radius)
        return handles

    nearest.track = track
    try:
        yield
    finally:
        nearest.track = own


def update(case: Case, asked: DragSettings, mark: Callable[[], object] | None = None) -> None:
    """Update a latent as often as the settings say; every look at the network leaves a mark."""
    backbone = case.backbone
    editable = latent_mask(case.mask, stride=backbone.stride, multiple=backbone.multiple)
    mask = LatentMask(editable, asked.outside)
    make = feature_and_step_reader if mask.is_priced else feature_reader
    read = make(backbone, asked, backbone.predictor(case.conditioning))
    stride = backbone.taps[asked.tap].stride

    def marked(z: Tensor) -> Readout:
        if mark is not None:
            mark()
        return read(z)

    handles, targets = (
        to_units(xy, stride, snap=asked.snap) for xy in (case.points.handles, case.points.targets)
    )
    with pinned():
        drag_latent(marked, case.latent(), (handles, targets), rule=asked.rule, mask=mask)


def edit(case: Case, asked: DragSettings, stage: Stage) -> None:
    """Invert, update and denoise; no LoRA is fitted."""
    with pinned():
        Drag(case.backbone, asked, LoraRecipe(steps=0))(case.request, stage=stage)


def fitted(case: Case, recipe: LoraRecipe) -> Lora:
    """Fit a LoRA on the picture."""
    with torch.no_grad():
        moments = case.backbone.moments(case.image)
    return fit_lora(
        case.backbone.unet,
        denoising_objective(case.backbone, moments, case.conditioning, recipe.batch),
        recipe=recipe,
        generator=torch.Generator().manual_seed(0),
    )


@contextmanager
def as_layers(network: nn.Module, lora: Lora) -> Iterator[None]:
    """Put an update around a network as layers of peft, as published code runs one, for a block."""
    ends = (".lora_A", ".lora_B")
    own = {
        path: network.get_submodule(path)
        for path in {name.rsplit(".lora_", 1)[0] for name in lora.weights}
    }
    config = LoraConfig(
        r=lora.recipe.rank,
        lora_alpha=lora.recipe.alpha,
        target_modules="|".join(map(re.escape, own)),
    )
    try:
        inject_adapter_in_model(config, network)
        named = {
            name.replace(f"{end}.weight", f"{end}.default.weight"): weight
            for name, weight in lora.weights.items()
            for end in ends
            if end in name
        }
        if network.load_state_dict(named, strict=False).unexpected_keys:
            raise SystemExit("the update is for another network")
        network.requires_grad_(False)
        yield
    finally:
        for path, layer in own.items():
            network.set_submodule(path, layer)
        if hasattr(network, "peft_config"):
            del network.peft_config


def presets(words: str) -> Sequence[str]:
    """Split the names of presets at commas; a wrong one is a ValueError, as argparse wants it."""
    names = words.split(",")
    for name in names:
        first, *marks = name.split("+")
        if first not in KINDS or not set(marks) <= set(MARKED):
            raise ValueError(name)
    return names
