"""``featurekit invert``: the noise of a picture, the way back from it, and what that way misses."""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from featurekit.cli.cost import say_cost
from featurekit.cli.options import InvertOptions
from featurekit.cli.progress_bars import say
from featurekit.core.atomic import make_folder
from featurekit.core.errors import ConfigError, UnknownNameError
from featurekit.core.json_files import write_json
from featurekit.core.metrics import psnr
from featurekit.diffusion.backbone import Backbone, Predictor
from featurekit.diffusion.flow_schedule import schedule_of
from featurekit.diffusion.invert import REFINED, invert
from featurekit.diffusion.levels import NoiseSchedule
from featurekit.diffusion.methods.kinds import EVERY
from featurekit.diffusion.noise_schedule import Schedule
from featurekit.diffusion.sample import sample
from featurekit.diffusion.trajectory import Trajectory
from featurekit.diffusion.trajectory_file import save_trajectory
from featurekit.images.coordinates import crop
from featurekit.images.io import load_image, write_image
from featurekit.images.pictures import contact_sheet
from featurekit.pipeline.backbone_of_run import backbone_of_words
from featurekit.pipeline.overrides import check_seed, fill
from featurekit.pipeline.places import RECORD
from featurekit.pipeline.run import recorded, versions
from featurekit.pipeline.stages import Stages, timed_stages

ALONE = ("ddim", "anderson")  # methods that come back from the noise alone, without residuals
MAGNIFIED = 10  # times that the picture of the difference shows it


@dataclass(frozen=True)
class RoundTrip:
    """A picture and what came back of it, each (1 3 h w) in [-1, 1], and the way."""

    picture: Tensor
    decoded: Tensor  # the autoencoder's own round trip: the most that can come back
    back: Tensor
    trajectory: Trajectory
    latent_rms: float  # between the picture's latent and the one that came back
    calls: int  # of the network, there and back


def main(words: Sequence[str]) -> int:
    """Invert a picture, come back, and keep both.

    Writes ``trajectory.safetensors``, ``reconstruction.png``, ``round_trip.png`` (the picture, what
    the autoencoder makes of it, what came back, and their difference magnified) and ``run.json``.

    Args:
        words: overrides of ``InvertOptions``.

    Returns:
        The exit code, 0.

    Raises:
        FeatureKitError: the words are wrong, the picture cannot be read, the model cannot be
            inverted as asked, or the results cannot be written.
    """
    options = _checked(fill(InvertOptions, words))
    picture = load_image(options.image)
    out = make_folder(options.out)
    record: dict[str, Any] = {
        "command": "invert",
        "status": "running",
        "config": asdict(options),
        "seed": options.seed,
        "versions": versions(),
        "weights": {},
        "schedule": "",
        "stages": [],
        "metrics": {},
        "outputs": {},
    }

    def keep() -> None:
        write_json(record, out / RECORD)

    with recorded(record, out), timed_stages(record, say=say, keep=keep) as stage:
        with stage("load the backbone"):
            backbone = backbone_of_words(options)
        record["weights"] = dict(backbone.weights)
        found = _round_trip(backbone, picture, options, stage)
        record["schedule"] = found.trajectory.schedule.told
        record["metrics"] = _figures(found)
        record["outputs"] = {name: path.name for name, path in _written(found, out).items()}
    sys.stdout.write(f"{out}: {_told(found)}\n")
    return 0


def _checked(options: InvertOptions) -> InvertOptions:
    """The options, refused before a model is loaded where they are wrong by themselves."""
    check_seed(options.seed)
    if options.method not in EVERY:
        raise UnknownNameError("inversion method", options.method, EVERY)
    if not math.isfinite(options.guidance):
        raise ConfigError(f"guidance must be a finite number, got {options.guidance}")
    return options


