"""The work of one step of learning a sketch style, ours beside DiffSketch's published code.

python -m benchmarks.peers.sketch                        # ours alone
python -m benchmarks.peers.sketch --published FOLDER
python -m benchmarks.peers.sketch --published FOLDER --rounds 3

FOLDER is a checkout of DiffSketch (658779a8), no part of this repository. Counted on the shape of
Stable Diffusion 1.5 without any numbers, so that it takes neither minutes nor gigabytes; with
``--rounds`` both networks draw in turn on a CPU, which takes both.
"""

import argparse
import warnings
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

import featurekit as fk
from benchmarks.peers.adapters import diff_sketch
from benchmarks.records.recording import ratios, recorded, recorded_to, rounds_of, spread, typed
from benchmarks.records.side_by_side import Seconds, compared, flops, middle, timed
from featurekit.backbones.unet import sd
from featurekit_sketch.network.feature_taps import FeatureTaps
from featurekit_sketch.network.features import Features
from featurekit_sketch.network.sketch_network import SketchNetwork

TIMESTEPS, SAMPLED = 13, 100  # that are read; rows that sampling a picture with guidance takes
PUBLISHED_PX = diff_sketch.PX
STEP, DRAWING = "a step of learning a style", "drawing a picture whose maps are read"
COLUMNS = (
    "",
    "way",
    {"title": "counted work, forwards of one row", "format": ".2f"},
    "of the first",
    {"title": "CPU s", "format": ".3g"},
    "ratio to the first, median (least to greatest)",
)


