"""The header of a safetensors file: names, shapes and words, before any weight is read. No torch.

A file that is no such file is named for what it is.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from featurekit.core.errors import BackboneError
from featurekit.core.types import Shape

PICKLES = frozenset({".bin", ".ckpt", ".pt", ".pth"})
_LENGTH_BYTES = 8  # before the header, little-endian
_BEGINNINGS = {  # of files of other kinds that are often given
    b"PK\x03\x04": "a pickle or a zip archive",
    b"\x80": "a pickle",
    b"GGUF": "a GGUF file of quantised weights",
    b"version https://git-lfs": "a pointer of Git LFS, whose file was not fetched",
    b"<": "a web page",
}


@dataclass(frozen=True)
class Header:
    """What a safetensors file says before its weights."""

    path: Path
    shapes: Mapping[str, Shape]  # by name of a tensor
    dtypes: Mapping[str, str]  # as the file has them: "F16", "BF16"
    words: Mapping[str, str]  # what was written beside the tensors

    def under(self, *prefixes: str) -> tuple[str, ...]:
        """Names of the tensors that begin with one of some prefixes, in the order of the file."""
        return tuple(name for name in self.shapes if name.startswith(prefixes))


def read_header(path: Path) -> Header:
    """Read the header of a file, and nothing else of it.

    Args:
        path: the file.

    Returns:
        Names, shapes and dtypes of its tensors, and the words beside them.

    Raises:
        BackboneError: it is a pickle, or no whole safetensors file; says what it is.
    """
    if path.suffix.lower() in PICKLES:
        raise BackboneError(
            f"weights must be safetensors, {path} is a pickle, and opening one can run any code; "
            f"take the .safetensors file, or write one: safetensors.torch.save_file of what "
            f"torch.load(..., weights_only=True) gives"
        )
    try:
        with safe_open(path, "np"):  # compares the header with the length of the file
            pass
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            said = json.loads(file.read(length))
    except (OSError, ValueError, SafetensorError) as error:
        raise _no_safetensors(path, error) from error
    words = said.pop("__metadata__", None) or {}
    return Header(
        path=path,
        shapes={name: tuple(one["shape"]) for name, one in said.items()},
        dtypes={name: one["dtype"] for name, one in said.items()},
        words={str(key): str(value) for key, value in words.items()},
    )


def _no_safetensors(path: Path, error: Exception) -> BackboneError:
    """Word what a file is that only is called a safetensors file."""
    try:
        with path.open("rb") as file:
            begin = file.read(256)
    except OSError as unread:
        return BackboneError(f"{path} must be a readable file, but {unread}")
    kind = next((kind for mark, kind in _BEGINNINGS.items() if begin.startswith(mark)), "")
    if not kind and _is_text(begin):
        kind = "a text file" if begin else "an empty file"
    if kind:
        return BackboneError(
            f"weights in one file must be safetensors, {path} is {kind}; "
            f"give the .safetensors file of the model"
        )
    return BackboneError(
        f"{path} must be a whole safetensors file, it is damaged or cut short ({error}); "
        f"download or copy it again"
    )


def _is_text(begin: bytes) -> bool:
    try:
        text = begin[:-4].decode("utf-8") if len(begin) == 256 else begin.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return all(sign.isprintable() or sign in "\t\r\n" for sign in text)
