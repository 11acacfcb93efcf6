"""What the page asks for: drags, pins, brushed regions, a mask; as a session and a run take it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from featurekit.core.errors import PointsError
from featurekit.web.asked import Asked
from featurekit.web.pictures import Picture
from featurekit_drag.engine.request import Region
from featurekit_drag.engine.settings import MODES
from featurekit_drag.studio.masks import Masks

MOST, MOST_REGIONS = 64, 16
LONGEST_KEY, HIGHEST_SEED = 40, 2**31 - 1


@dataclass(frozen=True)
class Drags:
    """What is to be done to a picture; regions and the mask by their keys."""

    points: tuple[tuple[float, ...], ...] = ()  # rows [x0, y0, x1, y1], px of the picture
    pins: tuple[tuple[float, ...], ...] = ()
    regions: tuple[tuple[str, float, float], ...] = ()
    mask: str | None = None
    mode: str = "auto"
    prompt: str = ""
    seed: int = 0

    @classmethod
    def read(cls, asked: Asked) -> "Drags":
        """Read what the page sent.

        Raises:
            ConfigError, UnknownNameError: a value is of another kind or out of range.
            PointsError: nothing is dragged.
        """
        points = tuple(rounded(row) for row in asked.rows("points", 4, most=MOST))
        regions = tuple(
            (
                one.text("mask", longest=LONGEST_KEY),
                *rounded((one.number("dx"), one.number("dy"))),
            )
            for one in asked.records("regions", most=MOST_REGIONS)
        )
        if not points and not regions:
            raise PointsError("there must be a drag, got none; press on the picture and pull")
        return cls(
            points,
            tuple(rounded(row) for row in asked.rows("pins", 2, most=MOST)),
            regions,  # type: ignore[arg-type]
            asked.text("mask", longest=LONGEST_KEY) if asked.has("mask") else None,
            asked.choice("mode", MODES, "auto"),
            asked.text("prompt", ""),
            asked.whole("seed", 0, low=0, high=HIGHEST_SEED),
        )

    def given(self, masks: Masks, picture: Picture) -> dict[str, Any]:
        """Arguments of ``Session.start`` and, with the mask, of ``Session.preview``.

        Raises:
            UnknownNameError: a mask is not there.
            MaskError: it is that of a picture of another size.
        """
        size = (picture.height, picture.width)
        return {
            "points": self.points,
            "pins": self.pins,
            "regions": tuple(
                Region(masks.tensor(key, size), torch.tensor([dx, dy], dtype=torch.float64))
                for key, dx, dy in self.regions
            ),
            "mode": None if self.mode == "auto" else self.mode,
        }

    def settings(self, masks: Masks) -> dict[str, Any]:
        """Settings of a run, below ``plugin.``, that asks for the same."""
        return {
            "points": [list(row) for row in self.points],
            "pins": [list(row) for row in self.pins],
            "regions": [[str(masks.file(key)), dx, dy] for key, dx, dy in self.regions],
            "mask": None if self.mask is None else str(masks.file(self.mask)),
            "mode": self.mode,
        }

    @classmethod
    def of_run(cls, config: Mapping[str, Any], masks: Masks) -> "Drags":
        """What a run's record says that was asked for; a mask that is gone is left out."""
        own = config["plugin"]
        regions = ((masks.key_of(file), dx, dy) for file, dx, dy in own["regions"])
        return cls(
            tuple(map(tuple, own["points"])),
            tuple(map(tuple, own["pins"])),
            tuple((key, dx, dy) for key, dx, dy in regions if key is not None),
            masks.key_of(own["mask"]),
            own["mode"],
            config["prompt"],
            config["seed"],
        )

    @property
    def told(self) -> dict[str, Any]:
        """As the page sent it."""
        return {
            "points": self.points,
            "pins": self.pins,
            "regions": [{"mask": key, "dx": dx, "dy": dy} for key, dx, dy in self.regions],
            "mask": self.mask,
            "mode": self.mode,
            "prompt": self.prompt,
            "seed": self.seed,
        }


def rounded(row: tuple[float, ...]) -> tuple[float, ...]:
    """To hundredths of a pixel, whole numbers as such, as a person would write them."""
    found = (round(value, 2) for value in row)
    return tuple(int(value) if value == int(value) else value for value in found)
