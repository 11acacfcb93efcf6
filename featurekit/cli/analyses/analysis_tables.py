"""What an analysis found, as a table for the terminal: rounded, its controls beside it."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from types import MappingProxyType
from typing import Any, TypeAlias

from featurekit.cli.tables import show

Figures: TypeAlias = Mapping[str, Any]
Table: TypeAlias = tuple[Sequence[str], Sequence[Sequence[str]]]
"""Titles, and rows of text."""

NAMES = MappingProxyType(
    {
        "network": "network",
        "random": "random weights",
        "pixels": "raw pixels",
        "position": "same place",
        "same_place": "same place",
    }
)
CHOICES = MappingProxyType(
    {
        "selected": "clusters (K-means)",
        "segments": "best segments",
        "equal": "control: equal spacing",
        "random": "control: random choice",
    }
)


def show_figures(name: str, figures: Figures) -> None:
    """Print what an analysis found.

    Args:
        name: of the analysis; see ``TABLES``.
        figures: what it measured.
    """
    for titles, rows in TABLES[name](figures):
        show(titles, rows)


def _timesteps(figures: Figures) -> list[Table]:
    chosen = {"selected": figures["timesteps"], "segments": figures["segment_timesteps"]}
    rows = [
        (CHOICES[choice], f"{away:.4g}", " ".join(map(str, chosen.get(choice, ()))))
        for choice, away in figures["distances"].items()
    ]
    knees = figures["knees"]
    return [
        (("timesteps chosen by", "mean distance", "timesteps"), rows),
        (
            ("rule for their number", "says"),
            [
                ("95 % of the fall", str(knees["share"])),
                ("furthest from the chord", str(knees["chord"])),
            ],
        ),
    ]


def _positions(figures: Figures) -> list[Table]:
    r2 = figures["r2"]
    rows = [
        (tap, *(f"{fmean(one[tap].values()):.2f}" for one in r2.values())) for tap in r2["network"]
    ]
    return [(("place told by a linear map, R2", *(NAMES[name] for name in r2)), rows)]


def _norms(figures: Figures) -> list[Table]:
    titles = ("tap", "median norm", "high above", "tokens high", "corners / inside", "massive")
    rows = [
        (
            tap,
            f"{one['median']:.3g}",
            f"{one['threshold']:.3g}",
            f"{one['high_share']:.2%}",
            "-" if one["corner_excess"] is None else f"{one['corner_excess']:.2f}",
            str(len(one["massive"])),
        )
        for tap, one in figures["taps"].items()
    ]
    return [(titles, rows)]


def _labels(figures: Figures) -> list[Table]:
    if "pictures" in figures:
        return [_own_labels(figures)]
    names = list(next(iter(figures["kinds"].values())))
    groups = {name: figures[name] for name in ("trained", "held_out") if name in figures}
    rows = [
        (kind.replace("_", " "), *(f"{row[name]:.2f}" for name in names))
        for kind, row in {**figures["kinds"], **groups}.items()
    ]
    return [(("intersection over union", *(NAMES[name] for name in names)), rows)]


def _own_labels(figures: Figures) -> Table:
    classes = list(figures["labelled"])
    rows = [
        (name, *(f"{row['shares'][one]:.1%}" for one in classes), f"{row['agreement']:.2f}")
        for name, row in figures["pictures"].items()
    ]
    given = ("(labelled by hand)", *(f"{share:.1%}" for share in figures["labelled"].values()))
    titles = ("picture", *(f"class {one}" for one in classes), "agreement")
    return titles, [(*given, ""), *rows]


def _pck(figures: Figures) -> list[Table]:
    found = {"network": figures, **figures["controls"]}
    titles = [f"points within {figures['alpha']:g} of the box", *(NAMES[name] for name in found)]
    rows = []
    for row in ("all", *figures["categories"]):
        one = {n: fig if row == "all" else fig["categories"][row] for n, fig in found.items()}
        shares = [fig["box"]["points"] for fig in one.values()]
        shares.append(one["network"]["same_place"]["points"])
        rows.append((row, *(f"{share:.1%}" for share in shares)))
    by_image = [f"{one['image']['points']:.1%}" for one in found.values()]
    rows.append(("all, by the picture", *by_image, "-"))
    return [((*titles, NAMES["same_place"]), rows)]


TABLES: Mapping[str, Callable[[Figures], list[Table]]] = MappingProxyType(
    {
        "timesteps": _timesteps,
        "positions": _positions,
        "norms": _norms,
        "labels": _labels,
        "pck": _pck,
    }
)
