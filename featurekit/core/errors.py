"""Every error of the toolkit, one tree: what must hold, what was found, what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


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

    def __init__(self, kind: str, name: str, known: Iterable[str], advice: str = "") -> None:
        """Remember the three parts; the message suggests the nearest names, or lists some.

        Args:
            kind: what the name is a name of.
            name: what was given.
            known: the set.
            advice: what may be given besides a name of the set.
        """
        self.kind, self.name, self.known = kind, name, tuple(sorted(known))
        begun = [one for one in self.known if name and one.startswith(name)]
        near = get_close_matches(name, self.known, n=3) or begun[:3]
        listed = ", ".join(self.known[:12]) + (", ..." if len(self.known) > 12 else "")
        hint = f"did you mean {', '.join(near)}?" if near else f"known: {listed}"
        more = f"; {advice}" if advice else ""
        super().__init__(f"no {kind} named {name!r}; {hint}{more}")
