"""Stock pipelines of the families with transformers: small random networks, no text encoders."""

from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    FluxPipeline,
    FluxTransformer2DModel,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    ZImagePipeline,
    ZImageTransformer2DModel,
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
    answered: Any = None  # what the stock pipeline gives as latents, to ours
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


def flux2(is_distilled=False):
    """FLUX.2 klein: the autoencoder has counted statistics of packed squares."""
    transformer = of_seed(
        Flux2Transformer2DModel,
        in_channels=128,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=12,
        timestep_guidance_channels=16,
        axes_dims_rope=(2, 2, 2, 2),
        guidance_embeds=False,
    )
    vae = of_seed(
        AutoencoderKLFlux2,
        block_out_channels=(4,) * 4,
        layers_per_block=1,
        norm_num_groups=2,
        latent_channels=32,
    )
    vae.bn.running_mean.copy_(drawn(128, seed=2))
    vae.bn.running_var.copy_(drawn(128, seed=3).abs() + 0.5)
    pipeline = Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=vae,
        text_encoder=None,
        tokenizer=None,
        transformer=transformer,
        is_distilled=is_distilled,
    )
    states = drawn(1, TEXT, 12)

    def answered(cells):
        mean, var = vae.bn.running_mean, vae.bn.running_var + vae.config.batch_norm_eps
        squares = torch.nn.functional.pixel_unshuffle(cells, 2)
        return (squares - mean.view(1, -1, 1, 1)) / var.sqrt().view(1, -1, 1, 1)

    return Small(
        pipeline,
        Conditioning(states, ""),
        {"prompt_embeds": states, "guidance_scale": 1.0},
        told=lambda t: t / 1000,
        answered=answered,
    )


def qwen_image(**named):
    """Qwen-Image, whose autoencoder halves the size as often as published ones."""
    transformer = of_seed(
        QwenImageTransformer2DModel,
        in_channels=64,
        out_channels=16,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=12,
        axes_dims_rope=(2, 2, 4),
        **named,
    )
    vae = of_seed(
        AutoencoderKLQwenImage, base_dim=4, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1
    )
    pipeline = QwenImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift_terminal=0.02),
        vae=vae,
        text_encoder=None,
        tokenizer=None,
        transformer=transformer,
    )
    states = drawn(1, TEXT, 12)
    return Small(
        pipeline,
        Conditioning(states, ""),
        {"prompt_embeds": states, "true_cfg_scale": 1.0},
        told=lambda t: t / 1000,
        packed=True,
    )


def z_image(**named):
    """Z-Image: told the share of signal, answers data minus noise."""
    transformer = of_seed(
        ZImageTransformer2DModel,
        in_channels=16,
        dim=16,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=12,
        axes_dims=[2, 2, 4],
        axes_lens=[256, 32, 32],
        **named,
    )
    transformer.x_pad_token.copy_(drawn(1, 16, seed=4))
    transformer.cap_pad_token.copy_(drawn(1, 16, seed=5))
    pipeline = ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=autoencoder(),
        text_encoder=None,
        tokenizer=None,
        transformer=transformer,
    )
    states = drawn(1, TEXT, 12)
    return Small(
        pipeline,
        Conditioning(states, ""),
        {"prompt_embeds": [states[0]], "guidance_scale": 0.0},
        told=lambda t: 1 - t / 1000,
    )


SMALL = {
    "flux_dev": flux,
    "flux_schnell": lambda: flux(guidance_embeds=False),
    "flux2": flux2,
    "qwen_image": qwen_image,
    "z_image": z_image,
}
