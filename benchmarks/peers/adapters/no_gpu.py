"""Letting code that asks for CUDA run where there is none, and import what it does not use here."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from unittest.mock import patch

from torch import Tensor, nn


@contextmanager
def on_no_device() -> Iterator[None]:
    """Let code that asks for CUDA leave tensors and modules where they are."""

    def staying(own: Callable) -> Callable:
        def to(self: object, *given: object, **named: object) -> object:
            asked = given[0] if given else named.get("device")
            return self if str(asked).startswith("cuda") else own(self, *given, **named)

        return to

    with (
        patch.object(nn.Module, "cuda", lambda self: self),
        patch.object(Tensor, "cuda", lambda self: self),
        patch.object(nn.Module, "to", staying(nn.Module.to)),
        patch.object(Tensor, "to", staying(Tensor.to)),
    ):
        yield


@contextmanager
def standing_in(**modules: object) -> Iterator[None]:
    """Let modules be imported that are not installed, or not any more.

    Args:
        modules: attributes by name of the module, whose dots are written as two underscores; a
            module that is there is left as it is.
    """
    made = {}
    for name, attributes in modules.items():
        dotted = name.replace("__", ".")
        if dotted not in sys.modules:
            made[dotted] = ModuleType(dotted)
            vars(made[dotted]).update(attributes)
    sys.modules.update(made)
    try:
        yield
    finally:
        for name in made:
            del sys.modules[name]
