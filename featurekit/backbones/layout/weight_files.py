"""Which files hold the weights of a part: one, or shards; plain, or a variant. No torch."""

import json
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from featurekit.core.errors import BackboneError

WEIGHTS: Mapping[str, str] = MappingProxyType(
    {
        "unet": "unet/diffusion_pytorch_model",
        "vae": "vae/diffusion_pytorch_model",
        "text_encoder": "text_encoder/model",
    }
)
SECOND_WEIGHTS: Mapping[str, str] = MappingProxyType({"text_encoder_2": "text_encoder_2/model"})
VARIANTS = ("", "fp16", "bf16", "non_ema")  # best first; the numbers are cast after reading anyway
FIRST_WRITTEN: Mapping[str, str] = MappingProxyType(
    {  # the shipped text encoder with the prefix text_model., and as version 0.1 shipped it
        "902ed2aeeea91feeee32e84f2c678e9f1947155a744d8c5beb50582680e389e1": (
            "2c526b18b5acb3cfefc0465e332c617df558bbe115769b7e2e4d73cb5e152657"
        )
    }
)
_ENDING = ".safetensors"
_PICKLES = frozenset({".bin", ".ckpt", ".pt", ".pth"})
_OTHERS = {  # what else a folder of weights may be for, by the ending of a file
    ".msgpack": "Flax",
    ".onnx": "ONNX",
    ".xml": "OpenVINO",
}


class WeightFiles(NamedTuple):
    """Where the weights of one part lie."""

    paths: tuple[Path, ...]  # several of a part that was saved in shards
    variant: str  # "" of plain ones


def weight_files(folder: Path, part: str) -> WeightFiles:
    """Find the safetensors files of one part, those that diffusers and transformers would read.

    Args:
        folder: a diffusers folder.
        part: ``unet``, ``vae``, ``text_encoder`` or ``text_encoder_2``.

    Returns:
        Its files. Plain ones come before variants; a UNet or an autoencoder with an index is read
        from its shards even if a whole file lies beside them, a text encoder the other way round.

    Raises:
        BackboneError: there is none, a shard is missing, or there are several variants to choose
            from; what lies there instead (pickles, Flax, ONNX) is named.
    """
    return files_at(folder / {**WEIGHTS, **SECOND_WEIGHTS}[part])


def files_at(stem: Path) -> WeightFiles:
    """Find the safetensors files of a network by what their names begin with.

    Args:
        stem: their path without variant, shard and ending.

    Returns:
        As ``weight_files``.

    Raises:
        BackboneError: as ``weight_files``.
    """
    for variant in chain(VARIANTS, _other_variant(stem)):
        whole, indices = stem.parent / _whole(stem.name, variant), _indices(stem, variant)
        if stem.name == "model" and whole.is_file():
            return WeightFiles((whole,), variant)
        if indices:
            return WeightFiles(tuple(_shards(indices[0])), variant)
        if whole.is_file():
            return WeightFiles((whole,), variant)
    raise _no_weights(stem)


def patterns(variants: bool) -> list[str]:
    """What to ask a hub for.

    Args:
        variants: ask for the variants and not for the plain files.

    Returns:
        Patterns of paths in a model's repository.
    """
    found = []
    for stem in (*WEIGHTS.values(), *SECOND_WEIGHTS.values()):
        for variant in filter(None, VARIANTS) if variants else ("",):
            dotted = f".{variant}" if variant else ""
            found += [
                _whole(stem, variant),
                f"{stem}{_ENDING}.index{dotted}.json",
                f"{stem}{dotted}-*-of-*{_ENDING}",
            ]
            found += [f"{stem}-*-of-*{dotted}{_ENDING}"] if variant else []  # the older way
    return found


def _whole(stem: str, variant: str) -> str:
    return f"{stem}.{variant}{_ENDING}" if variant else f"{stem}{_ENDING}"


def _indices(stem: Path, variant: str) -> list[Path]:
    """Indices of shards; diffusers wrote the variant in another place once."""
    names = [f"{stem.name}{_ENDING}.index.json"]
    if variant:
        names = [
            f"{stem.name}{_ENDING}.index.{variant}.json",
            f"{stem.name}.{variant}{_ENDING}.index.json",
        ]
    return [stem.parent / name for name in names if (stem.parent / name).is_file()]


def _other_variant(stem: Path) -> Iterator[str]:
    """A variant by a name of somebody's own, if there is just one."""
    if not stem.parent.is_dir():
        return
    own = re.compile(
        rf"{stem.name}\.(\w+)\.safetensors|{stem.name}\.safetensors\.index\.(\w+)\.json"
    )
    named = (own.fullmatch(path.name) for path in sorted(stem.parent.iterdir()))
    found = dict.fromkeys(match[1] or match[2] for match in named if match)
    others = [name for name in found if name not in VARIANTS]
    if len(others) > 1:
        raise BackboneError(
            f"{stem.parent} must hold one set of weights, it holds the variants "
            f"{', '.join(others)}; rename the one that is meant to {_whole(stem.name, '')}"
        )
    yield from others


def _shards(index: Path) -> list[Path]:
    """The files that an index names, each of which must be there."""
    try:
        listed = json.loads(index.read_text("utf-8"))["weight_map"].values()
        names = sorted({str(name) for name in listed})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackboneError(
            f"{index} must be JSON with a weight_map, got {type(error).__name__}: {error}"
        ) from error
    for name in names:
        plain = Path(name).name == name and name.endswith(_ENDING)
        if not plain or not (index.parent / name).is_file():
            raise BackboneError(
                f"every shard that {index.name} names must lie beside it as safetensors, found no "
                f"{name} in {index.parent}; copy the missing shards, or remove the index if the "
                f"weights lie there in one file (save_pretrained with a large max_shard_size)"
            )
    return [index.parent / name for name in names]


def _no_weights(stem: Path) -> BackboneError:
    """Word what lies in the place of the weights."""
    part, folder = stem.parent.name, stem.parent.parent
    within = sorted(stem.parent.iterdir()) if stem.parent.is_dir() else []
    for path in within:
        if path.suffix in _PICKLES:
            return BackboneError(
                f"weights must be safetensors, found only the pickle {part}/{path.name} in "
                f"{folder}; convert it to safetensors, since opening a pickle can run any code"
            )
    for path in within:
        if path.suffix in _OTHERS:
            return BackboneError(
                f"weights must be PyTorch's as safetensors, found only those for "
                f"{_OTHERS[path.suffix]} ({part}/{path.name}) in {folder}; "
                f"save the model with diffusers (save_pretrained) from PyTorch"
            )
    names = " or ".join(_whole(stem.name, variant) for variant in VARIANTS)
    return BackboneError(
        f"{folder} must hold {part}/{names}, or the shards of one of them with their index, "
        f"{part}/ holds {contents(stem.parent)}; download or copy the folder again"
    )


def contents(folder: Path) -> str:
    """First entries of a folder, for a message."""
    if not folder.is_dir():
        return "nothing, since it is no folder"
    entries = sorted(path.name for path in folder.iterdir())
    return (", ".join(entries[:8]) + (", ..." if len(entries) > 8 else "")) or "nothing"
