"""Published code of others beside ours, on the same weights, in turn, in one process.

python -m benchmarks.peers.beside_ours --dragdiffusion FOLDER --gooddrag FOLDER --dift FOLDER
python -m benchmarks.peers.beside_ours --diffsketch FOLDER --record docs/evidence/peers.json
python -m benchmarks.peers.beside_ours --rounds 1 --updates 6        # ours alone

Each FOLDER is a checkout that you have, no part of this repository; adapters are in ``adapters/``.
What is compared: an update of a dragged latent (handles pinned, so that each is the same work), a
picture's features, and counted alone the work of a step of learning a sketch style. Times are CPU
seconds of one thread, F is the counted work of one row through the network, attention included.
What cannot run on today's diffusers is left out here: the LoRA of the drags, whose work is repeated
by ``drag.py lora``.
"""

import argparse
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from statistics import median

import torch

import featurekit as fk
from benchmarks.drag.case import SIDES_PX, Case, case_of, settings, update
from benchmarks.peers.adapters import diff_sketch, dift, drag_diffusion, good_drag
from benchmarks.peers.sketch import step_work
from benchmarks.records.layouts import Record
from benchmarks.records.side_by_side import Marks, Seconds, Way, compared, flops, timed
from benchmarks.records.tables import measured, write_record

COLUMNS = (
    "",
    "way",
    {"title": "work, F", "format": ".2f"},
    {"title": "CPU ms", "format": ".3g"},
    "ratio to the first (least to greatest)",
)
TAP, UP_BLOCK, TIMESTEP = "up1", 1, 261
PICTURES, BATCH = 8, 8
Run = Callable[[int, Callable[[], object] | None], object]  # updates, what each look calls
Row = list[object]