@torch.no_grad()
def _round_trip(
    backbone: Backbone, picture: Tensor, options: InvertOptions, stage: Stages
) -> RoundTrip:
    predict, calls = _counting(backbone.predictor(backbone.embed(options.prompt), options.guidance))
    latent = backbone.encode(picture)
    schedule = _schedule(backbone, options, (latent.shape[2], latent.shape[3]))
    height, width = picture.shape[2:]
    say_cost(backbone, (height, width), _calls(options), of="at most ")
    draws = torch.Generator().manual_seed(options.seed)
    with stage("inversion") as progress:
        way = invert(
            predict,
            latent,
            schedule,
            method=options.method,
            refine=options.refine,
            tol=options.tol,
            keep_residuals=False if options.method in ALONE else None,
            generator=draws if options.method == "edit_friendly" else None,
            progress=progress,
        )
    leads = None if options.method in ALONE else way
    with stage("sampling") as progress:
        back = sample(predict, way.at(way.until), schedule, trajectory=leads, progress=progress)
    height, width = picture.shape[2:]
    decoded, came = (
        crop(backbone.decode(z), height, width).to(picture).clamp(-1, 1) for z in (latent, back)
    )
    rms = float((back - latent).float().square().mean().sqrt())
    return RoundTrip(picture, decoded, came, way, rms, calls())


def _schedule(backbone: Backbone, options: InvertOptions, cells: tuple[int, int]) -> NoiseSchedule:
    """DDIM's levels with the spacing that was asked for, or a flow's, which has its own."""
    if backbone.noise.prediction != "flow":
        return Schedule.ddim(backbone.noise, options.steps, options.spacing or None)
    if options.spacing:
        raise ConfigError(
            f"spacing must be left out for a flow, whose model says how its runs are spaced, "
            f"got {options.spacing!r}"
        )
    return schedule_of(backbone.noise, options.steps, cells=cells)


def _calls(options: InvertOptions) -> int:
    """Rows through the network there and back, at most: a tolerance may end iterations earlier."""
    rows = options.steps * (2 if options.guidance != 1 else 1)
    if options.method == "edict":
        return 4 * rows
    if options.method == "midpoint":
        return 6 * rows
    repeats = REFINED.get(options.method, 0) if options.refine is None else options.refine
    kept = options.method not in ALONE
    return rows * (1 + max(repeats, 0) + kept + 1)


def _counting(predict: Predictor) -> tuple[Predictor, Callable[[], int]]:
    """The same predictor, and what tells how often it was called."""
    calls = 0

    def counting(z: Tensor, t: float | Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return predict(z, t)

    return Predictor(counting, lambda: predict.fingerprint), lambda: calls


def _figures(found: RoundTrip) -> dict[str, Any]:
    way = found.trajectory
    return {
        "psnr_to_autoencoder": float(psnr(found.back, found.decoded)),  # null where they are equal
        "psnr_to_picture": float(psnr(found.back, found.picture)),
        "autoencoder_psnr_to_picture": float(psnr(found.decoded, found.picture)),
        "latent_rms": found.latent_rms,
        "network_calls": found.calls,
        "calls_over_ddim": found.calls / (2 * way.schedule.steps),
        "terminal_snr": way.schedule.terminal_snr,
        "fixed_point_rms": list(way.fixed_point_rms or ()),
    }


def _written(found: RoundTrip, out: Path) -> dict[str, Path]:
    return {
        "trajectory": save_trajectory(found.trajectory, out / "trajectory.safetensors"),
        "reconstruction": write_image(found.back, out / "reconstruction.png"),
        "round_trip": write_image(_sheet(found), out / "round_trip.png"),
    }


def _sheet(found: RoundTrip) -> Image.Image:
    difference = (found.back - found.decoded).abs() / 2 * MAGNIFIED  # 1 is the whole range
    titles = ["picture", "autoencoder alone", "there and back", f"difference x {MAGNIFIED}"]
    panels = [found.picture, found.decoded, found.back, difference.clamp(0, 1) * 2 - 1]
    return contact_sheet({"": panels}, titles)


def _told(found: RoundTrip) -> str:
    """One line: how much came back, and at what cost."""
    ratio = float(psnr(found.back, found.decoded))
    likeness = "equal to" if math.isinf(ratio) else f"{ratio:.1f} dB against"
    return (
        f"{found.trajectory.method}, {found.trajectory.schedule.steps} steps: {likeness} the "
        f"autoencoder's round trip, in {found.calls} calls of the network"
    )
