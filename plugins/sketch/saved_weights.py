"""Files of learnt weights with a record beside them, whatever was learnt."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from featurekit.core.errors import ConfigError


@dataclass(frozen=True)
class SavedKind:
    """How messages call a kind of file."""

    name: str  # a style, a student
    endings: str  # that its files may have
    written: str  # the file, and who writes it
    again: str  # how it is made anew


def read_saved(path: Path, kind: SavedKind) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Read a safetensors file.

    Args:
        path: of the file.
        kind: what it is to be.

    Returns:
        The words of its record, and its tensors by name, on the CPU.

    Raises:
        ConfigError: there is no such file, or no whole one.
    """
    try:
        if not path.is_file():
            found = "a folder" if path.is_dir() else "no such file"
            raise ConfigError(
                f"a {kind.name} must be a {kind.endings} file, but {str(path)!r} is {found}; "
                f"give the {kind.written}"
            )
        with safe_open(path, framework="pt") as stored:
            state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            return dict(stored.metadata() or {}), state
    except (OSError, SafetensorError) as error:
        raise ConfigError(
            f"a {kind.name} must be a whole .safetensors file, but {str(path)!r} is damaged or "
            f"none ({error}); copy it again, or {kind.again}"
        ) from error


def check_finite(state: Mapping[str, Tensor], path: Path, kind: SavedKind) -> None:
    """Refuse weights that draw nothing.

    Raises:
        ConfigError: a number is NaN or infinite; names its tensor.
    """
    broken = next((name for name, one in state.items() if not one.isfinite().all()), None)
    if broken:
        raise ConfigError(
            f"a {kind.name} must hold finite numbers, but {broken!r} of {str(path)!r} has NaN or "
            f"infinity; {kind.again}"
        )
