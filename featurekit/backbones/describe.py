"""What can be read from a backbone, computed from its configs. Imports no torch."""

from pathlib import Path

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
