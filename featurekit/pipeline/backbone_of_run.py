"""The backbone of a run or a command: whether it is needed, which kind will do, what loads it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from featurekit import backbones
from featurekit.backbones.denoisers import check_denoiser, refused_denoiser
from featurekit.backbones.folder import has_transformer
from featurekit.core.types import Job
from featurekit.pipeline.registry import Plugin, resolve

if TYPE_CHECKING:
    from featurekit.diffusion.backbone import Backbone


class Settings(Protocol):
    """The settings of a run that its backbone is loaded by, as ``compose`` gives them."""

    backbone: Any  # name, source, vae, prediction, lora_file, lora_scale, compile
    device: str
    dtype: str


class Words(Protocol):
    """The words of a command that its backbone is loaded by; empty ones say nothing."""

    backbone: str
    vae: str
    prediction: str
    lora_file: str
    lora_scale: float
    compile: bool
    device: str
    dtype: str


def backbone_of_words(words: Words) -> Backbone:
    """Load the backbone that the words of a command name.

    Args:
        words: its options.

    Returns:
        The backbone.

    Raises:
        FeatureKitError: as ``backbones.load`` says.
    """
    loaded = backbones.load(
        words.backbone,
        words.device,
        words.dtype,
        vae=words.vae or None,
        prediction=words.prediction or None,
        lora_file=words.lora_file or None,
        lora_scale=words.lora_scale,
    )
    return loaded.compiled() if words.compile else loaded


def backbone_of(cfg: Settings) -> Backbone:
    """Load the backbone that the settings of a run name.

    Args:
        cfg: from ``compose``.

    Raises:
        FeatureKitError: as ``backbones.load`` says.
    """
    loaded = backbones.load(
        cfg.backbone.name,
        cfg.device,
        cfg.dtype,
        source=cfg.backbone.source,
        vae=cfg.backbone.vae,
        prediction=cfg.backbone.prediction,
        lora_file=cfg.backbone.lora_file,
        lora_scale=cfg.backbone.lora_scale,
    )
    return loaded.compiled() if cfg.backbone.compile else loaded


def check_kind(plugin: Plugin, cfg: Settings, given: Backbone | None) -> None:
    """Refuse a model whose denoiser the plugin does not work with, before it is loaded.

    Args:
        plugin: what is run.
        cfg: from ``compose``.
        given: backbone that takes the place of the one which the settings name.

    Raises:
        BackboneError: the plugin does not work with its kind.
    """
    by = f"plugin {plugin.name}"
    if given is not None:
        check_denoiser(given, plugin.denoisers, by=by)
        return
    folder = Path(source_of(cfg)).expanduser()
    for_it = not plugin.denoisers or "transformer" in plugin.denoisers
    if not for_it and folder.is_dir() and has_transformer(folder):
        raise refused_denoiser("transformer", str(folder), plugin.denoisers, by=by)


def needs_backbone(plugin: Plugin, job: Job) -> bool:
    """Ask a plugin whether a job needs the model at all.

    Args:
        plugin: what is run.
        job: without a backbone.
    """
    if plugin.needs_backbone is None:
        return True
    of = f"what of plugin {plugin.name!r} says whether a backbone is needed"
    return bool(resolve(plugin.needs_backbone, of=of)(job))


def source_of(cfg: Settings) -> str:
    """What ``describe_backbone`` describes the backbone by, without its weights."""
    source = cfg.backbone.source
    return str(source) if source and Path(source).expanduser().exists() else str(cfg.backbone.name)
