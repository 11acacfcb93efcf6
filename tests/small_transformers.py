"""Stock pipelines of the families with transformers: small random networks, no text encoders."""

from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxImg2ImgPipeline,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Img2ImgPipeline,
    StableDiffusion3Pipeline,
)
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
    options: dict[str, Any] = field(default_factory=dict)
    away: Conditioning | None = None  # what guidance leads away from
    guided: Any = None  # how the stock pipeline is asked for guidance of scale 3
    started: Any = None  # latent that the stock pipeline starts from a picture with

    def wrapped(self):
        """The backbone of the pipeline."""
        return fk.wrap(self.pipeline, "small")


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
    words, away = pooled(0), pooled(2)
    true = {"true_cfg_scale": 3.0} | negative(away)
    return Small(
        pipeline,
        words,
        positive(words) | {"guidance_scale": 1.0},
        told=lambda t: t / 1000,
        packed=True,
        away=None if guidance_embeds else away,
        guided={"guidance_scale": 3.0} if guidance_embeds else true,
        started=started_flux,
    )


def started_flux(pipeline, picture, t, generator):
    """What FLUX's pipeline for pictures starts from."""
    stock = FluxImg2ImgPipeline(**pipeline.components)
    size = picture.shape[2:]
    return stock.prepare_latents(
        picture, t[None], 1, 16, *size, picture.dtype, picture.device, generator
    )[0]


def sd3(dual=(0,), qk_norm="rms_norm"):
    """Stable Diffusion 3.5 has a second attention in some blocks, 3 has none."""
    transformer = of_seed(
        SD3Transformer2DModel,
        sample_size=16,
        patch_size=2,
        in_channels=16,
        num_layers=3,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=12,
        caption_projection_dim=16,
        pooled_projection_dim=10,
        out_channels=16,
        pos_embed_max_size=16,
        dual_attention_layers=dual,
        qk_norm=qk_norm,
    )
    pipeline = StableDiffusion3Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=autoencoder(),
        text_encoder=None,
        tokenizer=None,
        text_encoder_2=None,
        tokenizer_2=None,
        text_encoder_3=None,
        tokenizer_3=None,
        transformer=transformer,
    )
    words, away = pooled(0), pooled(2)
    return Small(
        pipeline,
        words,
        positive(words) | {"guidance_scale": 1.0},
        told=lambda t: t,
        away=away,
        guided={"guidance_scale": 3.0} | negative(away),
        started=started_sd3,
    )


def started_sd3(pipeline, picture, t, generator):
    """What Stable Diffusion 3's pipeline for pictures starts from."""
    stock = StableDiffusion3Img2ImgPipeline(**pipeline.components)
    return stock.prepare_latents(
        picture, t[None], 1, 1, picture.dtype, picture.device, generator=generator
    )


SMALL = {
    "flux_dev": flux,
    "flux_schnell": lambda: flux(guidance_embeds=False),
    "sd3": lambda: sd3(dual=(), qk_norm=None),
    "sd35": sd3,
}
