"""What comes back of an inversion, by method: errors, calls of the network, answers to edits.

    python benchmarks/inversion.py                    # a denoiser and a flow in closed form
    python benchmarks/inversion.py --embedded 3       # and three held-out landscapes, real weights

Prints the tables of docs/inversion.md, the last with the weights that it was measured on; half a
minute a scene on one core.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

import featurekit as fk
from featurekit.core.metrics import psnr
from featurekit.core.types import Predict
from featurekit.diffusion.backbone import guided
from featurekit.diffusion.levels import NoiseSchedule
from featurekit.diffusion.methods.kinds import SECOND_ORDER
from featurekit.images.coordinates import crop
from featurekit.scenes import scene
from featurekit.testing import MixtureDenoiser, MixtureFlow

STEPS = 50
FLOW_STEPS = 28
WAYS = (  # name, method, refine, whether residuals are kept
    ("DDIM", "ddim", 0, False),
    ("fixed point, 3 calls a step", "ddim", 2, False),
    ("fixed point, 4 calls a step", "ddim", 3, False),
    ("Anderson, 4 calls a step", "anderson", 3, False),
    ("Anderson, 5 calls a step", "anderson", 4, False),
    ("residuals", "residual", None, None),
    ("EDICT", "edict", None, None),
    ("edit-friendly DDPM", "edit_friendly", None, None),
)
FLOW_WAYS = (
    ("Euler", "ddim", 0, False),
    ("fixed point, 4 calls a step", "ddim", 3, False),
    ("Anderson, 4 calls a step", "anderson", 3, False),
    ("Anderson, 5 calls a step", "anderson", 4, False),
    ("midpoint (RF-Solver), no residuals", "midpoint", None, False),
    ("FireFlow, no residuals", "fireflow", None, False),
    ("residuals", "residual", None, None),
    ("midpoint with residuals", "midpoint", None, None),
    ("FireFlow with residuals", "fireflow", None, None),
    ("EDICT", "edict", None, None),
)


def climb(
    predict: Predict,
    z0: Tensor,
    schedule: NoiseSchedule,
    way: tuple[str, str, int | None, bool | None],
) -> fk.Trajectory:
    """Invert as a row of ``WAYS`` says."""
    _, method, refine, keep = way
    draws = torch.Generator().manual_seed(0) if method == "edit_friendly" else None
    return fk.invert(
        predict, z0, schedule, method=method, refine=refine, keep_residuals=keep, generator=draws
    )


def descend(predict: Predict, z: Tensor, way: fk.Trajectory) -> Tensor:
    """Sample along the trajectory if it can lead, plainly if it kept no residuals."""
    leads = way.states == 2 or way.residuals is not None or way.method in SECOND_ORDER
    return fk.sample(predict, z, way.schedule, trajectory=way if leads else None)


def counted(predict: Predict) -> tuple[Predict, Callable[[], int]]:
    """Pair a predictor that counts its calls with what tells the count."""
    calls = []

    def counting(z: Tensor, t: float | Tensor) -> Tensor:
        calls.append(t)
        return predict(z, t)

    return counting, lambda: len(calls)


def closed_forms() -> None:
    """Print the tables of the mixture, whose denoiser and velocity are exact."""
    draw = torch.Generator().manual_seed(0)
    templates = torch.randn(24, 4, 8, 8, generator=draw, dtype=torch.float64)
    denoisers = MixtureDenoiser(templates, 0.3), MixtureDenoiser(templates[:3], 0.3)
    z0 = templates[:8] + 0.3 * torch.randn(8, 4, 8, 8, generator=draw, dtype=torch.float64)
    edit = 1e-4 * torch.randn(8, 4, 8, 8, generator=draw, dtype=torch.float64)
    schedule = fk.Schedule.ddim(denoisers[0].noise, STEPS)
    closed_form(denoisers, (z0, edit), schedule, WAYS)
    print()
    flows = MixtureFlow(templates, 0.3), MixtureFlow(templates[:3], 0.3)
    levels = fk.FlowSchedule.euler(fk.FlowTable(shift=3.0), FLOW_STEPS)
    closed_form(flows, (z0, edit), levels, FLOW_WAYS)


def closed_form(
    predictors: tuple[Predict, Predict],
    drawn: tuple[Tensor, Tensor],
    schedule: NoiseSchedule,
    ways: tuple[tuple[str, str, int | None, bool | None], ...],
) -> None:
    """Print a table of latents and edits: the first predictor alone, then the second beyond it."""
    (every, some), steps = predictors, schedule.steps
    z0, edit = drawn
    print("| method | calls | rms at guidance 1 | rms at 7.5 | edit at the top: gain, cos |")
    print("|---|---|---|---|---|")
    for way in ways:
        predict, calls = counted(every)
        path = climb(predict, z0, schedule, way)
        back = descend(predict, path.at(steps), path)
        ratio = calls() / (2 * steps)
        strong = guided(some, every, 7.5)
        pushed = climb(strong, z0, schedule, way)
        far = median_rms(descend(strong, pushed.at(steps), pushed), z0)
        changed = (descend(every, path.edited(steps, edit), path) - z0).flatten(1)
        latent = path.at(steps)[: len(z0)]
        alike = way[1] if way[1] in SECOND_ORDER else "ddim"
        plain = [fk.sample(every, z, schedule, method=alike) for z in (latent, latent + edit)]
        truth = (plain[1] - plain[0]).flatten(1)
        gain = float((changed.norm(dim=1) / truth.norm(dim=1)).median())
        cosine = float(functional.cosine_similarity(changed, truth).median())
        near = median_rms(back, z0)
        print(f"| {way[0]} | {ratio:.3g} | {near:.1e} | {far:.1e} | {gain:.2f}, {cosine:.3f} |")


@torch.no_grad()
def embedded(scenes: int, steps: int = 25) -> None:
    """Print the table of held-out scenes on the shipped weights, the worst scene of each row."""
    started = time.process_time()
    backbone = fk.load_backbone("embedded", device="cpu")
    schedule = fk.Schedule.ddim(backbone.noise, steps)
    print(f"\n| method, {steps} steps, float32 | calls | dB to the VAE's picture |")
    print("|---|---|---|")
    subjects = [scene(1_000_001 + index, "landscape") for index in range(scenes)]
    for way in WAYS:
        likeness = []
        for subject in subjects:
            predict, calls = counted(backbone.predictor(backbone.embed(subject.caption())))
            latent = backbone.encode(fk.load_image(subject.image(64)))
            path = climb(predict, latent, schedule, way)
            back = descend(predict, path.at(steps), path)
            pictures = [crop(backbone.decode(z), 64, 64).clamp(-1, 1) for z in (back, latent)]
            likeness.append(float(psnr(*pictures)))
        ratio = calls() / (2 * steps)
        worst = min(likeness)
        print(f"| {way[0]} | {ratio:g} | {'equal' if worst == float('inf') else f'{worst:.1f}'} |")
    hashes = ", ".join(
        f"{name.partition('/')[0]} {of[:8]}" for name, of in backbone.weights.items()
    )
    seconds = time.process_time() - started
    print(f"\nheld-out landscapes: {scenes}, weights: {hashes}, {seconds:.0f} s of CPU time")


def median_rms(a: Tensor, b: Tensor) -> float:
    """Root mean square of each row, the median of the rows."""
    return float((a - b).square().mean((1, 2, 3)).sqrt().median())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--embedded", type=int, default=0, metavar="SCENES")
    arguments = parser.parse_args()
    closed_forms()
    if arguments.embedded:
        embedded(arguments.embedded)
