"""What small pipelines with transformers are made of, and how stock ones are asked for the same."""

from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import AutoencoderKL
from einops import rearrange

import featurekit as fk
from featurekit.core.types import Conditioning

TEXT = 5  # tokens of the prompt


@dataclass(frozen=True)
class Small:
    """A pipeline, a prompt for it, and how the stock pipeline is asked for the same."""

    pipeline: Any
    words: Conditioning
    named: dict[str, Any]  # the prompt, as the stock pipeline takes it
    told: Any = None  # what the network is told for a timestep t
    packed: bool = False  # the stock pipeline takes and gives latents as tokens
    answered: Any = None  # what the stock pipeline gives as latents, to ours, if nothing else
    encoded: Any = None  # mean of a picture, where no pipeline starts from one
    options: dict[str, Any] = field(default_factory=dict)
    away: Conditioning | None = None  # what guidance leads away from
    guided: Any = None  # how the stock pipeline is asked for guidance of scale 3
    started: Any = None  # latent that the stock pipeline starts from a picture with

    def wrapped(self):
        """The backbone of the pipeline."""
        return fk.wrap(self.pipeline, "small")

    def ours(self, latents, shape):
        """Latents of the stock pipeline as the backbone has them."""
        if self.answered:
            return self.answered(latents)
        return as_latent(latents, shape) if self.packed else latents


def drawn(*shape, seed=0):
    """Normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def as_tokens(z):
    """Latents as FLUX's pipeline has them."""
    return rearrange(z, "b c (h p) (w q) -> b (h w) (c p q)", p=2, q=2)


def as_latent(tokens, shape):
    """And back."""
    return rearrange(tokens, "b (h w) (c p q) -> b c (h p) (w q)", h=shape[2] // 2, p=2, q=2)


def of_seed(make, *given, **named):
    """A network with the same random weights every time, frozen."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        network = make(*given, **named)
    return network.eval().requires_grad_(False)


def autoencoder(channels=16, **named):
    """Eight pixels a cell."""
    settings = {
        "block_out_channels": (4,) * 4,
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "norm_num_groups": 2,
        "latent_channels": channels,
        "scaling_factor": 0.3611,
        "shift_factor": 0.1159,
    }
    return of_seed(AutoencoderKL, **(settings | named))


def pooled(seed):
    """Words of a prompt and the whole of it in one vector."""
    return Conditioning(drawn(1, TEXT, 12, seed=seed), "", {"pooled": drawn(1, 10, seed=seed + 1)})


def masked(seed, words=TEXT):
    """Words of a prompt, padded by two."""
    mask = torch.tensor([[1] * words + [0] * (TEXT + 2 - words)])
    return Conditioning(drawn(1, TEXT + 2, 12, seed=seed), "", {"mask": mask})


def positive(words):
    """How stock pipelines name what a prompt became."""
    states = {"prompt_embeds": words.states}
    if "pooled" in words.extra:
        states["pooled_prompt_embeds"] = words.extra["pooled"]
    if "mask" in words.extra:
        states["prompt_attention_mask"] = words.extra["mask"]
    return states


def negative(words):
    """How they name what they lead away from."""
    return {f"negative_{name}": one for name, one in positive(words).items()}
