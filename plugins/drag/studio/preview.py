"""The preview that follows the pointer: what the page lays by itself, and what it asks for."""

from itertools import count

import numpy as np
import torch
from torch import Tensor

from featurekit.images.io import image_to_pil
from featurekit.web.asked import Asked
from featurekit.web.pictures import encode
from featurekit.web.tab import Json, Reply
from featurekit_drag.plan.laying import SHARPER
from featurekit_drag.plan.preview import Preview
from featurekit_drag.studio.drags import Drags
from featurekit_drag.studio.place import Place


class Following:
    """Actions ``follow`` and ``exact``."""

    def __init__(self, place: Place) -> None:
        """Have nothing cut out yet."""
        self._place = place
        self._numbers = count(1)
        self._cut: tuple[Preview, int] | None = None

    def follow(self, asked: Asked) -> Reply:
        """Give the fields of a drag and, unless the page has them, its layers and their ground.

        The values are the number of the cut, which the page sends again as ``have``; width and
        height of its pictures; rows and columns of its fields; for each layer the kind of its
        field; and how alpha is sharpened. The parts: ``fields`` (layers rows columns 2) float32,
        from where a unit is read, in shares of the picture. ``texture`` and ``plate`` (height
        width 4) uint8, whose last channels say where the picture may change and where the plate
        is not the picture; ``alphas`` (layers height width) uint8.

        Raises:
            FeatureKitError: what is asked for cannot be, or the model cannot be used.
        """
        opened, drags = self._place.open(), Drags.read(asked)
        given = drags.given(self._place.masks, opened.picture)
        size = (opened.picture.height, opened.picture.width)
        mask = None if drags.mask is None else self._place.masks.tensor(drags.mask, size)
        cut = opened.session.cut(**given, mask=mask)
        number, shown = self._number(cut.shown), cut.shown
        grid, fields = shown.planner.grid, shown.fields(cut.request)
        units = torch.tensor([grid.width, grid.height])
        shifts = torch.stack([(back - grid.centres) / units for _, back in fields])
        parts = {"fields": shifts.numpy().astype("<f4").tobytes()}
        if asked.whole("have", 0) != number:
            parts |= {
                "texture": _bytes(shown.texture, shown.inside),
                "plate": _bytes(shown.plate, shown.left),
                "alphas": b"".join(_levels(one).tobytes() for one in shown.alphas),
            }
        height, width = shown.texture.shape[-2:]
        values = {
            "cut": number, "width": width, "height": height, "grid": [grid.height, grid.width],
            "kinds": [kind for kind, _ in fields], "sharper": SHARPER,
            "found": shown.found is None or shown.found.stands_out,
        }  # fmt: skip
        return Reply(values, parts)

    def exact(self, asked: Asked) -> Json:
        """Show a drag at full size, exactly as it is planned; gives the picture's address.

        Raises:
            FeatureKitError: as for ``follow``.
        """
        opened, drags = self._place.open(), Drags.read(asked)
        given = drags.given(self._place.masks, opened.picture)
        size = (opened.picture.height, opened.picture.width)
        mask = None if drags.mask is None else self._place.masks.tensor(drags.mask, size)
        found = opened.session.preview(**given, mask=mask, full=True)
        return {"picture": self._place.desk.show(*encode(image_to_pil(found)))}

    def _number(self, shown: Preview) -> int:
        if self._cut is None or self._cut[0] is not shown:
            self._cut = (shown, next(self._numbers))
        return self._cut[1]


def _bytes(image: Tensor, fourth: Tensor) -> bytes:
    """A picture (1 3 h w) in [-1, 1] and a mask (1 1 h w) in [0, 1] as bytes, (h w 4)."""
    levels = torch.cat([image.add(1).mul(0.5), fourth.to(image)], dim=1)
    return _levels(levels[0].permute(1, 2, 0)).tobytes()


def _levels(field: Tensor) -> np.ndarray:
    return field.mul(255).round().clamp(0, 255).to(torch.uint8).contiguous().numpy()
