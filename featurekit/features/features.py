"""A feature map that can be looked at and asked: pictures, matches, other grids."""

from dataclasses import dataclass, replace
from io import BytesIO
from math import gcd
from typing import final

import torch
from PIL import Image

from featurekit.core import fields
from featurekit.core.errors import PointsError, ShapeError
from featurekit.core.fields import ResizeMode
from featurekit.core.shapes import expect
from featurekit.core.types import FeatureMap
from featurekit.features.matching import Match, feature_at, match_feature
from featurekit.images import coordinates
from featurekit.images.false_colour import feature_picture


@final
@dataclass(frozen=True, repr=False)
class Features(FeatureMap):
    """A feature map with what a person does with one; a notebook shows its picture."""

    def pca(self, components: int = 3) -> "Features":
        """Project on the directions in which the features of the batch vary most.

        Args:
            components: number of directions, 1 to the number of channels.

        Returns:
            The map, (b components h w), strongest direction first.

        Raises:
            ShapeError: there are fewer channels.
        """
        return replace(self, tensor=fields.pca(self.tensor, components))

    def resize(self, to: int | tuple[int, int], *, mode: ResizeMode = "bilinear") -> "Features":
        """Stretch to cells of another size that cover the picture; its padding is cut off.

        Args:
            to: pixels of the input image per new cell, or how many rows and columns of cells;
                the picture's own size gives a feature for each pixel.
            mode: see ``fields.resize``.

        Returns:
            The map at that stride; its last row and column may reach beyond the picture.

        Raises:
            ShapeError: no square cells of whole pixels cover the picture so.
            UnknownNameError: there is no such mode.
        """
        height, width = (cells * self.stride for cells in self.grid)
        stride = to if isinstance(to, int) else self._stride_of(to)
        if stride < 1 or height % stride or width % stride:
            raise ShapeError(
                f"stride must be at least 1 and divide {height} x {width} px (rows x columns), "
                f"got {stride}"
            )
        tensor = fields.resize(self.tensor, height // stride, width // stride, mode=mode)
        tensor = coordinates.crop(tensor, *self._cells(stride))
        return replace(self, tensor=tensor, stride=stride)

    def _cells(self, stride: int) -> tuple[int, int]:
        """Rows and columns of cells that cover the picture."""
        rows, columns = (coordinates.padded(side, stride) // stride for side in self.size_px)
        return rows, columns

    def _stride_of(self, cells: tuple[int, int]) -> int:
        """The stride at which so many rows and columns cover the picture."""
        whole = gcd(*(count * self.stride for count in self.grid))
        found = {self._cells(one): one for one in range(whole, 0, -1) if whole % one == 0}
        rows, columns = cells
        if (rows, columns) not in found:
            sizes = ", ".join(f"{r} x {c}" for r, c in found)
            raise ShapeError(
                f"square cells of whole pixels must cover {self.size_px[0]} x {self.size_px[1]} px "
                f"(rows x columns), got {cells}; choose among {sizes}, or call fields.resize"
            )
        return found[rows, columns]

    def correspond(self, x: float, y: float, there: FeatureMap) -> Match:
        """Find what lies at a point of this picture in another one.

        What the pictures were padded with takes no part.

        Args:
            x: px from the left of the input image.
            y: px from its top.
            there: features of the other picture, of any size: same tap and timestep.

        Returns:
            Position in the other picture, px, and the cosine of the two features.

        Raises:
            PointsError: the point lies outside the picture or is not finite.
            ShapeError: a map is not of one picture, or the two differ in channels.
            ConfigError: the strides differ.
        """
        return match_feature(self, there, self._finite(x, y))

    def _finite(self, x: float, y: float) -> torch.Tensor:
        xy = torch.tensor([x, y], dtype=torch.float64)
        if not bool(xy.isfinite().all()):
            raise PointsError(f"a point must be finite, got {(x, y)}")
        return xy

    def similarity(self, x: float, y: float, there: FeatureMap | None = None) -> "Features":
        """Compare the feature at a point of this picture with that of every cell.

        Args:
            x: px from the left of the input image.
            y: px from its top.
            there: features of another picture to look at, same tap and timestep; None: this one.

        Returns:
            Cosines in [-1, 1], (1 1 h w), on the grid of the picture that is looked at.

        Raises:
            PointsError: the point lies outside the picture or is not finite.
            ShapeError: a map is not of one picture, or the two differ in channels.
        """
        field = self if there is None else there
        query = feature_at(self, self._finite(x, y))
        expect(field.tensor, "1 c h w", of="features", c=len(query))
        cosines = torch.cosine_similarity(field.tensor, query[None, :, None, None], dim=1)
        return Features(cosines[:, None], field.tap, field.timestep, field.stride, field.picture_px)

    def to_pil(self) -> Image.Image:
        """Show the three strongest directions as red, green and blue, without the padding.

        Returns:
            The pictures of the batch side by side, in the same colours.

        Raises:
            ShapeError: there are fewer than three channels.
            ImageError: a feature is not finite.
        """
        shown = coordinates.crop(self.tensor, *self.inside)
        return feature_picture(torch.cat(torch.split(shown, 1), dim=3))

    def _repr_png_(self) -> bytes | None:
        """What a notebook shows; None leaves it at the line of text."""
        if self.tensor.shape[1] < 3 or not bool(self.tensor.isfinite().all()):
            return None
        file = BytesIO()
        self.to_pil().save(file, format="PNG")
        return file.getvalue()
