"""What has changed a network since it was loaded: weights, adapters, FreeU, processors.

A store of features and residuals of an inversion belong to the network that made them, and its
weight files do not say what was done to it afterwards. Version counters and addresses of tensors
would not either: peft merges adapters through ``.data``, which moves neither. So all numbers are
added up whenever this is asked, at the speed of memory; only what differs is hashed.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor, nn

from featurekit.backbones.loaded.kept_elsewhere import numbers_of, packed, unpacked
from featurekit.backbones.loaded.sums import Sum, digest_of, sums_of
from featurekit.core.errors import BackboneError
from featurekit.taps.parts import HARMLESS

NETWORKS = (  # what may be changed, by attribute
    "unet", "transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3",
)  # fmt: skip
_SIMPLE = (bool, int, float, str, torch.dtype)
_NO_ANSWER = {  # or seen elsewhere
    "training", "gradient_checkpointing", "fused_projections", "use_slicing",
}  # fmt: skip
_FREEU = ("s1", "s2", "b1", "b2")  # what diffusers sets on up blocks, None when it is off
_PLAIN = ("AttnProcessor", "SlicedAttn", "XFormersAttn")  # these all compute one attention
_FUSED = ("to_qkv", "to_kv")  # diffusers leaves them there when it undoes the fusing
_PREFIX = "text_model."  # of CLIP's weights in files, where transformers 5 has none
_PLACES = ".position_ids"  # counted from 0, and in no file
_DROPPING = ("p", "dropout", "attention_dropout")


@dataclass(frozen=True)
class Loaded:
    """A network as it was loaded, in sums of its numbers and its modules in words."""

    sums: Mapping[str, Sum]  # by path of a parameter or buffer
    modules: Mapping[str, str]  # by path
    unusual: Mapping[str, tuple[str, ...]]  # by path: a family's own processors


def as_loaded(network: nn.Module) -> Loaded:
    """Remember what a network is, without keeping any of its numbers.

    Args:
        network: any torch module.

    Returns:
        What ``altered`` compares with.
    """
    return Loaded(sums_of(dict(_tensors(network))), *_modules(dict(_parts(network))))


def as_read(network: nn.Module, bare: nn.Module, stored: Iterable[tuple[str, Tensor]]) -> Loaded:
    """Tell what ``as_loaded`` would have said of a network when its files had just been read.

    Args:
        network: as it is now; numbers are compared in its dtypes.
        bare: one of its class and config, without numbers.
        stored: what the files hold, by path of a parameter or buffer.

    Returns:
        What ``altered`` compares with; what no file holds but places that are counted has no sum,
        and so is another one.
    """
    own, parts = dict(_tensors(network)), dict(_parts(bare))
    sums: dict[str, Sum] = {}
    for name, tensor in stored:
        names = (name, f".{name}", name.removeprefix(_PREFIX), f"{_PREFIX}{name}")
        at = next((one for one in names if one in own), None)
        if at is not None:
            sums |= sums_of({at: tensor.to(own[at].dtype)})
    for at in own.keys() - sums.keys():
        if at.endswith(_PLACES):
            counted = torch.arange(own[at].numel(), device=own[at].device)
            sums |= sums_of({at: counted.to(own[at].dtype).reshape(own[at].shape)})
    return Loaded(sums, *_modules(parts))


def _modules(
    parts: Mapping[str, nn.Module],
) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    unusual = {at: found for at, part in parts.items() if (found := tuple(_unusual(part)))}
    return {at: _plain(part) for at, part in parts.items()}, unusual


def altered(network: nn.Module, loaded: Loaded) -> str:
    """Hash all that makes a network answer otherwise than the files that it was loaded from.

    That is every weight that is another one, every module of another kind or with another setting,
    adapters that are switched on and their scales, FreeU, caches, processors and their state,
    replaced forwards by name. A device, attention slicing, gradient checkpointing and adapters that
    are switched off change no answer. Not seen: torch's hooks, since most of them only read, and
    what this package arranges for a block, apart from ``lora.applied``.

    Args:
        network: the network as it is now.
        loaded: what ``as_loaded`` said of it.

    Returns:
        SHA-256, hexadecimal; "" where nothing has changed it.
    """
    tensors = dict(_tensors(network))
    sums = sums_of(tensors)
    parts = dict(_parts(network))
    lines = [f"{at} is gone" for at in sorted(loaded.sums.keys() - tensors.keys())]
    lines += [f"{at} is gone" for at in sorted(loaded.modules.keys() - parts.keys())]
    lines += [
        f"{at} {tensor.dtype} {tuple(tensor.shape)} {digest_of(tensor)}"
        for at, tensor in sorted(tensors.items())
        if loaded.sums.get(at) != sums[at]
    ]
    for at, part in sorted(parts.items()):
        plain = _plain(part)
        told = [plain] if loaded.modules.get(at) != plain else []
        told += [line for line in _unusual(part) if line not in loaded.unusual.get(at, ())]
        lines += [f"{at} {line}" for line in told]
    return sha256("\n".join(lines).encode()).hexdigest() if lines else ""


def state(network: nn.Module) -> str:
    """Hash what a network answers with, all of it: equal while nothing changes it.

    Args:
        network: any torch module.

    Returns:
        SHA-256, hexadecimal.

    Raises:
        BackboneError: some of its weights are nowhere.
    """
    tensors = dict(_tensors(network))
    bare = next((at for at, tensor in tensors.items() if tensor.is_meta), None)
    if bare is not None:
        raise BackboneError(
            f"the weights of a network must hold numbers for what it answers to be known by, but "
            f"{bare} is on the meta device; load the pipeline again"
        )
    told = [repr(sums_of(tensors))]
    for path, part in _parts(network):
        told += [f"{path} {line}" for line in (_plain(part), *_unusual(part))]
    return sha256("\n".join(told).encode()).hexdigest()


def _parts(module: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Modules that take part in a forward; idle adapters and compiled ones as what they hold."""
    inner = module._modules.get("base_layer" if _idle(module) else "_orig_mod")
    if inner is not None:
        yield from _parts(inner, path)
        return
    yield path, module
    for name, part in module._modules.items():
        if part is not None and (name not in _FUSED or _is_fused(module)):
            yield from _parts(part, f"{path}.{name}" if path else name)


