"""Parts that run compiled, hooks around them as ever: what lies at their borders stays readable.

``torch.compile`` of a whole module traces its hooks with it and does not look at them again, so
that a tap which is put on later would read nothing. Here the forward of a part is compiled alone.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch._dynamo.exc import BackendCompilerFailed

from featurekit.core.errors import BackboneError, CaptureError

BACKEND = "inductor"


class CompiledForward:
    """The forward of one part, compiled for it when it is first called."""

    def __init__(self, part: nn.Module, backend: str) -> None:
        """Prepare; nothing is compiled before the first call.

        Args:
            part: whose forward it is, as its class has it.
            backend: of ``torch.compile``.
        """
        self.backend = backend
        self._compiled = torch.compile(part.forward, backend=backend)

    def __call__(self, *given: Any, **named: Any) -> Any:  # noqa: ANN401
        """Run it.

        Raises:
            BackboneError: it cannot be compiled here.
        """
        try:
            return self._compiled(*given, **named)
        except BackendCompilerFailed as error:
            told = (one.strip() for one in str(error).splitlines())
            lines = [one for one in told if one and not one.endswith("raised:")]
            raise BackboneError(
                f"torch must have what it compiles blocks with, got "
                f"{lines[0] if lines else type(error).__name__}; install a C++ compiler "
                f"(g++ or clang) if it misses one, or leave compile out"
            ) from error

    def __deepcopy__(self, memo: dict[int, Any]) -> "CompiledForward":
        """Refuse: a copy would run the network that it was copied from.

        Raises:
            BackboneError: always.
        """
        raise BackboneError(
            "a network with compiled blocks must stay the one that was compiled, since what was "
            "compiled runs that one; copy it before, or load another one"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Refuse, as for a copy."""
        return (self.__deepcopy__({}),)


def compile_parts(parts: Sequence[nn.Module], backend: str = BACKEND) -> None:
    """Compile the forwards of parts, for good; what hooks they have or get sees borders only.

    Args:
        parts: those that run as their classes say, none inside another.
        backend: of ``torch.compile``.

    Raises:
        CaptureError: a forward was replaced before.
    """
    for part in parts:
        if "forward" in vars(part):
            raise CaptureError(
                f"a part must run as its class says to be compiled, but the forward of a "
                f"{type(part).__name__} has been replaced; undo what replaced it first"
            )
    for part in parts:
        part.forward = CompiledForward(part, backend)


def is_compiled(part: nn.Module) -> bool:
    """Tell whether what lies inside a part runs compiled."""
    return isinstance(vars(part).get("forward"), CompiledForward)
