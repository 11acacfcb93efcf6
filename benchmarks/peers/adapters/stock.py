"""What the published codes build alike: Stable Diffusion's scheduler, and a pipeline around it."""

from typing import Any

from diffusers import DDIMScheduler

from featurekit.backbones.unet.sd import StableDiffusion


def scheduler() -> DDIMScheduler:
    """DDIM over Stable Diffusion's noise levels, as each of them sets it."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def pipeline(of: Any, backbone: StableDiffusion, unet: object) -> Any:  # noqa: ANN401 - theirs
    """Build a published pipeline around a backbone's networks, without a safety checker.

    Args:
        of: its class.
        backbone: whose autoencoder and text encoder it has.
        unet: the network that it samples with.

    Returns:
        The pipeline.
    """
    return of(
        vae=backbone.vae,
        text_encoder=backbone.text_encoder,
        tokenizer=backbone.tokenizer,
        unet=unet,
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
