"""Drag beside DragDiffusion's published code: an update, a whole edit, a step of the LoRA fit.

python -m benchmarks.peers.drag update --published FOLDER
python -m benchmarks.peers.drag edit --published FOLDER --lora --updates 40
python -m benchmarks.peers.drag flops | lora | memory ...
python -m benchmarks.peers.drag edit --rounds 1 --updates 2    # ours alone

FOLDER is a checkout of DragDiffusion (ebe659a9), no part of this repository; without it only our
ways run, and ratios are to the first of them. Both run on the same weights, in turn, one thread.
"""

import argparse
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from diffusers import DDPMScheduler
from torch.nn import functional

from benchmarks.drag.case import (
    SIDES_PX,
    Case,
    as_layers,
    case_of,
    edit,
    fitted,
    presets,
    settings,
    update,
)
from benchmarks.peers.adapters.drag_diffusion import Published
from benchmarks.records.recording import ratios, recorded, recorded_to, rounds_of, spread, typed
from benchmarks.records.side_by_side import (
    Calls,
    Marks,
    Seconds,
    Stages,
    Way,
    compared,
    flops,
    middle,
    peak_mib,
    timed,
)
from featurekit.backbones.lora import LoraRecipe, applied, fit_lora
from featurekit.diffusion.denoising_objective import denoising_objective

Run = Callable[[int, Callable[[], object] | None], object]  # updates, what each look calls
OURS = {"published preset (mask term)": "published", "frozen outside": "published+freeze"}
TIMESTEP = 681


