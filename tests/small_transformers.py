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
    FluxImg2ImgPipeline,
    FluxPipeline,
    FluxTransformer2DModel,
    QwenImageImg2ImgPipeline,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Img2ImgPipeline,
    StableDiffusion3Pipeline,
    ZImageImg2ImgPipeline,
    ZImagePipeline,
    ZImageTransformer2DModel,
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
    words, away = (Conditioning(drawn(1, TEXT, 12, seed=seed), "") for seed in (0, 2))

    def answered(cells):
        mean, var = vae.bn.running_mean, vae.bn.running_var + vae.config.batch_norm_eps
        squares = torch.nn.functional.pixel_unshuffle(cells, 2)
        return (squares - mean.view(1, -1, 1, 1)) / var.sqrt().view(1, -1, 1, 1)

    return Small(
        pipeline,
        words,
        positive(words) | {"guidance_scale": 1.0},
        told=lambda t: t / 1000,
        answered=answered,
        away=away,
        guided={"guidance_scale": 3.0} | negative(away),
        encoded=lambda pipeline, picture: pipeline._encode_vae_image(picture, None),
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
    words, away = (
        Conditioning(drawn(1, length, 12, seed=length), "") for length in (TEXT, TEXT - 1)
    )
    return Small(
        pipeline,
        words,
        positive(words) | {"true_cfg_scale": 1.0},
        told=lambda t: t / 1000,
        packed=True,
        away=away,
        guided={"true_cfg_scale": 3.0} | negative(away),
        started=started_qwen_image,
    )


def started_qwen_image(pipeline, picture, t, generator):
    """What Qwen-Image's pipeline for pictures starts from."""
    stock = QwenImageImg2ImgPipeline(**pipeline.components)
    size = picture.shape[2:]
    return stock.prepare_latents(
        picture, t[None], 1, 16, *size, picture.dtype, picture.device, generator
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
    words, away = (Conditioning(drawn(1, n, 12, seed=n), "") for n in (TEXT, TEXT + 31))
    return Small(
        pipeline,
        words,
        {"prompt_embeds": [words.states[0]], "guidance_scale": 0.0},
        told=lambda t: 1 - t / 1000,
        away=away,
        guided={"guidance_scale": 2.0, "negative_prompt_embeds": [away.states[0]]},
        started=started_z_image,
    )


def started_z_image(pipeline, picture, t, generator):
    """What Z-Image's pipeline for pictures starts from."""
    stock = ZImageImg2ImgPipeline(**pipeline.components)
    size = picture.shape[2:]
    return stock.prepare_latents(
        picture, t[None], 1, 16, *size, picture.dtype, picture.device, generator
    )


SMALL = {
    "flux_dev": flux,
    "flux_schnell": lambda: flux(guidance_embeds=False),
    "flux2": flux2,
    "qwen_image": qwen_image,
    "z_image": z_image,
    "sd3": lambda: sd3(dual=(), qk_norm=None),
    "sd35": sd3,
}
