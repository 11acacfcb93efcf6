"""The model card: what was measured, beside what had to be reached. It makes no number up."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from featurekit.core.atomic import make_folder, replacing
from featurekit.core.errors import ConfigError
from featurekit.core.json_files import write_json
from featurekit.images.io import write_image
from featurekit.measures.held_out import GROUPS
from featurekit.measures.model.card_requirements import (
    BY_KIND,
    PAIRS,
    ROWS,
    kinds,
    number,
    of_kind,
    refuse_gaps,
)
from featurekit.measures.points.correspondence import BEST_OF

PAGE = "embedded-model.md"
PICTURES = "pictures/embedded"  # below the folder of the page
BYTES_PER_MB = 1e6
WIDEST_PX, COLOURS = 1200, 256  # of a picture on the page
TOLD = ("samples", "seconds", "started")  # of every stage
NOT_DRAWN = ("samples", "seconds")  # keys of a history that are no figures


def write_card(
    record: Mapping[str, Any],
    pictures: Mapping[str, Image.Image],
    *,
    docs: Path,
    training: Path,
) -> Path:
    """Write the model card, its pictures and the record it was made from.

    Everything is checked before anything is written, each file is replaced as a whole, and the
    page comes last: whoever stops this finds an old page whose pictures are whole.

    Args:
        record: ``recipe`` (the recipe's fields), ``stages`` (by name: ``samples``, ``seconds``,
            ``started`` and ``history``) and ``figures`` (by measure; see ``demands.ROWS``).
        pictures: by the stem of their file.
        docs: folder of the page; the pictures go to ``PICTURES`` below it.
        training: file of the record.

    Returns:
        The page.

    Raises:
        ConfigError: a number of the table is missing from the record.
        OutputError: a file cannot be written.
    """
    long = [name for name in _part(record, "stages") if _told_twice(record, name)]
    told = {f"training_{name}": name for name in long}
    text = page(record, sorted({*pictures, *told}))
    drawn = dict(pictures)
    for stem, name in told.items():
        drawn[stem] = curves(record["stages"][name]["history"], title=name)
    folder = make_folder(docs / PICTURES)
    for stem, picture in drawn.items():
        write_image(light(picture), folder / f"{stem}.png")
    make_folder(training.parent)
    write_json(record, training)
    with replacing(docs / PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return docs / PAGE


def light(picture: Image.Image) -> Image.Image:
    """A picture for a page that is kept in a repository: no wider than is read, of few colours."""
    scale = min(1.0, WIDEST_PX / picture.width)
    size = (round(picture.width * scale), round(picture.height * scale))
    smaller = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    return smaller.quantize(COLOURS, dither=Image.Dither.NONE)


def page(record: Mapping[str, Any], stems: Sequence[str]) -> str:
    """Word the card.

    Args:
        record: as for ``write_card``.
        stems: of the pictures to show.

    Returns:
        Markdown.

    Raises:
        ConfigError: a number of the table is missing from the record.
    """
    figures = _part(record, "figures")
    refuse_gaps(figures)
    best = figures["correspondence"]["best"]
    parts = [
        "# The embedded model",
        "A small latent diffusion model of Stable Diffusion's shape, made of stock classes and "
        "trained on the package's own procedural, captioned scenes. It is there so that everything "
        "can be tried, tested and measured at once and without a network. It knows "
        f"{_listed(GROUPS['trained'])} and nothing else: it is no model of photographs.",
        "`training.json` beside the weights holds every number of this page.",
        "## How it was trained",
        *_training(record),
        "## What it shows",
        "All scenes are of held-out seeds. `trained` are the kinds of scene that it was trained "
        f"on, `held out` are kinds that it has never seen ({_listed(GROUPS['held_out'])}).",
        _table(("figure", "kinds", "measured", "must", "aim", ""), _rows(figures)),
        f"A named point is matched if the nearest feature lies within "
        f"{figures['correspondence']['within']:.0%} of the side from the truth. The best choice, "
        f"made on {PAIRS}, is `{best['network']['choice']}` of the network, "
        f"`{best['random']['choice']}` of random weights and `{best['pixels']['choice']}` px of "
        "raw pixels.",
        "### By kind",
        _table(("kind", *BY_KIND), _kind_rows(figures)),
        "Decibels, then shares of named points, then shares of samples.",
        "### By up block and timestep",
        _table(("features", PAIRS, "trained", "held out"), _choice_rows(figures)),
        "## Pictures",
        *(f"![{_words(stem)}]({PICTURES}/{stem}.png)\n\n{_words(stem)}" for stem in stems),
    ]
    return "\n\n".join(parts) + "\n"


def curves(history: Sequence[Mapping[str, float]], *, title: str) -> Image.Image:
    """Plot every figure of a training's history against the samples seen, one panel each.

    Args:
        history: records with ``samples`` and figures; a figure may be missing from some.
        title: which training.
    """
    names = [name for name in dict.fromkeys(k for r in history for k in r) if name not in NOT_DRAWN]
    figure = Figure(figsize=(3.6 * max(1, len(names)), 3.0), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for place, name in enumerate(names):
        told = [record for record in history if name in record]
        axes = figure.add_subplot(1, len(names), place + 1, title=f"{title}: {_words(name)}")
        axes.plot([r["samples"] for r in told], [r[name] for r in told], ".-")
        axes.set_xlabel("samples seen")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def folder_mb(folder: Path) -> float:
    """Size of all files of a folder, MB of 1e6 bytes."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / BYTES_PER_MB


def _rows(figures: Mapping[str, Any]) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for row in ROWS:
        value = number(figures, row.path)
        shown = row.unit.format(value)
        bounds = (row.asked(row.must), row.asked(row.aim))
        found.append((row.label, row.kinds, shown, *bounds, row.verdict(value)))
    return found


def _kind_rows(figures: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (kind, *(u.format(number(figures, of_kind(path, kind))) for path, u in BY_KIND.values()))
        for kind in kinds()
    ]


def _choice_rows(figures: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows = []
    for name in ("network", "random", "pixels"):
        for choice, shares in figures["correspondence"].get(name, {}).items():
            cells = (f"{shares[row]:.1%}" for row in (BEST_OF, *GROUPS))
            rows.append((f"{name}, {choice}", *cells))
    return rows


def _training(record: Mapping[str, Any]) -> list[str]:
    recipe, stages = _part(record, "recipe"), _part(record, "stages")
    shape = [(_words(key), str(value)) for key, value in recipe.items() if key not in stages]
    rows = [(name, *_told(name, told)) for name, told in stages.items()]
    return [
        _table(("shape", ""), shape),
        _table(("network", "samples seen", "hours", "started from"), rows),
    ]


def _told(name: str, stage: Mapping[str, Any]) -> tuple[str, ...]:
    missing = [key for key in TOLD if key not in stage]
    if missing:
        raise ConfigError(
            f"stage {name!r} of a model card must tell {', '.join(TOLD)}, "
            f"got no {', '.join(missing)}"
        )
    samples, seconds, started = (stage[key] for key in TOLD)
    return f"{samples:,.0f}", f"{seconds / 3600:.1f}", str(started)


def _told_twice(record: Mapping[str, Any], name: str) -> bool:
    """Whether there is enough history for a curve."""
    return len(record["stages"][name].get("history", ())) > 1


def _part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = record.get(name)
    if not isinstance(part, Mapping):
        raise ConfigError(f"a model card's record must have {name}, got {', '.join(record)}")
    return part


def _words(name: str) -> str:
    return name.replace("_", " ")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
