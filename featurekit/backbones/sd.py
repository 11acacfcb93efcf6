"""Stable Diffusion 1.x and 2.x, and every stack of their shape, from stock classes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import file_digest
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from featurekit import grid
from featurekit.backbones import describe
from featurekit.backbones.folder import (
    WEIGHTS,
    bundled_configs,
    embedded_folder,
    read_configs,
    weight_file,
)
from featurekit.backbones.placement import place
from featurekit.backbones.stock import (
    Configs,
    build_networks,
    check_shape,
    read_networks,
    read_tokenizer,
)
from featurekit.errors import ShapeError
from featurekit.noise import NoiseTable
from featurekit.shapes import expect
from featurekit.steps import eps_from_v
from featurekit.types import Conditioning, Predict, Tap


@dataclass(frozen=True, eq=False)
class StableDiffusion:
    """A frozen latent diffusion model; see ``featurekit.backbone.Backbone`` for each member."""

    name: str
    noise: NoiseTable
    unet: Any  # UNet2DConditionModel; diffusers and transformers are not typed
    vae: Any  # AutoencoderKL
    text_encoder: Any  # CLIPTextModel
    tokenizer: Any  # CLIPTokenizer
    files: Mapping[str, Path] = field(default_factory=dict)  # weight files by name in the folder

    @cached_property
    def taps(self) -> Mapping[str, Tap]:
        """Readable activations of the UNet by name."""
        found = describe.taps(self.unet.config, self.vae.config)
        return MappingProxyType({tap.name: tap for tap in found})

    @cached_property
    def weights(self) -> Mapping[str, str]:
        """SHA-256 (hex) of each weight file, read from disk when first asked for."""
        hashes = {}
        for name, path in self.files.items():
            with path.open("rb") as file:
                hashes[name] = file_digest(file, "sha256").hexdigest()
        return MappingProxyType(hashes)

    @property
    def stride(self) -> int:
        """Pixels of the input image per latent cell."""
        return describe.vae_stride(self.vae.config)

    @property
    def multiple(self) -> int:
        """Pixels to pad to: the UNet halves its latent once less than it has levels."""
        return int(self.stride * 2 ** (len(self.unet.config.block_out_channels) - 1))

    @property
    def latent_channels(self) -> int:
        """Channels of a latent."""
        return int(self.vae.config.latent_channels)

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        found: torch.device = self.unet.conv_in.weight.device
        return found

    @property
    def dtype(self) -> torch.dtype:
        """What the UNet computes in."""
        found: torch.dtype = self.unet.conv_in.weight.dtype
        return found

    def encode(self, image: Tensor) -> Tensor:
        """Turn an image (b 3 h w) in [-1, 1] into the latent at the mean of its posterior.

        The image is padded to ``multiple`` and taken to the backbone's device; the latent has the
        dtype of the image.
        """
        return self.moments(image)[0]

    def moments(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of the posterior of an image, both VAE-scaled."""
        expect(image, "b c h w", of="image", c=3)
        padded = grid.pad(image, self.multiple).to(self.device, self.vae.dtype)
        posterior = self.vae.encode(padded).latent_dist
        scale, shift = self._scaling
        mean, std = (posterior.mean - shift) * scale, posterior.std * scale
        return mean.to(image.dtype), std.to(image.dtype)

    def decode(self, latent: Tensor) -> Tensor:
        """Turn a latent (b c h w) into an image, neither clamped nor cropped."""
        expect(latent, "b c h w", of="latent", c=self.latent_channels)
        scale, shift = self._scaling
        unscaled = (latent / scale + shift).to(self.vae.dtype)
        image: Tensor = self.vae.decode(unscaled, return_dict=False)[0]
        return image.to(latent.dtype)

    def embed(self, prompt: str) -> Conditioning:
        """Turn a prompt into conditioning; words beyond the encoder's length warn and go."""
        length = self.text_encoder.config.max_position_embeddings
        length = min(length, self.tokenizer.model_max_length)
        found = len(self.tokenizer(prompt, truncation=False, verbose=False)["input_ids"])
        if found > length:
            warnings.warn(
                f"the prompt has {found} tokens, {self.name} reads the first {length}: {prompt!r}",
                stacklevel=2,
            )
        ids = self.tokenizer(
            prompt, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )["input_ids"]
        return Conditioning(states=self.text_encoder(ids.to(self.device))[0], prompt=prompt)

    def predictor(self, conditioning: Conditioning, guidance: float = 1.0) -> Predict:
        """Make ``(z, t) -> eps`` for a conditioning; with guidance, both rows in one call."""
        states = [conditioning.states]
        if guidance != 1:
            states.insert(0, self.embed("").states)

        def predict(z: Tensor, t: int | Tensor) -> Tensor:
            rows = expect(z, "b c h w", of="latent", c=self.latent_channels)["b"]
            alpha_bar = self.noise.level(t)
            given = t.repeat(len(states)) if isinstance(t, Tensor) and t.ndim else t
            answer: Tensor = self.unet(
                z.to(self.dtype).repeat(len(states), 1, 1, 1),
                given,
                encoder_hidden_states=torch.cat([_expanded(s, rows) for s in states]),
                return_dict=False,
            )[0]
            answer = answer.to(z.dtype)
            if guidance != 1:
                without, with_prompt = answer.chunk(2)
                answer = without + guidance * (with_prompt - without)
            if self.noise.prediction == "epsilon":
                return answer
            return eps_from_v(answer, z, alpha_bar=alpha_bar)

        return predict

    @property
    def _scaling(self) -> tuple[float, float]:
        """Factor and shift between the VAE's own latents and unit variance."""
        return self.vae.config.scaling_factor, self.vae.config.get("shift_factor") or 0.0


