"""The tables of a data set: means of its samples' rows, in all and by category."""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

Record = Mapping[str, Any]

DISTANCES = {  # by the name of a figure: the protocol, whether each drag or each sample counts once
    "md_px": ("all", "drags"),
    "masked_md_px": ("mask", "drags"),
    "disc_md_x100": ("discs", "samples"),
}
LIKENESS = ("if", "if_outside", "mse_ratio", "lpips_truth")
PERCENT = 100.0  # the disc protocol is published times this
TOLD = {
    "md_px": "MD px",
    "masked_md_px": "masked MD px",
    "disc_md_x100": "disc MD x100",
    "if": "IF",
    "if_outside": "IF outside the mask",
    "mse_ratio": "MSE to the truth / nothing done",
    "lpips_truth": "LPIPS to the truth",
}


def tables(records: Sequence[Record]) -> dict[str, Any]:
    """Average records over all samples and over those of each category.

    Args:
        records: of the task, each with ``category``, ``lengths_px`` and the ``rows`` of
            ``benchmark_rows``; at least one.

    Returns:
        ``samples``, ``pairs``, ``mean_move_px``, ``rows`` by edit and the same by category in
        ``categories``. MD is pooled over all drags; its ``_std`` is the spread over the seeds.
    """
    names = sorted({record["category"] for record in records})
    of_each = {name: [one for one in records if one["category"] == name] for name in names}
    return {
        **_table(records),
        "categories": {name: _table(chosen) for name, chosen in of_each.items()},
    }


def _table(records: Sequence[Record]) -> dict[str, Any]:
    lengths = [length for record in records for length in record["lengths_px"]]
    edits = list(dict.fromkeys(name for record in records for name in record["rows"]))
    rows = {
        name: averages([record["rows"][name] for record in records if name in record["rows"]])
        for name in edits
    }
    return {
        "samples": len(records),
        "pairs": len(lengths),
        "mean_move_px": fmean(lengths),
        "rows": rows,
    }


def averages(rows: Sequence[Record]) -> dict[str, Any]:
    """Average the rows of one edit over samples.

    Args:
        rows: of ``benchmark_rows``, one for each sample.

    Returns:
        The figures of ``TOLD``, each None where no sample has it, a ``_std`` beside the distances
        (None of one seed), ``dai`` and ``dai_script`` by radius.
    """
    figures: dict[str, Any] = {}
    for name, (protocol, counted) in DISTANCES.items():
        known = [row[protocol] for row in rows if row[protocol] is not None]
        by_seed = [_mean(parts, counted) for parts in zip(*known, strict=True)]
        scale = PERCENT if counted == "samples" else 1.0
        figures[name] = scale * fmean(by_seed) if by_seed else None
        figures[f"{name}_std"] = scale * stdev(by_seed) if len(by_seed) > 1 else None
    for name in LIKENESS:
        known = [row[name] for row in rows if row[name] is not None]
        figures[name] = fmean(known) if known else None
    for name in ("dai", "dai_script"):
        radii = rows[0][name]
        figures[name] = {radius: fmean(row[name][radius] for row in rows) for radius in radii}
    return figures


def _mean(samples: Sequence[Sequence[float]], counted: str) -> float:
    """Mean of one seed's distances: of all drags alike, or of each sample's mean."""
    if counted == "samples":
        return fmean(fmean(sample) for sample in samples)
    return fmean(distance for sample in samples for distance in sample)


def as_markdown(table: Mapping[str, Any]) -> str:
    """Write tables as a page: every figure of all samples, and MD of each category."""
    radii = list(next(iter(table["rows"].values()))["dai"])
    titles = [*TOLD.values(), *(f"DAI {radius} px" for radius in radii)]
    lines = [_row(["row", *titles]), _rule(len(titles))]
    for name, row in table["rows"].items():
        cells = [_told(row, figure) for figure in TOLD]
        lines.append(_row([name, *cells, *(f"{row['dai'][radius]:.4f}" for radius in radii)]))
    edits = list(table["rows"])
    lines += ["", _row(["category", "samples", "drags", *(f"{one}: MD px" for one in edits)])]
    lines.append(_rule(len(edits) + 2))
    for name, part in {**table["categories"], "all": table}.items():
        cells = [_told(part["rows"][one], "md_px") if one in part["rows"] else "-" for one in edits]
        lines.append(_row([name, str(part["samples"]), str(part["pairs"]), *cells]))
    return "\n".join(lines) + "\n"


def _told(row: Record, figure: str) -> str:
    value, spread = row[figure], row.get(f"{figure}_std")
    if value is None:
        return "-"
    digits = 2 if figure in DISTANCES else 4
    return f"{value:.{digits}f}" + (f" ± {spread:.{digits}f}" if spread is not None else "")


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(columns: int) -> str:
    return "|" + "---|" * (columns + 1)