def main(words: Sequence[str] | None = None) -> None:
    """Measure what is asked for.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    parser = _arguments()
    asked = parser.parse_args(words)
    if asked.record and (asked.what != "edit" or asked.count):
        parser.error("--record must go with edit, timed: other measures are printed alone")
    asked.command = typed("peers.drag", words)
    torch.set_num_threads(asked.threads)
    case = case_of(asked.model, asked.side)
    published = Published(case, asked.published) if asked.published else None
    {"update": updates, "edit": edits, "flops": counted, "lora": lora, "memory": memory}[
        asked.what
    ](case, published, asked)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=("update", "edit", "flops", "lora", "memory"))
    parser.add_argument("--published", metavar="FOLDER", help="a checkout of DragDiffusion")
    parser.add_argument("--model", choices=SIDES_PX, default="embedded")
    parser.add_argument("--side", type=int, help="of the picture in px; by model if not given")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--updates", type=int, default=12, help="of an edit; or of a round")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ways", type=int, nargs="*", help="update, flops, memory: these alone")
    parser.add_argument(
        "--presets",
        type=presets,
        default="published,default,default+no_animation",
        help="of edit: published or default, with +freeze, +no_animation",
    )
    parser.add_argument(
        "--lora", action="store_true", help="edit with a LoRA, each as its code has it"
    )
    parser.add_argument("--count", action="store_true", help="edit: count work, measure no time")
    parser.add_argument("--batch", type=int, default=4, help="of a LoRA step")
    parser.add_argument("--cold", action="store_true", help="edit: no round before the first")
    recorded_to(parser)
    return parser


def _about(case: Case) -> str:
    return f"{case.model} {case.side_px} px, {torch.get_num_threads()} thread(s)"


def _ways(case: Case, published: Published | None, asked: argparse.Namespace) -> dict[str, Run]:
    """Every way to update a latent, by name."""

    def theirs(classic: bool, frozen: bool) -> Run:
        def run(count: int, mark: Callable[[], object] | None) -> None:
            with published.installed(classic=classic, frozen=frozen):
                published.update(case.latent(), count, mark)

        return run

    def ours(preset: str) -> Run:
        return lambda count, mark: update(case, settings(case, preset, count), mark)

    ways: dict[str, Run] = {}
    if published is not None:
        ways["published code, classic attention (as without LoRA)"] = theirs(True, False)
        ways["published code, fused attention"] = theirs(False, False)
        ways["published code, fused attention, weights frozen"] = theirs(False, True)
    ways |= {f"ours, {name}": ours(preset) for name, preset in OURS.items()}
    if asked.ways is None:
        return ways
    if not set(asked.ways) <= set(range(len(ways))):
        raise SystemExit(f"--ways must be of 0 to {len(ways) - 1}: {', '.join(ways)}")
    return {name: ways[name] for number, name in enumerate(ways) if number in asked.ways}


def updates(case: Case, published: Published | None, asked: argparse.Namespace) -> None:
    """Time updates: the median of each run, its first ones left out."""

    def one(run: Run) -> Seconds:
        mark = Marks()
        run(asked.updates, mark)
        return mark.step(skip=1 if asked.updates < 4 else 2)

    ways: dict[str, Way] = {
        name: partial(one, run) for name, run in _ways(case, published, asked).items()
    }
    compared(f"one drag update, {_about(case)}", ways, rounds=asked.rounds)


def counted(case: Case, published: Published | None, asked: argparse.Namespace) -> None:
    """Count the work of an update and of the network, in forwards of one row."""
    backbone = case.backbone
    predict = backbone.predictor(case.conditioning)
    with torch.no_grad():
        unit = flops(lambda: predict(case.latent(), TIMESTEP))
        print(f"F = {unit / 1e9:.4g} GFLOP, a forward of one row; {_about(case)}")
        for rows in (2, 5, 9, 10):
            many = flops(partial(predict, case.latent(rows), TIMESTEP))
            print(f"  forward of {rows} rows: {many / unit:.3f} F")
        for name, do in {
            "encode": lambda: backbone.encode(case.image),
            "decode": lambda: backbone.decode(case.latent()),
        }.items():
            print(f"  VAE {name}: {flops(do) / unit:.3f} F")
    for name, run in _ways(case, published, asked).items():
        none, first = (flops(partial(run, count, None)) for count in (0, 1))
        print(f"  {name}: {(first - none) / unit:.3f} F an update, before it {none / unit:.3f} F")


def edits(case: Case, published: Published | None, asked: argparse.Namespace) -> None:
    """Time a whole edit with as many updates as are asked for, and its stages."""
    found: dict[str, list[dict[str, Seconds]]] = {}
    weights = fitted(case, LoraRecipe(steps=1, batch=2)) if asked.lora else None

    def adapted(way: Callable[..., AbstractContextManager]) -> AbstractContextManager:
        return nullcontext() if weights is None else way(case.backbone.unet, weights)

    def clocked(name: str, run: Callable[[Stages], object]) -> Seconds:
        stages = Stages()
        whole = timed(partial(run, stages))
        found.setdefault(name, []).append(stages.found)
        return whole

    def theirs() -> Seconds:
        with adapted(as_layers), published.installed(classic=False, frozen=False):
            return clocked("published code", partial(published.edit, asked.updates))

    def ours(preset: str) -> Seconds:
        with adapted(applied):
            run = partial(edit, case, settings(case, preset, asked.updates))
            return clocked(f"ours, {preset}", run)

    ways: dict[str, Way] = {} if published is None else {"published code": theirs}
    ways |= {f"ours, {name}": partial(ours, name) for name in asked.presets}
    if asked.count:
        _count_edits(case, ways)
        return
    title = f"whole edit, {asked.updates} updates, LoRA {'applied' if asked.lora else 'none'}"
    times = compared(
        f"{title}, {_about(case)}", ways, rounds=asked.rounds, unit="s", warm=not asked.cold
    )
    stages = {name: found[name][-asked.rounds :] for name in times}  # the warm one is left out
    _record_edits(case, asked, times, stages)


def _record_edits(
    case: Case,
    asked: argparse.Namespace,
    times: Mapping[str, list[Seconds]],
    stages: Mapping[str, list[dict[str, Seconds]]],
) -> None:
    """Tell whole edits and their stages as a table."""
    first = next(iter(times.values()))
    seen = list(dict.fromkeys(stage for runs in stages.values() for stage in runs[0]))
    columns = ["", *({"title": title, "format": ".2f"} for title in ("CPU s", "s by the wall")),
               "ratio of CPU s to the first, median (least to greatest)",
               *({"title": f"{stage}, CPU s", "format": ".2f"} for stage in seen)]  # fmt: skip
    rows: list[list[object]] = []
    for name, own in times.items():
        runs = stages[name]
        parts = [middle([run[stage] for run in runs]).cpu if stage in runs[0] else None
                 for stage in seen]  # fmt: skip
        rows.append([name, middle(own).cpu, middle(own).wall, spread(ratios(own, first)), *parts])
    settings = {
        "model": case.model,
        "side_px": case.side_px,
        "updates": asked.updates,
        "rounds": asked.rounds,
        "lora": asked.lora,
        "warm": not asked.cold,
        "handles": "pinned",
        "published": "DragDiffusion ebe659a9" if asked.published else "left out",
    }
    recorded(
        asked.record, asked.command, columns, rows, settings=settings, samples=rounds_of(times)
    )  # fmt: skip


def _count_edits(case: Case, ways: Mapping[str, Way]) -> None:
    """Print work, calls and rows of each edit."""
    with torch.no_grad():
        predict = case.backbone.predictor(case.conditioning)
        unit = flops(lambda: predict(case.latent(), TIMESTEP))
    for name, way in ways.items():
        with Calls(case.backbone.unet) as seen:
            total = flops(way)
        print(f"| {name} | {total / unit:.1f} F | {seen.calls} calls | {seen.rows} rows |")


def lora(case: Case, published: Published | None, asked: argparse.Namespace) -> None:
    """Time a step of the LoRA fit with our objective and with that of the published code.

    The work of the published loop is done by its lines here, on our layers of the same rank at the
    same places: its own cannot be put on a network of today's diffusers.
    """
    backbone, states = case.backbone, case.conditioning.states
    with torch.no_grad():
        moments = backbone.moments(case.image)
    noise = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")

    def theirs(generator: torch.Generator) -> torch.Tensor:
        images = case.image.repeat(asked.batch, 1, 1, 1)
        z = backbone.vae.encode(images).latent_dist.sample() * backbone.vae.config.scaling_factor
        eps = torch.randn_like(z)
        t = torch.randint(0, 1000, (asked.batch,)).long()
        given = states.repeat(asked.batch, 1, 1)
        seen = backbone.unet(noise.add_noise(z, eps, t), t, given).sample
        return functional.mse_loss(seen.float(), eps.float())

    objectives = {
        "the published work": theirs,
        "ours": denoising_objective(backbone, moments, case.conditioning, asked.batch),
    }

    def fit(name: str, steps: int, mark: Marks) -> None:
        recipe = LoraRecipe(batch=asked.batch, steps=steps)
        draw = torch.Generator().manual_seed(0)
        fit_lora(backbone.unet, objectives[name], recipe=recipe, generator=draw, progress=mark)

    def one(name: str) -> Seconds:
        mark = Marks()
        fit(name, asked.updates, mark)
        return mark.step()

    with torch.no_grad():
        unit = flops(lambda: backbone.predictor(case.conditioning)(case.latent(), TIMESTEP))
    for name in objectives:
        print(f"{name}: {flops(partial(fit, name, 1, Marks())) / unit:.3f} F a step")
    title = f"a step of the LoRA fit, batch {asked.batch}, {_about(case)}"
    compared(title, {name: partial(one, name) for name in objectives}, rounds=asked.rounds)


def memory(case: Case, published: Published | None, asked: argparse.Namespace) -> None:
    """Tell the most memory that two updates in one way take; a process for each way."""
    name, run = next(iter(_ways(case, published, asked).items()))
    loaded = peak_mib()
    run(2, None)
    print(f"{name}: {peak_mib():.0f} MiB at most, {loaded:.0f} when loaded; {_about(case)}")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")  # the published code asks for CUDA where there is none
    main()
