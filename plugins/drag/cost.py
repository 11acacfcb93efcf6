"""What a drag will cost, before it is begun: measured from one call of the network at its size."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil

import torch
from torch import Tensor

from featurekit.backbones.lora import LoraRecipe
from featurekit.core.types import Predict
from featurekit.diffusion.backbone import Backbone
from featurekit.diffusion.flow_schedule import schedule_of
from featurekit.pipeline.stages import lasting
from featurekit_drag.engine.settings import DragSettings, WarpSettings
from featurekit_drag.engine.unet_features import level_of
from featurekit_drag.plan.grid import Grid, cell_px_of
from featurekit_drag.working_size import SCREEN_PX

# Calls of the network that each part costs, measured on the embedded model at 64 to 256 px on one
# core: a row there and back with LoRA 2.0 to 3.1, an update, which leaves the network early and
# goes back without gradients of weights, 1.1 to 1.7, a further row of a batch 0.5 to 0.9.
LORA_ROW, UPDATE, FURTHER_ROW = 2.5, 1.4, 0.75
JUDGED_ROWS = 24  # of the judge that reads features: four for the picture, the edit, each control
JUDGED_CALLS = 1 + (JUDGED_ROWS - 1) * FURTHER_ROW
ENCODING, DECODING = 1.0, 2.5  # a latent there and back, in calls of the network
# Growth of the process over what the network keeps of one row for its gradients: 1.8 to 2.2 on the
# embedded model at 64 to 256 px, whose peak is the fit of LoRA.
GROWTH = 2.2
# Of what a row keeps for its gradients, counted as live bytes: .16 on the embedded model at 64 to
# 256 px, .09 on SD 1.5 at 512 px, where decoding one picture (.55) is as much as six rows.
HELD_WITHOUT_GRADIENTS = 0.16
# The call by which all is measured keeps a row for its gradients: growth of the process over that.
MEASURING = 1.5
# Of each unit of a plan, its features and what tells layers apart: 4 to 7 kB on the embedded model
# at 128 and 256 px.
PLANNED_BYTES = 7_000


# Passes over all channels of the picture, on one core: reading, laying, filling and judging a drag
# (0.2 to 0.8 us a pixel where a pass is 1 ns); making and writing one picture (0.06 us); one frame
# of an animation, of what a screen shows (0.7 us).
PASSES, WRITING, FILMING = 500, 65, 700
# Held of each pixel of a drag by a plan: 65 live bytes of tensors, picture and mask.
PIXEL_BYTES = 65 + 16
PASS_PX = 2**20  # pixels by which a pass is measured


@dataclass(frozen=True)
class Pixels:
    """What is done to pixels at full size, beside the network."""

    count: int  # of the picture
    pictures: int = 1  # written at its size
    frames: int = 0  # of an animation
    seconds: float = 0.0  # of one pass over one pixel

    @property
    def passes(self) -> int:
        """Pixels that are gone over, each time counted."""
        shown = min(self.count, SCREEN_PX**2)
        return self.count * (PASSES + WRITING * self.pictures) + shown * FILMING * self.frames


@dataclass(frozen=True)
class Cost:
    """About how long a drag takes and how much memory, beside the loaded model."""

    parts: Mapping[str, float]  # seconds of what is told to a person, in order
    judging_s: float
    bytes: int
    beside: str = "the model"  # what else is held

    @property
    def seconds(self) -> float:
        """All of it."""
        return sum(self.parts.values()) + self.judging_s

    def __str__(self) -> str:
        """One line for a person."""
        memory = f"{self.bytes / 1e6:.0f} MB" if self.bytes < 1e9 else f"{self.bytes / 1e9:.1f} GB"
        parts = ", ".join(f"{name} {lasting(seconds)}" for name, seconds in self.parts.items())
        return (
            f"by one call of the network at this size, the drag takes about "
            f"{lasting(self.seconds)} ({parts}) and about {memory} beside {self.beside}"
        )


@dataclass(frozen=True)
class Call:
    """One call of the network with a row of a size."""

    seconds: float
    kept_bytes: int | None  # for its gradients; None: not asked for
    units: int = 0  # of a plan at that size


def measured_call(backbone: Backbone, image: Tensor) -> Call:
    """Call the network on the latent of an image (1 3 h w) twice, the second time with a clock."""
    with torch.no_grad():
        latent = backbone.encode(image)
    predict, t = backbone.predictor(backbone.embed("")), backbone.noise.train_timesteps // 2
    kept: dict[int, int] = {}
    own = {one.untyped_storage().data_ptr() for one in backbone.denoiser.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # the tensor itself would hold its graph, and that the tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), torch.enable_grad():
        float(predict(latent.clone().requires_grad_(True), t).detach().sum())
    return Call(_seconds(predict, latent, t), sum(kept.values()), _units(backbone, image))


def timed_call(backbone: Backbone, image: Tensor) -> Call:
    """Call the network as ``measured_call`` does, without gradients.

    What a large transformer keeps for them would take many times the memory of a planned drag.
    """
    with torch.no_grad():
        latent = backbone.encode(image)
    predict, t = backbone.predictor(backbone.embed("")), backbone.noise.train_timesteps // 2
    _seconds(predict, latent, t)
    return Call(_seconds(predict, latent, t), None, _units(backbone, image))


@torch.no_grad()
def _seconds(predict: Predict, latent: Tensor, t: int) -> float:
    """Time a call; the first touch of memory, before it, is slow."""
    began = time.perf_counter()
    float(predict(latent, t).sum())  # waits for whatever device it is
    return time.perf_counter() - began


def _units(backbone: Backbone, image: Tensor) -> int:
    grid = Grid.over(image.shape[-2], image.shape[-1], cell_px_of(backbone))
    return grid.height * grid.width


def measured_pass() -> float:
    """Seconds of one pass over one pixel: three channels are mixed into others."""
    field, share = torch.zeros(1, 3, 1, PASS_PX), torch.full((1, 1, 1, PASS_PX), 0.5)
    found = []
    for _ in range(4):  # the first touch of memory is slow
        began = time.perf_counter()
        torch.lerp(field, field, share)
        found.append(time.perf_counter() - began)
    return min(found) / PASS_PX


def with_pixels(cost: Cost, pixels: Pixels) -> Cost:
    """Add what the pixels of a picture cost, whatever size the network works at."""
    return replace(
        cost,
        parts={**cost.parts, "pixels": pixels.passes * pixels.seconds},
        bytes=cost.bytes + PIXEL_BYTES * pixels.count,
    )


def cost_of(
    call: Call,
    backbone: Backbone,
    settings: DragSettings,
    lora: LoraRecipe,
    *,
    inverted: bool = False,
    longest_px: float = 0.0,
) -> Cost:
    """Add up what the parts of a drag cost in calls of the network.

    Args:
        call: at the size of the work.
        backbone: for its schedule.
        settings: steps, strength, updates, guidance and frames of the animation.
        lora: its steps are all of its cost; 0 where a fitted one is at hand.
        inverted: whether the inversion is at hand.
        longest_px: longest drag, px of the picture, which says how many sub-drags there are.
    """
    if settings.schedule == "sub_drags":
        return _of_sub_drags(call, backbone, settings, lora, longest_px)
    _, level = level_of(backbone, settings)
    twice = 2 if settings.guidance != 1 else 1
    batch = 1 + FURTHER_ROW  # the unmoved latent and the edit
    look = 1 + settings.animation_frames * FURTHER_ROW if settings.animation_frames else 0
    calls = {
        "LoRA": lora.steps * lora.batch * LORA_ROW,
        "inversion": 0 if inverted else level * twice,
        "motion supervision at most": settings.most_updates * UPDATE * twice,
        "denoising": twice * (level * batch + look),
    }
    return Cost(
        {name: call.seconds * each for name, each in calls.items()},
        judging_s=call.seconds * JUDGED_CALLS,
        bytes=round(GROWTH * (call.kept_bytes or 0) * (lora.batch if lora.steps else twice)),
    )


def _of_sub_drags(
    call: Call, backbone: Backbone, settings: DragSettings, lora: LoraRecipe, longest_px: float
) -> Cost:
    """Each piece is noised and denoised once, with guidance in all but one step."""
    _, level = level_of(backbone, settings)
    cells = longest_px / backbone.stride
    pieces = max(ceil(cells / settings.sub_drags.length), 1)
    rows = 1 + FURTHER_ROW
    calls = {
        "LoRA": lora.steps * lora.batch * LORA_ROW,
        "sub-drags": pieces * 2 * level * rows,
    }
    return Cost(
        {name: call.seconds * each for name, each in calls.items()},
        judging_s=call.seconds * JUDGED_CALLS,
        bytes=round(GROWTH * (call.kept_bytes or 0) * (lora.batch if lora.steps else 2)),
    )


def cost_of_warp(call: Call, backbone: Backbone, settings: WarpSettings) -> Cost:
    """Add up what a plan and the redraw of what it uncovers cost in calls of the network.

    Args:
        call: at the size of the work.
        backbone: for its schedule.
        settings: shifts, steps, strength and candidates.
    """
    asked, rows = settings.redraw, settings.redraw.candidates + bool(settings.redraw.attention)
    level = 0
    if asked.strength:
        schedule = schedule_of(backbone.noise, asked.steps, cells=backbone.sample_size)
        level = schedule.level_for(asked.strength)
    calls = {
        "plan": settings.plan.shifts**2 * (1 + ENCODING),
        "redraw": level * (1 + (rows - 1) * FURTHER_ROW) + asked.candidates * DECODING,
    }
    held = max(MEASURING, HELD_WITHOUT_GRADIENTS * rows) * (call.kept_bytes or 0)
    return Cost(
        {name: call.seconds * each for name, each in calls.items()},
        judging_s=call.seconds * JUDGED_CALLS,
        bytes=round(held + PLANNED_BYTES * call.units),
        beside="the model" if call.kept_bytes is not None else "the model and what its calls hold",
    )
