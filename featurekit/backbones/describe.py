"""What can be read from a backbone, computed from its configs. Imports no torch."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from featurekit.backbones.folder import bundled_configs, embedded_folder, read_config
from featurekit.backbones.single_file.kinds import identify
from featurekit.backbones.unet_taps import inner_taps
from featurekit.backbones.vae_taps import vae_taps
from featurekit.core.errors import BackboneError, UnknownNameError
from featurekit.core.types import Tap

NAMES = ("embedded", "random", "sd15", "sd21", "sdxl")
_BLOCKS = {"DownBlock2D", "CrossAttnDownBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"}
_MID = "UNetMidBlock2DCrossAttn"


def describe_backbone(name: str) -> tuple[Tap, ...]:
    """List the taps of a backbone without building it.

    Args:
        name: ``embedded``, ``random``, ``sd15``, ``sd21``, ``sdxl``, a local diffusers folder, or a
            ``.safetensors`` file with a whole model, of which only the header is read.

    Returns:
        First the taps of ``taps``, in the order in which a forward reaches the blocks, each block
        before its parts; then what lies inside them, and the maps of the autoencoder.

    Raises:
        UnknownNameError: it is neither a known name nor a folder nor a file.
        BackboneError: the folder is no diffusers folder, the file none with a whole model, or the
            architecture is another one.
    """
    if name in ("embedded", "random"):
        return folder_taps(embedded_folder())
    if name in NAMES:
        configs = bundled_configs(name)
        return activations(configs["unet"], configs["vae"])
    if Path(name).expanduser().is_file():
        of = identify(Path(name).expanduser()).configs
        return activations(of["unet"], of["vae"])
    if Path(name).expanduser().is_dir():
        return folder_taps(Path(name).expanduser())
    raise unknown_backbone(name)


def unknown_backbone(name: str) -> UnknownNameError:
    """Word the error for a name that is no backbone, with what else may be given.

    Args:
        name: what the user wrote.

    Returns:
        The error, to be raised.
    """
    advice = "the path of a diffusers folder or a hub id owner/name may be given as well"
    return UnknownNameError("backbone", name, NAMES, advice)


def folder_taps(folder: Path) -> tuple[Tap, ...]:
    """List the taps of the model in a diffusers folder.

    Args:
        folder: a diffusers folder; only two of its configs are read.

    Returns:
        Taps as ``activations`` lists them.

    Raises:
        BackboneError: a config is missing, or the architecture is another one.
    """
    return activations(read_config(folder, "unet"), read_config(folder, "vae"))


def activations(unet: Mapping[str, Any], vae: Mapping[str, Any]) -> tuple[Tap, ...]:
    """List every activation of a model of Stable Diffusion's shape that can be read.

    Args:
        unet: config of a ``UNet2DConditionModel``.
        vae: config of its ``AutoencoderKL``.

    Returns:
        The taps of ``taps``, then those of ``inner_taps`` and of ``vae_taps``.

    Raises:
        BackboneError: a key is missing, or a block is of a kind without such parts.
    """
    blocks = taps(unet, vae)
    return (*blocks, *inner_taps(unet, blocks), *vae_taps(vae))


def vae_stride(vae: Mapping[str, Any]) -> int:
    """Count the pixels of the input image per latent cell.

    Args:
        vae: config of an ``AutoencoderKL``.

    Returns:
        Pixels, a power of two: each block but the last halves the size.

    Raises:
        BackboneError: the config names no blocks.
    """
    return int(2 ** (len(_listed(vae, "block_out_channels")) - 1))


def sample_size(unet: Mapping[str, Any], *, of: str) -> tuple[int, int]:
    """Rows and columns of the latents that a UNet was made for.

    Args:
        unet: config of a ``UNet2DConditionModel``; it may say one number for both.
        of: what the model is, for the message.

    Returns:
        Latent cells, rounded up to what the UNet can halve as often as it does.

    Raises:
        BackboneError: the config does not say.
    """
    said, step = unet.get("sample_size"), 2 ** (len(_listed(unet, "block_out_channels")) - 1)
    sides = tuple(said) if isinstance(said, (list, tuple)) else (said, said)
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise BackboneError(
            f"the config of the UNet of {of} must say for which size of latents it was made, got "
            f"sample_size={said!r}; give a picture of your own, or write sample_size (a number, or "
            f"rows and columns) into unet/config.json"
        )
    rows, columns = (-(-side // step) * step for side in sides)
    return rows, columns


def taps(unet: Mapping[str, Any], vae: Mapping[str, Any]) -> tuple[Tap, ...]:
    """List the blocks, resnets and attentions of a UNet of Stable Diffusion's shape.

    ``downI``, ``mid`` and ``upI`` are the outputs of whole blocks, hence ``upI`` is measured after
    its upsampler. A down block returns a tuple, so its path is that of its last part.

    Args:
        unet: config of a ``UNet2DConditionModel``.
        vae: config of its ``AutoencoderKL``.

    Returns:
        Taps in the order in which a forward reaches the blocks, each block before its parts;
        stride in pixels of the input image.

    Raises:
        BackboneError: a key is missing, or a block is of a kind without such parts.
    """
    channels = _listed(unet, "block_out_channels")
    down, up = _listed(unet, "down_block_types"), _listed(unet, "up_block_types")
    middle = unet.get("mid_block_type", _MID)
    for kind in (*down, *up, middle):
        if kind not in _BLOCKS | {_MID}:
            raise BackboneError(
                f"a UNet of Stable Diffusion's shape must be built of "
                f"{', '.join(sorted(_BLOCKS | {_MID}))}, got {kind!r}"
            )
    layers = _per_block(unet, len(channels))
    stride = vae_stride(vae)
    deepest = stride * 2 ** (len(channels) - 1)
    listed: list[Tap] = []
    for i, kind in enumerate(down):
        last = i == len(down) - 1
        inner = stride * 2**i
        parts = tuple(_parts(f"down{i}", f"down_blocks.{i}", kind, channels[i], inner, layers[i]))
        path = parts[-1].path if last else f"down_blocks.{i}.downsamplers.0"
        listed += (Tap(f"down{i}", path, "down", channels[i], inner * (1 if last else 2)), *parts)
    width = channels[-1]
    listed.append(Tap("mid", "mid_block", "mid", width, deepest))
    listed += _middle_parts(width, deepest)
    for i, kind in enumerate(up):
        last = i == len(up) - 1
        width, inner = channels[-1 - i], deepest // 2**i
        listed.append(Tap(f"up{i}", f"up_blocks.{i}", "up", width, inner // (1 if last else 2)))
        listed += _parts(f"up{i}", f"up_blocks.{i}", kind, width, inner, layers[-1 - i] + 1)
    return tuple(listed)


def _parts(
    name: str, path: str, kind: str, channels: int, stride: int, layers: int
) -> Iterator[Tap]:
    """Resnets and attentions of a down or up block, in the order of a forward."""
    for j in range(layers):
        yield Tap(f"{name}.resnet{j}", f"{path}.resnets.{j}", "resnet", channels, stride)
        if kind.startswith("CrossAttn"):
            at = f"{path}.attentions.{j}"
            yield Tap(f"{name}.attention{j}", at, "attention", channels, stride)


def _middle_parts(channels: int, stride: int) -> tuple[Tap, ...]:
    """The middle block is a resnet, an attention and a resnet."""
    return (
        Tap("mid.resnet0", "mid_block.resnets.0", "resnet", channels, stride),
        Tap("mid.attention0", "mid_block.attentions.0", "attention", channels, stride),
        Tap("mid.resnet1", "mid_block.resnets.1", "resnet", channels, stride),
    )


def _listed(config: Mapping[str, Any], key: str) -> list[Any]:
    value = config.get(key)
    if not isinstance(value, (list, tuple)) or not value:
        raise BackboneError(f"the model's config must list {key}, got {value!r}")
    return list(value)


def _per_block(unet: Mapping[str, Any], blocks: int) -> list[int]:
    """Layers of each down block: diffusers takes one number for all, or a list."""
    value = unet.get("layers_per_block", 2)  # 2 is the default of UNet2DConditionModel
    layers = [value] * blocks if isinstance(value, int) else _listed(unet, "layers_per_block")
    if len(layers) != blocks:
        raise BackboneError(f"layers_per_block must name {blocks} blocks, got {value!r}")
    return layers
