"""The figures of published benchmarks for one drag of a data set: one row for each edit of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, TypeAlias

import torch
from torch import Tensor

from featurekit.core.metrics import mse
from featurekit.core.types import FeatureMap
from featurekit.diffusion.backbone import Backbone
from featurekit.features.extract import extract
from featurekit.features.noise_draws import seed_of
from featurekit.measures.perceptual.distances import Perceptual
from featurekit_drag.inputs import Subject
from featurekit_drag.metrics.image_fidelity import (
    fidelity_outside,
    image_fidelity,
    perceptual_distance,
)
from featurekit_drag.metrics.mean_distance import (
    discs,
    distances_of_sides,
    distances_px,
    found,
    similarities,
)
from featurekit_drag.metrics.patch_difference import RADII_PX, patch_difference

ENSEMBLE = 8  # noises averaged, as in DIFT and in DragBench's code

Look: TypeAlias = Callable[[Tensor, str, int], FeatureMap]
"""Features (1 c h w) of a picture (1 3 h w), with its prompt and the seed of the noise."""

EditOf: TypeAlias = Callable[[Subject], Tensor]
"""An edit (1 3 h w) of a subject's picture, of the same size."""

Row: TypeAlias = Mapping[str, Any]

CONTROLS: Mapping[str, EditOf] = MappingProxyType({"noop": lambda subject: subject.request.image})
"""Edits without a diffusion model that stand beside every other."""


@dataclass(frozen=True)
class BenchmarkJudge:
    """What the edits of a data set are judged by."""

    look: Look
    seed: int = 0
    seeds: int = 1  # how often features are read, with other noise; the spread is reported
    perceptual: Perceptual | None = None  # LPIPS; without it nothing that needs it is reported

    def seeds_of(self, name: str) -> list[int]:
        """Seeds of one sample, whatever other samples there are."""
        return [seed_of(self.seed + number, name) for number in range(self.seeds)]


def features_of(backbone: Backbone, tap: str, timestep: int) -> Look:
    """Read pictures as DIFT does: the mean of eight noised readings of the frozen backbone.

    Source: Tang et al. 2023 (DIFT), arXiv:2306.03881.
    """

    @torch.no_grad()
    def look(image: Tensor, prompt: str, seed: int) -> FeatureMap:
        maps = extract(
            backbone,
            image,
            taps=[tap],
            timesteps=[timestep],
            prompt=prompt,
            ensemble=ENSEMBLE,
            seed=seed,
        )
        seen = maps[tap, timestep]
        # in bfloat16 whole regions would tie for the best cosine
        return replace(seen, tensor=seen.tensor.float())

    return look


def benchmark_rows(
    subject: Subject,
    drag: EditOf,
    judge: BenchmarkJudge,
    controls: Mapping[str, EditOf] = CONTROLS,
) -> tuple[dict[str, Row], Tensor]:
    """Drag one sample and measure it beside its controls, and beside the truth where it is known.

    Args:
        subject: a sample.
        drag: what is measured.
        judge: by what.
        controls: further edits by name.

    Returns:
        Rows ``edit``, one for each control and, with a true picture, ``truth``; and the edit.
        Each row has ``all``, ``mask`` and ``discs`` (distances by seed and drag: px searched
        everywhere, px searched in the mask, shares of the sides searched in two discs), ``dai``
        and ``dai_script`` by radius, ``if``, ``if_outside``, ``mse_ratio`` and ``lpips_truth``;
        None is what cannot be said.
    """
    edit = drag(subject)
    edits = {"edit": edit, **{name: control(subject) for name, control in controls.items()}}
    if subject.truth is not None:
        edits["truth"] = subject.truth
    distances = _distances(subject, edits, judge)
    rows: dict[str, Row] = {
        name: {**distances[name], **_patches(subject, one), **_likeness(subject, one, judge)}
        for name, one in edits.items()
    }
    return rows, edit


def _distances(
    subject: Subject, edits: Mapping[str, Tensor], judge: BenchmarkJudge
) -> dict[str, dict[str, Any]]:
    """Distances of every edit by protocol, seed and drag."""
    request = subject.request
    mask = request.mask
    protocols = ("all", "discs") if mask is None else ("all", "mask", "discs")
    table: dict[str, dict[str, Any]] = {
        name: {"all": [], "mask": None if mask is None else [], "discs": []} for name in edits
    }
    near = discs(request.points, *request.image.shape[-2:])
    where = {"all": None, "mask": None if mask is None else mask[0], "discs": near}
    for seed in judge.seeds_of(subject.name):
        source = judge.look(request.image, request.prompt, seed)
        for name, edit in edits.items():
            same = torch.equal(edit, request.image)
            seen = source if same else judge.look(edit, request.prompt, seed)
            scores = similarities(source, seen, request.points.handles)
            for protocol in protocols:
                apart = _apart(scores, subject, protocol, where[protocol])
                table[name][protocol].append(apart)
    return table


def _apart(
    scores: Tensor, subject: Subject, protocol: str, candidates: Tensor | None
) -> list[float]:
    points = subject.request.points
    places = found(scores, points.handles, candidates)
    if protocol == "discs":
        apart: list[float] = distances_of_sides(places, points, *scores.shape[1:]).tolist()
    else:
        apart = distances_px(places, points).tolist()
    return apart


def _patches(subject: Subject, edit: Tensor) -> dict[str, dict[str, float]]:
    image, points = subject.request.image, subject.request.points
    dai = {
        str(radius): patch_difference(image, edit, points, radius_px=radius) for radius in RADII_PX
    }
    count = len(points.handles)
    return {"dai": dai, "dai_script": {radius: value / count for radius, value in dai.items()}}


def _likeness(subject: Subject, edit: Tensor, judge: BenchmarkJudge) -> dict[str, float | None]:
    """How like the source an edit is, and how like the truth."""
    request, lpips = subject.request, judge.perceptual
    kept = outside = to_truth = None
    if lpips is not None:
        kept = image_fidelity(request.image, edit, lpips)
        outside = fidelity_outside(request.image, edit, request.mask, lpips)
        if subject.truth is not None:
            to_truth = perceptual_distance(subject.truth, edit, lpips)
    ratio = error_ratio(subject, edit)
    return {"if": kept, "if_outside": outside, "mse_ratio": ratio, "lpips_truth": to_truth}


def error_ratio(subject: Subject, edit: Tensor) -> float | None:
    """MSE of an edit to the true picture over that of the source, where the picture may change.

    Returns:
        0 for the true picture, 1 for doing nothing; None where the truth is unknown, or is the
        source itself there.
    """
    request = subject.request
    if subject.truth is None:
        return None
    nothing = float(mse(request.image, subject.truth, mask=request.mask))
    return float(mse(edit, subject.truth, mask=request.mask)) / nothing if nothing else None
