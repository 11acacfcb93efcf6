"""Fetch the diffusers folder that a hub id names: safetensors and configs, nothing else."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from featurekit.backbones.folder import (
    CONFIGS,
    PIPELINE,
    SECOND_CONFIG,
    has_transformer,
    read_pipeline,
)
from featurekit.backbones.layout.weight_files import (
    SECOND_WEIGHTS,
    WEIGHTS,
    patterns,
    weight_files,
)
from featurekit.core.errors import BackboneError

_TOKENIZERS = ("tokenizer", "tokenizer_2")
# what the hub's client raises: its own errors, and those of the connection beneath it
_FAILURES: tuple[type[Exception], ...] = (*HfHubHTTPError.__bases__, OSError, ValueError)
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
    wanted = [*CONFIGS.values(), *SECOND_CONFIG.values(), PIPELINE, *patterns(variants=False)]
    wanted += [f"{part}/*.{ending}" for part in _TOKENIZERS for ending in _ENDINGS]
    folder = _sent(hub_id, wanted)
    if has_transformer(folder):
        return _sent(hub_id, [PIPELINE, *_parts(read_pipeline(folder))])
    if not _complete(folder):
        # only now: a hub that has both would otherwise send the same weights twice
        _sent(hub_id, patterns(variants=True))
    return folder


def fetch_config(hub_id: str) -> Path:
    """Download the config of a model's UNet, or find it in the local cache.

    Args:
        hub_id: ``owner/name``.

    Returns:
        Local folder with it, in its place in a diffusers folder.

    Raises:
        BackboneError: as for ``fetch``.
    """
    return _sent(hub_id, [CONFIGS["unet"]])


def fetch_index(hub_id: str) -> Path:
    """Download what a model says that it is made of, unless it has a UNet.

    Args:
        hub_id: ``owner/name``.

    Returns:
        Local folder with the index, or with the config of the UNet alone.

    Raises:
        BackboneError: as for ``fetch``.
    """
    folder = fetch_config(hub_id)
    return folder if (folder / CONFIGS["unet"]).is_file() else _sent(hub_id, [PIPELINE])


def _parts(index: Mapping[str, Any]) -> Iterator[str]:
    """Patterns of what a model with a transformer is made of, as its index lists it."""
    for part, named in index.items():
        if part.startswith("_") or not isinstance(named, list):
            continue
        stem = f"{part}/{'model' if named[0] == 'transformers' else 'diffusion_pytorch_model'}"
        yield from (f"{part}/*.{ending}" for ending in (*_ENDINGS, "model"))  # sentencepiece's
        yield from (f"{stem}.safetensors", f"{stem}-*-of-*.safetensors")


def _sent(hub_id: str, wanted: list[str]) -> Path:
    """The local folder with those files that the hub or the cache has of what is wanted."""
    try:
        return Path(snapshot_download(hub_id, allow_patterns=wanted))
    except _FAILURES as error:
        raise BackboneError(
            f"{hub_id!r} must be a folder here or a model that the hub sends, {_found(error)}; "
            f"its page is {constants.ENDPOINT}/{hub_id}; or download the model once and name its "
            f"folder (hf download {hub_id} --local-dir FOLDER)"
        ) from error


def _complete(folder: Path) -> bool:
    """Whether every part that is there has its weights."""
    parts = [p for p in (*WEIGHTS, *SECOND_WEIGHTS) if p in WEIGHTS or (folder / p).is_dir()]
    try:
        return all(weight_files(folder, part).paths for part in parts)
    except BackboneError:
        return False


def _found(error: Exception) -> str:
    """What came instead of a model, without the client's own words."""
    if isinstance(error, GatedRepoError):
        return (
            "but its owner asks for consent first; give it on its page and log in (hf auth login)"
        )
    if isinstance(error, RepositoryNotFoundError):
        return "but the hub knows no public model of this name; check the spelling"
    if isinstance(error, HFValidationError):
        return "but this is no name that a model can have; check the spelling"
    if constants.HF_HUB_OFFLINE:
        return "but HF_HUB_OFFLINE is set and it is not in the cache; unset it to download"
    if isinstance(error, (LocalEntryNotFoundError, ConnectionError)):
        return "but the hub cannot be reached and it is not in the cache; check the connection"
    return f"but fetching it ended with {type(error).__name__}; check the connection and the disk"
