"""What comes back of an inversion, by method: errors, calls of the network, answers to edits.

    python -m benchmarks.model.inversion               # a denoiser and a flow in closed form
    python -m benchmarks.model.inversion --embedded 3  # and three held-out landscapes, real weights
    python -m benchmarks.model.inversion --only flow   # one of denoiser, flow, embedded

Prints the tables of docs/inversion.md as one, or one of them; half a minute a scene on one core.
"""

import argparse
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

import featurekit as fk
from benchmarks.records.recording import recorded, recorded_to, typed
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
SCENES = 3
EDIT_RMS = 1e-4  # of an edit at the top: where a method's own error is larger it says nothing
REACH_DB, REACH_CALLS = 58, 2.5  # of the embedded model
ON = {
    "denoiser": "exact denoiser, {} steps, float64",
    "flow": "exact velocity of a flow, {} steps, float64",
    "embedded": "embedded model, {} steps, float32",
}
COLUMNS = (
    "on",
    "method",
    {"title": "calls, of plain DDIM's", "format": ".3g"},
    {"title": "rms at guidance 1", "format": ".1e"},
    {"title": "rms at 7.5", "format": ".1e"},
    "edit at the top: gain, cos",
    "dB to the autoencoder's picture, least of the scenes",
    f"at least {REACH_DB} dB with at most {REACH_CALLS} times the calls",
)
SETTINGS = {
    "mixture": "24 normals in 256 dimensions, 8 latents, medians", "spacing": "leading, offset 1",
    "flow_shift": 3.0, "edit_rms": EDIT_RMS, "seed": 0,
}  # fmt: skip
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


def closed_forms(kinds: Sequence[str]) -> list[list[object]]:
    """Rows of the mixture, whose denoiser and velocity are exact."""
    draw = torch.Generator().manual_seed(0)
    templates = torch.randn(24, 4, 8, 8, generator=draw, dtype=torch.float64)
    z0 = templates[:8] + 0.3 * torch.randn(8, 4, 8, 8, generator=draw, dtype=torch.float64)
    edit = EDIT_RMS * torch.randn(8, 4, 8, 8, generator=draw, dtype=torch.float64)
    rows: list[list[object]] = []
    if "denoiser" in kinds:
        denoisers = MixtureDenoiser(templates, 0.3), MixtureDenoiser(templates[:3], 0.3)
        schedule = fk.Schedule.ddim(denoisers[0].noise, STEPS)
        rows += closed_form(denoisers, (z0, edit), schedule, WAYS)
    if "flow" in kinds:
        flows = MixtureFlow(templates, 0.3), MixtureFlow(templates[:3], 0.3)
        levels = fk.FlowSchedule.euler(fk.FlowTable(shift=3.0), FLOW_STEPS)
        rows += closed_form(flows, (z0, edit), levels, FLOW_WAYS)
    return rows


def closed_form(
    predictors: tuple[Predict, Predict],
    drawn: tuple[Tensor, Tensor],
    schedule: NoiseSchedule,
    ways: tuple[tuple[str, str, int | None, bool | None], ...],
) -> list[list[object]]:
    """Rows of latents and edits: the first predictor alone, then the second beyond it."""
    (every, some), steps = predictors, schedule.steps
    z0, edit = drawn
    kind = "denoiser" if isinstance(every, MixtureDenoiser) else "flow"
    rows: list[list[object]] = []
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
        answer = f"{gain:.2f}, {cosine:.3f}" if near < EDIT_RMS else "drowned in the error"
        rows.append(
            [ON[kind].format(steps), way[0], ratio, near or "0", far or "0", answer, "", ""]
        )
        print(*rows[-1], flush=True)
    return rows


@torch.no_grad()
def embedded(scenes: int, steps: int = 25) -> tuple[list[list[object]], dict[str, list[str]]]:
    """Rows of held-out scenes on the shipped weights, and the likeness of each scene in dB."""
    backbone = fk.load_backbone("embedded", device="cpu")
    schedule = fk.Schedule.ddim(backbone.noise, steps)
    rows: list[list[object]] = []
    every: dict[str, list[str]] = {}
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
        told = ["equal" if one == float("inf") else f"{one:.1f}" for one in likeness]
        worst = min(likeness)
        held = "yes" if worst >= REACH_DB and ratio <= REACH_CALLS else "no"
        decibel = told[likeness.index(worst)]
        rows.append([ON["embedded"].format(steps), way[0], ratio, None, None, "", decibel, held])
        every[way[0]] = told
        print(*rows[-1], flush=True)
    return rows, every


def median_rms(a: Tensor, b: Tensor) -> float:
    """Root mean square of each row, the median of the rows."""
    return float((a - b).square().mean((1, 2, 3)).sqrt().median())


def main(words: Sequence[str] | None = None) -> None:
    """Measure what is asked for.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--embedded", type=int, default=0, metavar="SCENES")
    parser.add_argument("--only", choices=tuple(ON), help="one of the tables")
    recorded_to(parser)
    asked = parser.parse_args(words)
    kinds = [asked.only] if asked.only else ["denoiser", "flow"]
    scenes = asked.embedded or (SCENES if asked.only == "embedded" else 0)
    rows, samples, settings = closed_forms(kinds), {}, dict(SETTINGS)
    if scenes and asked.only in (None, "embedded"):
        more, samples = embedded(scenes)
        rows += more
        weights = fk.load_backbone("embedded", device="cpu").weights
        settings |= {"scenes": scenes, "weights": {name: of[:8] for name, of in weights.items()}}
    places = [place for place in range(len(COLUMNS)) if any(row[place] not in ("", None)
              for row in rows) and not (asked.only and place == 0)]  # fmt: skip
    recorded(
        asked.record, typed("model.inversion", words), [COLUMNS[place] for place in places],
        [[row[place] for place in places] for row in rows], settings=settings, samples=samples,
    )  # fmt: skip


if __name__ == "__main__":
    main()
