"""Feature maps that can be looked at and asked: pictures, matches, other grids."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from types import MappingProxyType
from typing import final, overload

import torch
from PIL import Image

from featurekit import fields
from featurekit.errors import PointsError, ShapeError, UnknownNameError
from featurekit.false_colour import feature_picture
from featurekit.fields import ResizeMode
from featurekit.matching import Match, match_feature
from featurekit.types import FeatureMap


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

    def resize(self, stride: int, *, mode: ResizeMode = "bilinear") -> "Features":
        """Stretch to cells of another size that cover the same picture.

        Args:
            stride: pixels of the input image per new cell, >= 1.
            mode: see ``fields.resize``.

        Returns:
            The map at that stride.

        Raises:
            ShapeError: the picture is no whole number of such cells.
            UnknownNameError: there is no such mode.
        """
        height, width = (cells * self.stride for cells in self.grid)
        if stride < 1 or height % stride or width % stride:
            raise ShapeError(
                f"stride must be at least 1 and divide {height} x {width} px (rows x columns), "
                f"got {stride}"
            )
        tensor = fields.resize(self.tensor, height // stride, width // stride, mode=mode)
        return replace(self, tensor=tensor, stride=stride)

    def correspond(self, x: float, y: float, *, there: FeatureMap) -> Match:
        """Find what lies at a point of this picture in another one.

        Args:
            x: px from the left of the input image.
            y: px from its top.
            there: features of the other picture: same tap and timestep, one size.

        Returns:
            Position in the other picture, px, and the cosine of the two features.

        Raises:
            PointsError: the point lies outside the map or is not finite.
            ShapeError: a map is not of one picture, or the two differ in size.
            ConfigError: the strides differ.
        """
        xy = torch.tensor([x, y], dtype=torch.float64)
        if not bool(xy.isfinite().all()):
            raise PointsError(f"a point must be finite, got {(x, y)}")
        return match_feature(self, there, xy)

    def to_pil(self) -> Image.Image:
        """Show the three strongest directions as red, green and blue.

        Returns:
            The pictures of the batch side by side, in the same colours.

        Raises:
            ShapeError: there are fewer than three channels.
            ImageError: a feature is not finite.
        """
        return feature_picture(torch.cat(torch.split(self.tensor, 1), dim=3))

    def _repr_png_(self) -> bytes | None:
        """What a notebook shows; None leaves it at the line of text."""
        if self.tensor.shape[1] < 3 or not bool(self.tensor.isfinite().all()):
            return None
        file = BytesIO()
        self.to_pil().save(file, format="PNG")
        return file.getvalue()


class FeatureMaps(Sequence[Features]):
    """What was read of a picture, in the order timesteps, then taps.

    ``maps[0]`` counts, ``maps["up2", 261]`` names a tap and a timestep; a tap may be named by the
    word that it was asked for by, too.
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
    def __getitem__(self, key: int | tuple[str, int]) -> Features: ...
    @overload
    def __getitem__(self, key: slice) -> "FeatureMaps": ...
    def __getitem__(self, key: int | slice | tuple[str, int]) -> "Features | FeatureMaps":
        """One map by number or by (tap, timestep), or some of them by slice.

        Args:
            key: number, slice, or tap and train timestep.

        Returns:
            The map; for a slice the maps.

        Raises:
            UnknownNameError: no map has that tap and timestep.
        """
        if isinstance(key, slice):
            return FeatureMaps(self._maps[key], self._words)
        if isinstance(key, tuple):
            named = {(one.tap, one.timestep): one for one in self._maps}
            found = named.get(key) or named.get((self._words.get(key[0], ""), key[1]))
            if found is None:
                known = [f"{tap}, {t}" for tap, t in named]
                raise UnknownNameError("feature map", ", ".join(map(str, key)), known)
            return found
        return self._maps[key]

    def __len__(self) -> int:
        """Number of maps."""
        return len(self._maps)

    def __repr__(self) -> str:
        """One line: how many, of what."""
        taps = ", ".join(dict.fromkeys(one.tap for one in self._maps))
        timesteps = ", ".join(dict.fromkeys(str(one.timestep) for one in self._maps))
        return f"FeatureMaps({len(self._maps)}: taps {taps}; t {timesteps})"

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
