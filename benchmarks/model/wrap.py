"""What a wrapped pipeline costs: wrapping beside loading, and reading beside the bare forward.

python -m benchmarks.model.wrap                   # loading and wrapping, then reading of two models
python -m benchmarks.model.wrap --rounds 5 --calls 2

One thread, no gradient, random weights but for the embedded model's. Wrapping is held to .05 of
loading the same folder, reading every block's output to 1.03 of the bare forward. All ways run in
turns, so that what slows the machine slows all of them; ratios are of CPU seconds of one round.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    StableDiffusionPipeline,
)
from diffusers.utils import logging
from torch import Tensor

import featurekit as fk
from benchmarks.records.recording import recorded, recorded_to, typed
from benchmarks.records.side_by_side import Seconds, compared, hushed, timed
from featurekit.backbones.folder import bundled_configs, embedded_folder, read_config
from featurekit.backbones.unet import sd
from featurekit.core.types import Conditioning
from featurekit.diffusion.backbone import Backbone

WRAPS = 20  # in a round
COLUMNS = (
    "ours",
    {"title": "CPU ms", "format": ".3g"},
    "beside",
    {"title": "CPU ms", "format": ".3g"},
    {"title": "ratio, median", "format": ".3f"},
    "least to greatest",
    {"title": "at most", "format": "g"},
    "held",
)
NARROW = {  # Stable Diffusion 1.5 with all of its blocks, an eighth as wide
    "unet": {"block_out_channels": [40, 80, 160, 160], "norm_num_groups": 8},
    "vae": {"block_out_channels": [16, 32, 64, 64], "norm_num_groups": 8},
}


def main(words: Sequence[str] | None = None) -> None:
    """Measure both.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=4, help="of a forward in a round")
    recorded_to(parser)
    asked = parser.parse_args(words)
    logging.set_verbosity_error()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    with TemporaryDirectory() as space:
        folders = {"embedded": embedded_folder(), "narrow SD 1.5": narrow(Path(space))}
        rows = [loading(name, folder, asked.rounds) for name, folder in folders.items()]
    for name, (backbone, conditioning, sides) in {
        "embedded": (embedded(), None, (16, 16)),
        "small FLUX": (small_flux(), of_flux(), (32, 32)),
    }.items():
        rows += reading(name, backbone, conditioning or backbone.embed(""), sides, asked)
    settings = {"rounds": asked.rounds, "calls_a_round": asked.calls, "wraps_a_round": WRAPS}
    recorded(
        asked.record,
        typed("model.wrap", words),
        COLUMNS,
        [row.cells() for row in rows],
        settings=settings,
        samples={
            f"{row.ours}; {row.theirs}": [
                {"ours": one._asdict(), "theirs": other._asdict()} for one, other in row.rounds
            ]
            for row in rows
        },
    )


class Row(NamedTuple):
    """Two ways that are compared: their names, their rounds, and the most that is allowed."""

    ours: str
    theirs: str
    rounds: list[tuple[Seconds, Seconds]]
    most: float | None

    def cells(self) -> list[object]:
        """Of the table: CPU time of one call, and the ratios of the rounds."""
        one, other = ([pair[side].cpu for pair in self.rounds] for side in (0, 1))
        shares = [a / b for a, b in zip(one, other, strict=True)]
        held = "" if self.most is None else "yes" if median(shares) <= self.most else "**no**"
        times = [self.ours, 1e3 * median(one), self.theirs, 1e3 * median(other)]
        return [*times, median(shares), f"{min(shares):.3f} to {max(shares):.3f}", self.most, held]


def row_of(
    found: Mapping[str, list[Seconds]],
    ways: tuple[str, str],
    told: tuple[str, str],
    most: float | None,
) -> Row:
    """Pair the rounds of two ways."""
    one, other = ways
    return Row(*told, list(zip(found[one], found[other], strict=True)), most)


