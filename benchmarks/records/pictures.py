"""The pictures that the pages show; ``evidence.py --pictures`` draws them. No command."""

import re
from collections.abc import Mapping

from PIL import Image

from benchmarks.records.commands import PICTURES, folder_of, ran
from benchmarks.records.tables import ROOT, pages

FOLDER = ROOT / "docs" / "pictures"
SHOWN = re.compile(r"!\[[^\]]*\]\((?:[\w./]*/)?pictures/([\w./]+)\)")
REDUCED: Mapping[str, tuple[str, str]] = {  # a run's own picture as a JPEG: the run, the picture
    "drag_scenes.jpg": ("drag-scenes", "sheet_drag_balanced.png"),
}
JPEG_WIDTH, JPEG_QUALITY = 1000, 80


def shown() -> set[str]:
    """Names of the pictures that the pages show, from docs/pictures on."""
    return {name for text in pages().values() for name in SHOWN.findall(text)}


def listed() -> str:
    """What draws each picture, a line for each."""
    made = {name: f"python {command}" for name, command in PICTURES.items()}
    made |= {name: f"{picture} of the run {run}" for name, (run, picture) in REDUCED.items()}
    return "\n".join(f"{name}: {how}" for name, how in sorted(made.items()))


def draw(name: str, given: Mapping[str, str]) -> None:
    """Draw a picture anew.

    Args:
        name: of the picture, such as ``drag_first.png``.
        given: as of ``ran``.

    Raises:
        SystemExit: nothing draws it, it lacks what it is made of, or its command fails.
    """
    if name in REDUCED:
        run, picture = REDUCED[name]
        with Image.open(folder_of(run) / picture) as found:
            image = found.convert("RGB")
        image.thumbnail((JPEG_WIDTH, image.height))
        image.save(FOLDER / name, quality=JPEG_QUALITY)
        return
    if name not in PICTURES:
        raise SystemExit(f"nothing draws {name!r}; of pictures there are:\n{listed()}")
    ran(name, PICTURES[name], given)
