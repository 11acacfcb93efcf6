"""What draws: the network of a style, a student that learnt from it, or a mix of several."""

from typing import Protocol

from torch import Tensor

from featurekit.core.types import Progress, silent


class Drawer(Protocol):
    """Draws pictures of any size."""

    @property
    def told(self) -> str:
        """How pictures are read, in words, for the record of a run."""

    @property
    def part_px(self) -> int:
        """Side of the square pictures that are drawn in one part, px."""

    def parts(self, height: int, width: int) -> int:
        """Count the parts that a picture is drawn in; each takes about as long as any other."""

    def __call__(self, image: Tensor, *, progress: Progress = silent) -> Tensor:
        """Draw a picture at its own size.

        Args:
            image: (1 3 h w) in [-1, 1], any size.
            progress: told after each part.

        Returns:
            Ink, (1 c h w) in [0, 1] on the CPU, white paper is 1; c is 1, and 3 in colour.
        """
