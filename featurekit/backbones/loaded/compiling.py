"""Compile the repeated blocks of a backbone's denoiser, whose borders stay readable."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import nn

from featurekit.backbones.loaded.handing_on import Made, made
from featurekit.backbones.loaded.model import LoadedModel
from featurekit.core.errors import BackboneError
from featurekit.taps.compiled import BACKEND, compile_parts, is_compiled

AnyModel = TypeVar("AnyModel", bound=LoadedModel)


def with_compiled_blocks(backbone: AnyModel, denoiser: str, backend: str = BACKEND) -> AnyModel:
    """Compile the blocks of a backbone that was just loaded, when they are first called.

    What compiled blocks answer is rounded otherwise, so that they are a part of what the
    backbone's results are known by.

    Args:
        backbone: whose blocks are compiled, for good.
        denoiser: attribute of the network that has them.
        backend: of ``torch.compile``.

    Returns:
        The backbone with them.

    Raises:
        BackboneError: its networks are somebody else's, it has no repeated blocks, or they are
            compiled already.
    """
    network = getattr(backbone, denoiser)
    if backbone.pipeline is not None:
        raise BackboneError(
            f"blocks are compiled of a backbone's own networks, but those of {backbone.name!r} are "
            f"a wrapped pipeline's; load the model with load_backbone, or compile the pipeline's"
        )
    parts = _repeated(network)
    if not parts or any(map(is_compiled, parts)):
        found = "compiled already" if parts else "none"
        raise BackboneError(
            f"a backbone must have repeated blocks that are not compiled yet, those of "
            f"{backbone.name!r} are {found}; leave compile out"
        )
    compile_parts(parts, backend)
    told = f"compiled by torch {torch.__version__} ({backend})"
    words = "; ".join(filter(None, (backbone.updates.get(denoiser), told)))
    given = {"origin": backbone.origin, "denoiser": denoiser, "backend": backend}
    return replace(
        backbone,
        updates={**backbone.updates, denoiser: words},
        origin=None if backbone.origin is None else (made_with_compiled_blocks, given),
    )


def made_with_compiled_blocks(origin: Made, denoiser: str, backend: str) -> Any:  # noqa: ANN401
    """Load a backbone as another one was loaded, its blocks compiled.

    Args:
        origin: what made the backbone without them.
        denoiser: as for ``with_compiled_blocks``.
        backend: likewise.

    Returns:
        The backbone.
    """
    return with_compiled_blocks(made(*origin), denoiser, backend)


def _repeated(network: nn.Module) -> Sequence[nn.Module]:
    """Blocks that diffusers names as repeated; where it names none, those of its lists."""
    kinds = tuple(getattr(network, "_repeated_blocks", None) or ())
    named = [part for part in network.modules() if type(part).__name__ in kinds]
    lists = [part for part in network.children() if isinstance(part, nn.ModuleList)]
    return named or [block for one in lists for block in one]
