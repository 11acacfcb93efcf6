"""Stable Diffusion XL and every stack of its shape: two text encoders, a pooled text and sizes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from featurekit.backbones.device import place
from featurekit.backbones.folder import (
    CONFIGS,
    SECOND_CONFIG,
    bundled_configs,
    embedded_folder,
    read_config,
)
from featurekit.backbones.latent_model import repeated
from featurekit.backbones.layout.config_fields import filled
from featurekit.backbones.loaded.handing_on import Made
from featurekit.backbones.sources.folder_parts import parts_of, read_tokenizer
from featurekit.backbones.sources.parts import OWN, Instead, Parts
from featurekit.backbones.stock import Configs, build_networks
from featurekit.backbones.unet.configs import configs_of, noise_table
from featurekit.backbones.unet.latent_diffusion import LatentDiffusion
from featurekit.backbones.unet.picture_sizes import SIZES, told_sizes, with_sizes
from featurekit.backbones.unet.sdxl_configs import check_kind, check_shape, empty_is_zero
from featurekit.core.errors import ShapeError
from featurekit.core.types import Conditioning
from featurekit.diffusion.backbone import Predictor

_LAYER = -2  # of both encoders: the last but one, before the final normalisation
_POOLED = "pooled"  # what it is called in ``Conditioning.extra``


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class StableDiffusionXL(LatentDiffusion):
    """A frozen model of two text encoders; see ``featurekit.diffusion.backbone.Backbone``."""

    SETTINGS_OF: ClassVar[str] = "sdxl"
    text_encoder_2: Any = None  # CLIPTextModelWithProjection
    tokenizer_2: Any = None  # CLIPTokenizer
    empty_is_zero: bool = True  # the model was trained with zeros in the place of no prompt

    def embed(self, prompt: str) -> Conditioning:
        """Turn a prompt into the states of both encoders, side by side, and the pooled text.

        The empty prompt is the unconditional case: zeros, where the model was trained with them.
        """
        self.needs_text("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")
        ids = self.token_ids(prompt, self.text_encoder, self.tokenizer)
        ids_2 = self.token_ids(prompt, self.text_encoder_2, self.tokenizer_2)
        named = {"output_hidden_states": True, "return_dict": True}
        with self.untouched(self.text_encoder), self.untouched(self.text_encoder_2):
            first = self.text_encoder(ids, **named).hidden_states[_LAYER]
            second = self.text_encoder_2(ids_2, **named)
        states = torch.cat([first, second.hidden_states[_LAYER]], dim=-1)
        pooled: Tensor = second.text_embeds
        if not prompt and self.empty_is_zero:
            states, pooled = torch.zeros_like(states), torch.zeros_like(pooled)
        return Conditioning(states=states, prompt=prompt, extra={_POOLED: pooled})

    def sized(self, conditioning: Conditioning, picture_px: tuple[int, int]) -> Conditioning:
        """Say that the picture is whole and of that size, unless sizes are said already."""
        if SIZES in conditioning.extra:
            return conditioning
        return with_sizes(conditioning, original_px=picture_px, target_px=picture_px)

    def predictor(self, conditioning: Conditioning, guidance: float = 1.0) -> Predictor:
        """Make ``(z, t) -> eps`` for a conditioning; with guidance, both rows in one call.

        The sizes are those of ``with_sizes``; without them the picture is taken to be whole and as
        large as the latent says. The unconditional rows get the sizes of the others.
        """
        sides = [conditioning]
        if self.copies(guidance) == 2:
            sides.insert(0, self.embed(""))
        for side in sides:
            if _POOLED not in side.extra:
                raise ShapeError(
                    f"conditioning for {self.name} must hold the pooled text as extra[{_POOLED!r}],"
                    f" got {sorted(side.extra)}; make it with its embed"
                )

        def given(z: Tensor) -> dict[str, Any]:
            rows = z.shape[0]
            sizes = conditioning.extra.get(SIZES)
            if sizes is None:
                height, width = (size * self.stride for size in z.shape[2:])
                sizes = told_sizes((height, width), (0, 0), (height, width))
            sizes = repeated(sizes.to(z.device), rows)
            return {
                "encoder_hidden_states": torch.cat([repeated(s.states, rows) for s in sides]),
                "added_cond_kwargs": {
                    "text_embeds": torch.cat([repeated(s.extra[_POOLED], rows) for s in sides]),
                    "time_ids": sizes.repeat(len(sides), 1),
                },
            }

        return self.denoising(given, conditioning, guidance)


def load_folder(
    folder: Path,
    *,
    name: str,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    instead: Instead = OWN,
) -> StableDiffusionXL:
    """Load a diffusers folder or one file: safetensors only, no code from it, no network.

    Args:
        folder: diffusers folder with unet, vae, two text encoders, two tokenizers and scheduler,
            or one file with a whole model.
        name: what the backbone will be called.
        device: ``auto`` (CUDA if there is one) or any torch device.
        dtype: ``auto`` (float32 on a CPU, else bfloat16 or float16), a name or a torch dtype. An
            autoencoder that overflows in float16 is kept in float32.
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
) -> StableDiffusionXL:
    where, what = place(*at)
    check_kind(parts.configs["unet"], parts.of)
    for part in SECOND_CONFIG.keys() - parts.configs.keys():
        read_config(Path(parts.of), part)  # says that the folder has none
    check_shape(parts.configs, parts.of)
    noise = noise_table(parts.configs["scheduler"], parts.remark)
    tokenizers = parts.tokenizers()
    networks = parts.networks(what)
    return StableDiffusionXL(
        name=name,
        noise=noise,
        unet=networks.unet.to(where),
        vae=networks.vae.to(where),
        text_encoder=networks.text_encoder.to(where),
        tokenizer=tokenizers[0],
        files=networks.files,
        origin=origin,
        updates=parts.updates,
        text_encoder_2=networks.text_encoder_2.to(where),
        tokenizer_2=tokenizers[1],
        empty_is_zero=empty_is_zero(parts.configs),
    )