def loading(name: str, folder: Path, rounds: int) -> Row:
    """Compare loading a folder with wrapping the pipeline that is loaded of it."""
    with hushed():
        pipeline = StableDiffusionPipeline.from_pretrained(folder)
    found = compared(
        f"{name}, from its folder and from a loaded pipeline",
        {
            "load_backbone": partial(timed, partial(fk.load_backbone, str(folder), device="cpu")),
            "wrap": partial(timed, partial(fk.wrap, pipeline), WRAPS),
        },
        rounds=rounds,
    )
    told = f"`fk.wrap`, {name}", "`load_backbone` of its folder"
    return row_of(found, ("wrap", "load_backbone"), told, 0.05)


def reading(
    name: str,
    backbone: Backbone,
    conditioning: Conditioning,
    sides: tuple[int, int],
    asked: argparse.Namespace,
) -> list[Row]:
    """Compare a forward with one that all block outputs are read of."""
    z = torch.randn(1, backbone.latent_channels, *sides)
    predict = partial(backbone.predictor(conditioning), z, 261)
    blocks = [tap for tap in backbone.taps if "." not in tap]
    taps = backbone.addresses(*blocks)

    def captured() -> Mapping[str, Tensor]:
        with fk.capture(backbone.denoiser, taps) as seen:
            predict()
        return seen

    ways: dict[str, Callable[[], object]] = {"bare": predict, "all blocks read": captured}
    if name == "embedded":  # whose weights are no pipeline's, so that none is kept from gradients
        own = fk.load_backbone(name, device="cpu")
        ways["bare, loaded"] = partial(own.predictor(conditioning), z, 261)
    found = compared(
        f"{name}, {len(blocks)} block outputs, one call",
        {way: partial(timed, do, asked.calls) for way, do in ways.items()},
        rounds=asked.rounds,
    )
    size = f"{name}, {sides[0]}x{sides[1]} latents"
    told = f"all {len(blocks)} block outputs read, {size}", "bare forward"
    rows = [row_of(found, ("all blocks read", "bare"), told, 1.03)]
    if "bare, loaded" in found:
        told = f"bare forward, wrapped, {size}", "the same, loaded"
        rows.append(row_of(found, ("bare", "bare, loaded"), told, None))
    return rows


def narrow(space: Path) -> Path:
    """Write a narrow Stable Diffusion 1.5 as diffusers does."""
    configs = bundled_configs("sd15")
    words = read_config(embedded_folder(), "text_encoder")  # its tokenizer is this model's too
    text = configs["text_encoder"] | {
        key: words[key] for key in ("vocab_size", "bos_token_id", "eos_token_id", "pad_token_id")
    }
    parts = {part: configs[part] | own for part, own in NARROW.items()}
    model = sd.build("sd15", configs | parts | {"text_encoder": text}, device="cpu", seed=0)
    with hushed():
        held: DiffusionPipeline = StableDiffusionPipeline.from_pretrained(embedded_folder())
    own = {"unet": model.unet, "vae": model.vae, "text_encoder": model.text_encoder}
    with hushed():
        StableDiffusionPipeline(**{**held.components, **own}).save_pretrained(space / "sd15")
    return space / "sd15"


def embedded() -> Backbone:
    """The embedded model as a wrapped pipeline."""
    with hushed():
        return fk.wrap(StableDiffusionPipeline.from_pretrained(embedded_folder()))


def small_flux() -> Backbone:
    """A pipeline of FLUX's shape, narrow and shallow, wrapped."""
    torch.manual_seed(0)
    transformer = FluxTransformer2DModel(
        in_channels=64,
        num_layers=2,
        num_single_layers=4,
        attention_head_dim=64,
        num_attention_heads=6,
        joint_attention_dim=96,
        pooled_projection_dim=32,
        axes_dims_rope=(16, 24, 24),
    )
    vae = AutoencoderKL(
        block_out_channels=(8,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=4,
        latent_channels=16,
    )
    parts = ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")
    return fk.wrap(
        FluxPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
            vae=vae.eval(),
            transformer=transformer.eval(),
            **dict.fromkeys(parts),
        ),
        "small FLUX",
    )


def of_flux() -> Conditioning:
    """Sixteen words of a prompt."""
    return Conditioning(torch.randn(1, 16, 96), "", {"pooled": torch.randn(1, 32)})


if __name__ == "__main__":
    main()