def main(words: Sequence[str] | None = None) -> None:
    """Count the work of a step, in forwards of one row.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--published", metavar="FOLDER", help="a checkout of DiffSketch")
    parser.add_argument("--side", type=int, default=PUBLISHED_PX, help="of the picture in px")
    parser.add_argument("--rounds", type=int, default=0, help="time drawing as often: minutes each")
    recorded_to(parser)
    asked = parser.parse_args(words)
    if asked.rounds and not asked.published:
        parser.error("--rounds must go with --published, got none")
    if asked.published and asked.side != PUBLISHED_PX:
        parser.error(f"the published network draws pictures of {PUBLISHED_PX} px alone")
    works = step_work(asked.published, asked.side)
    unit = next(iter(works.values()))
    rows: list[list[object]] = [
        [STEP, name, work, f"{work / unit:.2f}", None, ""] for name, work in works.items()
    ]
    found: dict[str, list[Seconds]] = {}
    if asked.rounds:
        torch.set_num_threads(1)
        found = drawing_times(asked.published, asked.rounds)
        first = next(iter(found.values()))
        rows += [[DRAWING, name, None, "", middle(own).cpu, spread(ratios(own, first))]
                 for name, own in found.items()]  # fmt: skip
    settings = {"shape": "sd15", "side_px": asked.side, "timesteps": TIMESTEPS,
                "rows_of_sampling": SAMPLED, "rounds": asked.rounds,
                "published": "DiffSketch 658779a8" if asked.published else "left out"}  # fmt: skip
    command = typed("peers.sketch", words)
    recorded(asked.record, command, COLUMNS, rows, settings=settings, samples=rounds_of(found))


def step_work(published: str | None, side_px: int = PUBLISHED_PX) -> dict[str, float]:
    """Count the work of a step, in forwards of one row; what else is counted is printed.

    Args:
        published: a checkout of DiffSketch, if there is one.
        side_px: of the picture.
    """
    backbone = sd.from_config("sd15", device="meta", dtype=torch.float32)
    taps = FeatureTaps.of(backbone.unet.config, backbone.vae.config)
    with torch.no_grad():
        unit = flops(partial(run, backbone, side_px, 1))
        paths = {tap.name: tap.path for tap in taps.unet}
        reading = flops(partial(run, backbone, side_px, TIMESTEPS, paths)) / unit
        z = latents(backbone, side_px, 1)
        decoding = flops(lambda: backbone.vae.decode(z)) / unit
    print(f"F = {unit / 1e12:.4g} TFLOP, a forward of one row at {side_px} px")
    print(f"reading {TIMESTEPS} rows to the last map {reading:.2f} F, decoding {decoding:.2f} F")
    network = SketchNetwork(taps, timesteps=TIMESTEPS).to("meta")
    both = features(taps, side_px, 2)
    learning = flops(lambda: network(both).sum().backward()) / unit
    weights = sum(weight.numel() for weight in network.parameters())
    kept = features(taps, side_px, 1).bytes
    print(f"our network, {weights / 1e6:.2f} M weights: two pictures and back {learning:.2f} F")
    print(f"features of one picture: {kept / 1e9:.2f} GB")
    one = reading + decoding
    ours = {"ours, both pictures kept": learning, "ours, one picture read anew": learning + one}
    if not published:
        return ours
    theirs = flops(diff_sketch.Published(published, "meta").step) / unit
    print(f"published network, two pictures and back {theirs:.2f} F")
    whole = SAMPLED + 2 * decoding + theirs
    return {f"DiffSketch's published network, {SAMPLED} rows and two decodings": whole, **ours}


def latents(backbone: sd.StableDiffusion, side_px: int, rows: int) -> Tensor:
    """Latents without numbers."""
    cells = side_px // backbone.stride
    return torch.zeros(rows, backbone.latent_channels, cells, cells, device="meta")


def run(
    backbone: sd.StableDiffusion, side_px: int, rows: int, paths: dict[str, str] | None = None
) -> None:
    """Run the UNet, to the last of some maps if there are any."""
    z, t = latents(backbone, side_px, rows), torch.zeros(rows, device="meta")
    width = backbone.unet.config.cross_attention_dim
    states = torch.zeros(rows, 77, width, device="meta")
    if paths is None:
        backbone.unet(z, t, encoder_hidden_states=states)
        return
    with fk.capture(backbone.unet, paths, stop_after=True):
        backbone.unet(z, t, encoder_hidden_states=states)


def features(taps: FeatureTaps, side_px: int, rows: int, device: str = "meta") -> Features:
    """Maps of some pictures, without numbers."""

    def empty(*shape: int) -> Tensor:
        return torch.zeros(rows, *shape, device=device)

    def cells(stride: int) -> tuple[int, int]:
        return side_px // stride, side_px // stride

    pair = (-1, -1, 2, -1, -1, -1)
    return Features(
        unet={
            tap.name: empty(TIMESTEPS, 1, tap.channels, *cells(tap.stride)).expand(pair)
            for tap in taps.unet
        },
        vae={tap.name: empty(tap.channels, *cells(tap.stride)) for tap in taps.vae},
        image=empty(3, side_px, side_px),
    )


def drawing_times(published: str, rounds: int) -> dict[str, list[Seconds]]:
    """Time the drawing of a picture of which the maps are read, by both networks in turn.

    Args:
        published: a checkout of DiffSketch.
        rounds: of each.

    Returns:
        Seconds by way.
    """
    backbone = sd.from_config("sd15", device="meta", dtype=torch.float32)
    taps = FeatureTaps.of(backbone.unet.config, backbone.vae.config)
    theirs = diff_sketch.Published(published, "cpu")
    network = SketchNetwork(taps, timesteps=TIMESTEPS)
    one = features(taps, PUBLISHED_PX, 1, device="cpu")
    ways = {"DiffSketch's published network": theirs, "ours": partial(network, one)}
    with torch.no_grad():
        return compared(
            "drawing a picture whose maps are read, SD 1.5's shape, 512 px, one thread",
            {name: partial(timed, way) for name, way in ways.items()},
            rounds=rounds, unit="s", warm=False,
        )  # fmt: skip


if __name__ == "__main__":
    warnings.filterwarnings("ignore")  # what the published code is warned of
    main()
