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

from safetensors.torch import load_file
from torch import Tensor

from featurekit.backbones.adapters.forms import HALF, update_header
from featurekit.backbones.adapters.names import DOWN, NETWORKS, PEFT, UP, Rename, dotted
from featurekit.backbones.lora_file import FORMAT, load_lora
from featurekit.backbones.single_file.header import Header
from featurekit.backbones.stock import MISFITS, quietly
from featurekit.core.errors import BackboneError

_UPPER = {"down": "up", "A": "B"}
_UPPER_ENDS = ("up.weight", "B.weight")
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


def read_updates(
    path: Path, denoiser: str, rename: Rename
) -> dict[str, dict[str, tuple[Tensor, Tensor]]]:
    """Read the updates of a file.

    Args:
        path: safetensors file.
        denoiser: the network that files of this package are for, ``unet`` or ``transformer``.
        rename: of ``names``, for the model that it is for.

    Returns:
        By network ("" where the file does not say) and path of a layer: the down half (r in ...)
        and the up half (out r ...), float32, whose product is to be added as it is.

    Raises:
        BackboneError: it is no safetensors file, no LoRA, one of another form, or not whole.
    """
    header = update_header(path)
    if header.words.get("format") == FORMAT:
        return {denoiser: _ours(path)}
    weights = {name: weight.float() for name, weight in load_file(path).items()}
    given = _scaled(weights, path)
    try:
        with quietly():
            renamed = rename(given)
    except BackboneError as error:
        raise BackboneError(f"{error}; the file is {path}") from error
    except (*MISFITS, AssertionError) as error:  # converters assert what they know of a file
        reason = " ".join(str(error).split())[:200] or "names of another model"
        raise BackboneError(
            f"the names in {path} must be those of a LoRA for this model, got: {reason}"
        ) from error
    # a converter passes over what it does not know, and cuts fused layers apart
    named = {name: half for name, half in renamed.items() if name.endswith((DOWN, UP))}
    rows, found = _rows(given), _rows(named)
    if rows != found:
        strange = sorted(name.lstrip(":") for name in renamed.keys() - named.keys())
        raise BackboneError(
            f"every update in {path} must have a place, but of {rows} rows of weights that it is "
            f"for {found} have one after renaming; it mixes two ways of naming layers, or diffusers"
            f" does not know all of them{' (' + ', '.join(strange[:2]) + ')' if strange else ''}"
        )
    return _paired(named, _scales(header), path)


def _rows(halves: Mapping[str, Tensor]) -> int:
    """Rows of the weights that upper halves are for: as many however layers are cut apart."""
    return sum(half.shape[0] for name, half in halves.items() if name.endswith(_UPPER_ENDS))


def _ours(path: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """An update of this package, which is the denoiser's."""
    lora = load_lora(path)
    factor = lora.recipe.alpha / lora.recipe.rank
    layers = dict.fromkeys(name.removesuffix(DOWN).removesuffix(UP) for name in lora.weights)
    return {
        layer: (lora.weights[layer + DOWN].float(), lora.weights[layer + UP].float() * factor)
        for layer in layers
    }


def _scaled(weights: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The halves alone, with the alphas that stand beside them in the upper ones."""
    left = dict(weights)
    found: dict[str, Tensor] = {}
    for name in weights:
        match = HALF.fullmatch(name)
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
            for network in NETWORKS
        }
        bare = {key: value for key, value in config.items() if not key.startswith(dotted())}
        return {network: Scale(own) for network, own in {**found, "": bare}.items() if own}
    if not header.under(PEFT, *(f"{network}.{PEFT}" for network in NETWORKS)):
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
    return dict.fromkeys((*NETWORKS, ""), Scale(_mapping(text, str(beside))))


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
