"""What can be read inside an autoencoder of Stable Diffusion's kind, from its config. No torch."""

from collections.abc import Iterator, Mapping
from typing import Any

from featurekit.core.errors import BackboneError
from featurekit.core.types import Tap

_ENCODER, _DECODER = "vae_encoder", "vae_decoder"


def vae_taps(vae: Mapping[str, Any]) -> tuple[Tap, ...]:
    """List the maps of encoder and decoder; paths are those of the autoencoder.

    Args:
        vae: config of an ``AutoencoderKL``.

    Returns:
        Taps of the network ``vae`` in the order of a forward, blocks before their parts; stride in
        pixels of the image that is encoded or decoded.
    """
    return (*_encoder(vae), *_decoder(vae))


def vae_stride(vae: Mapping[str, Any]) -> int:
    """Count the pixels of the input image per latent cell.

    Args:
        vae: config of an ``AutoencoderKL``.

    Returns:
        Pixels, a power of two: each block but the last halves the size.

    Raises:
        BackboneError: the config names no blocks.
    """
    return int(2 ** (len(listed(vae, "block_out_channels")) - 1))


def _encoder(vae: Mapping[str, Any]) -> Iterator[Tap]:
    channels = vae["block_out_channels"]
    yield _map("encoder.conv_in", _ENCODER, channels[0], 1)
    for number, width in enumerate(channels):
        path, last = f"encoder.down_blocks.{number}", number == len(channels) - 1
        stride = 2**number
        yield _map(path, _ENCODER, width, stride if last else 2 * stride)
        for resnet in range(_layers(vae)):
            yield _map(f"{path}.resnets.{resnet}", _ENCODER, width, stride)
    coarsest = 2 ** (len(channels) - 1)
    yield from _middle(vae, "encoder", _ENCODER, coarsest)
    yield _map("encoder.conv_out", _ENCODER, 2 * vae["latent_channels"], coarsest)


def _decoder(vae: Mapping[str, Any]) -> Iterator[Tap]:
    channels = vae["block_out_channels"][::-1]
    coarsest = 2 ** (len(channels) - 1)
    yield _map("decoder.conv_in", _DECODER, channels[0], coarsest)
    yield from _middle(vae, "decoder", _DECODER, coarsest)
    for number, width in enumerate(channels):
        path, last = f"decoder.up_blocks.{number}", number == len(channels) - 1
        stride = coarsest // 2**number
        yield _map(path, _DECODER, width, stride if last else stride // 2)
        for resnet in range(_layers(vae) + 1):
            yield _map(f"{path}.resnets.{resnet}", _DECODER, width, stride)
    yield _map("decoder.conv_out", _DECODER, vae.get("out_channels", 3), 1)


def _middle(vae: Mapping[str, Any], way: str, role: str, stride: int) -> Iterator[Tap]:
    """A resnet, an attention unless it is left out, and a resnet."""
    width, path = vae["block_out_channels"][-1], f"{way}.mid_block"
    yield _map(path, role, width, stride)
    yield _map(f"{path}.resnets.0", role, width, stride)
    if vae.get("mid_block_add_attention", True):
        yield _map(f"{path}.attentions.0", role, width, stride)
    yield _map(f"{path}.resnets.1", role, width, stride)


def _layers(vae: Mapping[str, Any]) -> int:
    return int(vae.get("layers_per_block", 1))  # 1 is the default of AutoencoderKL


def _map(path: str, role: str, channels: int, stride: int) -> Tap:
    """A tap with the short words of the UNet's names: vae.encoder.down0.resnet1."""
    name = f"vae.{path}"
    for long, short in (
        ("down_blocks.", "down"), ("up_blocks.", "up"), ("mid_block", "mid"),
        ("resnets.", "resnet"), ("attentions.", "attention"),
    ):  # fmt: skip
        name = name.replace(long, short)
    return Tap(name, path, role, channels, stride, network="vae")


def listed(config: Mapping[str, Any], key: str) -> list[Any]:
    """Read a setting that must be a list.

    Args:
        config: of a network.
        key: the setting.

    Returns:
        Its entries, one at least.

    Raises:
        BackboneError: it is missing, empty or no list.
    """
    value = config.get(key)
    if not isinstance(value, (list, tuple)) or not value:
        raise BackboneError(f"the model's config must list {key}, got {value!r}")
    return list(value)
