"""``featurekit scenes``: contact sheets of the procedural world."""

import sys
from collections.abc import Sequence

from PIL import Image

from featurekit.cli.options import ScenesOptions
from featurekit.core.atomic import make_folder, replacing
from featurekit.core.errors import ConfigError
from featurekit.images.io import write_image
from featurekit.images.marks import arrows, handles, marked, targets
from featurekit.images.pictures import contact_sheet
from featurekit.pipeline.overrides import fill
from featurekit.scenes import KINDS, Move, move, scene
from featurekit.scenes.drawings import STYLES

MARKED_PX = 384  # side of a picture with marks, so that they are finer than its pixels


def main(words: Sequence[str]) -> int:
    """Write ``kinds.png``, ``moves.png`` and ``captions.txt``.

    Args:
        words: overrides of ``ScenesOptions``.

    Returns:
        The exit code, 0.

    Raises:
        FeatureKitError: the words are wrong, or the results cannot be written.
    """
    options = fill(ScenesOptions, words)
    if not 1 <= options.count <= 12:
        raise ConfigError(f"count must be 1 to 12 scenes of every kind, got {options.count}")
    kinds, moves = _kinds(options), _moves(options)
    out = make_folder(options.out)
    written = [write_image(kinds, out / "kinds.png"), write_image(moves, out / "moves.png")]
    with replacing(out / "captions.txt") as temporary:
        temporary.write_text(_captions(options), encoding="utf-8")
    sys.stdout.write("".join(f"{path}\n" for path in [*written, out / "captions.txt"]))
    return 0


def _kinds(options: ScenesOptions) -> Image.Image:
    """Every kind's pictures, then the last one's foreground and drawings."""
    rows: dict[str, list[Image.Image | None]] = {}
    for kind in KINDS:
        scenes = [scene(options.seed + i, kind) for i in range(options.count)]
        last, size = scenes[-1], options.size
        drawn = [last.drawing(size, style) for style in STYLES]
        pictures = [one.image(size) for one in scenes]
        rows[kind] = [*pictures, last.foreground(size).convert("RGB"), *drawn]
    numbers = [str(options.seed + i) for i in range(options.count)]
    return contact_sheet(rows, [*numbers, "foreground", *STYLES])


def _moves(options: ScenesOptions) -> Image.Image:
    """Every kind's moves in turn, before with what is dragged where, and after."""
    rows: dict[str, list[Image.Image | None]] = {}
    for kind, record in KINDS.items():
        rows[kind] = []
        for i in range(options.count):
            mover = record.movers[i % len(record.movers)]
            made = move(options.seed + i, kind, name=mover.name)
            rows[kind] += [_marked(made, options.size), _enlarged(made.after.image(options.size))]
    titles = [title for _ in range(options.count) for title in ("before", "after")]
    return contact_sheet(rows, titles)


def _marked(made: Move, size: int) -> Image.Image:
    drags = [(*handle, *target) for handle, target in made.drags_px(size)]
    tile = _enlarged(made.before.image(size))
    starts = [drag[:2] for drag in drags]
    return marked(tile, MARKED_PX / size, arrows(drags), targets(drags), handles(starts))


def _enlarged(picture: Image.Image) -> Image.Image:
    return picture.resize((MARKED_PX, MARKED_PX), Image.Resampling.NEAREST)


def _captions(options: ScenesOptions) -> str:
    lines = []
    for kind in KINDS:
        for i in range(options.count):
            one = scene(options.seed + i, kind)
            lines.append(f"{kind} {one.seed}: {one.caption()}\n")
    return "".join(lines)
