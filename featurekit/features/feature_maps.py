"""What was read of a picture, by tap and timestep: a sequence of feature maps, kept in a file."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import overload

import torch

from featurekit.core.errors import ConfigError, ShapeError, UnknownNameError
from featurekit.features.feature_file import read_maps, write_maps
from featurekit.features.features import Features

__all__ = ["FeatureMaps", "Features", "load_features"]
SHOWN = 40  # maps that a notebook lists


class FeatureMaps(Sequence[Features]):
    """What was read of a picture, in the order timesteps, then taps.

    ``maps[0]`` counts, ``maps["up2", 261]`` names a tap and a timestep, ``maps["up2"]`` a tap that
    was read at one timestep; a tap may be named by the word that it was asked for by, too.
    """

    def __init__(
        self,
        maps: Sequence[Features],
        words: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Hold the maps.

        Args:
            maps: feature maps, each tap and timestep once.
            words: tap by what else it may be called.
        """
        self._maps = tuple(maps)
        self._words = dict(words)

    @overload
    def __getitem__(self, key: int | str | tuple[str, float]) -> Features: ...
    @overload
    def __getitem__(self, key: slice) -> "FeatureMaps": ...
    def __getitem__(self, key: int | str | slice | tuple[str, float]) -> "Features | FeatureMaps":
        """One map by number, by tap or by (tap, timestep), or some of them by slice.

        Args:
            key: number, slice, tap, or tap and train timestep.

        Returns:
            The map; for a slice the maps.

        Raises:
            UnknownNameError: no map has that tap and timestep.
            ConfigError: a tap alone is given, and it was read at several timesteps.
        """
        if isinstance(key, slice):
            return FeatureMaps(self._maps[key], self._words)
        if isinstance(key, str):
            return self._only(key)
        if isinstance(key, tuple):
            named = {(one.tap, one.timestep): one for one in self._maps}
            found = named.get(key) or named.get((self._words.get(key[0], ""), key[1]))
            if found is None:
                raise UnknownNameError("feature map", key, named)
            return found
        return self._maps[key]

    def _only(self, tap: str) -> Features:
        """The map of a tap that was read at one timestep."""
        found = [one for one in self._maps if one.tap in (tap, self._words.get(tap, tap))]
        if not found:
            raise UnknownNameError("feature map", tap, {one.tap for one in self._maps})
        if len(found) > 1:
            timesteps = ", ".join(str(one.timestep) for one in found)
            raise ConfigError(
                f"a tap alone must have been read at one timestep, {tap!r} was at {timesteps}; "
                f"ask for [{tap!r}, {found[0].timestep}]"
            )
        return found[0]

    def _ipython_key_completions_(self) -> list[str | tuple[str, float]]:
        """What a notebook offers after ``maps[``: taps that stand alone, and every key."""
        taps = [one.tap for one in self._maps]
        alone = [tap for tap in taps if taps.count(tap) == 1]
        return [*alone, *((one.tap, one.timestep) for one in self._maps)]

    def _repr_html_(self) -> str:
        """What a notebook shows: a row for each of the first maps."""
        rows = [
            (one.tap, one.timestep, " x ".join(map(str, one.shape)), f"{one.stride} px")
            for one in self._maps[:SHOWN]
        ]
        body = "".join(
            f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows
        )
        more = f"<p>and {len(self) - SHOWN} more</p>" if len(self) > SHOWN else ""
        head = "<tr><th>tap</th><th>timestep</th><th>b x c x h x w</th><th>stride</th></tr>"
        return f"<table>{head}{body}</table>{more}"

    @property
    def words(self) -> Mapping[str, str]:
        """Tap by what else it may be called here."""
        return MappingProxyType(self._words)

    def cpu(self) -> "FeatureMaps":
        """The same maps on the CPU."""
        return FeatureMaps([one.cpu() for one in self._maps], self._words)

    def save(self, path: Path | str) -> Path:
        """Write the maps as one safetensors file, which ``load_features`` reads.

        Args:
            path: target; its folder must exist; what is there is replaced as a whole.

        Returns:
            The path.

        Raises:
            OutputError: the file cannot be written.
        """
        return write_maps(self, self._words, path)

    def __len__(self) -> int:
        """Number of maps."""
        return len(self._maps)

    def __repr__(self) -> str:
        """One line: how many, of what."""
        taps = ", ".join(dict.fromkeys(one.tap for one in self._maps))
        timesteps = ", ".join(dict.fromkeys(str(one.timestep) for one in self._maps))
        return f"FeatureMaps({len(self._maps)}: taps {taps}; t {timesteps})"

    def of_picture(self, picture_px: tuple[int, int] | None) -> "FeatureMaps":
        """The same maps, of a picture that is smaller than what they cover.

        Args:
            picture_px: rows and columns of the picture without its padding; None: all cells.

        Returns:
            The maps.

        Raises:
            ShapeError: the picture is larger than what the maps cover.
        """
        for one in self._maps if picture_px else ():
            covered = tuple(cells * one.stride for cells in one.grid)
            if not all(1 <= a <= b for a, b in zip(picture_px or (), covered, strict=True)):
                raise ShapeError(
                    f"a picture must lie in the {covered[0]} x {covered[1]} px (rows x columns) "
                    f"that its maps cover, got {picture_px}"
                )
        return FeatureMaps([replace(one, picture_px=picture_px) for one in self._maps], self._words)

    def row(self, index: int) -> "FeatureMaps":
        """The maps of one picture of a batch.

        Args:
            index: which picture, from 0.

        Returns:
            The maps, (1 c h w) each, with memory of their own.
        """
        return FeatureMaps(
            [replace(one, tensor=one.tensor[index : index + 1].clone()) for one in self._maps],
            self._words,
        )


def load_features(path: Path | str, *, device: torch.device | str = "cpu") -> FeatureMaps:
    """Read what ``FeatureMaps.save`` or ``featurekit extract`` wrote.

    Args:
        path: the file.
        device: where the maps go.

    Returns:
        The maps, equal to the saved ones to the last bit.

    Raises:
        ConfigError: the file is missing, truncated, or holds something else.
    """
    maps, words = read_maps(path, device)
    return FeatureMaps(maps, words)
