"""Load a diffusers folder of a model with a transformer: its parts, its pipeline, its backbone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from torch import nn

from featurekit.backbones.device import place
from featurekit.backbones.dit.families import FAMILIES
from featurekit.backbones.folder import read_pipeline
from featurekit.backbones.latent_model import LatentModel
from featurekit.backbones.layout.weight_files import WeightFiles, files_at
from featurekit.backbones.sources.networks import check_intact, read_network
from featurekit.backbones.sources.other_vae import other_vae, same_channels
from featurekit.backbones.sources.parts import OWN, Instead, Read
from featurekit.backbones.stock import quietly
from featurekit.core.errors import BackboneError

_LIBRARIES = {"diffusers": diffusers, "transformers": transformers}


def load_folder(
    folder: Path,
    *,
    name: str,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    instead: Instead = OWN,
) -> LatentModel:
    """Load a diffusers folder: safetensors only, no code from the folder, no network.

    Args:
        folder: diffusers folder with model_index.json, transformer, vae, scheduler, and the text
            encoders and tokenizers that the index names.
        name: what the backbone will be called.
        device: ``auto`` (CUDA if there is one) or any torch device.
        dtype: ``auto`` (float32 on a CPU, else bfloat16 or float16), a name or a torch dtype.
        instead: another autoencoder, if any.

    Returns:
        Frozen backbone in evaluation mode.

    Raises:
        BackboneError: a part is missing, damaged, a pickle, of an unsupported class, or of a class
            that comes with the folder; or the device cannot be used.
        ScheduleError: the noise levels of the scheduler cannot be read.
        UnknownNameError: there is no such dtype.
    """
    where, what = place(device, dtype)
    instead.refuse_prediction(folder)
    index = read_pipeline(folder)
    parts = _classes(folder, index)
    family = _family(folder, parts)
    vae = None if instead.vae is None else _other_vae(instead.vae, folder, parts["vae"])
    own = {part: kind for part, kind in parts.items() if part != "vae" or vae is None}
    files = {
        path.relative_to(folder).as_posix(): path
        for part, kind in own.items()
        if _is_network(kind)
        for path in _weights(folder, part, kind).paths
    }
    for path in files.values():
        check_intact(path)
    with quietly():
        loaded = {part: _read(kind, folder, part, what) for part, kind in own.items()}
        if vae is not None:
            loaded["vae"], more = vae[1](what)
            files |= more
    for network in loaded.values():
        if isinstance(network, nn.Module):
            network.requires_grad_(False).eval().to(where)
    pipeline = _pipeline(folder, index)(**{**_absent(index), **loaded})
    given = {"folder": folder.absolute(), "name": name, "device": device, "dtype": dtype}
    given["instead"] = instead.absolute()
    wrapped = FAMILIES[family](pipeline, name)
    return replace(wrapped, pipeline=None, files=files, origin=(load_folder, given))


def without_weights(folder: Path, *, name: str, instead: Instead = OWN) -> LatentModel:
    """Build the model of a diffusers folder on the meta device, from its configs alone.

    Args:
        folder: diffusers folder; of its text encoders nothing is read.
        name: what the backbone will be called.
        instead: as for ``load_folder``.

    Returns:
        Backbone without numbers, whose activations can be listed and operations counted.

    Raises:
        BackboneError: as for ``load_folder``, but for weights.
        ScheduleError: the noise levels of the scheduler cannot be read.
    """
    instead.refuse_prediction(folder)
    index = read_pipeline(folder)
    parts = _classes(folder, index)
    family = _family(folder, parts)
    bare = _Bare(index)
    vae = None if instead.vae is None else _other_vae(instead.vae, folder, parts["vae"])
    with quietly():
        for part, where in (("transformer", "meta"), ("vae", "meta"), ("scheduler", "cpu")):
            other = None if vae is None or part != "vae" else dict(vae[0])
            config = other or parts[part].load_config(folder / part, local_files_only=True)
            with torch.device(where):
                setattr(bare, part, parts[part].from_config(config))
    return FAMILIES[family](bare, name)


def _other_vae(path: Path, folder: Path, kind: Any) -> tuple[Mapping[str, Any], Read]:  # noqa: ANN401
    """An autoencoder of the class and the channels of the folder's own."""
    own = kind.load_config(folder / "vae", local_files_only=True)
    found = other_vae(path, own, kind.__name__)
    same_channels(found[0], own, str(folder))
    return found


class _Bare:
    """A pipeline of which the text encoders and tokenizers are None."""

    def __init__(self, index: Mapping[str, Any]) -> None:
        self.config = index

    def __getattr__(self, name: str) -> None:
        """What was not set."""


def _classes(folder: Path, index: Mapping[str, Any]) -> dict[str, Any]:
    """Class of each part that the index names; only those of the two libraries."""
    found = {}
    for part, named in index.items():
        if part.startswith("_") or not isinstance(named, (list, tuple)) or len(named) != 2:
            continue
        library, kind = named
        if library is None or kind is None:  # a part that the model does without
            continue
        known = _LIBRARIES.get(str(library))
        if known is None or not hasattr(known, str(kind)):
            raise BackboneError(
                f"every part of a model must be of a class of diffusers or transformers as "
                f"installed, but {folder} names {part} a {library}.{kind}; code that comes with a "
                f"model is not run"
            )
        found[part] = getattr(known, str(kind))
    return found


def _family(folder: Path, parts: Mapping[str, Any]) -> str:
    kind = getattr(parts.get("transformer"), "__name__", "no transformer")
    if kind not in FAMILIES:
        raise BackboneError(
            f"a backbone with a transformer must have one of {', '.join(FAMILIES)}, {folder} holds "
            f"a {kind}"
        )
    for part in ("vae", "scheduler"):
        if part not in parts:
            raise BackboneError(f"{folder} must hold a {part}, its model_index.json names none")
    return kind


def _weights(folder: Path, part: str, kind: Any) -> WeightFiles:  # noqa: ANN401
    """Weight files of a network, which the two libraries name otherwise."""
    of_text = kind.__module__.startswith("transformers.")
    return files_at(folder / part / ("model" if of_text else "diffusion_pytorch_model"))


def _is_network(kind: Any) -> bool:  # noqa: ANN401
    return isinstance(kind, type) and issubclass(kind, nn.Module)


def _read(kind: Any, folder: Path, part: str, dtype: torch.dtype) -> Any:  # noqa: ANN401
    """One part, whatever it is."""
    if _is_network(kind):
        return read_network(kind, folder / part, _weights(folder, part, kind), dtype)
    try:
        return kind.from_pretrained(folder / part, local_files_only=True)
    except Exception as error:  # a tokenizer's Rust part raises bare Exception
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise BackboneError(f"the {part} in {folder / part} cannot be read: {reason}") from error


def _pipeline(folder: Path, index: Mapping[str, Any]) -> Any:  # noqa: ANN401
    named = str(index.get("_class_name"))
    found = getattr(diffusers, named, None)
    if not (isinstance(found, type) and issubclass(found, diffusers.DiffusionPipeline)):
        raise BackboneError(
            f"the pipeline of {folder} must be one of diffusers as installed, its model_index.json "
            f"names {named!r}; update diffusers, or correct the name"
        )
    return found


def _absent(index: Mapping[str, Any]) -> dict[str, None]:
    """Parts that the index says the model does without."""
    return {
        part: None
        for part, named in index.items()
        if not part.startswith("_") and isinstance(named, (list, tuple)) and named[-1] is None
    }
