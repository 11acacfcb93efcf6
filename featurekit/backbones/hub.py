"""Fetch the diffusers folder that a hub id names: safetensors and configs, nothing else."""

from pathlib import Path

from huggingface_hub import snapshot_download

from featurekit.backbones.folder import (
    CONFIGS,
    PIPELINE,
    SECOND_CONFIG,
    SECOND_WEIGHTS,
    VARIANTS,
    WEIGHTS,
)
from featurekit.core.errors import BackboneError

_TOKENIZERS = ("tokenizer", "tokenizer_2")
_ENDINGS = ("json", "txt")  # vocab.json and merges.txt, or tokenizer.json


def fetch(hub_id: str) -> Path:
    """Download a model, or find it in the local cache.

    Only configs, the tokenizer and safetensors are asked for: no pickle, no code.

    Args:
        hub_id: ``owner/name``.

    Returns:
        Local diffusers folder.

    Raises:
        BackboneError: the hub cannot be reached and the cache lacks the model, the model does not
            exist, or it may not be read.
    """
    wanted = [*CONFIGS.values(), *SECOND_CONFIG.values(), PIPELINE]
    wanted += [f"{part}/*.{ending}" for part in _TOKENIZERS for ending in _ENDINGS]
    every = {**WEIGHTS, **SECOND_WEIGHTS}
    wanted += [f"{stem}.safetensors" for stem in every.values()]
    try:
        folder = Path(snapshot_download(hub_id, allow_patterns=wanted))
        stems = [
            stem for part, stem in every.items() if part in WEIGHTS or (folder / part).is_dir()
        ]
        if not all((folder / f"{stem}.safetensors").is_file() for stem in stems):
            # only now: a hub that has both would otherwise send the same weights twice
            variants = [f"{stem}.{v}.safetensors" for stem in stems for v in VARIANTS if v]
            snapshot_download(hub_id, allow_patterns=variants)
    except (OSError, ValueError) as error:  # the hub client's errors are one or the other
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
        raise BackboneError(
            f"{hub_id!r} must be a folder here or a model that the hub sends, got neither "
            f"({type(error).__name__}: {reason}); check the spelling and the connection, "
            f"or download the model once and name its folder"
        ) from error
    return folder
