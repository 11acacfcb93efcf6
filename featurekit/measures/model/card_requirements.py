"""What the embedded model has to show: the table of its card, number by number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from featurekit.core.errors import ConfigError
from featurekit.measures.held_out import GROUPS
from featurekit.measures.points.correspondence import BEST_OF

SHARE, DB, MB = "{:.1%}", "{:.1f} dB", "{:.1f} MB"


@dataclass(frozen=True)
class Row:
    """A line of the table: where its number is recorded and what is asked of it."""

    label: str
    kinds: str
    path: tuple[str, ...]  # keys into the figures
    unit: str
    must: float | None = None
    aim: float | None = None
    most: bool = False  # the number must stay at or below ``must``

    def verdict(self, value: float) -> str:
        """Say whether what is asked for was reached; nothing where nothing is asked."""
        if self.must is None:
            return ""
        if self._reaches(value, self.must):
            return "aim" if self.aim is not None and self._reaches(value, self.aim) else "met"
        return "**missed**"

    def _reaches(self, value: float, bound: float) -> bool:
        return value <= bound if self.most else value >= bound

    def asked(self, bound: float | None) -> str:
        """The bound as it is printed."""
        return "" if bound is None else ("<= " if self.most else ">= ") + self.unit.format(bound)


def _path(text: str) -> tuple[str, ...]:
    return tuple(text.split("."))


PAIRS = BEST_OF.replace("+", " and ")
ROWS = (
    Row("autoencoder, PSNR", "trained", _path("reconstruction.trained.psnr"), DB, 35, 38),
    Row("the same", "held out", _path("reconstruction.held_out.psnr"), DB),
    Row("the same, foreground", "trained", _path("reconstruction.trained.psnr_foreground"), DB),
    Row("inversion and back, PSNR", "trained", _path("inversion.trained.psnr"), DB, 45, 50),
    Row("the same", "held out", _path("inversion.held_out.psnr"), DB),
    Row(
        "named points matched, best up block",
        PAIRS,
        ("correspondence", "best", "network", BEST_OF),
        SHARE,
        0.88,
        0.95,
    ),
    Row("the same", "trained", _path("correspondence.best.network.trained"), SHARE),
    Row("the same", "held out", _path("correspondence.best.network.held_out"), SHARE),
    Row(
        "control: a UNet with random weights",
        PAIRS,
        ("correspondence", "best", "random", BEST_OF),
        SHARE,
        0.25,
        most=True,
    ),
    Row(
        "control: patches of raw pixels",
        PAIRS,
        ("correspondence", "best", "pixels", BEST_OF),
        SHARE,
    ),
    Row("control: the same position", PAIRS, ("correspondence", "position", BEST_OF), SHARE),
    Row(
        "named points that stand elsewhere",
        PAIRS,
        ("correspondence", "moved", "network", BEST_OF),
        SHARE,
    ),
    Row("the same", "trained", _path("correspondence.moved.network.trained"), SHARE),
    Row(
        "control: a UNet with random weights",
        PAIRS,
        ("correspondence", "moved", "random", BEST_OF),
        SHARE,
        0.25,
        most=True,
    ),
    Row(
        "line drawings from one example, F1",
        "trained",
        _path("sketch.line_f1"),
        "{:.3f}",
        0.9,
        0.95,
    ),
    Row("control: tuned edges, F1", "trained", _path("sketch.edge_f1"), "{:.3f}", 0.75, most=True),
    Row("CLIP, caption found among 64", "trained", _path("clip.retrieval"), SHARE, 0.85, 0.95),
    Row(
        "samples of the right class and colour, by the CLIP",
        "trained",
        _path("samples.trained.samples.clip"),
        SHARE,
        0.9,
    ),
    Row(
        "samples of the right colours, by their pixels",
        "trained",
        _path("samples.trained.samples.colour"),
        SHARE,
        0.9,
    ),
    Row(
        "control: one colour of the caption exchanged",
        "trained",
        _path("samples.trained.samples.colour_control"),
        SHARE,
    ),
    Row("true pictures by the CLIP", "trained", _path("samples.trained.true.clip"), SHARE),
    Row("true pictures by their pixels", "trained", _path("samples.trained.true.colour"), SHARE),
    Row("size of the diffusion model", "", _path("size.diffusion_mb"), MB, 25, most=True),
    Row("size of the CLIP", "", _path("size.clip_mb"), MB, 12, most=True),
)
"""The table; a record without one of its numbers makes no card."""

BY_KIND = {  # column -> where it is, with the kind's name for "*"
    "autoencoder": (_path("reconstruction.kinds.*.psnr"), "{:.1f}"),
    "worst": (_path("reconstruction.kinds.*.psnr_min"), "{:.1f}"),
    "foreground": (_path("reconstruction.kinds.*.psnr_foreground"), "{:.1f}"),
    "inversion": (_path("inversion.kinds.*.psnr"), "{:.1f}"),
    "points": (_path("correspondence.best.network.*"), "{:.0%}"),
    "random UNet": (_path("correspondence.best.random.*"), "{:.0%}"),
    "raw pixels": (_path("correspondence.best.pixels.*"), "{:.0%}"),
    "same position": (_path("correspondence.position.*"), "{:.0%}"),
    "samples' colours": (_path("samples.kinds.*.samples.colour"), "{:.0%}"),
    "samples by the CLIP": (_path("samples.kinds.*.samples.clip"), "{:.0%}"),
}


def refuse_gaps(figures: Mapping[str, Any]) -> None:
    """Raise ConfigError, naming each number of the table that was not measured."""
    asked = [row.path for row in ROWS]
    asked += [of_kind(path, kind) for path, _ in BY_KIND.values() for kind in kinds()]
    gaps = [".".join(path) for path in asked if _value(figures, path) is None]
    if gaps:
        raise ConfigError(
            f"a model card must have every number of its table, got none for {', '.join(gaps)}; "
            f"measure them first"
        )


def _value(figures: Mapping[str, Any], path: Sequence[str]) -> float | None:
    found: Any = figures
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    usable = isinstance(found, int | float) and not isinstance(found, bool) and isfinite(found)
    return float(found) if usable else None


def number(figures: Mapping[str, Any], path: Sequence[str]) -> float:
    """A number of the figures once ``refuse_gaps`` has let them pass."""
    return _value(figures, path) or 0.0


def kinds() -> list[str]:
    """All kinds, trained ones first."""
    return [kind for members in GROUPS.values() for kind in members]


def of_kind(path: Sequence[str], kind: str) -> tuple[str, ...]:
    """A path of ``BY_KIND`` for one kind."""
    return tuple(kind if key == "*" else key for key in path)
