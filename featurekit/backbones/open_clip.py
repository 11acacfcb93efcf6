"""A frozen open_clip model for losses and scores: pictures and texts as vectors.

Every step from the picture's pixels to its vector can be differentiated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import open_clip
import torch
from huggingface_hub import snapshot_download
from torch import Tensor, nn
from torch.nn import functional

from featurekit.backbones.device import place
from featurekit.backbones.folder import is_hub_id
from featurekit.backbones.loaded.layers import compute_dtype
from featurekit.core.errors import BackboneError
from featurekit.core.shapes import expect

CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
_TOKENIZER = ("tokenizer*.json", "special_tokens_map.json", "vocab.json", "merges.txt")
_RESIZING = ("squash", "shortest")  # in open_clip's words; the third would pad pictures


@dataclass(frozen=True, eq=False)
class OpenClip:
    """A frozen image and text encoder with its own preparation of pictures."""

    name: str
    network: Any  # open_clip's CLIP or CustomTextCLIP; open_clip is not typed
    tokenize: Callable[[list[str]], Tensor]
    size: tuple[int, int]  # height, width of what the image encoder sees, in px
    mean: tuple[float, ...]  # of its training pictures in [0, 1], by channel
    std: tuple[float, ...]
    interpolation: str  # bicubic or bilinear
    resizing: str  # squash: the whole picture; shortest: its middle, in the encoder's proportions

    @property
    def dtype(self) -> torch.dtype:
        """What the encoders compute in."""
        return compute_dtype(self.network)

    def embed_image(self, image: Tensor) -> Tensor:
        """Embed pictures as unit vectors; gradients reach the picture.

        Args:
            image: (b 3 h w) in [-1, 1], any size; resized with antialiasing.

        Returns:
            Unit vectors in the picture's dtype, (b d); products of two are cosines.

        Raises:
            ShapeError: the image has other axes.
        """
        return functional.normalize(self.encode_image(image), dim=-1)

    def encode_image(self, image: Tensor) -> Tensor:
        """Embed pictures as the image encoder does, of any length; else like ``embed_image``."""
        found: Tensor = self.network.encode_image(self.prepared(image).to(self.dtype))
        return found.to(image.dtype)

    @torch.no_grad()
    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Embed texts as unit vectors, (b d) in the model's dtype.

        Raises:
            BackboneError: there is no text.
        """
        if not texts:
            raise BackboneError("texts must be one or more, got none")
        device = next(iter(self.network.parameters())).device
        found = self.network.encode_text(self.tokenize(list(texts)).to(device))
        return functional.normalize(found, dim=-1)

    def image_features(self, image: Tensor, layers: Sequence[int]) -> tuple[Tensor, ...]:
        """Read what the image encoder computes on its way; gradients reach the picture.

        Args:
            image: (b 3 h w) in [-1, 1], any size.
            layers: numbers of blocks or stages from 0, rising.

        Returns:
            One map (b c h w) for each layer, in the picture's dtype.

        Raises:
            ShapeError: the image has other axes.
            BackboneError: the encoder has no such layers, or the numbers do not rise.
        """
        if list(layers) != sorted(set(layers)) or not layers or layers[0] < 0:
            raise BackboneError(f"layers must be rising numbers from 0, got {list(layers)}")
        pixels = self.prepared(image).to(self.dtype)
        try:
            found = self.network.visual.forward_intermediates(
                pixels, indices=list(layers), intermediates_only=True
            )
        except AssertionError as error:  # open_clip's and timm's way to refuse a number
            raise BackboneError(
                f"layers must exist in {self.name}, got {list(layers)} ({error})"
            ) from error
        return tuple(part.to(image.dtype) for part in found["image_intermediates"])

    def prepared(self, image: Tensor) -> Tensor:
        """Resize and standardise pictures for the image encoder, as open_clip does.

        Args:
            image: (b 3 h w) in [-1, 1].

        Returns:
            (b 3 h w) in the encoder's size, in the picture's dtype. Bicubic resizing may overshoot
            a little at edges; it is not clamped, so that gradients stay.

        Raises:
            ShapeError: the image has other axes.
        """
        expect(image, "b 3 h w", of="image")
        if self.resizing == "shortest":
            image = _middle(image, self.size)
        if image.shape[-2:] != self.size:
            image = functional.interpolate(
                image, self.size, mode=self.interpolation, antialias=True
            )
        return standardised(image, self.mean, self.std)


