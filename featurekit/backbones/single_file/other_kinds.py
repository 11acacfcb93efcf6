"""What a file of weights is that holds no whole Stable Diffusion, in words. No torch."""

import re

from featurekit.backbones.single_file.header import Header

_KINDS = (  # the first that fits a name of a tensor; what it is, and what to do
    (
        r"lora_(unet|te\d?|transformer)_.*|.*\.(lora_[AB]|lora_(up|down)|lora\.(up|down))\..*",
        "an update of a model and no model (LoRA); give it as lora_file beside the model",
    ),
    (r".*\.(hada_w1_a|lokr_w1(_a)?|oft_blocks)", "an update of a model (LyCORIS) and no model"),
    (
        r"control_model\..*|input_hint_block\..*|controlnet_.*|zero_convs\..*",
        "a ControlNet; give the model that it steers",
    ),
    (r"(image_proj|ip_adapter)\..*", "an IP-Adapter; give the model that it is for"),
    (r".*motion_modules\..*", "a motion module for videos; give the model that it is for"),
    (r"emb_params|string_to_param.*|clip_[lg]", "a textual inversion; give a whole model"),
    (r"(.*\.)?double_stream_modulation_img\..*", "FLUX.2, a transformer; those cannot be read"),
    (r"(.*\.)?distilled_guidance_layer\..*", "Chroma, a transformer; those cannot be read"),
    (r"(.*\.)?double_blocks\.\d+\.img_.*", "FLUX, a transformer; those cannot be read"),
    (r"(.*\.)?joint_blocks\.\d+\..*", "SD3, a transformer; those cannot be read"),
    (r"(.*\.)?cap_embedder\..*", "Lumina or Z-Image, a transformer; those cannot be read"),
    (r"(.*\.)?blocks\.\d+\.cross_attn\..*", "a transformer (Sana, PixArt, Wan); not read"),
    (r"clip_txt_mapper\..*|effnet_mapper\..*", "Stable Cascade; that cannot be read"),
    (
        r"((taesd_)?(en|de)coder\.)?(layers\.)?\d+\.(conv\.\d+\.)?(weight|bias)",
        "a small autoencoder (TAESD), which has no posterior; give a whole model",
    ),
    (
        r"(.*\.)?text_model\..*|(.*\.)?resblocks\.\d+\..*",
        "a text encoder alone; give a whole model",
    ),
    (
        r"(.*\.)?(transformer_blocks|single_transformer_blocks|layers)\.\d+\..*",
        "a transformer or a part of one; those cannot be read",
    ),
    (
        r"(down_blocks|up_blocks|mid_block)\..*|conv_in\..*",
        "one network alone in the names of diffusers; put it into its place in a diffusers folder",
    ),
    (
        r"(input_blocks|output_blocks|middle_block)\..*",
        "a UNet alone, without its prefix, text encoder and autoencoder; give the whole checkpoint",
    ),
    (
        r"model_ema\..*",
        "averaged weights (EMA) alone; give the checkpoint with model.diffusion_model.*",
    ),
    (
        r"(first_stage_model\.|vae\.)?(en|de)coder\.(conv_in|mid|down|up)[._].*",
        "an autoencoder alone; give it as vae beside a model",
    ),
)


def other_kind(header: Header) -> str:
    """Say what a file holds.

    Args:
        header: of a file without the UNet of a Stable Diffusion.

    Returns:
        What it is, and what to do, as the end of a sentence.
    """
    for pattern, kind in _KINDS:
        known = re.compile(pattern)
        if any(known.fullmatch(name) for name in header.shapes):
            return kind
    names = sorted(header.shapes)
    shown = ", ".join(names[:2]) + (", ..." if len(names) > 2 else "")
    return f"{len(names)} tensors of an unknown architecture ({shown or 'none'})"
