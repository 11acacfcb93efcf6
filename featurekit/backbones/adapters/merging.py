"""Give a backbone the update of a file, for good: its layers hold the sum."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from featurekit.backbones.adapters.names import of_transformer, of_unet
from featurekit.backbones.adapters.update_files import read_updates
from featurekit.backbones.dit.diffusion_transformer import DiffusionTransformer
from featurekit.backbones.latent_model import LatentModel
from featurekit.backbones.loaded.alterations import NETWORKS
from featurekit.backbones.loaded.handing_on import Made, made
from featurekit.core.errors import BackboneError, ConfigError
from featurekit.core.file_bytes import sha256_of

AnyModel = TypeVar("AnyModel", bound=LatentModel)
_Halves = Mapping[str, tuple[Tensor, Tensor]]


def with_lora(backbone: AnyModel, path: Path, scale: float) -> AnyModel:
    """Add the update of a file to a backbone that was just loaded.

    Its layers stay the stock ones and cost what they cost without it; the sum is taken in float32
    at least and rounded once. The file and the scale are a part of what the backbone's results
    are known by.

    Args:
        backbone: whose layers are written.
        path: safetensors file of kohya's, diffusers', peft's or this package's names.
        scale: factor of the update; 1 is the update as trained.

    Returns:
        The backbone with it.

    Raises:
        ConfigError: ``scale`` is not finite.
        BackboneError: it is no LoRA, one of another form, or for another model, whole or in part.

    Source: Hu et al. 2021, arXiv:2106.09685, section 4.1, W + alpha / r B A.
    """
    if not math.isfinite(scale):
        raise ConfigError(f"lora_scale must be finite, got {scale}")
    path = path.expanduser()
    networks: dict[str, Any] = {
        name: one for name in NETWORKS if (one := getattr(backbone, name, None)) is not None
    }
    if isinstance(backbone, DiffusionTransformer):
        rename = of_transformer(networks, type(backbone.prompts))
    else:
        rename = of_unet(networks["unet"])
    read = read_updates(path, backbone.DENOISER, rename)
    updates = _placed(read, networks, path, backbone.name)
    for name, layers in updates.items():
        for layer, halves in layers.items():
            _add(networks[name].get_submodule(layer), halves, scale)
    told = f"lora {sha256_of(path)} at {float(scale)!r}"
    words = {name: "; ".join(filter(None, (backbone.updates.get(name), told))) for name in updates}
    return replace(
        backbone,
        files={**backbone.files, f"lora/{path.name}": path},
        updates={**backbone.updates, **words},
        origin=(
            made_with_lora,
            {"origin": backbone.origin, "path": path.absolute(), "scale": scale},
        ),
    )


def made_with_lora(origin: Made, path: Path, scale: float) -> Any:  # noqa: ANN401
    """Load a backbone as another one was loaded, with its update.

    Args:
        origin: what made the backbone without it.
        path: the file of the update.
        scale: its factor.

    Returns:
        The backbone.
    """
    return with_lora(made(*origin), path, scale)


def _placed(
    updates: Mapping[str, _Halves], networks: Mapping[str, nn.Module], path: Path, of: str
) -> dict[str, dict[str, tuple[Tensor, Tensor]]]:
    """The updates by network and path of a layer, every one of which fits."""
    found: dict[str, dict[str, tuple[Tensor, Tensor]]] = {}
    misfits, count = list[str](), 0
    for said, layers in updates.items():
        name = said or _likeliest(layers, networks)
        parts = dict(networks[name].named_modules()) if name in networks else {}
        for layer, halves in layers.items():
            own = layer if layer in parts else layer.removeprefix("text_model.")
            count += 1
            if own in parts and _fits(parts[own], halves):
                found.setdefault(name, {})[own] = halves
            else:
                misfits.append(f"{name}.{layer} {_sizes(halves)}")
    if misfits:
        raise BackboneError(
            f"a LoRA must fit the model, but {len(misfits)} of {count} layers in {path} do not fit "
            f"{of!r} ({', '.join(misfits[:2])}); give the one that was trained on this model"
        )
    return found


def _likeliest(layers: _Halves, networks: Mapping[str, nn.Module]) -> str:
    """The network that has most of the layers, of a file that does not say for which it is."""

    def known(name: str) -> int:
        parts = {path for path, _ in networks[name].named_modules()}
        return sum(layer in parts or layer.removeprefix("text_model.") in parts for layer in layers)

    return max(networks, key=known)


def _fits(layer: nn.Module, halves: tuple[Tensor, Tensor]) -> bool:
    if not isinstance(layer, (nn.Linear, nn.Conv2d)) or getattr(layer, "groups", 1) != 1:
        return False
    down, up = (half.flatten(1) for half in halves)
    weight = layer.weight.flatten(1)
    return (up.shape[0], down.shape[1]) == tuple(weight.shape) and up.shape[1] == down.shape[0]


def _sizes(halves: tuple[Tensor, Tensor]) -> str:
    down, up = halves
    return f"{down[0].numel()} -> {up.shape[0]}"


def _add(layer: Any, halves: tuple[Tensor, Tensor], scale: float) -> None:  # noqa: ANN401
    own = layer.weight
    exact = torch.promote_types(own.dtype, torch.float32)
    down, up = (half.to(own.device, exact).flatten(1) for half in halves)
    total = own.detach().to(exact) + scale * (up @ down).reshape(own.shape)
    layer.weight = nn.Parameter(total.to(own.dtype), requires_grad=False)
