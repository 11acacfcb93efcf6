"""How each kind of record is laid out as a table of a page.

No command. ``cells`` are rows as a script wrote them; of all others the record holds ``metrics``,
as the ``run.json`` of a run has them, or the figures of an analysis.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from featurekit.cli.analyses.analysis_tables import CHOICES, TABLES
from featurekit_drag.tasks.evaluate_table import NAMES, overall
from featurekit_sketch.metrics.figures import means

Record: TypeAlias = Mapping[str, Any]
"""What ``tables.py`` says of records."""

DRAG_PRESETS = {
    "drag_warp": "the plan alone, its hole filled smoothly",
    "drag_fast": "one reading, one redraw of 4 steps",
    "drag_balanced": "the default: four readings, four candidates",
    "drag_best": "eight candidates of 25 steps; turned and scaled things settled",
}
DRAG_CONTROLS = ("shifted_copy", "noop", "vae_floor")
SKETCH_ROWS = {  # by what the task calls them
    "sketch": "**ours**",
    "vae alone": "the autoencoder's maps alone",
    "random unet": "UNet of random weights",
    "paper's network and sum": "the paper's network and sum, at 64 px and enlarged",
    "as released": "the same as its released code computes it",
    "tuned edges": "tuned edge map",
    "XDoG": "XDoG",
    "blank paper": "blank paper",
    "all black": "all black",
}
ONCE = ("XDoG", "all black")  # the same in every style but for the truth
SKETCH_FIGURES = {
    "ssim": ("SSIM", ".2f"),
    "f1": ("F1", ".3f"),
    "f1_exact": ("F1 exact", ".3f"),
    "pearson": ("Pearson", ".2f"),
    "ink": ("ink", ".3f"),
    "grey": ("grey", ".2f"),
}
DRAWN = "face"  # the kind of scene whose drawing is learnt


def cells(record: Record) -> str:
    """Rows as they are, numbers in the format of their column; None is an empty cell."""
    columns = [one if isinstance(one, dict) else {"title": one} for one in record["columns"]]
    formats = [one.get("format", "") for one in columns]
    rows = [
        ["" if cell is None else cell if isinstance(cell, str) else format(cell, form)
         for cell, form in zip(row, formats, strict=True)]
        for row in record["rows"]
    ]  # fmt: skip
    return laid([one["title"] for one in columns], rows)


def drag_scenes(record: Record) -> str:
    """The table that ``task=evaluate`` of drags writes itself."""
    return overall(record["metrics"])


def drag_presets(record: Record) -> str:
    """Each preset and control: MSE ratio and success of the two sorts, CPU seconds of both."""
    sorts = [record["metrics"][sort] for sort in ("translations", "deformations")]
    rows = []
    for preset, what in DRAG_PRESETS.items():
        found = [sort[preset] for sort in sorts]
        seconds = ", ".join(f"{one['seconds']:.2f}" for one in found)
        rows.append([f"`{preset}`", what, *_ratios(found, "edit"), seconds])
    any_preset = [next(iter(sort.values())) for sort in sorts]
    rows += [["", NAMES[row], *_ratios(any_preset, row), ""] for row in DRAG_CONTROLS]
    heads = ["`experiment=`", "what", "translations: MSE ratio mean, median, success",
             "deformations", "CPU s a drag"]  # fmt: skip
    return laid(heads, rows)


def _ratios(found: Sequence[Mapping[str, Any]], row: str) -> Iterator[str]:
    for one in (sort["rows"][row] for sort in found):
        ratio, success = one["mse_ratio"], one["success"]
        shares = f"{ratio['mean']['value']:.2f}, {ratio['median']['value']:.2f}"
        yield f"{shares}, {success['value']:.0%}"


def sketch_scenes(record: Record) -> str:
    """Every style and row, faces beside the other kinds."""
    titles = [title for title, _ in SKETCH_FIGURES.values()]
    heads = ["style", "row", f"{DRAWN}s: {titles[0]}", *titles[1:], f"other kinds: {titles[0]}"]
    return laid([*heads, *titles[1:]], [*_sketch_rows(record["metrics"]["held_out"])])


def sketch_kinds(record: Record) -> str:
    """F1 of lines by kind of scene, ours beside the edge map."""
    held_out = record["metrics"]["held_out"]
    kinds = list(next(iter(held_out.values()))["sketch"])
    rows = [
        [style, *(f"{rows['sketch'][k]['f1']:.2f} / {rows['tuned edges'][k]['f1']:.2f}"
                  for k in kinds)]
        for style, rows in held_out.items()
    ]  # fmt: skip
    return laid(["line F1 by kind, ours / tuned edge map", *kinds], rows)


def analysis(record: Record) -> str:
    """The table that an analysis prints itself; the second of some is left to those who run it."""
    titles, rows = TABLES[record["of"]](record["metrics"])[0]
    return laid(titles, rows)


def analysed_runs(record: Record) -> str:
    """How well each choice of timesteps stands for runs, a row for each kind of latents."""
    found = record["metrics"]
    titles = [CHOICES[choice] for choice in next(iter(found.values()))["distances"]]
    rows = [
        [source, str(len(one["timesteps"])), str(one["knees"]["chord"]),
         *(f"{away:.2f}" for away in one["distances"].values())]
        for source, one in found.items()
    ]  # fmt: skip
    return laid(["latents", "chosen", "the chord rule says", *titles], rows)


def sketch_ablations(record: Record) -> str:
    """The whole method, then each that lacks one thing; edges, which no setting changes, once."""
    found = dict(record["metrics"])
    rows = {"whole": found.pop("whole"), **found}
    named = {f"`{name}`": kinds["sketch"] for name, kinds in rows.items()}
    named["edges at their best"] = rows["whole"]["edges"]
    titles = ["SSIM", "F1", "ink"]
    heads = ["", f"{DRAWN}s: {titles[0]}", *titles[1:], f"other kinds: {titles[0]}", *titles[1:]]
    return laid(heads, [[name, *_against_true(kinds)] for name, kinds in named.items()])


def _against_true(kinds: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """SSIM, F1 and the share of the true ink, of faces and of the other kinds."""
    for some in ([DRAWN], [kind for kind in kinds if kind != DRAWN]):
        side = means(kinds, some)
        yield from (f"{side['ssim']:.3f}", f"{side['f1']:.3f}")
        yield f"{side['ink'] / side['ink_true']:.2f}"


LAYOUTS: Mapping[str, Callable[[Record], str]] = {
    "cells": cells,
    "analysis": analysis,
    "analysed-runs": analysed_runs,
    "drag-scenes": drag_scenes,
    "drag-published": drag_scenes,
    "drag-presets": drag_presets,
    "sketch-scenes": sketch_scenes,
    "sketch-kinds": sketch_kinds,
    "sketch-ablations": sketch_ablations,
}
AGAIN = {"drag-presets": "drag-scenes", "sketch-kinds": "sketch-scenes"}
"""Tables that lay out the record of another anew, by their own names."""


def laid(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table in Markdown."""
    lines = [titles, *rows]
    head, *rest = ("|" + "|".join(f" {cell} " if cell else " " for cell in one) + "|\n"
                   for one in lines)  # fmt: skip
    return "".join([head, "|" + "---|" * len(titles) + "\n", *rest])


def table(name: str, records: Mapping[str, Record]) -> str:
    """Lay out a table by its name."""
    record = records[AGAIN.get(name, name)]
    return LAYOUTS[name if name in AGAIN else record["layout"]](record)


def _sketch_rows(held_out: Mapping[str, Any]) -> Iterator[list[str]]:
    seen: set[str] = set()
    for style, rows in held_out.items():
        sides = {
            row: [means(kinds, [DRAWN]), means(kinds, [kind for kind in kinds if kind != DRAWN])]
            for row, kinds in rows.items()
        }
        true = ", ".join(f"{side['ink_true']:.3f}" for side in next(iter(sides.values())))
        for row, title in SKETCH_ROWS.items():
            if row in sides and not (row in ONCE and row in seen):
                seen.add(row)
                found = [format(side[name], form) for side in sides[row]
                         for name, (_, form) in SKETCH_FIGURES.items()]  # fmt: skip
                yield [f"{style} (true ink {true})", title, *found]
