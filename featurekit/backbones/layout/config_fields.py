"""What each setting in the configs of a model means here. Imports no torch.

A setting is *read* by code of ours, is the *stock* class's own affair (it builds or runs the
network by it, and nothing here has to know), or is *fixed*: other values need inputs that no
predictor gives or another kind of picture, and are refused. A test compares these tables with the
signatures of the installed classes, so that a setting that a new release brings is judged before
anything is promised for it.
"""

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

from featurekit.core.errors import BackboneError


class Settings(NamedTuple):
    """The settings of one class of networks."""

    classes: tuple[str, ...]  # names that a config may give the class
    read: Mapping[str, Any]  # with the class's defaults, where a config leaves one out
    stock: frozenset[str]
    fixed: Mapping[str, tuple[Any, ...]]  # with the values that work, the class's default first


UNET = Settings(
    classes=("UNet2DConditionModel", "FlaxUNet2DConditionModel"),
    read={
        "sample_size": None,
        "in_channels": 4,
        "out_channels": 4,
        "down_block_types": (*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "up_block_types": ("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
        "only_cross_attention": False,
        "block_out_channels": (320, 640, 1280, 1280),
        "layers_per_block": 2,
        "cross_attention_dim": 1280,
        "transformer_layers_per_block": 1,
        "reverse_transformer_layers_per_block": None,
        "encoder_hid_dim": None,
        "attention_head_dim": 8,
        "num_attention_heads": None,
        "addition_embed_type": None,  # what a family is known by
        "addition_time_embed_dim": None,
        "time_cond_proj_dim": None,
        "projection_class_embeddings_input_dim": None,
    },
    stock=frozenset(
        [
            "center_input_sample",
            "flip_sin_to_cos",
            "freq_shift",
            "downsample_padding",
            "mid_block_scale_factor",
            "dropout",
            "act_fn",
            "norm_num_groups",
            "norm_eps",
            "use_linear_projection",
            "upcast_attention",
            "resnet_time_scale_shift",
            "resnet_skip_time_act",
            "resnet_out_scale_factor",
            "time_embedding_type",
            "time_embedding_dim",
            "time_embedding_act_fn",
            "timestep_post_act",
            "conv_in_kernel",
            "conv_out_kernel",
            "attention_type",
            "mid_block_only_cross_attention",
            "cross_attention_norm",
            "addition_embed_type_num_heads",
        ]
    ),
    fixed={
        "encoder_hid_dim_type": (None, "text_proj"),
        "dual_cross_attention": (False, None),
        "class_embed_type": (None,),
        "num_class_embeds": (None,),
        "class_embeddings_concat": (False, None),
    },
)

VAE = Settings(
    classes=("AutoencoderKL", "FlaxAutoencoderKL"),
    read={
        "block_out_channels": (64,),
        "layers_per_block": 1,
        "latent_channels": 4,
        "down_block_types": ("DownEncoderBlock2D",),
        "up_block_types": ("UpDecoderBlock2D",),
        "scaling_factor": 0.18215,
        "latents_mean": None,
        "latents_std": None,
        "force_upcast": True,
        "mid_block_add_attention": True,
    },
    stock=frozenset(
        ["act_fn", "norm_num_groups", "sample_size", "use_quant_conv", "use_post_quant_conv"]
    ),
    # no stock pipeline of Stable Diffusion shifts its latents
    fixed={"in_channels": (3,), "out_channels": (3,), "shift_factor": (None, 0)},
)

TEXT = Settings(
    classes=("CLIPTextModel", "FlaxCLIPTextModel"),
    read={
        "architectures": None,
        "vocab_size": 49408,
        "hidden_size": 512,
        "projection_dim": 512,
        "max_position_embeddings": 77,
    },
    stock=frozenset(
        [
            "transformers_version",
            "output_hidden_states",
            "return_dict",
            "dtype",
            "chunk_size_feed_forward",
            "is_encoder_decoder",
            "id2label",
            "label2id",
            "problem_type",
            "intermediate_size",
            "num_hidden_layers",
            "num_attention_heads",
            "hidden_act",
            "layer_norm_eps",
            "attention_dropout",
            "initializer_range",
            "initializer_factor",
            "pad_token_id",
            "bos_token_id",
            "eos_token_id",
        ]
    ),
    fixed={},
)

SECOND_TEXT = TEXT._replace(
    classes=("CLIPTextModelWithProjection",),
    stock=TEXT.stock - {"return_dict"},
    fixed={"return_dict": (True, None)},  # the stock class reads its own output by name
)

PARTS: Mapping[str, Settings] = {
    "unet": UNET,
    "vae": VAE,
    "text_encoder": TEXT,
    "text_encoder_2": SECOND_TEXT,
}


def filled(config: Mapping[str, Any], part: str) -> dict[str, Any]:
    """Add what a config leaves out and code of ours reads.

    Args:
        config: as the JSON file holds it.
        part: ``unet``, ``vae``, ``text_encoder`` or ``text_encoder_2``; another has nothing to add.

    Returns:
        The config with the defaults of the class.
    """
    return {**PARTS[part].read, **config} if part in PARTS else dict(config)


def check_settings(configs: Mapping[str, Mapping[str, Any]], of: str, *, needs: str) -> None:
    """Refuse parts of other classes, and settings that nothing here could honour.

    A setting of the UNet or the autoencoder that is not known here warns.

    Args:
        configs: config by part.
        of: what the model is, for the message.
        needs: what the family's UNet must need, for the message.

    Raises:
        BackboneError: a part says that it is of another class; or a setting has a value with which
            the UNet needs inputs that it would not get, or the pictures are no RGB.
    """
    for part, settings in PARTS.items():
        if part in configs:
            _check_part(configs[part], settings, part=part, of=of, needs=needs)
    _check_statistics(configs["vae"], of)


def _check_part(
    config: Mapping[str, Any], settings: Settings, *, part: str, of: str, needs: str
) -> None:
    for key, allowed in settings.fixed.items():
        found = config.get(key, allowed[0])
        if found not in allowed and part == "unet":
            raise BackboneError(
                f"{needs}, but the UNet of {of} has {key}={found!r}; "
                f"another family is needed for it"
            )
        if found not in allowed:
            raise BackboneError(
                f"{part} of {of} must have {key}={allowed[0]}, as in every Stable Diffusion, "
                f"got {found!r}"
            )
    said = _class_of(config)
    if said is not None and said not in settings.classes:
        raise BackboneError(
            f"{part} of {of} must be a {settings.classes[0]}, its config says {said}; "
            f"take the {part} of the model that the UNet was trained with"
        )
    known = {*settings.read, *settings.stock, *settings.fixed}
    unknown = [key for key in config if key not in known and not key.startswith("_")]
    if unknown and part in ("unet", "vae"):
        warnings.warn(
            f"{part} of {of} has settings that are not known here and may be without effect: "
            f"{', '.join(unknown)}",
            stacklevel=3,
        )


def words_width(unet: Mapping[str, Any]) -> Any:  # noqa: ANN401 - what a file says
    """Width of the text states that a UNet takes.

    Args:
        unet: config of a ``UNet2DConditionModel``, ``filled``.

    Returns:
        Channels; before its own projection of them, if it has one. A list that names one width for
        every block is that width.
    """
    if unet["encoder_hid_dim"] is not None:
        return unet["encoder_hid_dim"]
    width = unet["cross_attention_dim"]
    alike = isinstance(width, (list, tuple)) and len(set(width)) == 1
    return width[0] if alike else width


def _class_of(config: Mapping[str, Any]) -> str | None:
    """The class that a config names, as diffusers or as transformers does."""
    listed = config.get("architectures") or (None,)
    named = config.get("_class_name") or listed[0]
    return None if named is None else str(named)


def _check_statistics(vae: Mapping[str, Any], of: str) -> None:
    """Mean and standard deviation of latents come together, a number for each channel."""
    stated = {key: vae.get(key) for key in ("latents_mean", "latents_std")}
    wanted = vae.get("latent_channels", VAE.read["latent_channels"])
    if all(value is None for value in stated.values()):
        return
    for key, value in stated.items():
        if not isinstance(value, (list, tuple)) or len(value) != wanted:
            raise BackboneError(
                f"vae of {of} must name latents_mean and latents_std, {wanted} numbers each, "
                f"or neither, got {key}={value!r}"
            )
