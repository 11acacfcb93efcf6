"""Every number of the method. The defaults are the published code's; imports no torch.

A *unit* is a quarter of a feature cell: what the published code calls a pixel of its enlarged
feature map. On Stable Diffusion a unit is 2 px of the image, on a backbone with an 8x smaller
latent it is ``stride / 4`` px.
"""

from dataclasses import dataclass
from typing import Literal

UNITS_PER_CELL = 4  # DragDiffusion reads a 64x64 map resized to 256x256


@dataclass(frozen=True)
class Rule:
    """How handles pull on the features and how they are followed. Lengths are in units."""

    patch_radius: int = 1  # r1: half side of the supervised patch
    track_radius: int = 3  # r2: half side of the search window
    step: float = 1.0  # how far ahead of the handle the patch is asked to be
    stop_distance: float = 2.0  # a handle this near its target pulls no more
    reference: Literal["current", "initial"] = "current"  # which patch must be found ahead
    reduction: Literal["code", "paper"] = "code"  # mean or sum over channels
    mask_weight: float = 0.1  # lambda: price of change outside the mask
    updates: int = 80
    learning_rate: float = 0.01  # of Adam on the latent


@dataclass(frozen=True)
class DragSettings:
    """One edit: LoRA, inversion, motion supervision, denoising."""

    rule: Rule = Rule()
    tap: str = "up2"  # the UNet's third up block
    steps: int = 50  # DDIM steps of a full run
    strength: float = 0.7  # share of them that is inverted; the latent there is optimised
    guidance: float = 1.0
    attention: tuple[str, ...] = (
        "up_blocks.2",
        "up_blocks.3",
    )  # self-attention that reads the unmoved latent
    snap: bool = True  # round points to whole units
    freeze_outside: bool = False  # the latent outside the mask takes no update at all
    residuals: bool = False  # carry what the inversion missed: an unmoved latent gives the input
    feather_px: int = 0  # width of the seam around the mask, px of the input image
    composite: bool = False  # outside mask and seam the input's own pixels
    animation_frames: int = 0  # how many latents on the way are shown, by one look at all of them
