"""Feature maps in a safetensors file: tensors by ``tap/timestep``, and what they are of."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from featurekit.core.errors import ConfigError
from featurekit.core.file_bytes import read_metadata
from featurekit.features.features import Features
from featurekit.images.io import read_tensors, write_tensors

FORMAT, VERSION = "featurekit features", "1"
_KIND, _VERSION, _MAPS, _WORDS = "format", "version", "maps", "words"  # keys of the metadata


def write_maps(
    maps: Sequence[Features],
    words: Mapping[str, str],
    path: Path | str,
    *,
    more: Mapping[str, str] | None = None,
) -> Path:
    """Write maps as one file.

    Args:
        maps: each tap and timestep once.
        words: tap by what else it may be called.
        path: target; its folder must exist.
        more: words to store besides.

    Returns:
        The path.

    Raises:
        OutputError: the file cannot be written.
    """
    record = [
        {"tap": one.tap, "t": one.timestep, "stride": one.stride, "picture_px": one.picture_px}
        for one in maps
    ]
    said = {
        _KIND: FORMAT,
        _VERSION: VERSION,
        _MAPS: json.dumps(record),
        _WORDS: json.dumps(dict(words)),
    }
    tensors = {_name(one.tap, one.timestep): one.tensor for one in maps}
    return write_tensors(tensors, path, {**(more or {}), **said})


def read_maps(
    path: Path | str, device: torch.device | str
) -> tuple[list[Features], dict[str, str]]:
    """Read maps that ``write_maps`` wrote.

    Args:
        path: the file.
        device: where the maps go.

    Returns:
        Maps in the order in which they were given, and the words.

    Raises:
        ConfigError: the file is missing, truncated, or holds something else.
    """
    said, tensors = read_metadata(path), read_tensors(path)
    opening = f"features must be a file that maps.save wrote, but {str(path)!r}"
    if said.get(_KIND) != FORMAT:
        raise ConfigError(f"{opening} names the format {said.get(_KIND)!r}, not {FORMAT!r}")
    if said.get(_VERSION) != VERSION:
        raise ConfigError(f"{opening} is of version {said.get(_VERSION)!r}, not {VERSION}")
    try:
        record, words = json.loads(said[_MAPS]), dict(json.loads(said[_WORDS]))
        maps = [
            Features(
                tensors[_name(str(row["tap"]), _number(row["t"]))].to(device),
                str(row["tap"]),
                _number(row["t"]),
                int(row["stride"]),
                tuple(row["picture_px"]) if row["picture_px"] else None,
            )
            for row in record
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{opening} does not fit its own record ({error!r})") from error
    return maps, words


def _name(tap: str, timestep: float) -> str:
    return f"{tap}/{timestep}"


def _number(t: object) -> float:
    """A timestep of a record: whole ones are whole numbers there."""
    return t if isinstance(t, int | float) else int(str(t))
