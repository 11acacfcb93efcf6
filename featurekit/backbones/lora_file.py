"""LoRAs as files: safetensors under peft's own names, with the recipe beside them."""

import json
from dataclasses import asdict
from pathlib import Path

import torch

from featurekit.backbones.lora import Lora, LoraRecipe
from featurekit.core.errors import ConfigError
from featurekit.core.file_bytes import read_metadata
from featurekit.images.io import read_tensors, write_tensors

FORMAT = "featurekit.lora"
_LOSSES = "losses"  # no layer is called so: their names end in .weight


def save_lora(lora: Lora, path: Path | str) -> Path:
    """Write an update as one file, replaced as a whole.

    Args:
        lora: the update; its tensors keep their dtype.
        path: target, by custom named ``.safetensors``; its folder must exist.

    Returns:
        The path.

    Raises:
        OutputError: the file cannot be written.
    """
    tensors = {**lora.weights, _LOSSES: torch.tensor(lora.losses, dtype=torch.float64)}
    metadata = {"format": FORMAT, "recipe": json.dumps(asdict(lora.recipe))}
    return write_tensors(tensors, path, metadata)


def load_lora(path: Path | str) -> Lora:
    """Read an update that ``save_lora`` wrote.

    Args:
        path: the file.

    Returns:
        The update, on the CPU, equal to the saved one to the last bit.

    Raises:
        ConfigError: the file is missing, damaged or of another kind.
    """
    metadata = read_metadata(path)
    if metadata.get("format") != FORMAT:
        raise ConfigError(
            f"a LoRA must be a whole file of save_lora, but {str(path)!r} is of format "
            f"{metadata.get('format')!r}; fit it again"
        )
    # copies: kernels may round by where a tensor lies in memory, and a file lays them anywhere
    weights = {name: tensor.clone() for name, tensor in read_tensors(path).items()}
    try:
        losses = tuple(weights.pop(_LOSSES).tolist())
        fields = json.loads(metadata["recipe"])
        recipe = LoraRecipe(**{**fields, "targets": tuple(fields["targets"])})
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"a LoRA must be a whole file of save_lora, but a part of {str(path)!r} is missing or "
            f"damaged ({error}); fit it again"
        ) from error
    return Lora(weights, recipe, losses)
