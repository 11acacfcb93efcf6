"""Which model a file holds, told by the names and shapes of its weights. Imports no torch."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from featurekit.backbones.folder import bundled_configs
from featurekit.backbones.layout.other_folders import single_file
from featurekit.backbones.single_file.header import PICKLES, Header, read_header
from featurekit.backbones.single_file.other_kinds import other_kind
from featurekit.backbones.single_file.predictions import Taken, taken
from featurekit.core.errors import BackboneError

UNET = "model.diffusion_model."
VAE = "first_stage_model."
WORDS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {  # where a family keeps its text encoders
        "sd15": {"text_encoder": "cond_stage_model.transformer."},
        "sd21": {"text_encoder": "cond_stage_model.model."},
        "sdxl": {
            "text_encoder": "conditioner.embedders.0.transformer.",
            "text_encoder_2": "conditioner.embedders.1.model.",
        },
    }
)
GUIDANCE = "time_embed.cond_proj.weight"  # of a UNet that is told the scale of guidance
_KNOWN_AS = {
    "sd15": "Stable Diffusion 1.x",
    "sd21": "Stable Diffusion 2.x",
    "sdxl": "Stable Diffusion XL",
}
_FIRST, _LAST = UNET + "input_blocks.0.0.weight", UNET + "out.2.weight"
_READS_WORDS = re.compile(r"model\.diffusion_model\..*\.attn2\.to_k\.weight")
_OTHER_INPUTS = {  # channels of a UNet that sees more than a latent
    5: "a model conditioned on depth",
    7: "an upscaling model",
    8: "a model that edits by instructions (InstructPix2Pix)",
    9: "an inpainting model",
}
_LABELS = UNET + "label_emb."
_TABLES = re.compile(  # of noise levels, and marks, which the family's configs say instead
    r"betas|(sqrt|log|posterior|alphas|one_minus)_\w+|logvar|lvlb_weights|scale_factor|global_step"
    r"|denoiser\.\w+|v_pred|ztsnr|state_dict"
)
_EDM = "edm_mean"
_CONTROL = "control_model."


@dataclass(frozen=True)
class SingleFile:
    """A model that can be loaded from one file."""

    header: Header
    family: str  # ``sd15``, ``sd21`` or ``sdxl``, whose configs are its own
    configs: Mapping[str, Mapping[str, Any]]  # by part
    prediction: Taken
    usual: bool  # whether that is what its family predicts

    @property
    def path(self) -> Path:
        """The file."""
        return self.header.path

    @property
    def has_vae(self) -> bool:
        """Whether an autoencoder lies in it."""
        return bool(self.header.under(VAE))

    @property
    def unread(self) -> tuple[str, ...]:
        """Names of weights in it that no part of the model has, such as averages (EMA)."""
        read = {*self.header.under(UNET, VAE, *WORDS[self.family].values())}
        return tuple(
            name for name in self.header.shapes if name not in read and not _TABLES.fullmatch(name)
        )


def identify(path: Path, prediction: str | None = None) -> SingleFile:
    """Tell which model a file holds, from its header alone.

    Args:
        path: the file.
        prediction: ``epsilon`` or ``v_prediction``; None takes what the file says, or else what
            its family has.

    Returns:
        Its family and configs.

    Raises:
        BackboneError: it is no safetensors file, or holds something else, which is named.
        UnknownNameError: there is no such prediction.
    """
    if path.suffix.lower() in PICKLES:
        raise BackboneError(single_file(path))
    header = read_header(path)
    if _FIRST not in header.shapes or header.under(_CONTROL):
        raise BackboneError(_nothing_read(path, other_kind(header)))
    family = _family(header)
    configs = dict(bundled_configs(family))
    _check_unet(header, configs["unet"], family)
    width = header.shapes.get(UNET + GUIDANCE)
    if width is not None:
        configs["unet"] = {**configs["unet"], "time_cond_proj_dim": width[1]}
    said = taken(header, family, _KNOWN_AS[family], prediction)
    usual = configs["scheduler"].get("prediction_type", "epsilon") == said.kind
    configs["scheduler"] = {**configs["scheduler"], **said.settings}
    return SingleFile(header, family, configs, said, usual)


def _nothing_read(path: Path, kind: str) -> str:
    return (
        f"a model in one file must be Stable Diffusion 1.x, 2.x or XL with its UNet as "
        f"{UNET}*, {path} holds {kind}"
    )


def _family(header: Header) -> str:
    """The family by where its text encoders lie."""
    if _EDM in header.shapes:
        raise BackboneError(
            _nothing_read(
                header.path, "Playground v2.5, an XL with noise levels of EDM; those cannot be read"
            )
        )
    for family in ("sdxl", "sd21", "sd15"):
        places = WORDS[family]
        if all(header.under(place) for place in places.values()):
            return family
    if header.under("conditioner.embedders.0.model."):
        kind = "the refiner of Stable Diffusion XL, which has no base's text encoders"
        raise BackboneError(_nothing_read(header.path, f"{kind}; give the base model"))
    raise BackboneError(
        f"a model in one file must hold its text encoders, {header.path} has none under "
        f"cond_stage_model. or conditioner.; give the whole checkpoint, or a diffusers folder"
    )


def _check_unet(header: Header, unet: Mapping[str, Any], family: str) -> None:
    """Refuse a UNet with other inputs, or that reads other words than its family's."""
    inputs = header.shapes[_FIRST][1]
    if inputs != unet["in_channels"]:
        kind = _OTHER_INPUTS.get(inputs, "another model")
        kind = f"{kind}, whose UNet takes {inputs} channels and not {unet['in_channels']}"
        raise BackboneError(_nothing_read(header.path, kind))
    labelled = bool(header.under(_LABELS))
    if labelled != (unet["addition_embed_type"] is not None):
        kind = "a UNet that is told pictures or classes" if labelled else "a UNet without sizes"
        raise BackboneError(
            _nothing_read(
                header.path, f"{kind} beside the text encoders of {_KNOWN_AS[family]} (label_emb)"
            )
        )
    found = {shape[1] for name, shape in header.shapes.items() if _READS_WORDS.fullmatch(name)}
    if found != {unet["cross_attention_dim"]}:
        raise BackboneError(
            _nothing_read(
                header.path,
                f"a UNet that reads words of {', '.join(map(str, sorted(found))) or 'no'} "
                f"channels beside the text encoders of {_KNOWN_AS[family]}, whose words have "
                f"{unet['cross_attention_dim']}",
            )
        )
