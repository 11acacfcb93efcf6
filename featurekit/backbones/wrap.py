"""A pipeline that somebody has loaded becomes a backbone that shares its networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from diffusers import DiffusionPipeline
from torch import nn

from featurekit.backbones.dit import (
    chroma,
    flux,
    flux2,
    lumina2,
    pixart,
    qwen_image,
    sana,
    sd3,
    z_image,
)
from featurekit.backbones.latent_model import LatentModel
from featurekit.backbones.loaded.alterations import NETWORKS
from featurekit.backbones.loaded.layers import is_moved, layers_of, running_device
from featurekit.backbones.unet import sd, sdxl
from featurekit.core.errors import BackboneError

FAMILIES: Mapping[str, Callable[[Any, str], LatentModel]] = {  # by class of the denoiser
    "UNet2DConditionModel": lambda pipeline, name: (
        sdxl.wrapped(pipeline, name)
        if pipeline.unet.config.get("addition_embed_type") == "text_time"
        else sd.wrapped(pipeline, name)
    ),
    "FluxTransformer2DModel": flux.wrapped,
    "Flux2Transformer2DModel": flux2.wrapped,
    "QwenImageTransformer2DModel": qwen_image.wrapped,
    "ZImageTransformer2DModel": z_image.wrapped,
    "ChromaTransformer2DModel": chroma.wrapped,
    "SD3Transformer2DModel": sd3.wrapped,
    "PixArtTransformer2DModel": pixart.wrapped,
    "SanaTransformer2DModel": sana.wrapped,
    "Lumina2Transformer2DModel": lumina2.wrapped,
}
_DENOISERS = ("unet", "transformer", "prior", "decoder")  # what pipelines call theirs
_STEERED = {  # components by which a pipeline gives its denoiser more than a latent and words
    "controlnet": "a ControlNet",
    "adapter": "a T2I-Adapter",
    "motion_adapter": "a motion module",
    "image_normalizer": "an image in place of words",
    "low_res_scheduler": "a picture to be enlarged",
}
_DROPPING = ("Dropout", "Dropout1d", "Dropout2d")


def wrap(pipeline: Any, name: str | None = None) -> LatentModel:  # noqa: ANN401 - untyped
    """Make a backbone of a loaded diffusers pipeline, which keeps working as before.

    The networks are shared, not copied: device, dtype, adapters, offloading, attention backend and
    tiling are the pipeline's, and what is changed there is changed here. Nothing of the pipeline is
    changed: its weights may go on wanting gradients, which then pass them without reaching them.
    No weight is read; fingerprints and store keys hash them when they are asked for.

    Args:
        pipeline: a ``DiffusionPipeline`` of a supported family; text encoders may be None, and
            then conditionings must be given in place of prompts.
        name: what the backbone will be called; None takes where the pipeline was loaded from, or
            its class.

    Returns:
        Backbone of the family, as ``load_backbone`` gives it.

    Raises:
        BackboneError: it is no pipeline of PyTorch's; its denoiser is of an unsupported class, has
            other inputs or is steered by more than words; a component that is needed is None; its
            networks are on several devices, or hold no numbers; or one drops at random.
        ScheduleError: the noise levels of its scheduler cannot be read.
    """
    _check_pipeline(pipeline)
    called = name or _name_of(pipeline)
    attribute = _denoiser(pipeline, called)
    denoiser = getattr(pipeline, attribute)
    kind = type(getattr(denoiser, "_orig_mod", denoiser)).__name__
    if kind not in FAMILIES:
        raise BackboneError(
            f"the {attribute} of {called} must be one of {', '.join(FAMILIES)} to be wrapped, "
            f"got a {kind}"
        )
    for part in ("vae", "scheduler"):
        if getattr(pipeline, part, None) is None:
            raise BackboneError(
                f"a pipeline must have a {part} to be wrapped, but that of {called} is None; "
                f"load the pipeline with it"
            )
    _check_states(pipeline, called)
    return FAMILIES[kind](pipeline, called)


def _check_pipeline(pipeline: object) -> None:
    kind = type(pipeline).__name__
    for sign, of in (("Flax", "Flax"), ("Onnx", "ONNX"), ("ORT", "ONNX"), ("OV", "OpenVINO")):
        if kind.startswith(sign):
            raise BackboneError(
                f"a pipeline must be PyTorch's to be wrapped, got a {kind} of {of}, whose networks "
                f"have no modules to read; load the model with diffusers from its PyTorch weights"
            )
    if not isinstance(pipeline, DiffusionPipeline):
        raise BackboneError(
            f"wrap takes a loaded diffusers pipeline, got a {kind}; "
            f"load_backbone takes names, folders, hub ids and files"
        )


def _name_of(pipeline: Any) -> str:  # noqa: ANN401
    return str(pipeline.config.get("_name_or_path") or type(pipeline).__name__)


def _denoiser(pipeline: Any, called: str) -> str:  # noqa: ANN401
    """Name of the one component that predicts, if it is given a latent and words alone."""
    for part, what in _STEERED.items():
        if getattr(pipeline, part, None) is not None:
            raise BackboneError(
                f"the denoiser of a wrapped pipeline must be given a latent and words alone, but "
                f"that of {called} is given {what} as well; wrap the plain pipeline that it was "
                f"made from"
            )
    found = [part for part in _DENOISERS if isinstance(getattr(pipeline, part, None), nn.Module)]
    if len(found) != 1:
        held = [part for part in _DENOISERS if part in pipeline.components]
        raise BackboneError(
            f"a pipeline must have one unet or transformer to be wrapped, {called} has "
            f"{' and '.join(found) or 'none'}"
            + (f"; its {held[0]} is None, load the pipeline with it" * (not found and bool(held)))
        )
    return found[0]


def _check_states(pipeline: Any, called: str) -> None:  # noqa: ANN401
    """Refuse networks that are not where they compute, or answer otherwise at every call."""
    places: dict[str, str] = {}
    for part in NETWORKS:
        network = getattr(pipeline, part, None)
        if not isinstance(network, nn.Module):
            continue
        place = running_device(next(layers_of(network), network), network)
        bare = any(weight.is_meta for weight in network.parameters())
        if bare and (place.type == "meta" or not is_moved(network)):
            raise BackboneError(
                f"the weights of a wrapped pipeline must be loaded, but the {part} of {called} "
                f"has some on the meta device, without numbers; load the pipeline again"
            )
        if network.training and _drops(network):
            raise BackboneError(
                f"a network must answer alike at every call to be wrapped, but the {part} of "
                f"{called} is in training mode and drops at random; call pipeline.{part}.eval()"
            )
        places[part] = str(place)
    if len(set(places.values())) > 1:
        told = ", ".join(f"{part} on {place}" for part, place in places.items())
        raise BackboneError(
            f"the networks of a wrapped pipeline must compute on one device, those of {called} "
            f"are on several: {told}; call pipeline.to('{next(iter(places.values()))}')"
        )


def _drops(network: nn.Module) -> bool:
    return any(
        type(part).__name__ in _DROPPING and getattr(part, "p", 0) > 0 for part in network.modules()
    )
