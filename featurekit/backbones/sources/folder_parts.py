"""The parts of a diffusers folder: networks and tokenizers, safetensors only, no network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPTokenizer

from featurekit.backbones.folder import (
    SECOND_CONFIG,
    has_two_encoders,
    read_config,
    read_configs,
    read_pipeline,
)
from featurekit.backbones.layout.weight_files import SECOND_WEIGHTS, WEIGHTS, weight_files
from featurekit.backbones.sources.file_parts import file_parts
from featurekit.backbones.sources.networks import check_intact, read_network
from featurekit.backbones.sources.other_vae import other_vae
from featurekit.backbones.sources.parts import Instead, Parts, Read, predicting
from featurekit.backbones.stock import CLASSES, Configs, Networks, frozen, vae_dtype
from featurekit.core.errors import BackboneError


def parts_of(path: Path, instead: Instead) -> Parts:
    """Find the parts of a model, whatever holds them.

    Args:
        path: diffusers folder, or one file.
        instead: what takes the place of its own parts.

    Returns:
        Its parts.

    Raises:
        BackboneError: as for ``folder_parts`` and ``file_parts``.
    """
    return file_parts(path, instead) if path.is_file() else folder_parts(path, instead)


def folder_parts(folder: Path, instead: Instead) -> Parts:
    """Find the parts of a diffusers folder; of its weights nothing is read yet.

    Args:
        folder: diffusers folder; one of two text encoders is one with their configs.
        instead: what takes the place of its own parts.

    Returns:
        Its parts.

    Raises:
        BackboneError: a config is missing or is none, or the other autoencoder cannot be used.
    """
    configs: Configs = read_configs(folder)
    two = has_two_encoders(folder) and (folder / SECOND_CONFIG["text_encoder_2"]).is_file()
    if two:
        configs = {**configs, "pipeline": read_pipeline(folder)}
        configs |= {part: read_config(folder, part) for part in SECOND_CONFIG}
    configs, updates = predicting(configs, instead.prediction)
    vae = None
    if instead.vae is not None:
        other, vae = other_vae(instead.vae, configs["vae"])
        configs = {**configs, "vae": other}

    def tokenizers() -> tuple[Any, ...]:
        parts = ("tokenizer", "tokenizer_2") if two else ("tokenizer",)
        return tuple(
            read_tokenizer(
                folder, part=part, encoder=configs[part.replace("tokenizer", "text_encoder")]
            )
            for part in parts
        )

    return Parts(
        of=str(folder),
        configs=configs,
        networks=lambda dtype: read_networks(folder, configs, dtype, vae),
        tokenizers=tokenizers,
        updates=updates,
    )


def read_networks(
    folder: Path, configs: Configs, dtype: torch.dtype, vae: Read | None = None
) -> Networks:
    """Read the networks of a diffusers folder: safetensors only, no code from it, no network.

    Args:
        folder: diffusers folder.
        configs: its configs by part.
        dtype: what the networks are to compute in.
        vae: reads another autoencoder in the place of the folder's own.

    Returns:
        Networks on the CPU.

    Raises:
        BackboneError: a weight file is missing, damaged, a pickle, or lacks weights.
    """
    second = tuple(part for part in SECOND_WEIGHTS if part in configs)
    own = tuple(part for part in (*WEIGHTS, *second) if part != "vae" or vae is None)
    files: dict[str, Path] = {}
    for part in own:
        for path in weight_files(folder, part).paths:
            check_intact(path)
            files[path.relative_to(folder).as_posix()] = path
    read: dict[str, Any] = {}
    for part in own:
        what = vae_dtype(configs["vae"], dtype) if part == "vae" else dtype
        found = weight_files(folder, part)
        read[part] = read_network(CLASSES[part], folder / part, found, what)
    if vae is not None:
        read["vae"], more = vae(dtype)
        files |= more
    return frozen(Networks(**read, files=files))


def read_tokenizer(
    folder: Path,
    *,
    length: int | None = None,
    part: str = "tokenizer",
    encoder: Mapping[str, Any] | None = None,
) -> Any:  # noqa: ANN401 - untyped
    """Read a tokenizer of a diffusers folder.

    Args:
        folder: diffusers folder.
        part: ``tokenizer``, or ``tokenizer_2`` of a model with two encoders.
        length: tokens that a prompt is padded to; None takes the tokenizer's own.
        encoder: config of the encoder that is to read its words; None checks nothing.

    Returns:
        A ``CLIPTokenizer``.

    Raises:
        BackboneError: there is none, its files cannot be read, or it has words that the encoder
            does not know.
    """
    path = folder / part
    if not any((path / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise BackboneError(
            f"{folder} must hold {part}/tokenizer.json or {part}/vocab.json, found neither; "
            f"download or copy the folder again"
        )
    chosen = {} if length is None else {"model_max_length": length}
    try:
        found = CLIPTokenizer.from_pretrained(path, local_files_only=True, **chosen)
    except Exception as error:  # the reader's Rust part raises bare Exception
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BackboneError(f"the tokenizer in {path} cannot be read: {reason}") from error
    most = None if encoder is None else encoder["vocab_size"]
    if most is not None and len(found) > most:
        raise BackboneError(
            f"the tokenizer in {path} must number its words below {most}, the vocabulary of its "
            f"encoder, it has {len(found)}; words that were added to it need an encoder that was "
            f"resized for them"
        )
    return found
