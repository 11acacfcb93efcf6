"""The table of a data set: means over its pictures, for every style and row."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from featurekit_sketch.metrics.several import Against, mean_of

PEOPLE = "people"  # the row of each person against the others
DIGITS = 3


class Table:
    """Collects figures picture by picture; holds numbers alone."""

    def __init__(self) -> None:
        """Begin without any picture."""
        self._rows: dict[str, dict[str, list[Against]]] = {}
        self._people: dict[str, list[int]] = {}

    def add(self, people: Mapping[str, int], rows: Mapping[str, Mapping[str, Against]]) -> None:
        """Take in a picture.

        Args:
            people: how many drawings it has in each style.
            rows: figures by row, then style.
        """
        for style, count in people.items():
            self._people.setdefault(style, []).append(count)
        for row, found in rows.items():
            for style, figures in found.items():
                self._rows.setdefault(style, {}).setdefault(row, []).append(figures)

    def means(self) -> dict[str, Any]:
        """By style: ``pictures``, ``people`` (drawings of a picture in the mean) and ``rows``.

        A row has ``mean`` over a picture's drawings and ``best``; ``pictures`` beside them where
        it is of fewer than the style has.
        """
        return {
            style: {
                "pictures": len(counts),
                "people": fmean(counts),
                "rows": {row: _row(found, len(counts)) for row, found in self._rows[style].items()},
            }
            for style, counts in self._people.items()
        }


def _row(found: Sequence[Against], pictures: int) -> dict[str, Any]:
    fewer = {} if len(found) == pictures else {"pictures": len(found)}
    return {**mean_of(found), **fewer}


def as_markdown(styles: Mapping[str, Any]) -> str:
    """Write a table for each style; where pictures have several drawings, the best F1 as well."""
    parts = []
    for style, table in styles.items():
        several = table["people"] > 1
        names = list(next(iter(table["rows"].values()))["mean"])
        titles = [*names, *(["best f1"] if several else [])]
        lines = [
            _told(f"**{style}**", table),
            "",
            _cells(["row", *titles]),
            "|" + "---|" * (len(titles) + 1),
        ]
        for row, figures in table["rows"].items():
            values = [figures["mean"][name] for name in names]
            values += [figures["best"]["f1"]] if several else []
            of = f" ({figures['pictures']} pictures)" if "pictures" in figures else ""
            lines.append(_cells([row + of, *(f"{value:.{DIGITS}f}" for value in values)]))
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def summary_lines(styles: Mapping[str, Any]) -> list[str]:
    """For the terminal: of each style SSIM, F1 and the share of ink, a line for each row."""
    lines = []
    for style, table in styles.items():
        true = next(iter(table["rows"].values()))["mean"]["ink_true"]
        lines.append(f"{_told(style, table)}, true ink {true:.1%}")
        for row, figures in table["rows"].items():
            one = figures["mean"]
            lines.append(
                f"  {row}: SSIM {one['ssim']:.3f}, F1 {one['f1']:.3f}, ink {one['ink']:.1%}"
            )
    return lines


def _told(style: str, table: Mapping[str, Any]) -> str:
    return f"{style}: {table['pictures']} pictures, {table['people']:.3g} drawings of each"


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
