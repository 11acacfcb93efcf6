"""The style file: a sketch network's weights, and all that must be the same to draw with them."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from hashlib import sha256
from math import isfinite
from pathlib import Path

from torch import Tensor, nn

from featurekit.core.errors import ConfigError
from featurekit.core.file_bytes import read_metadata
from featurekit.images.io import write_tensors
from featurekit_sketch.bundled_styles import NAMES
from featurekit_sketch.saved_weights import SavedKind, check_finite, read_saved
from featurekit_sketch.settings import CHOSEN_BY, FEATURES, LINES, NETWORKS, PUBLISHED, TONES

FAMILY, VERSION = "featurekit.style/", "2"
STYLE = SavedKind(
    "style",
    ".safetensors",
    f"style.safetensors that task=train wrote, or name one that is shipped ({', '.join(NAMES)})",
    "learn the style again",
)
POLARITY = "dark lines on white paper"
PLAIN = ("backbone", "weights", "polarity", "prompt")  # fields whose words are what they say
FIRST_VERSION = {  # what a style of version 1 has, and does not say
    "network": PUBLISHED,
    "side_px": "0",
    "made_of": LINES,
    "ink_channels": "1",
    "offset": "0.0",
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Style:
    """A style that was learnt from one drawing."""

    state: Mapping[str, Tensor]  # of the sketch network, by parameter
    backbone: str  # name of the model whose features it reads
    weights: str  # ``digest`` of that model's weight files
    timesteps: tuple[int, ...]  # train timesteps that are read, rising
    chosen_by: str = PUBLISHED  # one of ``CHOSEN_BY``: who chose them
    channels: Mapping[str, int]  # by the tap's name: the maps that it was learnt on
    sources: tuple[str, ...]  # which maps are read: unet, vae
    image_size: tuple[int, int]  # (h, w) px of the drawn picture
    polarity: str = POLARITY
    features: str  # how pictures become features: noise or inversion
    steps: int  # of a whole path
    seed: int  # of the noise
    prompt: str  # what the drawn picture shows
    network: str = PUBLISHED  # that has the weights, one of ``NETWORKS``
    side_px: int = 0  # of a square picture at the size that it works at; 0: at a picture's own
    made_of: str = LINES  # or ``TONES``
    ink_channels: int = 1  # of what is drawn: 1, or 3 in colour
    offset: float = 0.0  # of the logit at which ink is half


def digest(weights: Mapping[str, str]) -> str:
    """Condense the hashes of a model's weight files into one, whatever their order.

    Args:
        weights: SHA-256 (hex) by the file's name in the model's folder.

    Returns:
        SHA-256 (hex); empty if there are no files.
    """
    if not weights:
        return ""
    return sha256(json.dumps(dict(weights), sort_keys=True).encode()).hexdigest()


def save_style(style: Style, path: Path | str) -> Path:
    """Write a style as safetensors; the file at ``path`` is replaced as a whole.

    Returns:
        The path.

    Raises:
        OutputError: it cannot be written; what was there stays.
    """
    words = {
        "format": FAMILY + VERSION,
        "backbone": style.backbone,
        "weights": style.weights,
        "timesteps": json.dumps(style.timesteps),
        "chosen_by": style.chosen_by,
        "channels": json.dumps(dict(style.channels)),
        "sources": json.dumps(style.sources),
        "image_size": json.dumps(style.image_size),
        "polarity": style.polarity,
        "features": style.features,
        "steps": json.dumps(style.steps),
        "seed": json.dumps(style.seed),
        "prompt": style.prompt,
        "network": style.network,
        "side_px": json.dumps(style.side_px),
        "made_of": style.made_of,
        "ink_channels": json.dumps(style.ink_channels),
        "offset": json.dumps(style.offset),
    }
    return write_tensors(style.state, path, metadata=words)


def load_style(path: Path | str, backbone: str, weights: str) -> Style:
    """Read a style for a model.

    Args:
        path: file that ``save_style`` wrote.
        backbone: name of the model that is to draw.
        weights: ``digest`` of its weight files. The same files are the same model, whatever it
            is called or wherever its folder lies; a model without files goes by its name.

    Returns:
        Style, its tensors on the CPU.

    Raises:
        ConfigError: no such file, not a whole style, one of another version, of another model,
            of another polarity, or with numbers that are not finite.
    """
    where = Path(path).expanduser()
    words, state = read_saved(where, STYLE)
    _check_format(words.get("format"), where)
    if words["format"] == FAMILY + "1":
        words = FIRST_VERSION | words
    words = {"chosen_by": PUBLISHED} | words  # who else was to choose is said since 0.2
    style = _style(words, state, where)
    _check_backbone(words, backbone, weights)
    if style.polarity != POLARITY:
        raise ConfigError(
            f"a style must draw {POLARITY}, but {str(where)!r} draws {style.polarity!r}; "
            f"learn the style from a drawing of that polarity"
        )
    check_finite(state, where, STYLE)
    return style


def check_model(path: Path | str, backbone: str, weights: str) -> None:
    """Refuse a style of another model; only the record of its file is read.

    Args:
        path: as for ``load_style``, and so are the others.
        backbone: name of the model that is to draw.
        weights: ``digest`` of its weight files.

    Raises:
        ConfigError: it is of another model, of another version, or no whole file.
    """
    words = read_metadata(path)
    _check_format(words.get("format"), Path(path))
    _check_backbone(words, backbone, weights)


def take_weights(network: nn.Module, style: Style, *, backbone: str) -> None:
    """Give a network the weights of a style.

    Args:
        network: made as the style says.
        style: that was learnt.
        backbone: name of the model that draws.

    Raises:
        ConfigError: the style lacks some of the network's weights, or has others.
    """
    try:
        network.load_state_dict(dict(style.state))
    except RuntimeError as error:
        raise ConfigError(
            f"a style must hold the weights of a sketch network for {backbone!r}, but it lacks "
            f"some or has others; learn the style again"
        ) from error


def _check_format(found: str | None, path: Path) -> None:
    if found in (FAMILY + "1", FAMILY + VERSION):
        return
    if found is not None and found.startswith(FAMILY):
        raise ConfigError(
            f"a style must be of version 1 or {VERSION}, but {str(path)!r} is of version "
            f"{found.removeprefix(FAMILY)}; use the release that wrote it, or learn it again"
        )
    raise ConfigError(
        f"a style must say format={FAMILY}{VERSION}, but {str(path)!r} says format={found}; "
        f"give the style.safetensors that task=train wrote"
    )


def _style(words: Mapping[str, str], state: dict[str, Tensor], path: Path) -> Style:
    try:
        _check_names(words)
        sizes = _whole_numbers(words, "image_size")
        if len(sizes) != 2:
            raise ValueError(f"image_size must be height and width, got {len(sizes)} numbers")
        return Style(
            state=state,
            timesteps=_whole_numbers(words, "timesteps"),
            chosen_by=_one_of(words, "chosen_by", CHOSEN_BY),
            channels=_channels(words),
            sources=_names(words, "sources"),
            image_size=(sizes[0], sizes[1]),
            features=_one_of(words, "features", FEATURES),
            steps=_whole(_parsed(words, "steps"), "steps"),
            seed=_whole(_parsed(words, "seed"), "seed"),
            network=_one_of(words, "network", NETWORKS),
            side_px=_whole(_parsed(words, "side_px"), "side_px"),
            made_of=_one_of(words, "made_of", (LINES, TONES)),
            ink_channels=_whole(_parsed(words, "ink_channels"), "ink_channels"),
            offset=_number(_parsed(words, "offset"), "offset"),
            **{name: words[name] for name in PLAIN},
        )
    except ValueError as error:
        raise ConfigError(
            f"a style must say what it was learnt on, but the record in {str(path)!r} is damaged "
            f"({error}); copy it again, or learn the style again"
        ) from error


def _check_names(words: Mapping[str, str]) -> None:
    known = {one.name for one in fields(Style)} - {"state"} | {"format"}
    for problem, names in (("no", known - set(words)), ("an unknown", set(words) - known)):
        if names:
            raise ValueError(f"it has {problem} {min(names)}")


def _parsed(words: Mapping[str, str], name: str) -> object:
    try:
        value: object = json.loads(words[name])
    except ValueError as error:
        raise ValueError(f"{name} must be JSON, got {words[name][:40]!r}") from error
    return value


def _whole(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} must be whole numbers, got {value!r}")
    return value


def _number(value: object, name: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value):
        raise ValueError(f"{name} must be a number, got {value!r}")
    return float(value)


def _list(words: Mapping[str, str], name: str) -> list[object]:
    value = _parsed(words, name)
    if not isinstance(value, list):
        raise ValueError(f"{name} must be a list, got {value!r}")
    return value


def _whole_numbers(words: Mapping[str, str], name: str) -> tuple[int, ...]:
    return tuple(_whole(value, name) for value in _list(words, name))


def _names(words: Mapping[str, str], name: str) -> tuple[str, ...]:
    found = []
    for value in _list(words, name):
        if not isinstance(value, str):
            raise ValueError(f"{name} must be names, got {value!r}")
        found.append(value)
    return tuple(found)


def _channels(words: Mapping[str, str]) -> dict[str, int]:
    value = _parsed(words, "channels")
    if not isinstance(value, dict):
        raise ValueError(f"channels must be numbers by name, got {value!r}")
    return {name: _whole(count, "channels") for name, count in value.items()}


def _one_of(words: Mapping[str, str], name: str, known: Collection[str]) -> str:
    if words[name] not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {words[name]!r}")
    return words[name]


def _check_backbone(words: Mapping[str, str], backbone: str, weights: str) -> None:
    own, own_weights = words.get("backbone", ""), words.get("weights", "")
    if own_weights == weights and (weights or own == backbone):
        return
    if own != backbone:
        raise ConfigError(
            f"a style must be of the backbone that draws, {backbone!r}, got one of "
            f"{own!r}; set backbone={own}, or learn the style on {backbone!r}"
        )
    raise ConfigError(
        f"a style must be of the weights that draw, got one of other weights of {backbone!r} "
        f"({own_weights[:12]}, not {weights[:12]}); use those, or learn the style again"
    )
