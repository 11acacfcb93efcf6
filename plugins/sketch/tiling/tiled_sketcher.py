"""Pictures of any size, drawn by the network of a style in overlapping tiles."""

from dataclasses import dataclass

from torch import Tensor

from featurekit.core.types import Progress, silent
from featurekit_sketch.settings import Tiling
from featurekit_sketch.tiling.tiles import tiled, windows
from featurekit_sketch.training.sketcher import Sketcher


@dataclass(frozen=True, eq=False)
class TiledSketcher:
    """A ``Drawer``."""

    sketcher: Sketcher
    tiling: Tiling

    @property
    def told(self) -> str:
        """How pictures are read, in words."""
        return self.sketcher.reader.schedule.told

    @property
    def part_px(self) -> int:
        """Side of a tile."""
        return self.tiling.side_px

    def parts(self, height: int, width: int) -> int:
        """Count the tiles of a picture."""
        side, overlap = self.tiling.side_px, self.tiling.overlap_px
        rows, columns = (windows(px, tile=side, overlap=overlap) for px in (height, width))
        return len(rows) * len(columns)

    def __call__(self, image: Tensor, *, progress: Progress = silent) -> Tensor:
        """Draw a picture (1 3 h w) in [-1, 1] of any size, (1 1 h w) in [0, 1] on the CPU."""
        side, overlap = self.tiling.side_px, self.tiling.overlap_px
        return tiled(self.sketcher, image, tile=side, overlap=overlap, progress=progress)