def standardised(image: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Bring pictures (b c h w) from [-1, 1] to mean 0 and deviation 1 of every channel.

    Args:
        image: pictures.
        mean: of every channel of pictures in [0, 1].
        std: likewise.
    """
    middle, width = (image.new_tensor(list(part)).view(-1, 1, 1) for part in (mean, std))
    return ((image + 1) / 2 - middle) / width


def load(
    source: str | Path | None = None,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
) -> OpenClip:
    """Load a model.

    Args:
        source: a folder in open_clip's layout, or a hub id ``owner/name``; None takes the small
            model that ships with the package. Nothing but a hub id uses the network.
        device: ``auto`` (CUDA if there is one, else the CPU) or any torch device.
        dtype: ``auto`` (float32 on a CPU, else bfloat16 or float16), a name or a torch dtype.

    Returns:
        Frozen model in evaluation mode.

    Raises:
        BackboneError: the folder, its files or the device cannot be used, for the reason it says.
        UnknownNameError: there is no such dtype.
    """
    where, numbers = place(device, dtype)
    folder = shipped_folder() if source is None else _folder(str(source))
    _check(folder)
    try:
        with torch.random.fork_rng(devices=[]):  # open_clip draws weights before it reads them
            network = open_clip.create_model(f"local-dir:{folder}", require_pretrained=True)
        tokenize = open_clip.get_tokenizer(f"local-dir:{folder}")
    except Exception as error:  # open_clip raises whatever its parts raise
        raise BackboneError(
            f"{str(folder)!r} must hold a model that open_clip can build, but "
            f"{_first_line(error)}; copy or download the folder again"
        ) from error
    network = network.to(where, numbers).eval().requires_grad_(False)
    return _described(str(source or "open_clip"), network, tokenize)


def _check(folder: Path) -> None:
    """Refuse what open_clip would read as a pickle, fetch from elsewhere or run as code."""
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise BackboneError(
                f"an open_clip folder must hold {CONFIG} and {WEIGHTS}, {str(folder)!r} has no "
                f"{name}; write it with open_clip.push_to_hf_hub.save_for_hf, in safetensors"
            )
    try:
        text = json.loads((folder / CONFIG).read_text("utf-8"))["model_cfg"]["text_cfg"]
        foreign = [name for name in ("hf_model_name", "tokenizer_kwargs") if _foreign(text, name)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackboneError(
            f"{str(folder / CONFIG)!r} must be JSON with a model_cfg and its text_cfg, but "
            f"{type(error).__name__}: {_first_line(error)}"
        ) from error
    if foreign:
        raise BackboneError(
            f"a text encoder must be open_clip's own, {str(folder / CONFIG)!r} takes one from "
            f"elsewhere ({', '.join(foreign)}); use a model without"
        )


def _foreign(text: dict[str, Any], name: str) -> bool:
    value = text.get(name)
    return bool(value.get("trust_remote_code") if isinstance(value, dict) else value)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def shipped_folder() -> Path:
    """Find the folder of the small model that ships with the package.

    Raises:
        BackboneError: the package was installed without it, or runs from an archive.
    """
    folder = files("featurekit") / "weights" / "open_clip"
    if not isinstance(folder, Path) or not folder.is_dir():
        raise BackboneError(
            f"the shipped open_clip model must lie beside the package, found no folder {folder}; "
            f"install the package from its wheel, unpacked, or name a folder or a hub id"
        )
    return folder


def _folder(source: str) -> Path:
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    if not is_hub_id(source):
        raise BackboneError(
            f"an open_clip model must be an existing folder or a hub id owner/name, "
            f"got {source!r}, which is neither"
        )
    try:
        return Path(snapshot_download(source, allow_patterns=[CONFIG, WEIGHTS, *_TOKENIZER]))
    except (OSError, ValueError) as error:  # the hub client's errors are one or the other
        raise BackboneError(
            f"{source!r} must be a folder here or a model that the hub sends, got neither "
            f"({_first_line(error)}); check the spelling and the connection, "
            f"or name a downloaded folder"
        ) from error


def _described(name: str, network: nn.Module, tokenize: Callable[[list[str]], Tensor]) -> OpenClip:
    visual: Any = network.visual
    found = visual.preprocess_cfg
    resizing, size = found["resize_mode"], found["size"]
    if resizing not in _RESIZING:
        raise BackboneError(
            f"resize_mode of {name} must be {' or '.join(_RESIZING)}, got {resizing!r}"
        )
    height, width = (size, size) if isinstance(size, int) else size
    return OpenClip(
        name=name,
        network=network,
        tokenize=tokenize,
        size=(height, width),
        mean=tuple(found["mean"]),
        std=tuple(found["std"]),
        interpolation="bilinear" if found["interpolation"] == "bilinear" else "bicubic",
        resizing=resizing,
    )


def _middle(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut the largest middle part of some proportions out of pictures (b c h w)."""
    height, width = image.shape[-2:]
    rows = min(height, round(width * size[0] / size[1]))
    columns = min(width, round(height * size[1] / size[0]))
    top, left = (height - rows) // 2, (width - columns) // 2
    return image[..., top : top + rows, left : left + columns]
