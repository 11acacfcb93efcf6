"""Which maps a model offers to the network at two scales, told by its configs alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from featurekit.backbones.denoisers import kind_of_denoiser
from featurekit.core.types import Tap
from featurekit.diffusion.backbone import Backbone
from featurekit_sketch.network.feature_taps import FeatureTaps

BLOCKS = 4  # of a transformer that are read
READ = "adaln"  # role of what they read of the stream
RESNET = ".resnets."  # in the paths of an autoencoder whose blocks have several layers
DECODED = "vae_decoder"  # role of the maps of its decoder
OUTSIDE = ("decoder.conv_in", "decoder.conv_out")  # of its blocks


class MapTable(Protocol):
    """The maps that are read; strides are px of the picture per cell."""

    @property
    def denoiser(self) -> Sequence[Tap]:
        """Of the UNet or the transformer, in the order of a forward."""

    @property
    def vae(self) -> Sequence[Tap]:
        """Of the autoencoder's decoder, likewise; none where it has no maps."""

    @property
    def stride(self) -> int:
        """Px of the picture per latent cell."""


@dataclass(frozen=True)
class TokenMaps:
    """A ``MapTable`` of a transformer, whose maps all lie on its grid of tokens."""

    denoiser: tuple[Tap, ...]
    vae: tuple[Tap, ...]
    stride: int


def map_table(backbone: Backbone) -> MapTable:
    """List the maps of a model.

    Of a UNet they are the paper's. Of a transformer they are what four of its blocks, spread over
    its depth, read of the stream: normed and modulated for the timestep. The stream itself has
    channels far larger than others, also than half precision holds.

    Args:
        backbone: a loaded model.

    Raises:
        BackboneError: a UNet or its autoencoder is of another shape.

    Source: Gan et al. 2025 (DiTF), arXiv:2505.18584, for what is read of a transformer.
    """
    if kind_of_denoiser(backbone) == "unet":
        return FeatureTaps.of(backbone.denoiser.config, backbone.vae.config)
    every = tuple(backbone.activations.values())
    read = [tap for tap in every if tap.role == READ and tap.form == "tokens"]
    return TokenMaps(spread(read, BLOCKS), _decoder(every), backbone.stride)


def spread(taps: Sequence[Tap], count: int) -> tuple[Tap, ...]:
    """Choose taps at equal distances from each other and from both ends; fewer where few are.

    Args:
        taps: one or more, in the order of a forward.
        count: how many to choose.
    """
    places = {(i + 1) * len(taps) // (count + 1) for i in range(count)}
    return tuple(taps[place] for place in sorted(places))


def _decoder(taps: Sequence[Tap]) -> tuple[Tap, ...]:
    """Its resnets as of a UNet's autoencoder, or its blocks where they are not listed."""
    inside = [tap for tap in taps if tap.network == "vae" and tap.role == DECODED]
    resnets = tuple(tap for tap in inside if RESNET in tap.path)
    return resnets or tuple(tap for tap in inside if tap.path not in OUTSIDE)
