"""What the configs of a Stable Diffusion XL must say, and what they say of the empty prompt."""

from collections.abc import Mapping
from typing import Any

from featurekit.backbones.layout.config_fields import check_settings
from featurekit.backbones.stock import Configs
from featurekit.backbones.unet import blocks
from featurekit.backbones.unet.configs import check_fit
from featurekit.backbones.unet.picture_sizes import SIZE_COUNT
from featurekit.core.errors import BackboneError

_NEEDS = "a Stable Diffusion XL must need text states, a pooled text and sizes"


def check_kind(unet: Mapping[str, Any], of: str) -> None:
    """Refuse a UNet that is told other things, before the other parts are looked for."""
    addition = unet.get("addition_embed_type")
    if addition != "text_time":
        raise BackboneError(
            f"{_NEEDS}, but the UNet of {of} has addition_embed_type={addition!r}; "
            f"another family is needed for it"
        )


def check_shape(configs: Configs, of: str) -> None:
    """Refuse parts that do not fit each other, and other blocks, before weights are read."""
    check_settings(configs, of, needs=_NEEDS)
    unet, needed = configs["unet"], {}
    if "text_encoder" in configs and "text_encoder_2" in configs:  # else loaded without
        text, text_2 = configs["text_encoder"], configs["text_encoder_2"]
        sizes = SIZE_COUNT * (unet["addition_time_embed_dim"] or 0)
        needed = {
            "cross_attention_dim": text["hidden_size"] + text_2["hidden_size"],
            "projection_class_embeddings_input_dim": (text_2["projection_dim"] or 0) + sizes,
        }
    check_fit(configs, of, needed)
    blocks.taps(unet, configs["vae"])


def empty_is_zero(configs: Configs) -> bool:
    """What the pipeline says; diffusers takes zeros where it says nothing."""
    return bool(configs.get("pipeline", {}).get("force_zeros_for_empty_prompt", True))
