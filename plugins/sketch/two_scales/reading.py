"""What the network sees: the denoiser's maps at two scales, the decoder's, the picture itself.

A model knows what a thing is at the size that it was trained at, and where its rim lies at the
finer one. So the denoiser reads the picture as it is and at half its sides, both noised alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from featurekit.core.shapes import expect
from featurekit.images import coordinates
from featurekit.taps.capture import capture
from featurekit_sketch.network.map_table import MapTable, map_table
from featurekit_sketch.sampling.feature_reading import denoiser_maps
from featurekit_sketch.sampling.noising_paths import NoisingPath, noised_path
from featurekit_sketch.training.sketcher import Reader

HALVED = 2  # the second scale: its sides are those of the first by this
COARSEST = 2  # latent cells along a cell of a map that a new style learns from, at most
KEPT = torch.float16  # maps wait for their lessons in half precision


@dataclass(frozen=True, eq=False)
class TwoScaleMaps:
    """Maps of pictures of one size, filled up to the frame that the networks read."""

    maps: Mapping[str, Tensor]  # by ``MapSpec.name``, (b c h w); several timesteps lie along c
    image: Tensor  # the picture itself, not decoded, (b 3 h w) in [-1, 1]

    @classmethod
    def together(cls, parts: Sequence["TwoScaleMaps"]) -> "TwoScaleMaps":
        """Join pictures of one size into one batch, in order."""
        names = parts[0].maps
        return cls(
            {name: torch.cat([part.maps[name] for part in parts]) for name in names},
            torch.cat([part.image for part in parts]),
        )

    def channels_last(self) -> "TwoScaleMaps":
        """The same maps, laid out as convolutions read them fastest while learning."""
        layout = torch.channels_last
        maps = {name: one.contiguous(memory_format=layout) for name, one in self.maps.items()}
        return TwoScaleMaps(maps, self.image.contiguous(memory_format=layout))

    @property
    def bytes(self) -> int:
        """Memory that the maps take."""
        return sum(one.untyped_storage().nbytes() for one in (*self.maps.values(), self.image))


@dataclass(frozen=True)
class MapSpec:
    """One map that is read."""

    name: str
    channels: int
    stride: int  # px of the picture per cell


def map_specs(taps: MapTable, timesteps: int, sources: Sequence[str]) -> tuple[MapSpec, ...]:
    """List the maps of a model: ``fine.*``, ``half.*`` of the denoiser, ``v*`` of the decoder.

    Args:
        taps: which maps the model offers.
        timesteps: that the denoiser is read at.
        sources: whose maps are used, of ``unet``, which is the denoiser of any kind, and ``vae``.
    """
    found: list[MapSpec] = []
    if "unet" in sources:
        for scale, times in (("fine", 1), ("half", HALVED)):
            found += [
                MapSpec(f"{scale}.{tap.name}", timesteps * tap.channels, times * tap.stride)
                for tap in taps.denoiser
            ]
    if "vae" in sources:
        found += [MapSpec(tap.name, tap.channels, tap.stride) for tap in taps.vae]
    return tuple(found)


def learnt_maps(taps: MapTable, sources: Sequence[str]) -> frozenset[str]:
    """Names of the maps that a new style learns from: all but the denoiser's coarse ones.

    A map of a few cells tells a picture from others, so that a network learns what to draw in the
    one that it knows, and not where lines lie.
    """
    finest = min((tap.stride for tap in taps.denoiser), default=0)
    most = max(COARSEST * taps.stride, finest)
    coarse = {tap.name for tap in taps.denoiser if tap.stride > most}
    names = {spec.name for spec in map_specs(taps, 1, sources)}
    return frozenset(name for name in names if name.partition(".")[2] not in coarse)


@dataclass(frozen=True, eq=False)
class TwoScaleReader:
    """Reads pictures of the size that a style works at."""

    reader: Reader
    ranks: tuple[int, ...]  # of the representative timesteps, those that are read, rising

    @property
    def timesteps(self) -> tuple[int, ...]:
        """Train timesteps that are read."""
        return tuple(self.reader.timesteps[rank] for rank in self.ranks)

    @cached_property
    def taps(self) -> MapTable:
        """The maps that are read."""
        return map_table(self.reader.backbone)

    @property
    def multiple(self) -> int:
        """What the sides of a frame are divisible by, px."""
        return HALVED * self.reader.backbone.multiple

    @torch.no_grad()
    def __call__(self, image: Tensor, *, seed: int | None = None) -> TwoScaleMaps:
        """Read a picture.

        Args:
            image: (1 3 h w) in [-1, 1], any size; it is filled up by reflection.
            seed: of the noise; None is the style's own.

        Returns:
            Maps of the frame, which is (1 3 H W) with sides of the next multiple, in half
            precision on the backbone's device.

        Raises:
            ShapeError: the image is not (1 3 h w).
        """
        expect(image, "1 3 h w", of="image")
        backbone, taps = self.reader.backbone, self.taps
        frame = coordinates.pad(image.to(backbone.device, torch.float32), self.multiple)
        half = functional.interpolate(frame, scale_factor=1 / HALVED, mode="area")
        clean = backbone.encode(frame)
        maps = self._of_denoiser("fine", clean, seed)
        maps |= self._of_denoiser("half", backbone.encode(half), seed)
        if taps.vae:
            with capture(backbone.vae, {tap.name: tap.address for tap in taps.vae}) as captured:
                backbone.decode(clean)
            maps |= dict(captured)
        return TwoScaleMaps({name: one.to(KEPT) for name, one in maps.items()}, frame.to(KEPT))

    def _of_denoiser(self, scale: str, clean: Tensor, seed: int | None) -> dict[str, Tensor]:
        path = self._path(clean, seed)
        rows = denoiser_maps(self.reader.backbone, self.taps.denoiser, path, self.reader.words)
        return {f"{scale}.{name}": one.flatten(0, 1)[None] for name, one in rows.items()}

    def _path(self, clean: Tensor, seed: int | None) -> NoisingPath:
        if seed is None or self.reader.reading.kind == "inversion":
            whole = self.reader.noising(clean)
            latents = whole.latents[list(self.ranks)]
            return replace(whole, latents=latents, timesteps=self.timesteps)
        return noised_path(self.reader.backbone, clean, self.timesteps, seed=seed)
