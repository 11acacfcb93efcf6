"""The denoiser's training, together with its text encoder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPTokenizer

from featurekit.diffusion.noise_schedule import NoiseTable
from featurekit.training.data.latents import Latents
from featurekit.training.data.tokenizer_training import numbered

DROPPED = 0.1  # share of captions that are left out, for guidance; Ho and Salimans 2022
SNR_LIMIT = 5.0  # min-SNR weighting; Hang et al. 2023, arXiv:2303.09556
LEAST_WEIGHT = 0.05  # so that the least noisy timesteps still learn: features are read there


@dataclass(frozen=True, eq=False)
class Networks:
    """What is trained, and what turns captions into its numbers."""

    unet: Any  # UNet2DConditionModel; diffusers and transformers are not typed
    text: Any  # CLIPTextModel
    tokenizer: CLIPTokenizer


class DenoiserTask:
    """Predict the noise in latents from a caption."""

    stage = "unet"

    def __init__(
        self,
        networks: Networks,
        latents: Latents,
        captions: Sequence[Sequence[str]],
        *,
        held_out: tuple[Tensor, Sequence[str]],
    ) -> None:
        """Take both networks, what they learn from, and held-out latents with their captions."""
        unet = networks.unet.to(memory_format=torch.channels_last)
        self.network: Any = nn.ModuleDict({"unet": unet, "text": networks.text})
        self.hot: tuple[nn.Module, ...] = (unet,)
        self._device = next(unet.parameters()).device
        self._latents = latents
        self._texts = torch.stack([numbered(networks.tokenizer, one) for one in captions])
        self._nothing = numbered(networks.tokenizer, [""])
        self._alpha_bars = NoiseTable.scaled_linear().alpha_bars.float()
        self._held_out = held_out[0], numbered(networks.tokenizer, held_out[1])

    def loss(self, count: int, draw: torch.Generator) -> Tensor:
        """Squared error of the noise, timesteps spread evenly, weighted by min-SNR."""
        chosen = torch.randint(len(self._latents), (count,), generator=draw)
        variant = torch.randint(self._texts.shape[1], (count,), generator=draw)
        texts = self._texts[chosen, variant]
        dropped = torch.rand(count, generator=draw) < DROPPED
        texts = torch.where(dropped[:, None], self._nothing, texts)
        timesteps = _spread(count, len(self._alpha_bars), draw)
        errors = self._errors(self._latents.drawn(chosen, draw), texts, timesteps, draw)
        return (errors * self._weights(timesteps).to(self._device)).mean()

    @torch.no_grad()
    def figures(self) -> Mapping[str, float]:
        """Mean squared error of the noise on held-out latents, the same noise every time."""
        latents, texts = self._held_out
        draw, found = torch.Generator().manual_seed(0), []
        for z, words in zip(latents.split(64), texts.split(64), strict=True):  # type: ignore[no-untyped-call]
            timesteps = _spread(len(z), len(self._alpha_bars), draw)
            found.append(self._errors(z, words, timesteps, draw))
        return {"eps_mse": float(torch.cat(found).mean())}

    def _errors(
        self, latents: Tensor, texts: Tensor, timesteps: Tensor, draw: torch.Generator
    ) -> Tensor:
        """Mean squared error of every sample, (b)."""
        eps = torch.randn(latents.shape, generator=draw)
        level = self._alpha_bars[timesteps].view(-1, 1, 1, 1)
        noisy = level.sqrt() * latents + (1 - level).sqrt() * eps
        noisy = noisy.to(self._device, memory_format=torch.channels_last)
        states = self.network["text"](texts.to(self._device)).last_hidden_state
        found = self.network["unet"](noisy, timesteps.to(self._device), states).sample
        errors: Tensor = ((found.float() - eps.to(self._device)) ** 2).mean((1, 2, 3))
        return errors

    def _weights(self, timesteps: Tensor) -> Tensor:
        ratio = self._alpha_bars[timesteps] / (1 - self._alpha_bars[timesteps])
        return (ratio.clamp(max=SNR_LIMIT) / ratio).clamp(min=LEAST_WEIGHT)


def _spread(count: int, total: int, draw: torch.Generator) -> Tensor:
    """One timestep from each of ``count`` equal parts of the table, in random order."""
    places = (torch.arange(count) + torch.rand(count, generator=draw)) / count
    return (places * total).long().clamp(max=total - 1)[torch.randperm(count, generator=draw)]
