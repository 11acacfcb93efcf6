"""The small trained model that ships with the package."""

import torch

from featurekit.backbones.folder import embedded_folder
from featurekit.backbones.unet.sd import StableDiffusion, load_folder


def load(device: str | torch.device = "auto", dtype: str | torch.dtype = "auto") -> StableDiffusion:
    """Load the embedded model; its float16 weights are cast to the dtype asked for.

    Args:
        device: ``auto`` (CUDA if there is one) or any torch device.
        dtype: ``auto`` (float32 on a CPU, else bfloat16 or float16), a name or a torch dtype.

    Returns:
        Frozen backbone in evaluation mode.

    Raises:
        BackboneError: the package's data is missing or damaged, or the device cannot be used.
        UnknownNameError: there is no such dtype.
    """
    return load_folder(embedded_folder(), name="embedded", device=device, dtype=dtype)