def main(words: Sequence[str] | None = None) -> None:
    """Measure ours and what is given, and perhaps record the table.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    for peer in ("dragdiffusion", "gooddrag", "dift", "diffsketch"):
        parser.add_argument(f"--{peer}", metavar="FOLDER", help="its checkout")
    parser.add_argument("--model", choices=SIDES_PX, default="embedded")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--updates", type=int, default=12, help="of a round, a multiple of 3")
    parser.add_argument("--record", type=Path, help="write the table there, for evidence.py")
    asked = parser.parse_args(words)
    if asked.updates < 6 or asked.updates % good_drag.UPDATES_PER_TRACKING:
        parser.error(f"--updates must be a multiple of 3 from 6 on, got {asked.updates}")
    torch.set_num_threads(1)
    case = case_of(asked.model)
    with torch.no_grad():
        predict = case.backbone.predictor(case.conditioning)
        unit = flops(lambda: predict(case.latent(), TIMESTEP))
    rows, samples = [], {}
    tables = (_drags(case, asked, unit), _features(case, asked, unit))
    for title, (works, ways) in {k: v for one in tables for k, v in one.items()}.items():
        found = compared(title, ways, rounds=asked.rounds)
        rows += [*_rows(title, works, found)]
        samples[title] = {name: [one.cpu for one in own] for name, own in found.items()}
    rows += [["a step of learning a sketch style, SD 1.5's shape, 512 px", name, work, None, None]
             for name, work in step_work(asked.diffsketch).items()]  # fmt: skip
    for row in rows:
        print(*row)
    if asked.record:
        write_record(_record(rows, samples, asked), asked.record)


Tables = dict[str, tuple[dict[str, float], dict[str, Way]]]
"""By title: work in F and seconds, each by way."""


def _drags(case: Case, asked: argparse.Namespace, unit: int) -> Tables:
    """Updates: DragDiffusion's and GoodDrag's, each first of its own table."""
    published: dict[str, tuple[Run, str]] = {}
    if asked.dragdiffusion:
        theirs = drag_diffusion.Published(case, asked.dragdiffusion)
        installed = partial(theirs.installed, classic=False, frozen=False)
        published["DragDiffusion"] = (_within(installed, theirs.update, case), "published")
    else:
        published["DragDiffusion"] = (None, "published")
    if asked.gooddrag:
        other = good_drag.GoodDrag(case, asked.gooddrag)
        published["GoodDrag"] = (_within(other.installed, other.update, case), "gooddrag")
    else:
        published["GoodDrag"] = (None, "gooddrag")
    tables: Tables = {}
    for name, (run, preset) in published.items():
        runs: dict[str, Run] = {} if run is None else {f"{name}'s published code": run}
        runs[f"ours, preset of {name}"] = _ours(case, preset)
        runs["ours, outside frozen"] = _ours(case, f"{preset}+freeze")
        title = f"an update of {name}, {case.model} model, {case.side_px} px"
        works = {one: _per_update(run) / unit for one, run in runs.items()}
        tables[title] = works, {k: partial(_step, run, asked.updates) for k, run in runs.items()}
    return tables


def _within(installed: Callable, do: Callable, case: Case) -> Run:
    def run(count: int, mark: Callable[[], object] | None) -> None:
        with installed():
            do(case.latent(), count, mark)

    return run


def _ours(case: Case, preset: str) -> Run:
    return lambda count, mark: update(case, settings(case, preset, count), mark)


def _step(run: Run, updates: int) -> Seconds:
    mark = Marks()
    run(updates, mark)
    return mark.step(skip=2)


def _per_update(run: Run) -> float:
    """Operations of an update: what six take more than three."""
    three, six = (flops(partial(run, count, None)) for count in (3, 6))
    return (six - three) / 3


def _features(case: Case, asked: argparse.Namespace, unit: int) -> Tables:
    """Features of some pictures, DIFT's one picture after the other."""
    backbone, draw = case.backbone, torch.Generator().manual_seed(0)
    side = case.side_px
    images = [torch.rand(1, 3, side, side, generator=draw) * 2 - 1 for _ in range(PICTURES)]
    peer = dift.Featurizer(backbone, asked.dift) if asked.dift else None
    tables: Tables = {}
    for ensemble in (1, 8):
        recipe = fk.Recipe((TAP,), (TIMESTEP,), fk.Ensemble("mean", ensemble))

        def loop(ensemble: int = ensemble) -> None:
            for image in images:
                peer(image, t=TIMESTEP, up_block=UP_BLOCK, ensemble=ensemble)

        def single(ensemble: int = ensemble) -> None:
            for image in images:
                fk.extract(backbone, image, taps=TAP, timesteps=TIMESTEP, ensemble=ensemble)

        def together(recipe: fk.Recipe = recipe) -> None:
            batched = fk.Extractor(backbone, recipe, batch=BATCH)
            list(batched(fk.Sample(str(i), image) for i, image in enumerate(images)))

        runs: dict[str, Callable[[], None]] = (
            {} if peer is None else {"DIFT's published code": loop}
        )
        runs |= {"`fk.extract`": single, f"`fk.Extractor`, batch {BATCH}": together}
        title = f"{TAP} of a picture, {ensemble} noise(s), {case.model} model, {side} px"
        works = {name: flops(run) / unit / PICTURES for name, run in runs.items()}
        tables[title] = works, {k: partial(_each, run) for k, run in runs.items()}
    return tables


def _each(run: Callable[[], None]) -> Seconds:
    """Seconds for one of the pictures."""
    with torch.no_grad() if run.__name__ == "loop" else nullcontext():
        whole = timed(run)
    return Seconds(whole.wall / PICTURES, whole.cpu / PICTURES)


def _rows(
    title: str, works: Mapping[str, float], found: Mapping[str, Sequence[Seconds]]
) -> Iterator[Row]:
    first = [one.cpu for one in next(iter(found.values()))]
    for name, seconds in found.items():
        own = [one.cpu for one in seconds]
        ratios = [a / b for a, b in zip(own, first, strict=True)]
        told = f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        yield [title, name, works[name], 1e3 * median(own), told]


def _record(rows: Sequence[Row], samples: Mapping, asked: argparse.Namespace) -> Record:
    given = {
        "dragdiffusion": drag_diffusion.TESTED,
        "gooddrag": good_drag.TESTED,
        "dift": dift.TESTED,
        "diffsketch": diff_sketch.TESTED,
    }
    return measured(
        "python -m benchmarks.peers.beside_ours "
        "--dragdiffusion FOLDER --gooddrag FOLDER --dift FOLDER",
        COLUMNS,
        rows,
        settings={
            "model": asked.model,
            "rounds": asked.rounds,
            "updates": asked.updates,
            "checkouts": {peer: at for peer, at in given.items() if getattr(asked, peer)},
        },
        samples=samples,
    )


if __name__ == "__main__":
    warnings.filterwarnings("ignore")  # published code asks for CUDA where there is none
    main()
