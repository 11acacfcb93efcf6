"""The embedded model's shape with random weights: for tests, and as a control."""

import torch

from featurekit.backbones.folder import embedded_folder, read_configs
from featurekit.backbones.unet.sd import StableDiffusion, build


def load(
    device: str | torch.device = "auto", dtype: str | torch.dtype = "auto", *, seed: int = 0
) -> StableDiffusion:
    """Build the embedded model's networks with random weights.

    Args:
        device: ``auto`` (CUDA if there is one) or any torch device.
        dtype: ``auto`` (float32 on a CPU, else bfloat16 or float16), a name or a torch dtype.
        seed: of the weights; equal seeds give equal weights on every device.

    Returns:
        Frozen backbone in evaluation mode.

    Raises:
        BackboneError: the package's data is missing, or the device cannot be used.
        UnknownNameError: there is no such dtype.
    """
    configs = read_configs(embedded_folder())
    return build("random", configs, device=device, dtype=dtype, seed=seed)
