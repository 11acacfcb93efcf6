"""One network of a diffusers folder, and whether its file is whole."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from featurekit.backbones.layout.weight_files import WeightFiles
from featurekit.backbones.stock import MISFITS, quietly
from featurekit.core.errors import BackboneError


def read_network(kind: Any, at: Path, found: WeightFiles, dtype: torch.dtype) -> Any:  # noqa: ANN401
    """Read one network and refuse to go on if a weight was left random or left over.

    Args:
        kind: its class, of diffusers or transformers.
        at: the folder with its config and its weights.
        found: its weight files.
        dtype: what the network is to compute in.

    Returns:
        The network, on the CPU.

    Raises:
        BackboneError: the weights are not those of the config.
    """
    path = found.paths[0]
    try:
        with quietly():
            network, info = kind.from_pretrained(
                at,
                use_safetensors=True,
                local_files_only=True,
                variant=found.variant or None,
                output_loading_info=True,
                dtype=dtype,
            )
    except MISFITS as error:
        reason = " ".join(str(error).split())[:300]
        raise BackboneError(
            f"{path} and its config must fit each other, got: {reason or type(error).__name__}"
        ) from error
    missing, extra = sorted(info["missing_keys"]), sorted(info["unexpected_keys"])
    if missing or extra:
        raise BackboneError(
            f"{path} must hold exactly the weights of its config, missing {len(missing)} "
            f"{missing[:2]}, left over {len(extra)} {extra[:2]}; download or convert it again"
        )
    return network


def check_intact(path: Path) -> None:
    """Refuse a file that is no whole safetensors file.

    Opening reads the header and compares it with the length of the file, nothing more.

    Args:
        path: the file.

    Raises:
        BackboneError: it is damaged or cut short.
    """
    try:
        with safe_open(path, framework="pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise BackboneError(
            f"{path} must be a whole safetensors file, it is damaged or cut short ({error}); "
            f"download or copy it again"
        ) from error
