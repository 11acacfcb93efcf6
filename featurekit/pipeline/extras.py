"""Packages that only some work needs: found when it begins, named in one sentence where missing."""

from collections.abc import Callable
from typing import Any

from featurekit.core.errors import ConfigError
from featurekit.pipeline.registry import import_fault, resolve


def from_extra(target: str, *, extra: str, what: str) -> Callable[..., Any]:
    """Import a callable of a package that an extra of the installation brings.

    Args:
        target: ``"module:callable"``.
        extra: its name, as in ``featurekit[svg]``.
        what: that needs it, for the message.

    Raises:
        ConfigError: the package is not installed, or does not import.
    """
    module = target.partition(":")[0]
    fault = import_fault(module)
    if fault is not None:
        raise ConfigError(
            f"{what} needs the package {module.partition('.')[0]}, which does not import "
            f"({fault}); pip install 'featurekit[{extra}]'"
        )
    return resolve(target, of=what)
