"""Which maps a model offers to the sketch network, and how wide the network is for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from featurekit.backbones.unet import blocks as unet_blocks
from featurekit.core.errors import BackboneError
from featurekit.core.types import Tap

ROUND = 16  # widths that come out of a share are rounded up to a multiple of it
FUSED = 256 / 320  # width after the first fusing, per channel of the last block; SD 1.x
WIDER, FINER = 16, 8  # channels that a map of the autoencoder is reduced to
FINE_STAGES = 2  # resolutions, from the finest, at which they are reduced to FINER


@dataclass(frozen=True)
class FeatureTaps:
    """The maps that are read, coarse to fine; strides are px of the image per cell."""

    low: tuple[Tap, ...]  # resnets of all up blocks of the UNet but the last, before the skip
    top: tuple[Tap, ...]  # those of the last up block
    decoder: tuple[tuple[Tap, ...], ...]  # resnets of the VAE's decoder, by resolution

    @classmethod
    def of(cls, unet: Mapping[str, Any], vae: Mapping[str, Any]) -> "FeatureTaps":
        """Read the maps off the two configs of a model.

        Args:
            unet: config of a ``UNet2DConditionModel``.
            vae: config of an ``AutoencoderKL``.

        Raises:
            BackboneError: the model is of another shape, or has a single resolution.
        """
        blocks = _unet_blocks(unet, vae)
        return cls(
            low=tuple(tap for block in blocks[:-1] for tap in block),
            top=blocks[-1],
            decoder=_decoder_stages(vae),
        )

    @property
    def unet(self) -> tuple[Tap, ...]:
        """Every map of the UNet."""
        return self.low + self.top

    @property
    def denoiser(self) -> tuple[Tap, ...]:
        """The same, by the name that does for every kind of denoiser."""
        return self.unet

    @property
    def vae(self) -> tuple[Tap, ...]:
        """Every map of the autoencoder's decoder."""
        return tuple(tap for stage in self.decoder for tap in stage)

    @property
    def stride(self) -> int:
        """Px of the image per latent cell."""
        return self.top[0].stride

    @property
    def middle_stride(self) -> int:
        """Stride that level 1 works at: that of the last block but one."""
        return self.low[-1].stride

    @property
    def low_width(self) -> int:
        """Channels of level 1: one share of the last block's channels for each of its resnets."""
        return len(self.top) * self.top[-1].channels

    @property
    def top_width(self) -> int:
        """Channels of level 2: 1.2 times those of the last block."""
        return _rounded(1.2 * self.top[-1].channels)

    @property
    def fused_widths(self) -> tuple[int, ...]:
        """Channels after each fusing, one for each doubling of the resolution."""
        first = _rounded(FUSED * self.top[-1].channels)
        return tuple(_rounded(first / 2**i) for i in range(len(self.decoder) - 1))

    @property
    def reduced_widths(self) -> tuple[int, ...]:
        """Channels that a map of each stage of the autoencoder is reduced to."""
        coarse = max(0, len(self.decoder) - FINE_STAGES)
        return (WIDER,) * coarse + (FINER,) * (len(self.decoder) - coarse)


def _unet_blocks(unet: Mapping[str, Any], vae: Mapping[str, Any]) -> tuple[tuple[Tap, ...], ...]:
    resnets = [tap for tap in unet_blocks.taps(unet, vae) if tap.role == "resnet"]
    blocks = []
    for i in range(_resolutions("UNet", unet)):
        inside = [tap for tap in resnets if tap.path.startswith(f"up_blocks.{i}.")]
        taps = [
            Tap(f"u{i}.{j}", f"{tap.path}.conv2", "conv2", tap.channels, tap.stride)
            for j, tap in enumerate(inside)
        ]
        blocks.append(tuple(taps))
    return tuple(blocks)


def _decoder_stages(config: Mapping[str, Any]) -> tuple[tuple[Tap, ...], ...]:
    channels = list(reversed(config["block_out_channels"]))
    finest = 2 ** (_resolutions("autoencoder", config) - 1)
    stages = []
    for i, width in enumerate(channels):
        paths = [
            f"decoder.up_blocks.{i}.resnets.{j}" for j in range(config["layers_per_block"] + 1)
        ]
        if i == 0:
            paths = [f"decoder.mid_block.resnets.{j}" for j in range(2)] + paths
        stride = finest // 2**i
        taps = [Tap(f"v{i}.{j}", p, "resnet", width, stride) for j, p in enumerate(paths)]
        stages.append(tuple(taps))
    return tuple(stages)


def _resolutions(part: str, config: Mapping[str, Any]) -> int:
    """Count the resolutions of a network that must have more than one."""
    count = len(config["block_out_channels"])
    if count < 2:
        raise BackboneError(
            f"a model to sketch with must have at least 2 resolutions in its {part}, got {count}"
        )
    return count


def _rounded(width: float) -> int:
    return ROUND * ceil(round(width, 6) / ROUND)  # a share may miss a whole number by rounding
