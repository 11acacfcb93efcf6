"""Feature maps that can be looked at and asked: pictures, matches, other grids."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from math import gcd
from types import MappingProxyType
from typing import final, overload

import torch
from PIL import Image

from featurekit.core import fields
from featurekit.core.errors import ConfigError, PointsError, ShapeError, UnknownNameError
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


class FeatureMaps(Sequence[Features]):
    """What was read of a picture, in the order timesteps, then taps.

    ``maps[0]`` counts, ``maps["up2", 261]`` names a tap and a timestep, ``maps["up2"]`` a tap that
    was read at one timestep; a tap may be named by the word that it was asked for by, too.
    """

    def __init__(
        self,
        maps: Sequence[Features],
        words: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Hold the maps.

        Args:
            maps: feature maps, each tap and timestep once.
            words: tap by what else it may be called.
        """
        self._maps = tuple(maps)
        self._words = dict(words)

    @overload
    def __getitem__(self, key: int | str | tuple[str, int]) -> Features: ...
    @overload
    def __getitem__(self, key: slice) -> "FeatureMaps": ...
    def __getitem__(self, key: int | str | slice | tuple[str, int]) -> "Features | FeatureMaps":
        """One map by number, by tap or by (tap, timestep), or some of them by slice.

        Args:
            key: number, slice, tap, or tap and train timestep.

        Returns:
            The map; for a slice the maps.

        Raises:
            UnknownNameError: no map has that tap and timestep.
            ConfigError: a tap alone is given, and it was read at several timesteps.
        """
        if isinstance(key, slice):
            return FeatureMaps(self._maps[key], self._words)
        if isinstance(key, str):
            return self._only(key)
        if isinstance(key, tuple):
            named = {(one.tap, one.timestep): one for one in self._maps}
            found = named.get(key) or named.get((self._words.get(key[0], ""), key[1]))
            if found is None:
                known = [f"{tap}, {t}" for tap, t in named]
                raise UnknownNameError("feature map", ", ".join(map(str, key)), known)
            return found
        return self._maps[key]

    def _only(self, tap: str) -> Features:
        """The map of a tap that was read at one timestep."""
        found = [one for one in self._maps if one.tap in (tap, self._words.get(tap, tap))]
        if not found:
            raise UnknownNameError("feature map", tap, {one.tap for one in self._maps})
        if len(found) > 1:
            timesteps = ", ".join(str(one.timestep) for one in found)
            raise ConfigError(
                f"a tap alone must have been read at one timestep, {tap!r} was at {timesteps}; "
                f"ask for [{tap!r}, {found[0].timestep}]"
            )
        return found[0]

    def __len__(self) -> int:
        """Number of maps."""
        return len(self._maps)

    def __repr__(self) -> str:
        """One line: how many, of what."""
        taps = ", ".join(dict.fromkeys(one.tap for one in self._maps))
        timesteps = ", ".join(dict.fromkeys(str(one.timestep) for one in self._maps))
        return f"FeatureMaps({len(self._maps)}: taps {taps}; t {timesteps})"

    def of_picture(self, picture_px: tuple[int, int] | None) -> "FeatureMaps":
        """The same maps, of a picture that is smaller than what they cover.

        Args:
            picture_px: rows and columns of the picture without its padding; None: all cells.

        Returns:
            The maps.

        Raises:
            ShapeError: the picture is larger than what the maps cover.
        """
        for one in self._maps if picture_px else ():
            covered = tuple(cells * one.stride for cells in one.grid)
            if not all(1 <= a <= b for a, b in zip(picture_px or (), covered, strict=True)):
                raise ShapeError(
                    f"a picture must lie in the {covered[0]} x {covered[1]} px (rows x columns) "
                    f"that its maps cover, got {picture_px}"
                )
        return FeatureMaps([replace(one, picture_px=picture_px) for one in self._maps], self._words)

    def row(self, index: int) -> "FeatureMaps":
        """The maps of one picture of a batch.

        Args:
            index: which picture, from 0.

        Returns:
            The maps, (1 c h w) each, with memory of their own.
        """
        return FeatureMaps(
            [replace(one, tensor=one.tensor[index : index + 1].clone()) for one in self._maps],
            self._words,
        )
