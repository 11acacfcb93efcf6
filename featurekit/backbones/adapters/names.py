"""Names of layers in files of updates, and what they are called in the networks of diffusers.

Diffusers' own converters rename what is not named as its networks name it already.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from diffusers.loaders import StableDiffusionLoraLoaderMixin
from diffusers.utils.state_dict_utils import (
    convert_state_dict_to_diffusers,
    convert_state_dict_to_peft,
    convert_unet_state_dict_to_peft,
)
from torch import Tensor, nn

from featurekit.backbones.adapters.forms import HALF
from featurekit.core.errors import BackboneError

DOWN, UP = ".lora_A.weight", ".lora_B.weight"  # peft's names, which everything is renamed to
PEFT = "base_model.model."  # what peft's own files put before a path
NETWORKS = ("unet", "transformer", "text_encoder", "text_encoder_2", "text_encoder_3")
_KOHYA = ("lora_unet_", "lora_te")
_FLAT = {  # what kohya's and other trainers put before a path without points, by network
    "transformer": ("lora_unet_", "lora_transformer_"),
    "text_encoder": ("lora_te_", "lora_te1_"),
    "text_encoder_2": ("lora_te2_",),
    "text_encoder_3": ("lora_te3_",),
}
_ENDS = {"down": DOWN, "A": DOWN, "up": UP, "B": UP}

Halves: TypeAlias = dict[str, Tensor]
Rename: TypeAlias = Callable[[Halves], Halves]
"""Halves by their names in a file, to halves as ``NETWORK:PATH.lora_A.weight``; NETWORK is empty
where the file does not say it."""


def dotted() -> tuple[str, ...]:
    """What stands before a path in files that say the network."""
    return tuple(f"{network}." for network in NETWORKS)


def of_unet(unet: Any) -> Rename:  # noqa: ANN401 - untyped
    """Make what renames the updates of a model with a UNet.

    Args:
        unet: the UNet; kohya's names of an XL are told by its config.

    Returns:
        The renaming.
    """

    def rename(given: Halves) -> Halves:
        if all(name.startswith(_KOHYA) for name in given):
            given, _ = StableDiffusionLoraLoaderMixin.lora_state_dict(
                dict(given), unet_config=unet.config
            )
        return _by_network(given)

    return rename


def of_transformer(networks: Mapping[str, nn.Module], pipeline: type) -> Rename:
    """Make what renames the updates of a model with a transformer.

    Args:
        networks: its networks by attribute.
        pipeline: class of diffusers whose loader converts names of other trainers.

    Returns:
        The renaming. It raises BackboneError where diffusers has no loader for the family and a
        name is no path of the network.
    """
    paths = {
        network: {path for path, _ in networks[network].named_modules()}
        for network in NETWORKS
        if network in networks
    }

    def rename(given: Halves) -> Halves:
        own = {name: _own_name(name, paths) for name in given}
        found = {own[name]: one for name, one in given.items() if own[name]}
        rest = {name: one for name, one in given.items() if not own[name]}
        if not rest:
            return found
        convert = getattr(pipeline, "lora_state_dict", None)
        if convert is None:
            raise BackboneError(
                f"names in a LoRA for a {pipeline.__name__} must be those of its networks, since "
                f"diffusers has no loader that converts others, got "
                f"{', '.join(sorted(rest)[:2])}; save it with diffusers' or peft's names"
            )
        converted = convert({**rest, **_alphas(rest)})
        left = {name: one for name, one in converted.items() if not name.endswith(".alpha")}
        return found | _by_network(left)

    return rename


def _own_name(name: str, paths: Mapping[str, set[str]]) -> str:
    """A name of a file that is a path of a network already; "" where it is another one."""
    match = HALF.fullmatch(name)
    if match is None:
        return ""
    layer, end = match["layer"], _ENDS[match["half"]]
    for network, starts in _FLAT.items():
        start = next((one for one in starts if layer.startswith(one)), None)
        if start is not None:
            flat = layer.removeprefix(start).removeprefix("text_model_")
            known = [p for p in paths.get(network, ()) if p.replace(".", "_") == flat]
            return f"{network}:{known[0]}{end}" if len(known) == 1 else ""
    network = next((one for one in NETWORKS if layer.startswith(f"{one}.")), "")
    path = layer.removeprefix(f"{network}." if network else "").removeprefix(PEFT)
    places = [paths.get(network, set())] if network else list(paths.values())
    return f"{network}:{path}{end}" if any(path in place for place in places) else ""


def _alphas(given: Halves) -> Halves:
    """Alphas that scale nothing, which some converters want: the upper halves hold them already."""
    found = {}
    for name, half in given.items():
        if re.search(r"[._]lora_down\.weight$", name):
            layer = name.removesuffix(".lora_down.weight")
            found[f"{layer}.alpha"] = torch.tensor(float(half.shape[0]))
    return found


def _by_network(given: Halves) -> Halves:
    """Halves in diffusers' names, older ones included, by network and in peft's."""
    found: Halves = {}
    for network in (*NETWORKS, ""):
        start = f"{network}." if network else ""
        mine = {
            name.removeprefix(start).removeprefix(PEFT): weight
            for name, weight in given.items()
            if name.startswith(start) and (network or not name.startswith(dotted()))
        }
        if network.startswith("text"):
            mine = convert_state_dict_to_peft(convert_state_dict_to_diffusers(mine)) if mine else {}
        elif mine:
            mine = convert_unet_state_dict_to_peft(mine)
        found |= {f"{network}:{name}": weight for name, weight in mine.items()}
    return found
