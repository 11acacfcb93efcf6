"""The weight files of a network of somebody's pipeline, where it still answers as they say.

A style, a store or a run that was made with a folder is of the files there. A pipeline that was
loaded from the same folder is the same model, and is known by the same hashes; its numbers are
compared with those of the files, never only its word for where it came from.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from featurekit.backbones.layout.weight_files import files_at
from featurekit.backbones.loaded.alterations import Loaded, altered, as_read
from featurekit.backbones.stock import quietly
from featurekit.core.errors import BackboneError

_STEMS = ("diffusion_pytorch_model", "model")  # of diffusers, of transformers
_UNREADABLE = (SafetensorError, OSError, BackboneError)
_MISFITS = (LookupError, OSError, RuntimeError, TypeError, ValueError)


class FirstFiles:
    """What lies in the folder that a network says it was loaded from."""

    def __init__(self, network: Any) -> None:  # noqa: ANN401 - of diffusers or transformers
        """Look for the folder; nothing is read yet."""
        self._network = getattr(network, "_orig_mod", network)
        self._dtypes: dict[str, torch.dtype] = {}
        self._loaded: Loaded | None = None

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """Its weight files; none where it came from elsewhere."""
        config = getattr(self._network, "config", None)
        told = config if isinstance(config, Mapping) else vars(config or object)
        at = told.get("_name_or_path")
        if not at or not (Path(at) / "config.json").is_file():
            return ()
        for stem in _STEMS:
            try:
                return files_at(Path(at) / stem).paths
            except BackboneError:
                continue
        return ()

    @property
    def are_answered(self) -> bool:
        """Whether the network has the numbers of its files, cast to its dtype, and nothing else."""
        if not self.paths:
            return False
        dtypes = {name: one.dtype for name, one in self._network.named_parameters()}
        if dtypes != self._dtypes:
            self._dtypes, self._loaded = dtypes, self._read()
        return self._loaded is not None and not altered(self._network, self._loaded)

    def _read(self) -> Loaded | None:
        try:
            with torch.device("meta"), quietly():
                bare = _bare(self._network)
        except _MISFITS:
            return None  # a class that is not made of its config alone
        try:
            return as_read(self._network, bare, self._stored())
        except _UNREADABLE:
            return None

    def _stored(self) -> Iterator[tuple[str, Tensor]]:
        for path in self.paths:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 - no mapping
                    yield name, file.get_tensor(name)


def _bare(network: Any) -> nn.Module:  # noqa: ANN401
    kind, config = type(network), network.config
    made: nn.Module = kind.from_config(config) if hasattr(kind, "from_config") else kind(config)
    return made
