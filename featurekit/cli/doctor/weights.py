"""The weight files that ship with the package: there, whole, and those that were recorded."""

import json
from hashlib import file_digest
from importlib.resources import files
from pathlib import Path

from featurekit.backbones.layout.weight_files import WEIGHTS

FOLDERS = {"embedded": tuple(f"{path}.safetensors" for path in WEIGHTS.values()),
           "open_clip": ("open_clip_model.safetensors",)}  # fmt: skip
RECORD = "training.json"  # may hold {"weights": {file: sha256}}
_LENGTH_BYTES = 8  # before the header of a safetensors file


def weight_faults() -> dict[str, str | None]:
    """Look at each weight file.

    Returns:
        By model and file what is wrong with it, None where nothing is.
    """
    root = Path(str(files("featurekit") / "weights"))
    found = {}
    for model, names in FOLDERS.items():
        recorded = _recorded(root / model / RECORD)
        for name in names:
            found[f"{model}/{name}"] = file_fault(root / model / name, recorded.get(name))
    return found


def file_fault(path: Path, sha256: str | None) -> str | None:
    """Say what is wrong with a safetensors file, without reading its tensors.

    Args:
        path: the file.
        sha256: what its bytes hash to, in hexadecimal; None if nobody wrote it down.

    Returns:
        What is wrong, or None.
    """
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
            size = path.stat().st_size
            if not 0 < length < size:
                return f"is no safetensors file, but {size} bytes of something else"
            header = json.loads(stream.read(length))
            ends = (entry["data_offsets"][1] for entry in header.values() if "dtype" in entry)
            whole = _LENGTH_BYTES + length + max(ends, default=0)
            if size != whole:
                return f"has {size} bytes and should have {whole}"
            stream.seek(0)
            digest = file_digest(stream, "sha256").hexdigest() if sha256 else None
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except (ValueError, TypeError, KeyError, AttributeError):
        return "is no safetensors file: its header is broken"
    return None if digest == sha256 else f"has another sha256 than recorded, {digest}"


def _recorded(path: Path) -> dict[str, str]:
    try:
        hashes = json.loads(path.read_text(encoding="utf-8")).get("weights", {})
    except (OSError, ValueError, AttributeError):
        return {}
    return dict(hashes) if isinstance(hashes, dict) else {}