def _is_fused(attention: nn.Module) -> bool:
    return type(getattr(attention, "processor", None)).__name__.startswith("Fused")


def _tensors(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    find = numbers_of(network)
    for path, part in _parts(network):
        for name, tensor in (*part._parameters.items(), *part._buffers.items()):
            if tensor is not None:
                yield from unpacked(f"{path}.{name}", find(part, name, tensor))
        for name, tensor in packed(part):
            yield f"{path}.{name}", tensor


def _tuner(module: nn.Module) -> bool:
    """Tell whether a module is a layer of peft, which need not be imported for that."""
    return "base_layer" in module._modules and hasattr(module, "disable_adapters")


def _idle(module: nn.Module) -> bool:
    """Tell whether a layer of peft only passes on to the layer that it is on."""
    if not _tuner(module) or module.merged:
        return False
    return bool(module.disable_adapters) or not _active(module)


def _active(module: Any) -> list[str]:  # noqa: ANN401
    return [name for name in module.active_adapters if name in getattr(module, "scaling", (name,))]


def _plain(module: nn.Module) -> str:
    """Kind and settings of a module, as they differ between modules of other answers."""
    settings = {
        name: value
        for name, value in sorted(vars(module).items())
        if not name.startswith("_") and name not in _NO_ANSWER and name not in _FREEU
        if _is_simple(value) and value not in (None, {})
    }
    kind = f"{type(module).__module__}.{type(module).__qualname__}"
    dropping = any(settings.get(name, 0) for name in _DROPPING)
    return f"{kind} {settings}{' in training' if dropping and module.training else ''}"


def _is_simple(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(_is_simple, value)) and all(map(_is_simple, value.values()))
    if isinstance(value, (tuple, list)):
        return all(map(_is_simple, value))
    return value is None or isinstance(value, _SIMPLE)


def _unusual(module: Any) -> Iterator[str]:  # noqa: ANN401 - a module, peft's or diffusers'
    """What no network has that was just loaded from its files, a line each."""
    own = vars(module)
    freeu = {name: own[name] for name in _FREEU if own.get(name) is not None}
    if freeu:
        yield f"FreeU {freeu}"
    if _tuner(module):
        active = _active(module)
        scales = {name: module.scaling[name] for name in active if hasattr(module, "scaling")}
        yield f"adapters {active} {scales} merged {list(module.merged_adapters)}"
    processor = own.get("processor")
    if processor is not None and not _is_plain(processor):
        yield f"{_name(type(processor))} {_state(vars(processor))}"
    yield from _replaced(module)


def _is_plain(processor: object) -> bool:
    kind = type(processor)
    return kind.__module__.startswith("featurekit.") or (
        kind.__module__.startswith("diffusers.") and kind.__name__.startswith(_PLAIN)
    )


def _state(own: Mapping[str, object]) -> dict[str, object]:
    """What an object remembers, numbers by their hash and other objects by their kind."""
    found: dict[str, object] = {}
    for name, value in sorted(own.items()):
        if isinstance(value, Tensor):
            found[name] = f"{value.dtype} {tuple(value.shape)} {digest_of(value)}"
        else:
            found[name] = value if _is_simple(value) else _name(type(value))
    return found


def _replaced(module: nn.Module) -> Iterator[str]:
    """Forwards of others, and hooks of diffusers that do not merely move or cast weights."""
    own = vars(module)
    registry = own.get("_diffusers_hook")
    for name, hook in getattr(registry, "hooks", {}).items():
        if getattr(hook, "_is_stateful", False):
            yield f"cache {name}"
        elif name not in HARMLESS:
            yield f"hook {name} {_state(vars(hook))}"
    if "forward" in own and registry is None and "_hf_hook" not in own:
        yield f"forward {_name(own['forward'])}"


def _name(thing: Any) -> str:  # noqa: ANN401
    """Module and name of a class or callable, equal in every process."""
    named = thing if hasattr(thing, "__qualname__") else getattr(thing, "func", type(thing))
    return f"{named.__module__}.{getattr(named, '__qualname__', type(named).__qualname__)}"
