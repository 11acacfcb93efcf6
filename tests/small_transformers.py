"""Stock pipelines of the families with transformers: small random networks, no text encoders."""

from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
)

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
    options: dict[str, Any] = field(default_factory=dict)

    def wrapped(self):
        """The backbone of the pipeline."""
        return fk.wrap(self.pipeline, "small")


def drawn(*shape, seed=0):
    """Normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


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


def flux(guidance_embeds=True):
    """FLUX.1: dev is told the guidance, schnell is not."""
    transformer = of_seed(
        FluxTransformer2DModel,
        in_channels=64,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=12,
        pooled_projection_dim=10,
        guidance_embeds=guidance_embeds,
        axes_dims_rope=(2, 2, 4),
    )
    pipeline = FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=autoencoder(),
        text_encoder=None,
        tokenizer=None,
        text_encoder_2=None,
        tokenizer_2=None,
        transformer=transformer,
    )
    states, pooled = drawn(1, TEXT, 12), drawn(1, 10, seed=1)
    return Small(
        pipeline,
        Conditioning(states, "", {"pooled": pooled}),
        {"prompt_embeds": states, "pooled_prompt_embeds": pooled, "guidance_scale": 1.0},
        told=lambda t: t / 1000,
        packed=True,
    )


SMALL = {
    "flux_dev": flux,
    "flux_schnell": lambda: flux(guidance_embeds=False),
}
