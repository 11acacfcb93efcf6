"""Stock pipelines with small random networks, as a user would have loaded them."""

from diffusers import (
    DDIMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
)
from reduced import reduced_configs

from featurekit.backbones.unet import sd, sdxl


def of_one_encoder(name="sd15", seed=0):
    """Stable Diffusion 1.x or 2.x, and the same model as this package builds it."""
    model = sd.build(name, reduced_configs(name), device="cpu", seed=seed)
    pipeline = StableDiffusionPipeline(
        vae=model.vae,
        text_encoder=model.text_encoder,
        tokenizer=model.tokenizer,
        unet=model.unet,
        scheduler=DDIMScheduler.from_config(reduced_configs(name)["scheduler"]),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline, model


def of_two_encoders(seed=0):
    """Stable Diffusion XL, and the same model as this package builds it."""
    model = sdxl.build("sdxl", reduced_configs("sdxl"), device="cpu", seed=seed)
    pipeline = StableDiffusionXLPipeline(
        vae=model.vae,
        text_encoder=model.text_encoder,
        text_encoder_2=model.text_encoder_2,
        tokenizer=model.tokenizer,
        tokenizer_2=model.tokenizer_2,
        unet=model.unet,
        scheduler=DDIMScheduler.from_config(reduced_configs("sdxl")["scheduler"]),
        add_watermarker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline, model
