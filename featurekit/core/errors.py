"""Every error of the toolkit, one tree: what must hold, what was found, what to do."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TypeAlias

Name: TypeAlias = str | tuple[str | float, ...]


class FeatureKitError(Exception):
    """Root of the tree. Catch it to catch us and nobody else."""


class FeatureKitWarning(UserWarning):
    """What a user should know though the work goes on; a command prints its sentence alone."""


class ShapeError(FeatureKitError, ValueError):
    """A tensor does not have the axes, sizes or dtype that a function needs."""


class NoiseLevelError(FeatureKitError, ValueError):
    """A noise level or timestep lies outside the table."""


class ScheduleError(FeatureKitError, ValueError):
    """A scheduler cannot be inverted, or its settings contradict each other."""


class CaptureError(FeatureKitError, RuntimeError):
    """A tap did not fire as promised, or its output is no tensor."""


class BackboneError(FeatureKitError, ValueError):
    """A model folder, a hub id or its weights cannot be used."""


class ImageError(FeatureKitError, ValueError):
    """A picture cannot be read, or is not one still picture of a sane size."""


class MaskError(FeatureKitError, ValueError):
    """A mask does not fit its image or allows nothing to move."""


class PointsError(FeatureKitError, ValueError):
    """A handle or a target is no usable point of the image."""


class ConfigError(FeatureKitError, ValueError):
    """A setting is missing, misspelt or out of range."""


class OutputError(FeatureKitError, OSError):
    """A result cannot be written: no permission, no space, not a folder."""


class TrainingError(FeatureKitError, ArithmeticError):
    """A fit left the numbers: its loss is NaN or infinite."""


class NotFiniteError(FeatureKitError, ArithmeticError):
    """A latent holds NaN or infinity, as given or from some step on."""


class PluginError(FeatureKitError, ImportError):
    """A plugin is broken, claimed twice, or speaks another version of the contract."""


class UnknownNameError(FeatureKitError, LookupError):
    """A name is not in a closed set: a tap, a plugin, a backbone, a submodule."""

    def __init__(
        self,
        kind: str,
        name: Name,
        known: Iterable[Name],
        advice: str = "",
        near: Iterable[str] = (),
    ) -> None:
        """Remember the parts; the message suggests the nearest names, or lists some.

        Args:
            kind: what the name is a name of.
            name: what was given: a text, or a key of several parts.
            known: the set.
            advice: what may be given besides a name of the set.
            near: what to suggest, the likeliest first; nothing looks for like names of the set.
        """
        self.kind, self.name = kind, _told(name)
        self.known = tuple(sorted(map(_told, known)))
        begun = [one for one in self.known if self.name and one.startswith(self.name)]
        like = list(near) or get_close_matches(self.name, self.known, n=3) or begun[:3]
        listed = ", ".join(self.known[:12]) + (", ..." if len(self.known) > 12 else "")
        hint = f"did you mean {', '.join(like)}?" if like else f"known: {listed}"
        more = f"; {advice}" if advice else ""
        shown = repr(name) if isinstance(name, str) else self.name
        super().__init__(f"no {kind} named {shown}; {hint}{more}")


def _told(name: Name) -> str:
    """A name as text, a key of several parts as it is written in code."""
    if isinstance(name, str):
        return name
    parts = [f'"{part}"' if isinstance(part, str) else str(part) for part in name]
    return f"({', '.join(parts)})"
