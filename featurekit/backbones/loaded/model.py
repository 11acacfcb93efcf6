"""Networks, the files that they came from, and what has become of them since."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import file_digest, sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

from featurekit.backbones.layout.weight_files import FIRST_WRITTEN
from featurekit.backbones.loaded.alterations import (
    NETWORKS,
    Loaded,
    altered,
    as_loaded,
    state,
)
from featurekit.backbones.loaded.first_files import FirstFiles
from featurekit.backbones.loaded.handing_on import Made, copied, made, recipe_of
from featurekit.diffusion.levels import ForwardProcess


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LoadedModel:
    """A model as it was loaded or wrapped; it knows what was done to it since it was loaded."""

    SETTINGS_OF: ClassVar[str] = ""  # a known backbone that is shaped like a wrapped one, if any
    name: str
    noise: ForwardProcess
    vae: Any  # AutoencoderKL; diffusers and transformers are not typed
    text_encoder: Any = None  # CLIPTextModel, or what else the family reads prompts with
    tokenizer: Any = None  # of that text encoder
    files: Mapping[str, Path] = field(default_factory=dict)  # weight files by name in the folder
    origin: Made | None = None  # what made it, for pickling
    pipeline: Any = None  # somebody else's, whose networks these are; None: they are our own
    updates: Mapping[str, str] = field(default_factory=dict)  # on loading, in words, by network

    def __reduce__(self) -> tuple[Callable[..., Any], Made]:
        """Pickle how it was loaded, never its weights: the other side loads them again.

        Raises:
            BackboneError: something has been changed since the loading, or the files have.
        """
        return made, recipe_of(self, self.origin)

    def __copy__(self) -> Self:
        """Share the networks; as a pickle it would load them again."""
        return replace(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Copy the networks as they are now."""
        return copied(self, memo)

    def __post_init__(self) -> None:
        """Remember what our own networks are, so that ``weights`` can tell what changed them.

        Nobody knows what those of a wrapped pipeline were when they were loaded, so nothing is
        read of them until ``weights`` is asked for.
        """
        if self.pipeline is None:
            _ = self._loaded

    @property
    def settings_of(self) -> str:
        """Backbone that plugins take settings of: its own name, or one that is shaped like it."""
        return self.name if self.pipeline is None else self.SETTINGS_OF

    @property
    def weights(self) -> Mapping[str, str]:
        """SHA-256 (hex) of each weight file, and by its name of what else changed a network.

        Of a network of a wrapped pipeline, which may be any, that is a hash of all that it answers
        with, unless it still answers as the files do that it was loaded from.
        """
        found: dict[str, str] = {}
        for name in self.networks:
            files = self._first_files.get(name)
            if files and not self.updates.get(name) and files.are_answered:
                found |= {f"{name}/{path.name}": _hash(path) for path in files.paths}
            elif change := self.altered(name):
                found[name] = change
        return MappingProxyType({**self._hashes, **found})

    def altered(self, network: str) -> str:
        """Hash what makes a network answer otherwise than its files say.

        Args:
            network: ``unet``, ``vae`` or another of ``alterations.NETWORKS``.

        Returns:
            SHA-256, hexadecimal; "" where nothing has changed it. Of a network of a wrapped
            pipeline never "", since it may have been changed before.
        """
        words, since = self.updates.get(network, ""), self.changed(network)
        return sha256(f"{words}\n{since}".encode()).hexdigest() if words else since

    def changed(self, network: str) -> str:
        """Hash what has changed a network since it was loaded, with what it was updated by.

        Args:
            network: as for ``altered``.

        Returns:
            SHA-256, hexadecimal; "" where nothing has changed it.
        """
        if self.pipeline is not None:
            return state(self.networks[network])
        return altered(self.networks[network], self._loaded[network])

    @property
    def networks(self) -> Mapping[str, Any]:
        """The networks that it has, by attribute."""
        found = {name: getattr(self, name, None) for name in NETWORKS}
        return {name: one for name, one in found.items() if one is not None}

    @cached_property
    def _loaded(self) -> Mapping[str, Loaded]:
        return {name: as_loaded(one) for name, one in self.networks.items()}

    @cached_property
    def _first_files(self) -> Mapping[str, FirstFiles]:
        """Of the networks of a wrapped pipeline; what our own were read from is ``files``."""
        wrapped = self.networks if self.pipeline is not None else {}
        return {name: FirstFiles(one) for name, one in wrapped.items()}

    @cached_property
    def _hashes(self) -> Mapping[str, str]:
        """Of the weight files, read from disk when first asked for."""
        return {name: _hash(path) for name, path in self.files.items()}


def _hash(path: Path) -> str:
    """Hash a weight file.

    One of ours that was written anew for other readers, with the same numbers in it, keeps the hash
    of its first writing, by which results that were made with it name it.
    """
    with path.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    return FIRST_WRITTEN.get(digest, digest)
