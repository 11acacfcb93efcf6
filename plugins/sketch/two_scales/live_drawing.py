"""What networks that are still learning draw, for whoever looks on."""

import torch
from torch import Tensor

from featurekit_sketch.two_scales.course import Taught
from featurekit_sketch.two_scales.drawer import TwoScaleDrawer
from featurekit_sketch.two_scales.network import TwoScaleNetwork
from featurekit_sketch.two_scales.reading import TwoScaleMaps, TwoScaleReader
from featurekit_sketch.working_size import resized, size_of, working_size

KEPT = 4  # pictures whose maps are kept, since the same few are looked at again


class LiveDrawing:
    """Draws as the moving means of the weights draw now, which no step of a training changes.

    A picture is read once: what is read does not change while the networks learn.
    """

    def __init__(self, reader: TwoScaleReader, taught: Taught, side_px: int, made_of: str) -> None:
        """Draw nothing yet.

        Args:
            reader: of pictures.
            taught: the networks, and their means.
            side_px: of a square picture at the size that the style works at.
            made_of: lines or tones.
        """
        means = [one for one in taught.means if isinstance(one, TwoScaleNetwork)]
        self._drawer = TwoScaleDrawer.of_networks(reader, means, side_px, made_of)
        self._read: dict[int, tuple[Tensor, TwoScaleMaps]] = {}  # with the picture, which holds it

    @torch.no_grad()
    def __call__(self, image: Tensor) -> Tensor:
        """Draw a picture (1 3 h w) in [-1, 1], (1 c h w) in [0, 1] on the CPU."""
        size = size_of(image)
        work = working_size(size, self._drawer.side_px)
        if id(image) not in self._read:
            if len(self._read) == KEPT:
                self._read.pop(next(iter(self._read)))
            self._read[id(image)] = (image, self._drawer.reader(resized(image, work)))
        return self._drawer.draw(self._read[id(image)][1], work, size)
