"""Small pipelines whose picture attends to words behind a mask; no text encoders."""

from diffusers import (
    AutoencoderDC,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    Lumina2Pipeline,
    Lumina2Transformer2DModel,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    SanaPipeline,
    SanaTransformer2DModel,
)
from small_parts import TEXT, Small, autoencoder, masked, negative, of_seed, positive


def pixart(stock=PixArtSigmaPipeline, sample_size=16, sized=False):
    """PixArt-Sigma, or alpha, which is told the size; with a scheduler of single steps."""
    transformer = of_seed(
        PixArtTransformer2DModel,
        num_attention_heads=3,
        attention_head_dim=8,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        cross_attention_dim=24,
        sample_size=sample_size,
        caption_channels=12,
        use_additional_conditions=sized,
    )
    pipeline = stock(
        scheduler=DDIMScheduler(
            beta_start=0.0001, beta_end=0.02, clip_sample=False, set_alpha_to_one=False
        ),
        vae=autoencoder(channels=4, scaling_factor=0.13025, shift_factor=None),
        text_encoder=None,
        tokenizer=None,
        transformer=transformer,
    )
    words, away = masked(0), masked(2, words=TEXT - 2)
    named = {"negative_prompt": None, "use_resolution_binning": False}
    return Small(
        pipeline,
        words,
        positive(words) | named | {"guidance_scale": 1.0},
        told=lambda t: t,
        away=away,
        guided={"guidance_scale": 3.0} | negative(away),
    )


def sana(scheduler=None):
    """Sana, with Euler's scheduler or that of its release."""
    transformer = of_seed(
        SanaTransformer2DModel,
        in_channels=32,
        out_channels=32,
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=2,
        num_cross_attention_heads=2,
        cross_attention_head_dim=8,
        cross_attention_dim=16,
        caption_channels=12,
        sample_size=8,
    )
    vae = of_seed(
        AutoencoderDC,
        latent_channels=32,
        attention_head_dim=2,
        encoder_block_out_channels=(4, 4, 4, 8, 16, 32),
        decoder_block_out_channels=(4, 4, 4, 8, 16, 32),
        encoder_layers_per_block=(1,) * 6,
        decoder_layers_per_block=(1,) * 6,
        encoder_qkv_multiscales=((),) * 6,
        decoder_qkv_multiscales=((),) * 6,
        scaling_factor=0.41407,
    )
    pipeline = SanaPipeline(
        scheduler=scheduler or FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae,
        text_encoder=None,
        tokenizer=None,
        transformer=transformer,
    )
    words, away = masked(0), masked(2, words=TEXT - 2)
    named = {"negative_prompt": None, "use_resolution_binning": False}
    return Small(
        pipeline,
        words,
        positive(words) | named | {"guidance_scale": 1.0},
        told=lambda t: t,
        away=away,
        guided={"guidance_scale": 3.0} | negative(away),
    )


def first_order():
    """The scheduler of Sana's release, of the order that is Euler's."""
    return DPMSolverMultistepScheduler(
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=3.0,
        solver_order=1,
    )


def lumina2():
    """Lumina Image 2, whose prompts have lengths of their own."""
    transformer = of_seed(
        Lumina2Transformer2DModel,
        sample_size=16,
        in_channels=16,
        hidden_size=16,
        num_layers=2,
        num_refiner_layers=1,
        num_attention_heads=2,
        num_kv_heads=1,
        multiple_of=16,
        axes_dim_rope=(2, 2, 4),
        axes_lens=(64, 32, 32),
        cap_feat_dim=12,
    )
    pipeline = Lumina2Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=6.0),
        vae=autoencoder(),
        text_encoder=None,
        tokenizer=None,
        transformer=transformer,
    )
    words, away = masked(0), masked(2, words=TEXT - 2)
    return Small(
        pipeline,
        words,
        positive(words) | {"guidance_scale": 1.0},
        told=lambda t: 1 - t / 1000,
        away=away,
        guided={"guidance_scale": 3.0} | negative(away),
    )
