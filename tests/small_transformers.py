"""Stock pipelines of the families with transformers: small random networks, no text encoders."""

from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    FluxImg2ImgPipeline,
    FluxPipeline,
    FluxTransformer2DModel,
    PixArtAlphaPipeline,
    SD3Transformer2DModel,
    StableDiffusion3Img2ImgPipeline,
    StableDiffusion3Pipeline,
)
from small_cross_attention import first_order, lumina2, pixart, sana
from small_language_models import chroma, flux2, qwen_image, z_image
from small_parts import Small, autoencoder, negative, of_seed, pooled, positive


def flux(guidance_embeds=True, singles=2):
    """FLUX.1: dev is told the guidance, schnell is not."""
    transformer = of_seed(
        FluxTransformer2DModel,
        in_channels=64,
        num_layers=2,
        num_single_layers=singles,
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
    "pixart_sigma": pixart,
    "pixart_alpha": lambda: pixart(PixArtAlphaPipeline, sample_size=128, sized=True),
    "sana": sana,
    "sana_dpm": lambda: sana(first_order()),
    "lumina2": lumina2,
    "flux2": flux2,
    "qwen_image": qwen_image,
    "z_image": z_image,
    "chroma": chroma,
}
