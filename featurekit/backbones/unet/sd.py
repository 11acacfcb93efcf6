"""Stable Diffusion 1.x and 2.x, and every stack of their shape, from stock classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from featurekit.backbones.device import place
from featurekit.backbones.folder import CONFIGS, bundled_configs, embedded_folder
from featurekit.backbones.latent_model import repeated
from featurekit.backbones.layout.config_fields import check_settings, filled
from featurekit.backbones.loaded.handing_on import Made
from featurekit.backbones.sources.folder_parts import parts_of, read_tokenizer
from featurekit.backbones.sources.parts import OWN, Instead, Parts
from featurekit.backbones.stock import Configs, build_networks
from featurekit.backbones.unet import blocks
from featurekit.backbones.unet.configs import check_fit, configs_of, noise_table
from featurekit.backbones.unet.latent_diffusion import LatentDiffusion
from featurekit.core.errors import BackboneError
from featurekit.core.types import Conditioning
from featurekit.diffusion.backbone import Predictor


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class StableDiffusion(LatentDiffusion):
    """A frozen model conditioned on text alone; see ``featurekit.diffusion.backbone.Backbone``."""

    SETTINGS_OF: ClassVar[str] = "sd15"

    def embed(self, prompt: str) -> Conditioning:
        """Turn a prompt into conditioning; words beyond the encoder's length warn and go."""
        self.needs_text("text_encoder", "tokenizer")
        ids = self.token_ids(prompt, self.text_encoder, self.tokenizer)
        with self.untouched(self.text_encoder):
            states = self.text_encoder(ids)[0]
        return Conditioning(states=states, prompt=prompt)

    def predictor(self, conditioning: Conditioning, guidance: float = 1.0) -> Predictor:
        """Make ``(z, t) -> eps`` for a conditioning; with guidance, both rows in one call."""
        states = [conditioning.states]
        if self.copies(guidance) == 2:
            states.insert(0, self.embed("").states)

        def given(z: Tensor) -> dict[str, Any]:
            rows = z.shape[0]
            return {"encoder_hidden_states": torch.cat([repeated(s, rows) for s in states])}

        return self.denoising(given, conditioning, guidance)


def load_folder(
    folder: Path,
    *,
    name: str,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    instead: Instead = OWN,
) -> StableDiffusion:
    """Load a diffusers folder or one file: safetensors only, no code from it, no network.

    Args:
        folder: diffusers folder with unet, vae, text_encoder, tokenizer and scheduler,
            or one file with a whole model.
        name: what the backbone will be called.
        device: ``auto`` (CUDA if there is one) or any torch device.
        dtype: ``auto`` (float32 on a CPU, else bfloat16 or float16), a name or a torch dtype.
        instead: what takes the place of its own parts.

    Returns:
        Frozen backbone in evaluation mode.

    Raises:
        BackboneError: a part is missing, damaged, a pickle, or of another architecture; or the
            device cannot be used.
        ScheduleError: the noise levels of the scheduler cannot be inverted.
        UnknownNameError: there is no such dtype.
    """
    given = {"name": name, "device": device, "dtype": dtype, "instead": instead.absolute()}
    origin = (load_folder, {"folder": folder.absolute(), **given})
    return _assembled(parts_of(folder, instead), name, (device, dtype), origin)


def _assembled(
    parts: Parts,
    name: str,
    at: tuple[str | torch.device, str | torch.dtype],
    origin: Made,
) -> StableDiffusion:
    where, what = place(*at)
    _check_shape(parts.configs, parts.of)
    noise = noise_table(parts.configs["scheduler"], parts.remark)
    tokenizers = parts.tokenizers()
    networks = parts.networks(what)
    return StableDiffusion(
        name=name,
        noise=noise,
        unet=networks.unet.to(where),
        vae=networks.vae.to(where),
        text_encoder=networks.text_encoder.to(where),
        tokenizer=tokenizers[0],
        files=networks.files,
        origin=origin,
        updates=parts.updates,
    )


