"""Figures over many scenes, each with the interval that a bootstrap gives it."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any, TypeAlias

import torch
from torch import Tensor

from featurekit_drag.metrics.judges import JUDGES

Record: TypeAlias = Mapping[str, Any]
"""One scene dragged with one preset, as ``task=evaluate`` keeps it."""

RESAMPLES, SEED = 2000, 0
COVERED = 0.95  # share of the resamples that an interval holds


def interval(values: Sequence[float], figure: Callable[[Tensor], Tensor]) -> dict[str, float]:
    """A figure of some scenes, and how far it moves with the choice of scenes.

    Args:
        values: one a scene, at least one.
        figure: ``mean`` or ``median``: of the last axis of (..., n).

    Returns:
        ``value``, and ``low`` and ``high``, between which 95 % of the figures of 2,000 resamples
        of as many scenes lie; the resamples are the same for every row and on every machine.

    Source: the percentile bootstrap, Efron 1979, doi:10.1214/aos/1176344552.
    """
    seen = torch.tensor(values, dtype=torch.float64)
    generator = torch.Generator().manual_seed(SEED)
    picks = torch.randint(len(seen), (RESAMPLES, len(seen)), generator=generator)
    tails = torch.tensor([(1 - COVERED) / 2, (1 + COVERED) / 2], dtype=torch.float64)
    low, high = figure(seen[picks]).quantile(tails).tolist()
    return {"value": float(figure(seen)), "low": low, "high": high}


def mean(values: Tensor) -> Tensor:
    """Mean of the last axis."""
    return values.mean(dim=-1)


def median(values: Tensor) -> Tensor:
    """Median of the last axis, between the middle two of an even number."""
    return values.quantile(0.5, dim=-1)


def success(row: Record) -> float:
    """Share of the points of one edit that have arrived, mean of both judges, in [0, 1]."""
    return fmean(row["arrived"][judge] for judge in JUDGES)


def averages(records: Sequence[Record]) -> dict[str, Any]:
    """Figures over scenes by row: the edit, pictures on its way, controls, truth and floor.

    Args:
        records: of one preset, at least one.

    Returns:
        How many scenes and how long their moves, ``seconds`` of an edit where they are known, and
        in ``rows`` for each picture the scenes that have it, mean and median of ``mse_ratio``,
        mean ``success`` (see ``success``), ``arrived`` and ``error_share`` by judge, and in
        ``all_arrived`` the number of scenes whose every point both judges see arrive.
    """
    names = dict.fromkeys(name for record in records for name in record["scores"])
    lengths = [record["length_px"] for record in records]
    return {
        "scenes": len(records),
        "mean_move_px": fmean(lengths),
        "shortest_move_px": min(lengths),
        "seconds": fmean(record["seconds"] for record in records),
        "rows": {
            name: _row([one["scores"][name] for one in records if name in one["scores"]])
            for name in names
        },
    }


def by_kind(records: Sequence[Record]) -> dict[str, Any]:
    """The edit's figures by kind of scene: scenes, median MSE ratio, mean success."""
    kinds = dict.fromkeys(record["kind"] for record in records)
    groups = {k: [r["scores"]["edit"] for r in records if r["kind"] == k] for k in kinds}
    return {
        kind: {
            "scenes": len(rows),
            "mse_ratio": interval([row["mse_ratio"] for row in rows], median),
            "success": interval([success(row) for row in rows], mean),
        }
        for kind, rows in groups.items()
    }


def _row(rows: Sequence[Record]) -> dict[str, Any]:
    ratios, successes = [row["mse_ratio"] for row in rows], [success(row) for row in rows]
    return {
        "scenes": len(rows),
        "mse_ratio": {"mean": interval(ratios, mean), "median": interval(ratios, median)},
        "success": interval(successes, mean),
        "all_arrived": sum(share == 1 for share in successes),
        **{
            figure: {judge: fmean(row[figure][judge] for row in rows) for judge in JUDGES}
            for figure in ("arrived", "error_share")
        },
    }
