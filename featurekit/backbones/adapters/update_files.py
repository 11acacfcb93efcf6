"""Files of low-rank updates, as kohya's trainers, diffusers, peft and this package write them.

Diffusers' own converters rename the layers; which layers a file is for is told afterwards, by the
networks themselves. Every number in a file must find its place.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusers.loaders import StableDiffusionLoraLoaderMixin
from diffusers.utils.state_dict_utils import (
    convert_state_dict_to_diffusers,
    convert_state_dict_to_peft,
    convert_unet_state_dict_to_peft,
)
from safetensors.torch import load_file
from torch import Tensor

from featurekit.backbones.lora_file import FORMAT, load_lora
from featurekit.backbones.single_file.header import Header, read_header
from featurekit.backbones.stock import MISFITS, quietly
from featurekit.core.errors import BackboneError

DOWN, UP = ".lora_A.weight", ".lora_B.weight"  # peft's names, which everything is renamed to
_OTHERS = {  # updates of other forms, by what their tensors are called
    r"dora_scale|lora_magnitude_vector": "DoRA, whose magnitudes have no place in diffusers",
    r"hada_w": "LoHa",
    r"lokr_w": "LoKr",
    r"oft_|boft_": "OFT",
    r"lora_mid": "LoCon with a middle factor",
    r"\.diff(_b)?$|\.set_weight$": "differences of whole layers",
}
_HALF = re.compile(r"(?P<layer>.*?)[._]lora[._](linear_layer\.)?(?P<half>down|up|A|B)\.weight")
_UPPER = {"down": "up", "A": "B"}
_KOHYA = ("lora_unet_", "lora_te")
_PEFT = "base_model.model."
_NETWORKS = ("unet", "text_encoder", "text_encoder_2")
_METADATA, _CONFIG = "lora_adapter_metadata", "adapter_config.json"


@dataclass(frozen=True)
class Scale:
    """What an update is multiplied by, as peft's config says it."""

    config: Mapping[str, Any]

    def of(self, layer: str, rank: int) -> float:
        """Factor of a layer's update of some rank; 1 where nothing is said."""
        config = self.config
        alpha = _by_pattern(config.get("alpha_pattern"), layer, config.get("lora_alpha"))
        if alpha is None:
            return 1.0
        return float(alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)


def read_updates(path: Path, unet: Any) -> dict[str, dict[str, tuple[Tensor, Tensor]]]:  # noqa: ANN401
    """Read the updates of a file.

    Args:
        path: safetensors file.
        unet: the UNet that it is for; kohya's names of an XL are told by its config.

    Returns:
        By network (``unet``, ``text_encoder``, ``text_encoder_2``; "" where the file does not say)
        and path of a layer: the down half (r in ...) and the up half (out r ...), float32, whose
        product is to be added as it is.

    Raises:
        BackboneError: it is no safetensors file, no LoRA, one of another form, or not whole.
    """
    header = read_header(path)
    _check_form(header)
    if header.words.get("format") == FORMAT:
        return _ours(path)
    weights = {name: weight.float() for name, weight in load_file(path).items()}
    given = _scaled(weights, path)
    try:
        with quietly():
            renamed = _renamed(given, unet)
    except MISFITS as error:
        reason = " ".join(str(error).split())[:200]
        raise BackboneError(
            f"the names in {path} must be those of a LoRA, got: {reason}"
        ) from error
    found = _paired(renamed, _scales(header), path)
    count = sum(len(layers) for layers in found.values())
    if count * 2 != len(given):
        raise BackboneError(
            f"every update in {path} must have a place, but of {len(given) // 2} only {count} have "
            f"one after renaming; it mixes two ways of naming layers"
        )
    return found


def _check_form(header: Header) -> None:
    for pattern, kind in _OTHERS.items():
        known = [name for name in header.shapes if re.search(pattern, name)]
        if known:
            raise BackboneError(
                f"lora_file must be a LoRA, {header.path} holds {kind} ({known[0]}); merge it into "
                f"its model with what trained it, and load that"
            )
    if not any(_HALF.fullmatch(name) for name in header.shapes):
        raise BackboneError(
            f"lora_file must be a LoRA, {header.path} holds {len(header.shapes)} tensors, none of "
            f"them a half of an update ({', '.join(sorted(header.shapes)[:2]) or 'none at all'})"
        )


def _ours(path: Path) -> dict[str, dict[str, tuple[Tensor, Tensor]]]:
    """An update of this package, which is the UNet's."""
    lora = load_lora(path)
    factor = lora.recipe.alpha / lora.recipe.rank
    layers = dict.fromkeys(name.removesuffix(DOWN).removesuffix(UP) for name in lora.weights)
    return {
        "unet": {
            layer: (lora.weights[layer + DOWN].float(), lora.weights[layer + UP].float() * factor)
            for layer in layers
        }
    }


