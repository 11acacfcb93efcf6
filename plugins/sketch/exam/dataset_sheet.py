"""The first pictures of a data set, none chosen, beside what is drawn of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from PIL import Image
from torch import Tensor

from featurekit.core.atomic import make_folder
from featurekit.images.io import image_to_pil, load_image, write_image
from featurekit.images.pictures import contact_sheet
from featurekit_sketch.datasets.items import Pair
from featurekit_sketch.exam.contenders import Contender, content_of

SHOWN, TILE_PX = 6, 256  # pictures; the longer side of each
LEFT_OUT = ("blank paper", "all black")  # rows that need no picture


@dataclass(eq=False)
class DatasetSheet:
    """Collects small pictures; what took long to draw is kept at full size in a folder."""

    contenders: Sequence[Contender]
    learnt: Sequence[Contender]  # those of them whose drawings are kept
    folder: Path
    _rows: dict[str, dict[str, Image.Image]] = field(default_factory=dict)

    def add(self, name: str, pair: Pair) -> None:
        """Take in a picture, if it is one of the first.

        Raises:
            OutputError: a drawing cannot be written.
        """
        if len(self._rows) >= SHOWN:
            return
        style = next(iter(pair.drawings))
        row = {"picture": _tile(pair.image), style: _tile(_paper(pair.drawings[style][0]))}
        for one in self.contenders:
            if one.meets(style) and one.row not in LEFT_OUT:
                row[one.row] = _tile(self._drawn(one, pair))
        self._rows[name] = row

    def picture(self) -> Image.Image:
        """The sheet: a column for each row of the table; of each picture its first style."""
        titles = list(dict.fromkeys(title for row in self._rows.values() for title in row))
        rows = {name: [row.get(title) for title in titles] for name, row in self._rows.items()}
        return contact_sheet(rows, titles)

    def _drawn(self, one: Contender, pair: Pair) -> Tensor:
        if one not in self.learnt:
            return _paper(one.ink(pair.image))
        facts = f"{one.row} {one.identity} {content_of(pair)}"
        path = self.folder / f"{one.row}-{sha256(facts.encode()).hexdigest()[:12]}.png"
        if not path.exists():
            make_folder(self.folder)
            write_image(_paper(one.ink(pair.image)), path)
        return load_image(path)


def _paper(ink: Tensor) -> Tensor:
    """Ink (1 1 h w) as a picture (1 3 h w) in [-1, 1]."""
    return (2 * ink - 1).expand(-1, 3, -1, -1)


def _tile(image: Tensor) -> Image.Image:
    picture = image_to_pil(image)
    picture.thumbnail((TILE_PX, TILE_PX), Image.Resampling.LANCZOS)
    return picture