def wrapped(pipeline: Any, name: str) -> StableDiffusionXL:  # noqa: ANN401 - untyped
    """Make a backbone of the networks of a loaded pipeline.

    Args:
        pipeline: a diffusers pipeline with unet, vae and scheduler; text encoders and tokenizers
            may be None.
        name: what the backbone will be called.

    Returns:
        Backbone that shares the pipeline's networks.

    Raises:
        BackboneError: the networks are of another architecture.
        ScheduleError: the noise levels of the scheduler cannot be read.
    """
    configs = configs_of(pipeline, (*CONFIGS, *SECOND_CONFIG))
    check_shape(configs, name)
    return StableDiffusionXL(
        name=name,
        noise=noise_table(configs["scheduler"]),
        unet=pipeline.unet,
        vae=pipeline.vae,
        text_encoder=pipeline.text_encoder,
        tokenizer=pipeline.tokenizer,
        pipeline=pipeline,
        text_encoder_2=pipeline.text_encoder_2,
        tokenizer_2=pipeline.tokenizer_2,
        empty_is_zero=empty_is_zero(configs),
    )


def from_config(
    name: str = "sdxl",
    *,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    seed: int = 0,
) -> StableDiffusionXL:
    """Build the family from its bundled configs alone, with random weights.

    Args:
        name: ``sdxl``.
        device: ``auto`` or any torch device, ``meta`` included, which takes no memory.
        dtype: ``auto``, a name or a torch dtype.
        seed: of the random weights.

    Returns:
        Frozen backbone in evaluation mode; the tokenizers are the embedded model's.

    Raises:
        BackboneError: no such configs are bundled, or the device cannot be used.
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
) -> StableDiffusionXL:
    """Build a model from configs, with random weights and the embedded tokenizer twice.

    Args:
        name: what the backbone will be called.
        configs: config by part: unet, vae, text_encoder, text_encoder_2, scheduler, pipeline.
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
    given: dict[str, Any] = {"name": name, "configs": configs}
    check_kind(configs["unet"], name)
    check_shape(configs, name)
    networks = build_networks(configs, device=where, dtype=what, seed=seed)
    lengths = [configs[p]["max_position_embeddings"] for p in ("text_encoder", "text_encoder_2")]
    tokenizers = [read_tokenizer(embedded_folder(), length=length) for length in lengths]
    return StableDiffusionXL(
        name=name,
        noise=noise_table(configs["scheduler"]),
        unet=networks.unet,
        vae=networks.vae,
        text_encoder=networks.text_encoder,
        origin=(build, {**given, "device": device, "dtype": dtype, "seed": seed}),
        tokenizer=tokenizers[0],
        text_encoder_2=networks.text_encoder_2,
        tokenizer_2=tokenizers[1],
        empty_is_zero=empty_is_zero(configs),
    )
