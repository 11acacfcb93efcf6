"""The parts of a model in one file."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import torch

from featurekit.backbones.single_file.byte_pairs import END, EXCLAMATION, clip_tokenizer
from featurekit.backbones.single_file.kinds import WORDS, SingleFile, identify
from featurekit.backbones.single_file.networks import read_text_encoder, read_unet, read_vae
from featurekit.backbones.sources.other_vae import other_vae
from featurekit.backbones.sources.parts import Instead, Parts, Read
from featurekit.backbones.stock import Networks, frozen
from featurekit.core.errors import BackboneError, FeatureKitWarning

_PADDING: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"sd15": (END,), "sd21": (EXCLAMATION,), "sdxl": (END, EXCLAMATION)}
)


def file_parts(path: Path, instead: Instead) -> Parts:
    """Find the parts of a model in one file; of its weights nothing is read yet.

    Args:
        path: safetensors file in the layout of the first releases.
        instead: what takes the place of its own parts, or says what it does not say.

    Returns:
        Its parts, with the configs of its family.

    Raises:
        BackboneError: the file is none or holds another model; or it has no autoencoder and none
            is given.
    """
    file = identify(path, instead.prediction)
    _tell(file)
    configs, vae = file.configs, None
    if instead.vae is not None:
        other, vae = other_vae(instead.vae, configs["vae"])
        configs = {**configs, "vae": other}
    elif not file.has_vae:
        raise BackboneError(
            f"a model in one file must hold its autoencoder, {path} has none; give one as vae "
            f"(backbone.vae=FOLDER_OR_FILE)"
        )
    return Parts(
        of=str(path),
        configs=configs,
        networks=lambda dtype: _networks(file, vae, dtype),
        tokenizers=lambda: tuple(map(clip_tokenizer, _PADDING[file.family])),
        remark=f"prediction {file.prediction.why}",
        updates={} if file.usual else {"unet": f"prediction {file.prediction.kind}"},
    )


def _networks(file: SingleFile, vae: Read | None, dtype: torch.dtype) -> Networks:
    files = {file.path.name: file.path}
    if vae is None:
        autoencoder = read_vae(file.header, file.configs, dtype)
    else:
        autoencoder, more = vae(dtype)
        files |= more
    words = {part: read_text_encoder(file, part, dtype) for part in WORDS[file.family]}
    unet = read_unet(file, dtype)
    return frozen(Networks(unet=unet, vae=autoencoder, **words, files=files))


def _tell(file: SingleFile) -> None:
    """Warn of what the file leaves open, and of weights in it that no part of it uses."""
    if not file.prediction.sure:
        warnings.warn(
            f"{file.path} does not say what its UNet predicts, and Stable Diffusion 2.x was made "
            f"for both: v_prediction is taken; if its pictures are noise, give "
            f"prediction='epsilon' (backbone.prediction=epsilon)",
            FeatureKitWarning,
            stacklevel=2,
        )
    if file.unread:
        warnings.warn(
            f"{file.path} holds {len(file.unread)} tensors that are left out "
            f"({', '.join(file.unread[:2])}): the model is what lies under model.diffusion_model., "
            f"first_stage_model. and its text encoders, and averages (EMA) are not taken",
            FeatureKitWarning,
            stacklevel=2,
        )
