"""Stock pipelines of the families whose prompts language models read."""

import warnings

import torch
from diffusers import (
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    ChromaPipeline,
    ChromaTransformer2DModel,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    QwenImageImg2ImgPipeline,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    ZImageImg2ImgPipeline,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from small_parts import TEXT, Small, autoencoder, drawn, negative, of_seed, positive

from featurekit.core.types import Conditioning


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


def chroma(words=TEXT):
    """Chroma, which is told which states are words."""
    with warnings.catch_warnings():  # its position embedding is an old name in diffusers' own code
        warnings.simplefilter("ignore", FutureWarning)
        transformer = of_seed(
            ChromaTransformer2DModel,
            in_channels=64,
            num_layers=2,
            num_single_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=12,
            axes_dims_rope=(2, 2, 4),
            approximator_num_channels=64,
            approximator_hidden_dim=16,
            approximator_layers=1,
        )
    pipeline = ChromaPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=autoencoder(),
        text_encoder=None,
        tokenizer=None,
        transformer=transformer,
    )
    mask = (torch.arange(TEXT) < words)[None].float()
    said, away = (Conditioning(drawn(1, TEXT, 12, seed=n), "", {"mask": mask}) for n in (0, 2))
    return Small(
        pipeline,
        said,
        positive(said) | {"guidance_scale": 1.0},
        told=lambda t: t / 1000,
        packed=True,
        away=away,
        guided={"guidance_scale": 3.0} | negative(away),
    )
