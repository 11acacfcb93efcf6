"""Which models a task can use, known before any work is done with them."""

from pathlib import Path

from featurekit.backbones.denoisers import kind_of_denoiser
from featurekit.backbones.folder import has_transformer
from featurekit.core.errors import BackboneError, ConfigError
from featurekit.core.types import Job
from featurekit_sketch.config import SketchConfig
from featurekit_sketch.network.map_table import map_table
from featurekit_sketch.settings import TWO_SCALES, VAE

LEARNING = ("train", "evaluate")


def check_source(job: Job, source: str) -> None:
    """Refuse settings that cannot hold for a model's folder, whose weights are not loaded.

    Args:
        job: without a backbone.
        source: what the backbone is described by.

    Raises:
        ConfigError: as ``check_model``.
    """
    folder = Path(source).expanduser()
    if folder.is_dir() and has_transformer(folder):
        _check_settings(job, source)


def check_model(job: Job) -> None:
    """Refuse a model that a task cannot use, before any work.

    Args:
        job: with its backbone.

    Raises:
        BackboneError: it has no text encoder.
        ConfigError: it has a transformer, and the network, the prior or the task are of UNets; or
            maps of the autoencoder are asked for alone, and there are none.
    """
    backbone = job.backbone
    if backbone is None:
        return
    if kind_of_denoiser(backbone) == "transformer":
        _check_settings(job, backbone.name)
    missing = [part for part in ("text_encoder", "tokenizer") if not getattr(backbone, part, None)]
    if missing:
        raise BackboneError(
            f"plugin sketch reads pictures with the empty prompt and samples others of captions, "
            f"but {backbone.name} has no {' and no '.join(missing)}; load the pipeline with its "
            f"text encoders"
        )
    if job.task == "train" and job.settings.sources == VAE and not map_table(backbone).vae:
        raise ConfigError(
            f"plugin.sources=vae must have maps of the autoencoder, but that of {backbone.name} "
            f"computes films; leave it out"
        )


def _check_settings(job: Job, of: str) -> None:
    """Refuse what there is for UNets alone."""
    config: SketchConfig = job.settings
    if job.task == "evaluate" and config.dataset is None:
        raise ConfigError(
            f"task=evaluate on scenes compares networks that read a UNet, {of} has a transformer; "
            f"give plugin.dataset=FOLDER, or use task=train, which measures on held-out scenes"
        )
    if job.task in LEARNING and config.network != TWO_SCALES:
        raise ConfigError(
            f"plugin.network={config.network} is built of the resolutions of a UNet, {of} has a "
            f"transformer, whose maps have one; set plugin.network=two_scales, or take the "
            f"settings of backbone=transformer"
        )
    if config.prior is not None:
        raise ConfigError(
            f"plugin.prior is drawn in place of the states of one text encoder, {of} has a "
            f"transformer, whose sampled pictures have captions; leave it out"
        )
