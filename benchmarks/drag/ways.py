"""Fit the network that says which way a dragged layer most likely follows its handles.

``python -m benchmarks.drag.ways OUT.safetensors [--each 16]`` makes moves of every mover of the
kinds that the embedded model knows, from seeds of the training's range. Each is planned in each of
its ways, once with the mask that shows it and once with one that is wider at random. The network
learns to prefer ways that come near the true picture. It sees figures of a way
(``featurekit_drag.plan.energy.Case``), neither the picture nor the name of a kind or mover.
"""

import argparse
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import featurekit as fk
from featurekit.diffusion.backbone import Backbone
from featurekit.scenes import KINDS, TRAINED_KINDS, Move, move
from featurekit_drag.config import warp_settings_of
from featurekit_drag.engine.masks import compose, feathered
from featurekit_drag.inputs import Subject, from_move
from featurekit_drag.metrics.scores import likeness
from featurekit_drag.plan.laying import Moved
from featurekit_drag.plan.warp_plan import WarpPlan
from featurekit_drag.presets import own_settings
from featurekit_drag.redraw.warp_drag import WarpDrag

FIRST_SEED = 20_000  # of the training's range, far from the held-out ones
TWO_CELLS = 0.125  # movers that cannot reach this far are left out, as in the evaluation
WIDEST = 7  # units by which each side of a wider mask lies outside at most
WORST = 1.3  # ratio above which a way is no worse
SOFT = 0.05  # ratio by which a way may be worse and is still as good a lesson at first
TRANSLATIONS = 1.5  # weight of a mover that keeps the shape
HIDDEN, NETWORKS, STEPS, RATE = 16, 3, 450, 2e-2
DECAY, NOISE, DROPPED = 1e-2, 0.08, 0.05


@dataclass(frozen=True)
class Lesson:
    """One move under one mask: figures of its ways and how far each is from the truth."""

    mover: str
    deforms: bool
    figures: dict[str, Tensor]  # (n,) each
    ratios: Tensor  # (n,) MSE to the truth over that of doing nothing


def main() -> None:
    """Make lessons, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--each", type=int, default=16, help="moves of each mover")
    asked = parser.parse_args()
    backbone = fk.load_backbone("embedded", device="cpu")
    drag = WarpDrag(backbone, warp_settings_of(own_settings("embedded")))
    found = [
        lesson
        for number, made in enumerate(moves(asked.each))
        for lesson in lessons(backbone, drag, made, Random(number))
    ]
    names = tuple(found[0].figures)
    save_file(fitted(found, names), asked.out, metadata={"figures": " ".join(names)})
    print(f"{len(found)} lessons of {len({one.mover for one in found})} movers: {asked.out}")


def moves(each: int) -> list[Move]:
    """Moves of every mover, from seeds one after the other."""
    movers = [(kind, one) for kind in TRAINED_KINDS for one in KINDS[kind].movers]
    able = [(kind, one) for kind, one in movers if one.reach >= TWO_CELLS]
    rows = [(kind, one.name) for kind, one in able for _ in range(each)]
    return [move(FIRST_SEED + i, kind, name=name) for i, (kind, name) in enumerate(rows)]


def lessons(backbone: Backbone, drag: WarpDrag, made: Move, rng: Random) -> list[Lesson]:
    """Plan a move in each of its ways, under its own mask and under a wider one."""
    subject = from_move(made, size=64, seed=0)
    planner = drag.planner(subject.request)
    found = []
    for mask in (subject.request.mask, _wider_mask(subject, rng)):
        assert mask is not None
        drags = planner.drags(subject.request)
        layer = planner.found(mask, drags)
        case = layer.choice.case(drags.targets)
        if len(case.ways) < 2:
            continue
        ratios = [
            _ratio(subject, WarpPlan(planner.grid, (moved,), mask, way.kind, True, False))
            for way in case.ways
            for moved in [Moved(layer.alpha, way.field(planner.grid, drags))]
        ]
        found.append(
            Lesson(f"{made.kind} {made.name}", made.deforms, case.figures, torch.tensor(ratios))
        )
    return found


def _wider_mask(subject: Subject, rng: Random) -> Tensor:
    """A wider box, (1 1 h w)."""
    request = subject.request
    assert request.mask is not None
    rows, columns = (request.mask[0, 0] > 0).nonzero(as_tuple=True)
    left, top, right, bottom = (rng.randint(0, WIDEST) for _ in range(4))
    wider = torch.zeros_like(request.mask)
    across = slice(max(0, int(columns.min()) - left), int(columns.max()) + 1 + right)
    wider[..., max(0, int(rows.min()) - top) : int(rows.max()) + 1 + bottom, across] = 1
    return wider


def _ratio(subject: Subject, plan: WarpPlan) -> float:
    image = subject.request.image
    laid = compose(plan.laid(image).picture.clamp(-1, 1), image, feathered(plan.inside, 2))
    ratio = likeness(laid, subject)
    assert ratio is not None
    return ratio


def fitted(found: list[Lesson], names: tuple[str, ...]) -> dict[str, Tensor]:
    """Several networks of one hidden layer as one whose answer is their mean."""
    most = max(len(one.ratios) for one in found)
    seen, ratios = torch.zeros(len(found), most, len(names)), torch.full((len(found), most), -1.0)
    for row, one in enumerate(found):
        count = len(one.ratios)
        seen[row, :count] = torch.stack([one.figures[name].float() for name in names], dim=1)
        ratios[row, :count] = one.ratios.clamp(max=WORST)
    there = ratios >= 0
    middle, spread = seen[there].mean(dim=0), seen[there].std(dim=0).clamp_min(1e-3)
    counts = Counter(one.mover for one in found)
    worth = [(1.0 if one.deforms else TRANSLATIONS) / counts[one.mover] for one in found]
    parts: dict[str, list[Tensor]] = {"hidden": [], "hidden_bias": [], "likely": []}
    for seed in range(NETWORKS):
        first, last = _fit((seen - middle) / spread, ratios, torch.tensor(worth), seed)
        weight = first.weight.detach() / spread
        parts["hidden"].append(weight)
        parts["hidden_bias"].append(first.bias.detach() - weight @ middle)
        parts["likely"].append(last.weight.detach()[0] / NETWORKS)
    return {name: torch.cat(one).contiguous() for name, one in parts.items()}


def _fit(seen: Tensor, ratios: Tensor, worth: Tensor, seed: int) -> tuple[nn.Linear, nn.Linear]:
    """Fit one network: first which ways are good, then the ratio that it would come to."""
    torch.manual_seed(seed)
    there, worth = ratios >= 0, worth / worth.sum()
    first, last = nn.Linear(seen.shape[-1], HIDDEN), nn.Linear(HIDDEN, 1)
    network = nn.Sequential(first, nn.Tanh(), nn.Dropout(DROPPED), last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    good = torch.softmax((-ratios / SOFT).masked_fill(~there, -1e9), dim=1)
    for step in range(STEPS):
        logits = network(seen + NOISE * torch.randn_like(seen))[..., 0].masked_fill(~there, -1e9)
        chosen = torch.log_softmax(logits, dim=1)
        lesson = -(worth * (good * chosen.masked_fill(~there, 0)).sum(dim=1)).sum()
        expected = (worth * (chosen.exp() * ratios.masked_fill(~there, 0)).sum(dim=1)).sum()
        late = min(1.0, 2 * step / STEPS)
        loss = (1.1 - late) * lesson + 5 * late * expected
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        slower.step()
    return first, last


if __name__ == "__main__":
    main()