def _scaled(weights: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The halves alone, with the alphas that stand beside them in the upper ones."""
    left = dict(weights)
    found: dict[str, Tensor] = {}
    for name in weights:
        match = _HALF.fullmatch(name)
        if match is None or match["half"] not in _UPPER:
            continue
        start, end = match.span("half")
        upper = f"{name[:start]}{_UPPER[match['half']]}{name[end:]}"
        if upper not in left:
            raise BackboneError(
                f"an update must have both halves, but {path} has {name} and no {upper}; "
                f"download or copy it again"
            )
        down, up = left.pop(name), left.pop(upper)
        alpha = left.pop(f"{match['layer']}.alpha", None)
        factor = 1.0 if alpha is None else float(alpha) / down.shape[0]
        found |= {name: down, upper: up * factor}
    if left:
        names = sorted(left)
        raise BackboneError(
            f"every tensor in a LoRA must belong to an update, {len(names)} in {path} do not "
            f"({', '.join(names[:2])})"
        )
    return found


def _renamed(given: dict[str, Tensor], unet: Any) -> dict[str, Tensor]:  # noqa: ANN401
    """The halves under the networks' names and peft's."""
    if all(name.startswith(_KOHYA) for name in given):
        given, _ = StableDiffusionLoraLoaderMixin.lora_state_dict(
            dict(given), unet_config=unet.config
        )
    found: dict[str, Tensor] = {}
    for network in (*_NETWORKS, ""):
        start = f"{network}." if network else ""
        mine = {
            name.removeprefix(start).removeprefix(_PEFT): weight
            for name, weight in given.items()
            if name.startswith(start) and (network or not name.startswith(_dotted()))
        }
        if network.startswith("text"):
            mine = convert_state_dict_to_peft(convert_state_dict_to_diffusers(mine)) if mine else {}
        elif mine:
            mine = convert_unet_state_dict_to_peft(mine)
        found |= {f"{network}:{name}": weight for name, weight in mine.items()}
    return found


def _dotted() -> tuple[str, ...]:
    return tuple(f"{network}." for network in _NETWORKS)


def _paired(
    renamed: Mapping[str, Tensor], scales: Mapping[str, Scale], path: Path
) -> dict[str, dict[str, tuple[Tensor, Tensor]]]:
    found: dict[str, dict[str, tuple[Tensor, Tensor]]] = {}
    for name, down in renamed.items():
        if not name.endswith(DOWN):
            continue
        network, _, layer = name.removesuffix(DOWN).partition(":")
        up = renamed.get(f"{network}:{layer}{UP}")
        if up is None:
            raise BackboneError(f"an update must have both halves, {path} has no {layer}{UP}")
        factor = scales.get(network, Scale({})).of(layer, down.shape[0])
        found.setdefault(network, {})[layer] = (down, up * factor)
    return found


def _scales(header: Header) -> dict[str, Scale]:
    """What the file, or peft's config beside it, says of the updates of each network."""
    said = header.words.get(_METADATA)
    if said is not None:
        config = _mapping(said, f"{_METADATA} of {header.path}")
        found = {
            network: {
                key.removeprefix(f"{network}."): value
                for key, value in config.items()
                if key.startswith(f"{network}.")
            }
            for network in _NETWORKS
        }
        bare = {key: value for key, value in config.items() if not key.startswith(_dotted())}
        return {network: Scale(own) for network, own in {**found, "": bare}.items() if own}
    if not header.under(_PEFT, *(f"{network}.{_PEFT}" for network in _NETWORKS)):
        return {}
    beside = header.path.parent / _CONFIG
    if not beside.is_file():
        raise BackboneError(
            f"a LoRA of peft must have its {_CONFIG} beside it, which says its scale, found none "
            f"in {header.path.parent}; copy it there"
        )
    try:
        text = beside.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise BackboneError(f"{beside} must be readable JSON, got: {error}") from error
    return dict.fromkeys((*_NETWORKS, ""), Scale(_mapping(text, str(beside))))


def _mapping(text: str, of: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise BackboneError(f"{of} must be JSON, got: {error}") from error
    if not isinstance(found, dict):
        raise BackboneError(f"{of} must be a JSON object, got {type(found).__name__}")
    return found


def _by_pattern(patterns: Mapping[str, Any] | None, layer: str, default: Any) -> Any:  # noqa: ANN401
    """The number of the first pattern that a layer's path ends with, as peft looks for it."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", layer):
            return value
    return default