def wrapped(pipeline: Any, name: str) -> StableDiffusion:  # noqa: ANN401 - untyped
    """Make a backbone of the networks of a loaded pipeline.

    Args:
        pipeline: a diffusers pipeline with unet, vae and scheduler; text encoder and tokenizer may
            be None.
        name: what the backbone will be called.

    Returns:
        Backbone that shares the pipeline's networks.

    Raises:
        BackboneError: the networks are of another architecture.
        ScheduleError: the noise levels of the scheduler cannot be read.
    """
    configs = configs_of(pipeline, CONFIGS)
    _check_shape(configs, name)
    return StableDiffusion(
        name=name,
        noise=noise_table(configs["scheduler"]),
        unet=pipeline.unet,
        vae=pipeline.vae,
        text_encoder=pipeline.text_encoder,
        tokenizer=pipeline.tokenizer,
        pipeline=pipeline,
    )


def from_config(
    name: str,
    *,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    seed: int = 0,
) -> StableDiffusion:
    """Build a family from its bundled configs alone, with random weights.

    On the ``meta`` device this takes no memory: shapes, parameters and operations can be counted
    for a model that was never downloaded. The tokenizer is the embedded model's.

    Args:
        name: ``sd15`` or ``sd21``.
        device: ``auto`` or any torch device, ``meta`` included.
        dtype: ``auto``, a name or a torch dtype.
        seed: of the random weights.

    Returns:
        Frozen backbone in evaluation mode.

    Raises:
        BackboneError: no configs of that name are bundled, or the device cannot be used.
        UnknownNameError: there is no such dtype.
    """
    return build(name, bundled_configs(name), device=device, dtype=dtype, seed=seed)


def build(
    name: str,
    configs: Configs,
    *,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    seed: int = 0,
) -> StableDiffusion:
    """Build a model from configs, with random weights and the embedded tokenizer.

    Args:
        name: what the backbone will be called.
        configs: config by part: unet, vae, text_encoder, scheduler.
        device: ``auto`` or any torch device, ``meta`` included.
        dtype: ``auto``, a name or a torch dtype.
        seed: of the random weights; the global random state is left as it is.

    Returns:
        Frozen backbone in evaluation mode.

    Raises:
        BackboneError: the configs are of another architecture, or the device cannot be used.
        ScheduleError: the noise levels of the scheduler cannot be inverted.
        UnknownNameError: there is no such dtype.
    """
    where, what = place(device, dtype)
    configs = {part: filled(config, part) for part, config in configs.items()}
    _check_shape(configs, name)
    networks = build_networks(configs, device=where, dtype=what, seed=seed)
    length = configs["text_encoder"]["max_position_embeddings"]
    return StableDiffusion(
        name=name,
        noise=noise_table(configs["scheduler"]),
        unet=networks.unet,
        vae=networks.vae,
        text_encoder=networks.text_encoder,
        origin=(
            build,
            {"name": name, "configs": configs, "device": device, "dtype": dtype, "seed": seed},
        ),
        tokenizer=read_tokenizer(embedded_folder(), length=length),
    )


def _check_shape(configs: Configs, of: str) -> None:
    """Refuse another architecture, and parts that do not fit, before weights are read."""
    needs = "a Stable Diffusion 1.x or 2.x must need text states alone"
    addition = configs["unet"].get("addition_embed_type")
    if addition is not None:
        larger = "it is an XL: backbone=sdxl backbone.source=..." * (addition == "text_time")
        raise BackboneError(
            f"{needs}, but the UNet of {of} has addition_embed_type={addition!r}; "
            f"{larger or 'another family is needed for it'}"
        )
    check_settings(configs, of, needs=needs)
    if configs["vae"].get("latents_mean") is not None:
        raise BackboneError(
            f"the vae of {of} must not name latents_mean and latents_std, which the stock "
            f"pipelines of Stable Diffusion 1.x and 2.x leave out; set both to null in "
            f"vae/config.json to leave them out, too"
        )
    text = configs.get("text_encoder")  # None in a pipeline that was loaded without
    check_fit(configs, of, {} if text is None else {"cross_attention_dim": text["hidden_size"]})
    blocks.taps(configs["unet"], configs["vae"])  # refuses other blocks
