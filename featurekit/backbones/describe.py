"""What can be read from a backbone, computed from its configs. Imports no torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from featurekit.backbones.folder import bundled_configs, embedded_folder, read_config
from featurekit.backbones.single_file.kinds import identify
from featurekit.backbones.unet.blocks import activations
from featurekit.core.errors import UnknownNameError
from featurekit.core.types import Tap

NAMES = ("embedded", "random", "sd15", "sd21", "sdxl")


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
    unet, vae = configs_of(name)
    return activations(unet, vae)


def configs_of(name: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Read the configs by which the taps of a backbone are known.

    Args:
        name: as for ``describe_backbone``.

    Returns:
        Those of its UNet and of its autoencoder.

    Raises:
        UnknownNameError: as for ``describe_backbone``.
        BackboneError: likewise.
    """
    path = Path(name).expanduser()
    if name in NAMES and name not in ("embedded", "random"):
        configs = bundled_configs(name)
        return configs["unet"], configs["vae"]
    if name not in NAMES and path.is_file():
        of = identify(path).configs
        return of["unet"], of["vae"]
    if name not in NAMES and not path.is_dir():
        raise unknown_backbone(name)
    folder = embedded_folder() if name in NAMES else path
    return read_config(folder, "unet"), read_config(folder, "vae")


def unknown_backbone(name: str) -> UnknownNameError:
    """Word the error for a name that is no backbone, with what else may be given.

    Args:
        name: what the user wrote.

    Returns:
        The error, to be raised.
    """
    advice = "the path of a diffusers folder or a hub id owner/name may be given as well"
    return UnknownNameError("backbone", name, NAMES, advice)
