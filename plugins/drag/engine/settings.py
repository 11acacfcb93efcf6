"""Every number and word of the methods. The defaults are DragDiffusion's code; imports no torch.

A *unit* is a quarter of a feature cell: what the published code calls a pixel of its enlarged
feature map. On Stable Diffusion a unit is 2 px of the image, on a backbone with an 8x smaller
latent it is ``stride / 4`` px.
"""

from dataclasses import dataclass
from typing import Literal

UNITS_PER_CELL = 4  # DragDiffusion reads a 64x64 map resized to 256x256

# Which part plays each role; composition.py has the table of each.
Supervision = Literal["current", "anchored", "template", "field", "none"]
Tracking = Literal["nearest", "directional", "along_line", "none"]
Variable = Literal["latent", "bottleneck"]
Timing = Literal["one_level", "alternating", "sub_drags"]
Initialise = Literal["none", "latent_warp", "pixel_warp"]
Warp = Literal["stretch", "nearest_handle"]
LatentFill = Literal["neighbours", "noise"]
Outside = Literal["penalty", "hard"]


@dataclass(frozen=True)
class Rule:
    """How handles pull on the features and how they are followed. Lengths are in units."""

    supervision: Supervision = "current"  # what the patch ahead is asked to be
    tracking: Tracking = "nearest"  # how a handle is found again
    patch_radius: int = 1  # r1: half side of the supervised patch
    track_radius: int = 3  # r2: half side of the search window
    step: float = 1.0  # how far ahead of the handle the patch is asked to be
    stop_distance: float = 2.0  # a handle this near its target pulls no more
    # weight of a patch: its cells times the mean over channels (code) or the sum over them
    # (paper) as in DragDiffusion, or (2 r1)^2 times the mean, as in GoodDrag
    reduction: Literal["code", "paper", "gooddrag"] = "code"
    mask_weight: float = 0.1  # lambda: price of change outside the mask
    updates: int = 80  # at most, at each level that is dragged
    updates_per_tracking: int = 1
    patience: int = 0  # unchanged trackings in a row that end the drag; 0: none do
    learning_rate: float = 0.01  # of Adam
    revert_above: float = 1.3  # directional: a handle whose mean L1 is above this stays; 0: never
    expected_loss: float = 1.0  # along_line: mean L1 to the template that a move may cost
    farthest: float = 5.0  # along_line: most units of one move


@dataclass(frozen=True)
class SubDrags:
    """Numbers of the schedule ``sub_drags``; lengths are in latent cells."""

    length: float = 2.0  # most of a drag that is made at once
    radius: int = 5  # half side of the square that is carried
    amplify: float = 1.1  # what the carried square is multiplied by
    keep: float = 0.3  # what is left of the square where it came from; the rest becomes noise
    last_guidance: float = 3.0  # guidance rises from ``DragSettings.guidance`` to this


@dataclass(frozen=True)
class DragSettings:
    """One edit: LoRA, inversion, dragging, denoising."""

    rule: Rule = Rule()
    variable: Variable = "latent"  # what Adam changes
    schedule: Timing = "one_level"  # when it is changed
    levels: int = 1  # levels that are dragged, from the noisiest one down
    sub_drags: SubDrags = SubDrags()
    initialise: Initialise = "none"  # what is done to the latent before any update
    warp: Warp = "nearest_handle"  # the field of a latent warp, and of supervision=field
    latent_fill: LatentFill = "noise"  # what a latent warp leaves where things came from
    tap: str = "up2"  # the UNet's third up block
    steps: int = 50  # DDIM steps of a full run
    strength: float = 0.7  # share of them that is inverted; the latent there is optimised
    guidance: float = 1.0
    identity: tuple[str, ...] = ("lora", "reference")  # of lora, reference, stored
    attention: tuple[str, ...] = (
        "up_blocks.2",
        "up_blocks.3",
    )  # self-attention that reads the unmoved latent
    snap: bool = True  # round points to whole units
    outside: Outside = "penalty"  # change outside the mask costs mask_weight, or is impossible
    residuals: bool = False  # carry what the inversion missed: an unmoved latent gives the input
    feather_px: int = 0  # width of the seam around the mask, px of the input image
    composite: bool = False  # outside mask and seam the input's own pixels
    animation_frames: int = 0  # how many latents on the way are shown, by one look at all of them

    @property
    def most_updates(self) -> int:
        """Updates of a drag that never arrives."""
        return self.rule.updates * self.levels if self.rule.supervision != "none" else 0


MODES = ("auto", "move", "reshape", "copy")
FILLS = ("auto", "model", "patches")


@dataclass(frozen=True)
class PlanSettings:
    """How the warp of a drag is planned."""

    mode: str = "auto"  # one of MODES
    taps: tuple[str, ...] = ("up2",)  # maps that tell layers apart
    timestep: int = 201  # train timestep at which they are read
    shifts: int = 2  # encodings per axis, moved by equal parts of a latent cell


@dataclass(frozen=True)
class RedrawSettings:
    """How the model redraws what a warp uncovers."""

    steps: int = 10  # DDIM steps of a full run
    strength: float = 0.5  # share of them; 0 leaves a smooth fill
    candidates: int = 4  # redraws in one batch, each from a noise of its own
    attention: tuple[str, ...] = ("up_blocks.2", "up_blocks.3")  # self-attention to the source
    settle: float = 0.0  # strength at which turned or scaled things are redrawn whole; 0: not
    fill: str = "auto"  # one of FILLS: the model redraws the hole, or patches around continue it


@dataclass(frozen=True)
class WarpSettings:
    """A drag by a plan: how it is planned, how the hole is redrawn, how both are put together."""

    plan: PlanSettings = PlanSettings()
    redraw: RedrawSettings = RedrawSettings()
    feather_px: int = 8  # of the seam around the mask, px of the work
    animation_frames: int = 0
    side_px: int = 0  # longer side of what the model sees; 0: the picture as it is