def load_folder(
    folder: Path,
    *,
    name: str,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
) -> StableDiffusion:
    """Load a diffusers folder: safetensors only, no code from the folder, no network.

    Args:
        folder: diffusers folder with unet, vae, text_encoder, tokenizer and scheduler.
        name: what the backbone will be called.
        device: ``auto`` (CUDA if there is one) or any torch device.
        dtype: ``auto`` (float32 on a CPU, else bfloat16 or float16), a name or a torch dtype.

    Returns:
        Frozen backbone in evaluation mode.

    Raises:
        BackboneError: a part is missing, damaged, a pickle, or of another architecture; or the
            device cannot be used.
        ScheduleError: the noise levels of the scheduler cannot be inverted.
        UnknownNameError: there is no such dtype.
    """
    where, what = place(device, dtype)
    configs = read_configs(folder)
    check_shape(configs, str(folder))
    describe.taps(configs["unet"], configs["vae"])  # refuses other blocks before weights are read
    noise = NoiseTable.from_scheduler(configs["scheduler"])
    tokenizer = read_tokenizer(folder)
    networks = read_networks(folder, configs, what)
    files = [weight_file(folder, part)[0] for part in WEIGHTS]
    return StableDiffusion(
        name=name,
        noise=noise,
        unet=networks.unet.to(where),
        vae=networks.vae.to(where),
        text_encoder=networks.text_encoder.to(where),
        tokenizer=tokenizer,
        files={path.relative_to(folder).as_posix(): path for path in files},
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
    check_shape(configs, name)
    networks = build_networks(configs, device=where, dtype=what, seed=seed)
    length = configs["text_encoder"]["max_position_embeddings"]
    return StableDiffusion(
        name=name,
        noise=NoiseTable.from_scheduler(configs["scheduler"]),
        unet=networks.unet,
        vae=networks.vae,
        text_encoder=networks.text_encoder,
        tokenizer=read_tokenizer(embedded_folder(), length=length),
    )


def _expanded(states: Tensor, rows: int) -> Tensor:
    """One conditioning serves every row of a latent."""
    if states.shape[0] not in (1, rows):
        raise ShapeError(
            f"conditioning must have 1 row or one per row of the latent ({rows}), "
            f"got {tuple(states.shape)}"
        )
    return states.expand(rows, -1, -1)
